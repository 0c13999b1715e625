"""Ranking: how wrong predictions are, and whether losses order them so, softly or counted.

Functions of arrays: a batch of losses, and of the same predictions one or several orders of
severity. What a loss is asked for with them stands in :mod:`edl_jax.objective.terms`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.config import EvolutionConfig
from edl_jax.losses.base import Loss, log_softmax
from edl_jax.objective.synthetic import sample_pairs

# Each prediction is compared with the next few of the shuffled batch: rolls, not gathers.
NUM_PARTNERS = 4


# --- severity: how wrong a prediction is -------------------------------------------------------


def neg_log_prob(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    """-log p_y, cross-entropy's order."""
    return -jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]


def _margin(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    """log of the largest other p, less log p_y."""
    is_label = jax.nn.one_hot(labels, log_p.shape[-1], dtype=bool)
    return neg_log_prob(log_p, labels) + jnp.max(jnp.where(is_label, -jnp.inf, log_p), axis=-1)


def _brier(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared distance to the one-hot label."""
    error = jnp.exp(log_p) - jax.nn.one_hot(labels, log_p.shape[-1], dtype=log_p.dtype)
    return jnp.sum(jnp.square(error), axis=-1)


ORDERS: dict[str, tuple[Loss, ...]] = {
    "log_prob": (neg_log_prob,),
    "margin": (_margin,),
    "brier": (_brier,),
    "agree": (neg_log_prob, _margin, _brier),
}
"""Name to orders of severity, functions of log-probabilities and labels; several must agree."""


def severities(log_p: jax.Array, labels: jax.Array, order: str = "log_prob") -> jax.Array:
    """How wrong each prediction is, under one or several orders.

    Args:
      log_p: log-probabilities, shape (batch_size, num_classes).
      labels: integer class ids, shape (batch_size,).
      order: ``log_prob`` (-log p_y), ``margin`` (log of the largest other p, less log p_y),
        ``brier`` (squared distance to the one-hot label), or ``agree``: all three.

    Returns:
      float32 array (num_orders, batch_size). One prediction is more wrong than another where it
      is larger in every row.

    >>> log_p = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
    >>> print(jnp.array_str(severities(log_p, jnp.array([0, 1])), precision=3))
    [[0.693 0.288]]
    """
    return jnp.stack([of(log_p, labels) for of in ORDERS[order]])


# --- soft: what the search minimises -----------------------------------------------------------


def hinge(difference: jax.Array, order: jax.Array, width: float) -> jax.Array:
    """Mean of ``max(0, 1 - order * difference / width)`` over the pairs that have an order.

    Args:
      difference: of the losses of each pair.
      order: the sign that ``difference`` should have, 0 where any will do; same shape.
      width: from which difference on a pair costs nothing.
    """
    penalty = jnp.maximum(0.0, 1.0 - order * difference / width)
    return jnp.sum(penalty * jnp.abs(order)) / jnp.maximum(jnp.sum(jnp.abs(order)), 1.0)


def _agreed_sign(differences: jax.Array) -> jax.Array:
    """The sign on which all orders (leading axis) agree, 0 where they do not."""
    signs = jnp.sign(differences)
    return jnp.where(jnp.all(signs == signs[:1], axis=0), signs[0], 0.0)


def _standardise(losses: jax.Array) -> jax.Array:
    centred = losses - jnp.mean(losses)
    return centred / (jnp.sqrt(jnp.mean(jnp.square(centred))) + 1e-12)


def ranking_penalty(losses: jax.Array, severity: jax.Array, margin: float) -> jax.Array:
    """Soft ranking inconsistency of ``losses`` (batch,) with ``severity`` (num_orders, batch).

    Each example is paired with the next ones of the batch, which must be in random order. The
    losses are standardised, so neither their scale nor their offset matters; a pair costs
    ``max(0, 1 - d / margin)``, where d is by how many standard deviations the more wrong example
    has the larger loss.

    >>> ranking_penalty(jnp.arange(5.0), jnp.arange(5.0)[None], margin=0.1)
    Array(0., dtype=float32)
    """
    losses = _standardise(losses)
    penalty = jnp.zeros((), losses.dtype)
    for shift in range(1, NUM_PARTNERS + 1):
        order = _agreed_sign(severity - jnp.roll(severity, shift, axis=-1))
        penalty += hinge(losses - jnp.roll(losses, shift), order, margin)
    return penalty / NUM_PARTNERS


# --- counted: what is reported -----------------------------------------------------------------


class HeldOut(NamedTuple):
    """Hard ranking figures on fresh pairs; nothing soft, nothing standardised.

    Attributes:
      discordance: share of the pairs of differing severity that the loss orders wrongly, a tie
        counting half; in [0, 1].
      tau: Kendall's tau-b between loss and severity; in [-1, 1].
    """

    discordance: jax.Array
    tau: jax.Array


def rank_agreement(losses: jax.Array, severity: jax.Array) -> HeldOut:
    """Discordance and Kendall's tau-b over all pairs of ``losses`` and ``severity``, each (n,).

    >>> losses, severity = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0])
    >>> round(float(rank_agreement(losses, severity).tau), 4)
    0.3333
    """

    def compare(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        d_loss, d_severity = jnp.sign(losses - row[0]), jnp.sign(severity - row[1])
        agreement = jnp.sum(d_loss * d_severity)
        return jnp.stack([agreement, jnp.sum(jnp.abs(d_loss)), jnp.sum(jnp.abs(d_severity))])

    rows = jax.lax.map(compare, (losses, severity), batch_size=256)
    agreement, untied_loss, untied_severity = jnp.sum(rows, axis=0)
    return HeldOut(
        discordance=0.5 * (1.0 - agreement / untied_severity),
        tau=agreement / jnp.sqrt(untied_loss * untied_severity),
    )


def held_out(loss: Loss, key: jax.Array, config: EvolutionConfig, num_pairs: int = 4096) -> HeldOut:
    """Rank agreement of ``loss`` with -log p_y on fresh predictions of the config's mixture."""
    pairs = sample_pairs(key, config.mixture, num_pairs, config.num_classes)
    severity = neg_log_prob(log_softmax(pairs.logits), pairs.labels)
    return rank_agreement(loss(pairs.logits, pairs.labels), severity)
