"""What a good loss is, without data: ranking consistency, and that it trains.

A loss ranks consistently when the more wrong of two predictions gets the larger value. The terms
ask this under a certain label (Xiang and Pei, arXiv 2605.03722), in expectation over a noisy
label, and in expectation over a label distribution; and, because a loss can rank perfectly and
not train, that descent along its gradient brings the right class up. Every term takes any
``loss(logits, labels)``, evolved or hand-made, and is smaller for the better loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.config import EvolutionConfig, MixtureConfig, ObjectiveConfig
from edl_jax.losses.base import Loss, every_label, log_softmax
from edl_jax.objective.synthetic import Pairs, sample_pairs

# Each prediction is compared with the next few of the shuffled batch: rolls, not gathers.
NUM_PARTNERS = 4
# Terms that need the loss under every label use this share of the batch.
EVERY_LABEL_SHARE = 4
DESCENT_STEPS, START_SPREAD = 8, 2.0
SCALE_GUARD_WEIGHT = 0.1


# --- severity: how wrong a prediction is -------------------------------------------------------


def _log_prob(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    return -jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]


def _margin(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    is_label = jax.nn.one_hot(labels, log_p.shape[-1], dtype=bool)
    return _log_prob(log_p, labels) + jnp.max(jnp.where(is_label, -jnp.inf, log_p), axis=-1)


def _brier(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    error = jnp.exp(log_p) - jax.nn.one_hot(labels, log_p.shape[-1])
    return jnp.sum(jnp.square(error), axis=-1)


_ORDERS: dict[str, tuple[Loss, ...]] = {
    "log_prob": (_log_prob,),
    "margin": (_margin,),
    "brier": (_brier,),
    "agree": (_log_prob, _margin, _brier),
}


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
    """
    return jnp.stack([of(log_p, labels) for of in _ORDERS[order]])


# --- ranking -----------------------------------------------------------------------------------


def _hinge(difference: jax.Array, order: jax.Array, margin: float) -> jax.Array:
    """Mean soft hinge: ``order`` is the sign that is right, 0 where any will do."""
    penalty = jnp.maximum(0.0, 1.0 - order * difference / margin)
    return jnp.sum(penalty * jnp.abs(order)) / jnp.maximum(jnp.sum(jnp.abs(order)), 1.0)


def _agreed_sign(differences: jax.Array) -> jax.Array:
    """The sign on which all orders (leading axis) agree, 0 where they do not."""
    signs = jnp.sign(differences)
    return jnp.where(jnp.all(signs == signs[0], axis=0), signs[0], 0.0)


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
    penalty = jnp.zeros(())
    for shift in range(1, NUM_PARTNERS + 1):
        order = _agreed_sign(severity - jnp.roll(severity, shift, axis=-1))
        penalty += _hinge(losses - jnp.roll(losses, shift), order, margin)
    return penalty / NUM_PARTNERS


def noisy_losses(losses_by_label: jax.Array, labels: jax.Array, rate: float) -> jax.Array:
    """Expected loss when a label is replaced, with probability ``rate``, by a random class."""
    of_label = jnp.take_along_axis(losses_by_label, labels[:, None], axis=-1)[:, 0]
    return (1.0 - rate) * of_label + rate * jnp.mean(losses_by_label, axis=-1)


# --- what an objective draws, and how it judges ------------------------------------------------


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["pairs", "distributions", "predictions", "start"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Problem:
    """What all candidates of a generation are judged on.

    Attributes:
      pairs: prediction-label pairs of the mixture.
      distributions: label distributions q, shape (n, num_classes).
      predictions: logits of two predictions for each q, shape (2, n, num_classes).
      start: pairs from which descent under the loss starts, many of them wrong.
    """

    pairs: Pairs
    distributions: jax.Array
    predictions: jax.Array
    start: Pairs


def sample_problem(
    key: jax.Array, mixture: MixtureConfig, batch_size: int, num_classes: int
) -> Problem:
    """Draw the pairs, label distributions and starting points of one generation."""
    pair_key, start_key, q_key, prediction_key = jax.random.split(key, 4)
    size = max(16, batch_size // EVERY_LABEL_SHARE)
    label_key, logit_key = jax.random.split(start_key)
    start = Pairs(
        START_SPREAD * jax.random.normal(logit_key, (size, num_classes)),
        jax.random.randint(label_key, (size,), 0, num_classes),
    )
    # Powers of a flat Dirichlet reach from nearly uniform to nearly one-hot.
    q = jax.random.uniform(q_key, (size, num_classes + 1), minval=2.0**-24)
    power = 0.3 + 3.7 * q[:, -1:]
    log_q = log_softmax(power * jnp.log(-jnp.log(q[:, :-1])))
    # Predictions at all distances from q, the near ones too: that is where propriety shows.
    noise = jax.random.normal(prediction_key, (2, size, num_classes + 1))
    predictions = log_q + jnp.exp(noise[..., -1:] - 0.5) * noise[..., :-1]
    return Problem(
        pairs=sample_pairs(pair_key, mixture, batch_size, num_classes),
        distributions=jnp.exp(log_q),
        predictions=predictions,
        start=start,
    )


def clean_ranking(loss: Loss, problem: Problem, config: ObjectiveConfig) -> jax.Array:
    """Ranking consistency under the true label: the paper's objective."""
    pairs = problem.pairs
    severity = severities(log_softmax(pairs.logits), pairs.labels, config.severity)
    return ranking_penalty(loss(pairs.logits, pairs.labels), severity, config.margin)


def noisy_ranking(loss: Loss, problem: Problem, config: ObjectiveConfig) -> jax.Array:
    """Ranking consistency in expectation over a label flipped with rate ``label_noise``.

    Selects for losses that tolerate label noise; those with constant sum over the labels (Ghosh
    et al., arXiv 1712.09482) satisfy it exactly.
    """
    size = problem.start.labels.size
    logits, labels = problem.pairs.logits[:size], problem.pairs.labels[:size]
    severity = severities(log_softmax(logits), labels, config.severity)
    losses = noisy_losses(every_label(loss, logits), labels, config.label_noise)
    return ranking_penalty(losses, severity, config.margin)


def proper_ranking(loss: Loss, problem: Problem, config: ObjectiveConfig) -> jax.Array:
    """Ranking by KL(q || p) in expectation over labels drawn from q: selects for proper losses."""
    q = problem.distributions
    kl = jnp.sum(q * (jnp.log(q + 1e-30) - log_softmax(problem.predictions)), axis=-1)
    expected = jnp.sum(q * every_label(loss, problem.predictions), axis=-1)
    spread = jnp.std(expected) + 1e-12
    return _hinge((expected[0] - expected[1]) / spread, jnp.sign(kl[0] - kl[1]), config.margin)


def trainability(loss: Loss, problem: Problem, config: ObjectiveConfig) -> jax.Array:
    """1 - mean p_y after some steps of logit descent from random predictions.

    The first step has mean norm 1 and the rest its scale, so the loss's own scale does not matter;
    what does is whether its gradient brings up examples that start wrong, and lasts. After the
    rejection test of EvoMAL (Raymond et al., arXiv 2209.08907), but without data.
    """
    del config
    logits, labels = problem.start.logits, problem.start.labels
    gradient = jax.grad(lambda z: jnp.sum(loss(z, labels)))
    g = gradient(logits)
    scale = 1.0 / (jnp.mean(jnp.linalg.norm(g, axis=-1)) + 1e-12)
    for _ in range(DESCENT_STEPS - 1):
        logits = logits - scale * g
        g = gradient(logits)
    logits = logits - scale * g
    p_y = jnp.exp(-_log_prob(log_softmax(logits), labels))
    return 1.0 - jnp.mean(p_y)


def scale_guard(loss: Loss, problem: Problem) -> jax.Array:
    """0 while the loss's spread is within a factor of 10 of cross-entropy's, then a log ratio.

    The ranking terms do not see the scale, so nothing else would keep it from drifting until
    float32 no longer resolves the gradient.
    """
    pairs = problem.pairs
    reference = jnp.std(_log_prob(log_softmax(pairs.logits), pairs.labels))
    spread = jnp.std(loss(pairs.logits, pairs.labels)) + 1e-12
    return jnp.maximum(0.0, jnp.abs(jnp.log(spread / reference)) - jnp.log(10.0))


TERMS: dict[str, Callable[[Loss, Problem, ObjectiveConfig], jax.Array]] = {
    f.__name__: f for f in (clean_ranking, noisy_ranking, proper_ranking, trainability)
}
"""Name to term: ``(loss, problem, config) -> scalar``, smaller for the better loss."""


class Objective(NamedTuple):
    """What a search minimises; write your own to search for something else.

    Attributes:
      sample: ``key -> problem``, drawn afresh each generation and shared by all candidates.
      evaluate: ``(loss, problem) -> (fitness, terms)``; a scalar to minimise and a dict of
        scalars to report.
    """

    sample: Callable[[jax.Array], Any]
    evaluate: Callable[[Loss, Any], tuple[jax.Array, dict[str, jax.Array]]]


def _remembered(loss: Loss) -> Loss:
    """``loss``, evaluated once on the same arrays: terms that share a batch share its losses.

    XLA would merge equal evaluations itself, but does so only in some programs.
    """
    known: dict[tuple[int, int], tuple[jax.Array, jax.Array, jax.Array]] = {}

    def of(logits: jax.Array, labels: jax.Array) -> jax.Array:
        # The arrays are kept too: another one may get the id of one that is gone.
        arrays = (id(logits), id(labels))
        if arrays not in known:
            known[arrays] = (logits, labels, loss(logits, labels))
        return known[arrays][2]

    return of


def make_objective(config: EvolutionConfig) -> Objective:
    """The weighted sum of the terms whose weight in ``config.objective`` is above 0."""
    weights = {name: getattr(config.objective, name) for name in TERMS}
    weights = {name: weight for name, weight in weights.items() if weight > 0}

    def sample(key: jax.Array) -> Problem:
        return sample_problem(key, config.mixture, config.batch_size, config.num_classes)

    def evaluate(loss: Loss, problem: Problem) -> tuple[jax.Array, dict[str, jax.Array]]:
        loss = _remembered(loss)
        terms = {name: TERMS[name](loss, problem, config.objective) for name in weights}
        guard = scale_guard(loss, problem)
        fitness = sum(weight * terms[name] for name, weight in weights.items())
        return fitness + SCALE_GUARD_WEIGHT * guard, {**terms, "scale_guard": guard}

    return Objective(sample, evaluate)


# --- what is reported --------------------------------------------------------------------------


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
    severity = _log_prob(log_softmax(pairs.logits), pairs.labels)
    return rank_agreement(loss(pairs.logits, pairs.labels), severity)
