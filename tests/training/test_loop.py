"""Protects that a run trains with the loss it was given, in pairs that differ in nothing else,
and that what it reports is true."""

import json
import math
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import EdlError, OptionError
from edl_jax.losses.base import as_pytree
from edl_jax.training import evaluation, loop
from edl_jax.training.loop import epoch_order, run_steps, steps_per_call, train
from edl_jax.training.pixels import normalize
from edl_jax.training.step import init_state
from tests.training.toy import MLP, brier, cross_entropy, examples, leaves_equal, toy

# --- the epoch ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_examples", "batch_size"), [(1, 1), (12, 4), (13, 4), (15, 16)])
@settings(deadline=None)
@given(epoch=st.integers(0, 1000))
def test_an_epoch_takes_every_example_at_most_once(num_examples, batch_size, epoch):
    order = epoch_order(jax.random.key(0), epoch, num_examples, batch_size)
    assert order.shape == (num_examples // batch_size, batch_size)
    taken = order.ravel().tolist()
    assert len(set(taken)) == len(taken) and set(taken) <= set(range(num_examples))


def test_epochs_differ_in_order():
    first, second = (epoch_order(jax.random.key(0), epoch, 100, 10) for epoch in (1, 2))
    assert not jnp.array_equal(first, second)


def test_steps_taken_at_once_are_steps_taken_singly():
    """A scan over an epoch, and one call a step as on a CPU, are the same training."""
    dataset = toy()
    data = examples(dataset)

    def run(num_steps: int, calls: int):
        graphdef, state = init_state(MLP, dataset.input_shape, 3, 0, steps_per_epoch=8)
        order = epoch_order(state.key, 1, len(data.labels), 16)
        infos = []
        for _ in range(calls):
            state, info = run_steps(
                state,
                data,
                order,
                as_pytree(cross_entropy),
                graphdef=graphdef,
                augment="crop-flip",
                num_steps=num_steps,
            )
            infos.append(info.loss)
        return state, jnp.concatenate(infos)

    (whole, losses), (single, single_losses) = run(8, 1), run(1, 8)
    np.testing.assert_allclose(losses, single_losses, rtol=1e-5)
    assert int(whole.step) == int(single.step) == 8
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, whole.params, single.params)


@settings(deadline=None)
@given(st.integers(1, 2000))
def test_calls_share_an_epoch_equally(steps):
    at_once = steps_per_call(steps, {"kernel": jnp.ones((2, 2))})
    assert steps % at_once == 0 and (at_once <= 50 or at_once == steps)
    assert steps_per_call(steps, {"kernel": np.ones((3, 3, 2, 2))}) == 1


def test_a_single_step_is_not_wrapped_in_a_loop():
    """In a loop, even of one step, XLA's convolutions on a CPU are 25 times slower."""
    dataset = toy()
    config = replace(MLP, augment="crop-flip")
    graphdef, state = init_state(config, dataset.input_shape, 3, seed=0)
    order = epoch_order(state.key, 1, 150, 16)
    loss = as_pytree(cross_entropy)
    for num_steps, looped in ((1, False), (2, True)):
        run = partial(run_steps, graphdef=graphdef, augment="crop-flip", num_steps=num_steps)
        jaxpr = str(jax.make_jaxpr(run)(state, examples(dataset), order, loss))
        assert (" scan[" in jaxpr) == looped


# --- the run -----------------------------------------------------------------------------------


def test_training_learns_and_reports():
    rows, images = [], []
    config = replace(MLP, epochs=6)
    dataset = toy()

    def on_progress(count, row):
        images.append(count)
        rows.extend([row] if row else [])

    result = train(dataset, cross_entropy, config, 0, on_progress)
    assert result.test_accuracy > 0.9 and not result.diverged
    assert sum(images) == 6 * (150 // 16) * 16
    assert rows == result.history and [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert (rows[-1]["test_accuracy"], rows[-1]["nll"], rows[-1]["ece"]) == (
        result.test_accuracy,
        result.nll,
        result.ece,
    )
    model = nnx.merge(result.classifier.graphdef, result.state.params, result.state.model_state)
    data = examples(dataset)
    logits = model(normalize(jnp.asarray(dataset.test_images), data.mean, data.std))
    assert np.mean(np.argmax(logits, -1) == dataset.test_labels) == pytest.approx(
        result.test_accuracy
    )


def test_training_learns_with_adamw_too():
    config = replace(MLP, epochs=6, optimizer="adamw", learning_rate=0.02)
    assert train(toy(), cross_entropy, config, 0).test_accuracy > 0.9


def test_a_run_resumes_bit_identically_from_every_place_it_comes_by(monkeypatch):
    """Within an epoch, at the end of one before its row, and at the end of all."""
    monkeypatch.setattr(loop, "steps_per_call", lambda *of: 3)
    config, dataset = replace(MLP, epochs=2), toy()
    places = []

    def keep(place):
        places.append(jax.tree.map(np.array, place._replace(state=replace(place.state, key=0))))

    whole = train(dataset, cross_entropy, config, 0, on_midway=keep)
    assert len(places) == 2 * (150 // 16) // 3

    for place in places:

        def restore(start, place=place):
            state = replace(jax.tree.map(jnp.array, place.state), key=start.state.key)
            return place._replace(state=state)

        result = train(dataset, cross_entropy, config, 0, restore=restore)
        assert result.history == whole.history[-len(result.history) :]
        for one, other in zip(
            jax.tree.leaves(result.state.params), jax.tree.leaves(whole.state.params), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("step", [-1, 1, 19])
def test_a_place_that_a_run_does_not_come_by_is_refused(step, monkeypatch):
    monkeypatch.setattr(loop, "steps_per_call", lambda *of: 3)

    def restore(start):
        return start._replace(state=replace(start.state, step=jnp.int32(step)))

    with pytest.raises(EdlError, match=f"checkpoint of step {step}: expected"):
        train(toy(), cross_entropy, replace(MLP, epochs=2), 0, restore=restore)


def test_a_residual_network_trains_on_pictures_with_augmentation():
    config = replace(MLP, model="resnet8", width=4, epochs=4, augment="crop-flip")
    result = train(toy(), cross_entropy, config, 0)
    assert result.test_accuracy > 0.6
    assert all(math.isfinite(row["nll"]) for row in result.history)


def test_evaluation_may_wait_for_the_end():
    for eval_every, seen in ((0, [3]), (2, [2, 3]), (1, [1, 2, 3])):
        config = replace(MLP, epochs=3, eval_every=eval_every)
        history = train(toy(), cross_entropy, config, 0).history
        assert [row["epoch"] for row in history if "test_accuracy" in row] == seen


def test_the_same_seed_is_the_same_run_and_another_is_not():
    first, again, other = (train(toy(), cross_entropy, MLP, seed) for seed in (3, 3, 4))
    assert first.history == again.history and leaves_equal(first.state.params, again.state.params)
    assert first.history != other.history


def test_the_frozen_loss_is_what_is_descended():
    runs = {loss: train(toy(), loss, MLP, 0) for loss in (cross_entropy, brier)}
    assert not leaves_equal(runs[cross_entropy].state.params, runs[brier].state.params)
    assert runs[cross_entropy].history[0]["train_loss"] != runs[brier].history[0]["train_loss"]


def showing(shown, descended):
    """A loss with the value of one function and the gradient of another."""

    def loss(logits, labels):
        hidden = descended(logits, labels)
        return jax.lax.stop_gradient(shown(logits, labels) - hidden) + hidden

    return loss


def test_losses_of_one_seed_take_the_same_batches():
    def shown(logits, labels):
        return labels.astype(jnp.float32)

    one, other = (train(toy(), showing(shown, loss), MLP, 5) for loss in (cross_entropy, brier))
    assert not leaves_equal(one.state.params, other.state.params)
    for first, second in zip(one.history, other.history, strict=True):
        assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-5)


def test_losses_of_one_seed_start_from_the_same_weights_and_augmented_images():
    """With one step an epoch, its loss shows what comes before any update."""

    def shown(logits, labels):
        return jnp.sum(logits**2, axis=-1) * (1.0 + labels.astype(jnp.float32))

    config = replace(MLP, batch_size=150, epochs=1, augment="crop-flip")
    one, other = (train(toy(), showing(shown, loss), config, 5) for loss in (cross_entropy, brier))
    assert not leaves_equal(one.state.params, other.state.params)
    value = one.history[0]["train_loss"]
    assert value == pytest.approx(other.history[0]["train_loss"], rel=1e-5)
    another_seed = train(toy(), showing(shown, brier), config, 6)
    assert value != pytest.approx(another_seed.history[0]["train_loss"], rel=1e-3)


def test_noisy_labels_are_what_is_trained_on():
    dataset = toy()
    noisy = replace(dataset, train_labels=(dataset.train_labels + 1) % 3)
    result = train(noisy, cross_entropy, replace(MLP, epochs=6), 0)
    assert result.history[-1]["train_accuracy"] > 0.9, "counted on the labels as given"
    assert result.test_accuracy < 0.1, "the test labels stay clean"


@partial(jax.tree_util.register_dataclass, data_fields=["temperature"], meta_fields=[])
@dataclass(frozen=True)
class TemperedCrossEntropy:
    """A loss with arrays in it, as a learned one has."""

    temperature: jax.Array

    def __call__(self, logits, labels):
        return cross_entropy(logits / self.temperature, labels)


def test_a_loss_may_be_a_pytree():
    as_function = train(toy(), cross_entropy, MLP, 0)
    as_tree = train(toy(), TemperedCrossEntropy(jnp.float32(1)), MLP, 0)
    tempered = train(toy(), TemperedCrossEntropy(jnp.float32(3)), MLP, 0)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, as_function.state.params, as_tree.state.params)
    assert tempered.history != as_tree.history


def test_a_second_seed_learning_rate_or_length_compiles_nothing():
    """Grids of hundreds of runs rely on it."""
    dataset = toy()
    train(dataset, TemperedCrossEntropy(jnp.float32(1)), MLP, 0)
    compiled = run_steps._cache_size(), evaluation._sums._cache_size()
    for seed, changes in enumerate(
        ({"learning_rate": 0.01}, {"epochs": 3}, {"momentum": 0.5, "weight_decay": 0.0}), start=1
    ):
        train(dataset, TemperedCrossEntropy(jnp.float32(seed)), replace(MLP, **changes), seed)
        train(toy(seed), TemperedCrossEntropy(jnp.float32(2)), replace(MLP, **changes), seed)
    assert (run_steps._cache_size(), evaluation._sums._cache_size()) == compiled


def test_a_run_that_diverges_ends_and_says_so():
    result = train(toy(), lambda z, y: jnp.log(z[:, 0] * 0), replace(MLP, epochs=5), 0)
    assert result.diverged and len(result.history) == 1
    assert result.history[0]["train_loss"] is None
    assert result.nll is None and result.ece is None
    json.dumps(result.history, allow_nan=False)


def test_a_batch_larger_than_the_training_set_is_refused():
    with pytest.raises(OptionError, match="at most the number of training images, 10"):
        train(toy(num_train=10), cross_entropy, MLP, 0)
