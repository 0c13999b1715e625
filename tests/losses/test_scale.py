"""Descent matching: under its scale a loss descends as far as cross-entropy does."""

import jax
import jax.numpy as jnp
import pytest

from edl_jax.errors import EdlError
from edl_jax.losses.base import log_softmax
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.scale import descent_scale


def scaled(loss, factor):
    return lambda logits, labels: factor * loss(logits, labels)


@pytest.mark.parametrize("factor", [1e-3, 40.0])
def test_the_scale_of_a_multiple_of_cross_entropy_is_its_inverse(factor):
    found = descent_scale(scaled(LOSSES["cross_entropy"], factor), num_classes=5)

    assert found == pytest.approx(1 / factor, rel=1e-4)


def mean_p_y_after_descent(loss, scale, num_classes):
    """20 unit steps from near-uniform logits, written out."""
    logits = 0.1 * jax.random.normal(jax.random.key(5), (400, num_classes))
    labels = jnp.arange(400) % num_classes
    slope = jax.jit(jax.grad(lambda z: jnp.sum(loss(z, labels))))
    for _ in range(20):
        logits = logits - scale * slope(logits)
    return float(jnp.mean(jnp.exp(log_softmax(logits))[jnp.arange(400), labels]))


def test_descent_under_the_scaled_loss_gets_where_cross_entropy_does():
    name = "gce"
    scale = descent_scale(LOSSES[name])
    target = mean_p_y_after_descent(LOSSES["cross_entropy"], 1.0, 10)

    assert mean_p_y_after_descent(LOSSES[name], scale, 10) == pytest.approx(target, abs=0.005)
    assert mean_p_y_after_descent(LOSSES[name], 0.5 * scale, 10) < target - 0.02
    rescaled = descent_scale(scaled(LOSSES[name], 8.0))
    assert rescaled == pytest.approx(scale / 8, rel=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: jnp.full(y.shape, 2.0),
        lambda z, y: 0.0 * LOSSES["cross_entropy"](z, y),
        lambda z, y: -LOSSES["cross_entropy"](z, y),
    ],
    ids=["constant", "zero", "reversed"],
)
def test_a_loss_that_does_not_descend_has_no_scale(loss):
    with pytest.raises(EdlError, match="descends as far"):
        descent_scale(loss, num_classes=3)
