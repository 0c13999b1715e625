"""Rehearsal: its tasks, that it sees what single predictions do not, and that it is repeatable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax import LOSSES, load_loss
from edl_jax.config import EvolutionConfig
from edl_jax.objective import rehearsal
from edl_jax.objective.rehearsal import (
    NUM_CLASSES,
    NUM_TRAIN,
    rehearse,
    sample_task,
    student_accuracy,
)
from edl_jax.search import pipeline


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(rehearsal, "NUM_STEPS", 60)
    monkeypatch.setattr(rehearsal, "NUM_TASKS", 1)


def accuracy(name, rate, noise, seed=0):
    loss = LOSSES[name]
    return float(
        jax.jit(lambda key: student_accuracy(loss, rate, noise, key))(jax.random.key(seed))
    )


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_a_task_flips_training_labels_at_the_rate_and_leaves_the_rest(noise):
    task = sample_task(jax.random.key(0), noise)
    wrong = np.mean(np.asarray(task.given != task.labels[:NUM_TRAIN]))

    assert wrong == pytest.approx(noise * (1 - 1 / NUM_CLASSES), abs=0.05)
    assert wrong > 0 or noise == 0
    # A large common mean is what couples the examples of a student.
    assert float(jnp.mean(task.inputs)) == pytest.approx(1.5, abs=0.2)


def test_a_student_learns_and_does_not_at_a_hopeless_rate(short):
    assert accuracy("cross_entropy", 0.03, 0.0) > 0.7
    assert accuracy("cross_entropy", 3.0, 0.0) < 0.3
    assert accuracy("cross_entropy", 0.03, 1.0) < 0.3  # labels without any information


def test_it_sees_that_a_loss_which_does_not_pull_back_gives_up_classes():
    """At a rate that cross-entropy bears well, students of a steep 1 - p_y fail."""
    steep = lambda z, y: 8.0 * LOSSES["one_minus_p"](z, y)  # noqa: E731
    key = jax.random.key(1)
    gives_up = float(jax.jit(lambda key: student_accuracy(steep, 0.03, 0.0, key))(key))

    assert accuracy("cross_entropy", 0.03, 0.0, seed=1) > 0.9
    assert gives_up < 0.6


def test_it_sees_that_cross_entropy_learns_noisy_labels_by_heart():
    assert accuracy("gce", 0.03, 0.4) > accuracy("cross_entropy", 0.03, 0.4) + 0.1


def test_a_rehearsal_has_a_row_for_each_noise_and_is_the_same_each_time(short):
    first, again = rehearse(LOSSES["gce"]), rehearse(LOSSES["gce"])

    assert first.shape == (len(rehearsal.LABEL_NOISE), len(rehearsal.LEARNING_RATES))
    np.testing.assert_array_equal(first, again)
    assert 0 <= float(first.min()) < float(first.max()) <= 1


@pytest.mark.parametrize("best", [0, 1])
def test_of_several_searches_the_loss_that_rehearses_best_is_frozen(monkeypatch, best):
    shipped = [load_loss(name) for name in ("edl-base", "edl-robust")]
    candidates = [loss.params for loss in shipped]
    scores = iter([0.2 + 0.1 * (i == best) for i in range(2)])
    monkeypatch.setattr(pipeline, "rehearse", lambda loss: jnp.full((2, 3), next(scores)))
    stages = []
    frozen, figures = pipeline._freeze(EvolutionConfig(), candidates, stages.append)

    np.testing.assert_array_equal(frozen.params["mlp/2/biases"], candidates[best]["mlp/2/biases"])
    assert int(np.argmax(figures["rehearsed_accuracies"])) == best
    assert len(stages) == 2
