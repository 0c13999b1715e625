"""The monotone network: what it cannot do whatever its parameters, and what it can be."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.losses import monotone
from edl_jax.losses.base import Context
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.properties import largest_rise
from tests.losses import references

STEPS = 3
SHAPES = jax.eval_shape(functools.partial(monotone.init, num_steps=STEPS), jax.random.key(0))
apply = jax.jit(monotone.apply)
CONTEXTS = ((0.0, 0.0, 0.0), (0.3, 0.25, 0.4), (1.0, 1.0, 0.0), (0.9, -0.2, 1.0))


def context(*numbers):
    return Context(*(jnp.float32(number) for number in numbers))


def random_params(seed, size=1.0, **changes):
    rng = np.random.default_rng(seed)
    drawn = {k: size * rng.normal(size=v.shape) for k, v in SHAPES.items()} | changes
    return {k: jnp.asarray(v, jnp.float32) for k, v in drawn.items()}


def batch(num_classes, size=24, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(size, num_classes)) * np.geomspace(0.1, 6, size)[:, None]
    return logits.astype(np.float32), rng.integers(num_classes, size=size)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("size", [1.0, 4.0])
def test_the_loss_is_that_of_its_formula_in_float64(num_classes, size):
    logits, labels = batch(num_classes)
    for seed, numbers in enumerate(CONTEXTS):
        params = random_params(seed, size, **{"gate/threshold": [-0.5]})
        found = apply(params, logits, labels, context(*numbers))
        expected = [
            references.monotone_loss(params, z, y, numbers)
            for z, y in zip(logits, labels, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)
        assert np.ptp(expected) > 0.1


def test_a_context_of_its_own_for_each_example_is_taken():
    logits, labels = batch(4, size=len(CONTEXTS))
    params = random_params(0)
    each = Context(*jnp.asarray(CONTEXTS).T)

    found = apply(params, logits, labels, each)
    for i, numbers in enumerate(CONTEXTS):
        alone = apply(params, logits[i : i + 1], labels[i : i + 1], context(*numbers))
        np.testing.assert_allclose(found[i : i + 1], alone, rtol=1e-5)


# --- by construction ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [2, 3, 10, 1000])
def test_it_does_not_rise_as_the_labels_probability_grows_whatever_its_parameters(num_classes):
    for seed, size in enumerate((1.0, 3.0, 30.0, 30.0)):
        params = random_params(seed, size, smoothing=[-1.0, -1.0])
        loss = jax.tree_util.Partial(monotone.apply, params, context=context(*CONTEXTS[seed]))
        assert largest_rise(loss, num_classes) < 1e-5, (seed, size)


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100, 1000])
def test_its_gradient_at_chance_is_that_of_cross_entropy_whatever_its_parameters(num_classes):
    rng = np.random.default_rng(0)
    logits = 0.1 * rng.normal(size=(64, num_classes)).astype(np.float32)
    labels = rng.integers(num_classes, size=64)

    @jax.jit
    def mean_slope(params, logits):
        gradient = jax.grad(lambda z: monotone.apply(params, z, labels, context(0, 0, 0)).sum())(
            logits
        )
        return jnp.take_along_axis(gradient, labels[:, None], axis=-1).mean()

    for seed, size in enumerate((1.0, 3.0, 10.0, 30.0)):
        params = random_params(seed, size)
        assert mean_slope(params, 0 * logits) == pytest.approx(1 / num_classes - 1, rel=1e-4)
        assert mean_slope(params, logits) == pytest.approx(1 / num_classes - 1, rel=0.25)


def test_certainty_costs_nothing_and_a_lone_class_neither():
    params = random_params(0, smoothing=[-1.0, -1.0])
    logits = np.float32([[1e4, 0, 0], [3, -np.inf, -np.inf], [60, 0, -np.inf]])
    losses, pull_back = jax.vjp(
        lambda z: apply(params, z, np.zeros(3, int), context(0, 0, 0)), logits
    )

    np.testing.assert_allclose(losses, 0, atol=1e-6)
    np.testing.assert_allclose(*pull_back(jnp.ones(3)), 0, atol=1e-6)


# --- the family --------------------------------------------------------------------------------

PLAIN = {"steps/before": [-200.0] * STEPS, "steps/after": [-200.0] * STEPS, "rival": [0.0]}
ONE = math.log(math.e - 1)  # softplus of it is 1


@pytest.mark.parametrize("num_classes", [2, 10])
def test_cross_entropy_and_label_smoothing_are_in_the_family(num_classes):
    logits, labels = batch(num_classes)
    log_loss = {**PLAIN, "log_loss/after": [ONE]}
    params = random_params(0, **log_loss, smoothing=[-1.0, -1.0])
    expected = LOSSES["cross_entropy"](logits, labels)
    for numbers in CONTEXTS:
        np.testing.assert_allclose(
            apply(params, logits, labels, context(*numbers)), expected, rtol=1e-5, atol=1e-6
        )

    logits /= 2  # so that no log-probability is below what is read
    assert np.min(jax.nn.log_softmax(logits)) > math.log(2.0**-24)
    # (1 - 0.1) CE + 0.1 (mean of -log p) is 0.9 (CE + (smoothing) / 9) and a constant.
    params = random_params(0, **log_loss, smoothing=[5 / 9, 5 / 9])
    smoothed = 0.9 * apply(params, logits, labels, context(0, 0, 0)) + 0.1 * math.log(num_classes)
    np.testing.assert_allclose(
        smoothed, LOSSES["label_smoothing"](logits, labels), rtol=1e-5, atol=1e-5
    )


def test_a_gate_at_confidence_passes_from_one_shape_to_another():
    logits, labels = batch(10)
    gate = {"gate/weights": [2.0, 0.0, 0.0], "gate/threshold": [math.log(0.35 / 0.65)]}
    params = random_params(
        0, **gate, **PLAIN | {"steps/after": [1.0, -200.0, -200.0]}, **{"log_loss/after": [-200.0]}
    ) | {"smoothing": jnp.full(2, -1.0)}

    def losses(confidence, agreement=0.7):
        return np.asarray(apply(params, logits, labels, context(confidence, agreement, 0.3)))

    before, after = losses(0.0), losses(1.0)
    # Before it is cross-entropy, after it bounded by its one step.
    np.testing.assert_allclose(
        before, LOSSES["cross_entropy"](logits, labels), rtol=1e-3, atol=1e-5
    )
    width = monotone.LEAST_WIDTH + np.logaddexp(0, float(params["steps/width"][0]))
    assert after.max() <= 4 * width * np.logaddexp(0, 1.0) * 1.001 < before.max()
    np.testing.assert_allclose(losses(0.35), (before + after) / 2, rtol=1e-3)
    np.testing.assert_allclose(losses(0.33), before + 0.0474 * (after - before), rtol=1e-2)
    np.testing.assert_array_equal(losses(0.35, agreement=-0.2), losses(0.35))
