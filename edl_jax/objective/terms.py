"""The terms of a good loss, without data: ranking consistency, and that it trains.

A loss ranks consistently when the more wrong of two predictions gets the larger value. The terms
ask this under a certain label (Xiang and Pei, arXiv 2605.03722), in expectation over a noisy
label, and in expectation over a label distribution; and, because a loss can rank perfectly and
not train, that descent along its gradient brings the right class up. Every term takes any
``loss(logits, labels)`` on any :class:`Problem`, and is smaller for the better loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp

from edl_jax.config import MixtureConfig, ObjectiveConfig
from edl_jax.losses.base import Loss, every_label, log_softmax
from edl_jax.objective.ranking import hinge, neg_log_prob, ranking_penalty, severities
from edl_jax.objective.synthetic import Pairs, sample_pairs

# Terms that need the loss under every label use this share of the batch.
EVERY_LABEL_SHARE = 4
DESCENT_STEPS, START_SPREAD = 8, 2.0


# --- what candidates are judged on -------------------------------------------------------------


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["pairs", "distributions", "predictions", "start"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Problem:
    """Predictions and labels, at one number of classes, that candidates are judged on.

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
        START_SPREAD * jax.random.normal(logit_key, (size, num_classes), jnp.float32),
        jax.random.randint(label_key, (size,), 0, num_classes, jnp.int32),
    )
    # Powers of a flat Dirichlet reach from nearly uniform to nearly one-hot.
    q = jax.random.uniform(q_key, (size, num_classes + 1), jnp.float32, minval=2.0**-24)
    power = 0.3 + 3.7 * q[:, -1:]
    log_q = log_softmax(power * jnp.log(-jnp.log(q[:, :-1])))
    # Predictions at all distances from q, the near ones too: that is where propriety shows.
    noise = jax.random.normal(prediction_key, (2, size, num_classes + 1), jnp.float32)
    predictions = log_q[None] + jnp.exp(noise[..., -1:] - 0.5) * noise[..., :-1]
    return Problem(
        pairs=sample_pairs(pair_key, mixture, batch_size, num_classes),
        distributions=jnp.exp(log_q),
        predictions=predictions,
        start=start,
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A loss on a problem; what several terms look at is computed once, when one first asks.

    XLA would merge equal evaluations itself, but does so only in some programs.

    Attributes:
      loss: any unreduced ``loss(logits, integer labels)``.
      problem: what it is judged on.

    >>> from edl_jax.losses import LOSSES
    >>> problem = sample_problem(jax.random.key(0), MixtureConfig(), 64, num_classes=5)
    >>> candidate = Candidate(LOSSES["cross_entropy"], problem)
    >>> candidate.losses.shape, bool(clean_ranking(candidate, ObjectiveConfig()) < 0.1)
    ((64,), True)
    """

    loss: Loss
    problem: Problem

    @cached_property
    def losses(self) -> jax.Array:
        """The losses of the problem's pairs, (batch_size,)."""
        return self.loss(self.problem.pairs.logits, self.problem.pairs.labels)


# --- terms -------------------------------------------------------------------------------------


def clean_ranking(candidate: Candidate, config: ObjectiveConfig) -> jax.Array:
    """Ranking consistency under the true label: the paper's objective."""
    pairs = candidate.problem.pairs
    severity = severities(log_softmax(pairs.logits), pairs.labels, config.severity)
    return ranking_penalty(candidate.losses, severity, config.margin)


def noisy_losses(losses_by_label: jax.Array, labels: jax.Array, rate: float) -> jax.Array:
    """Expected loss when a label is replaced, with probability ``rate``, by a random class.

    Args:
      losses_by_label: losses (n, num_classes), see :func:`edl_jax.losses.every_label`.
      labels: the true class ids, (n,).
      rate: probability that a label is replaced.

    >>> noisy_losses(jnp.array([[1.0, 3.0]]), jnp.array([0]), rate=0.5)
    Array([1.5], dtype=float32)
    """
    of_label = jnp.take_along_axis(losses_by_label, labels[:, None], axis=-1)[:, 0]
    return (1.0 - rate) * of_label + rate * jnp.mean(losses_by_label, axis=-1)


def noisy_ranking(candidate: Candidate, config: ObjectiveConfig) -> jax.Array:
    """Ranking consistency in expectation over a label flipped with rate ``label_noise``.

    Selects for losses that tolerate label noise; those with constant sum over the labels (Ghosh
    et al., arXiv 1712.09482) satisfy it exactly.
    """
    loss, problem = candidate.loss, candidate.problem
    size = problem.start.labels.size
    logits, labels = problem.pairs.logits[:size], problem.pairs.labels[:size]
    severity = severities(log_softmax(logits), labels, config.severity)
    losses = noisy_losses(every_label(loss, logits), labels, config.label_noise)
    return ranking_penalty(losses, severity, config.margin)


def proper_ranking(candidate: Candidate, config: ObjectiveConfig) -> jax.Array:
    """Ranking by KL(q || p) in expectation over labels drawn from q: selects for proper losses."""
    q, predictions = candidate.problem.distributions[None], candidate.problem.predictions
    kl = jnp.sum(q * (jnp.log(q + 1e-30) - log_softmax(predictions)), axis=-1)
    expected = jnp.sum(q * every_label(candidate.loss, predictions), axis=-1)
    spread = jnp.std(expected) + 1e-12
    return hinge((expected[0] - expected[1]) / spread, jnp.sign(kl[0] - kl[1]), config.margin)


def trainability(candidate: Candidate, config: ObjectiveConfig) -> jax.Array:
    """1 - mean p_y after some steps of logit descent from random predictions.

    The first step has mean norm 1 and the rest its scale, so the loss's own scale does not matter;
    what does is whether its gradient brings up examples that start wrong, and lasts. After the
    rejection test of EvoMAL (Raymond et al., arXiv 2209.08907), but without data.
    """
    del config
    logits, labels = candidate.problem.start.logits, candidate.problem.start.labels
    gradient = jax.grad(lambda z: jnp.sum(candidate.loss(z, labels)))
    g = gradient(logits)
    scale = 1.0 / (jnp.mean(jnp.linalg.norm(g, axis=-1)) + 1e-12)
    for _ in range(DESCENT_STEPS - 1):
        logits = logits - scale * g
        g = gradient(logits)
    logits = logits - scale * g
    p_y = jnp.exp(-neg_log_prob(log_softmax(logits), labels))
    return 1.0 - jnp.mean(p_y)


def scale_guard(candidate: Candidate) -> jax.Array:
    """0 while the loss's spread is within a factor of 10 of cross-entropy's, then a log ratio.

    The ranking terms do not see the scale, so nothing else would keep it from drifting until
    float32 no longer resolves the gradient.
    """
    pairs = candidate.problem.pairs
    reference = jnp.std(neg_log_prob(log_softmax(pairs.logits), pairs.labels))
    spread = jnp.std(candidate.losses) + 1e-12
    return jnp.maximum(0.0, jnp.abs(jnp.log(spread / reference)) - jnp.log(10.0))


TERMS: dict[str, Callable[[Candidate, ObjectiveConfig], jax.Array]] = {
    f.__name__: f for f in (clean_ranking, noisy_ranking, proper_ranking, trainability)
}
"""Name to term: ``(candidate, config) -> scalar``, smaller for the better loss."""
