"""What tests of losses share: batches, and losses as a jitted step would call them."""

import functools

import jax
import numpy as np
import pytest

from edl_jax.losses.handmade import LOSSES

# What depends on the other examples of a call is tested in test_context.py.
STATIC = {name: loss for name, loss in LOSSES.items() if not loss.reads_context}
every_loss = pytest.mark.parametrize("name", list(STATIC))


def batch(num_classes, size=6, seed=0, dtype=np.float32):
    """Random logits [size, K], from nearly uniform to confident; p_y stays above 1e-7."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(0.1, 2, size)[:, None]
    logits = (scale * rng.normal(size=(size, num_classes))).astype(dtype)
    return logits, rng.integers(num_classes, size=size)


@functools.partial(jax.jit, static_argnums=0)
def _losses_and_gradients(group, logits, labels, where):
    def total(logits, loss):
        losses = loss(logits, labels, where=where)
        return losses.sum(), losses

    return [jax.grad(total, has_aux=True)(logits, loss)[::-1] for loss in group]


def differentiate(loss, logits, labels, where=None):
    """The losses of a hand-made loss, and the gradient of their sum."""
    # Compilation is what these tests take time for: all of the registry at once, once a shape.
    group = tuple(LOSSES.values()) if loss in LOSSES.values() else (loss,)
    results = _losses_and_gradients(group, logits, labels, where)
    return jax.device_get(results[group.index(loss)])


def assert_same(actual, expected, rtol=1e-5, atol=1e-6):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol)


@functools.partial(jax.jit, static_argnames="axis")
def call(loss, logits, labels, axis=-1, where=None):
    """The loss as a jitted step would call it, one compilation for each form of arguments."""
    return loss(logits, labels, axis=axis, where=where)


@jax.jit
def gradient(loss, logits, labels, where=None):
    return jax.grad(lambda z: loss(z, labels, where=where).sum())(logits)
