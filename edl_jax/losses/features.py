"""The features that loss networks read of a prediction and its label, in any class order."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.losses.base import log_softmax

# Log-probabilities enter divided by this, so that 10**-7 and 1 are some two units apart.
LOG_SCALE = 8.0
# A class that is masked out (logit -inf) has this log-probability: finite, and p * log p = 0.
MIN_LOG_PROB = -1e6
# The smallest log-probability that a network reads, that of float32's resolution at 1. Beyond it no
# search sees a prediction, and what a network would add there is anything at all.
LOG_RESOLUTION = math.log(2.0**-24)


def log_probs(logits: jax.Array) -> jax.Array:
    """Log-probabilities that are finite for masked classes (logit -inf) too."""
    return jnp.maximum(log_softmax(logits), MIN_LOG_PROB)


class _Largest(NamedTuple):
    """The largest classes of a prediction: one, or several that tie.

    Attributes:
      log_p: their log-probability, (...).
      total: its sum over them, (...).
      number: how many there are, (...).
      among: which they are, boolean (..., num_classes).
    """

    log_p: jax.Array
    total: jax.Array
    number: jax.Array
    among: jax.Array


def _largest(log_p: jax.Array) -> _Largest:
    """The largest classes. What ties is averaged, so that no class is preferred by its index."""
    place = jnp.argmax(log_p, axis=-1, keepdims=True)
    # One is always found by its index: XLA may compute both sides of a comparison again, rounded
    # differently.
    among = (log_p >= jnp.take_along_axis(log_p, place, axis=-1)) | jax.nn.one_hot(
        place[..., 0], log_p.shape[-1], dtype=bool
    )
    number = jnp.sum(among, axis=-1, dtype=log_p.dtype)
    total = jnp.sum(jnp.where(among, log_p, 0.0), axis=-1)
    return _Largest(total / number, total, number, among)


def log_rival(log_p: jax.Array, log_p_y: jax.Array, labels: jax.Array) -> jax.Array:
    """Log-probability of the most probable class but the label, (...)."""
    top = _largest(log_p)
    second = _largest(jnp.where(top.among, 2.0 * MIN_LOG_PROB, log_p))
    # Only these lines depend on the label: all labels of a prediction share the rest.
    leads = jnp.take_along_axis(top.among, labels[..., None], axis=-1)[..., 0]
    rival = (top.total - log_p_y) / jnp.maximum(top.number - 1.0, 1.0)
    return jnp.where(leads, jnp.where(top.number > 1, rival, second.log_p), top.log_p)


def label_features(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    """Six features of a prediction and its label that no relabelling of the classes changes.

    Args:
      log_p: log-probabilities, shape (..., num_classes).
      labels: integer class ids, shape (...).

    Returns:
      (p_y, largest other p, log p_y, log of the largest other p, entropy, sum of p**2), the logs
      not below ``LOG_RESOLUTION`` and divided by ``LOG_SCALE``; shape (6, ...). Classes of
      probability 0 change none of them.
    """
    p = jnp.exp(log_p)
    log_p_y = jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    log_other = log_rival(log_p, log_p_y, labels)
    entropy = -jnp.sum(p * log_p, axis=-1)
    features = (
        jnp.exp(log_p_y),
        jnp.exp(log_other),
        jnp.maximum(log_p_y, LOG_RESOLUTION) / LOG_SCALE,
        jnp.maximum(log_other, LOG_RESOLUTION) / LOG_SCALE,
        entropy,
        jnp.sum(jnp.square(p), axis=-1),
    )
    return jnp.stack(features)
