"""Protects how a learning rate is chosen: on held-out training examples, never on the test ones."""

from dataclasses import replace

import numpy as np
import pytest

from edl_jax.errors import OptionError
from edl_jax.training import session
from edl_jax.training.data import Dataset
from edl_jax.training.tuning import tune, tuning_sizes
from tests.training.toy import MLP, brier, cross_entropy, toy

LOSSES = {"cross_entropy": cross_entropy, "brier": brier}


def test_each_loss_gets_the_rate_with_the_best_held_out_accuracy():
    found = tune(toy(), LOSSES, MLP, [1e-6, 0.05])
    assert found.learning_rates == dict.fromkeys(LOSSES, 0.05)
    assert [(trial["loss"], trial["learning_rate"]) for trial in found.trials] == [
        (name, rate) for name in LOSSES for rate in (1e-6, 0.05)
    ]
    assert {row["tuning_rate"] for row in found.history} == {1e-6, 0.05}


def test_the_test_examples_are_not_looked_at():
    dataset = toy()
    other = replace(
        dataset, test_images=255 - dataset.test_images, test_labels=2 - dataset.test_labels
    )
    rates = [0.01, 0.1]
    assert tune(dataset, LOSSES, MLP, rates).trials == tune(other, LOSSES, MLP, rates).trials


def test_held_out_labels_are_as_noisy_as_those_trained_on(monkeypatch):
    seen = []
    real = session.train

    def watched(dataset, *args, **named):
        seen.append(dataset)
        return real(dataset, *args, **named)

    monkeypatch.setattr(session, "train", watched)
    for noise in (0.0, 0.9):
        tune(toy(num_train=600), {"brier": brier}, MLP, [0.1], label_noise=noise)
    clean, noisy = seen
    np.testing.assert_array_equal(clean.test_images, noisy.test_images)
    for part in ("train_labels", "test_labels"):
        wrong = np.mean(getattr(clean, part) != getattr(noisy, part))
        assert 0.45 < wrong < 0.75  # 0.9 of them redrawn from three classes
    assert not np.array_equal(clean.test_images, toy(num_train=600).test_images)


def test_what_is_held_out_is_not_trained_on():
    for total, wanted in ((60_000, 10_000), (60_000, None), (100, 100), (100, 90), (100, 10)):
        train_size, held_out = tuning_sizes(total, wanted)
        assert train_size + held_out <= total and held_out >= min(5000, total // 5)


def test_a_rate_at_which_training_diverges_is_not_chosen():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 2, 2, 1)).astype(np.uint8)
    noise = Dataset("noise", 2, images, np.arange(100) % 2, images[:2], np.arange(2))
    config = replace(MLP, epochs=1)
    found = tune(noise, {"cross_entropy": cross_entropy}, config, [1e30, 1e-6])
    assert [trial["diverged"] for trial in found.trials] == [True, False]
    assert found.learning_rates == {"cross_entropy": 1e-6}


def test_runs_that_are_done_are_not_made_again():
    whole = tune(toy(), LOSSES, MLP, [0.01, 0.1])
    started = []
    again = tune(
        toy(), LOSSES, MLP, [0.01, 0.1], history=whole.history[:5], on_start=started.append
    )
    assert again == whole
    assert started == [
        {"loss": "brier", "tuning_rate": 0.01},
        {"loss": "brier", "tuning_rate": 0.1},
    ]


def test_a_batch_larger_than_what_is_left_is_refused():
    with pytest.raises(OptionError, match="batch_size 140: expected at most 120, the training exa"):
        tune(toy(), LOSSES, replace(MLP, batch_size=140), [0.1, 0.2])
