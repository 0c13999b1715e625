"""The fitness of a search: terms at several numbers of classes, and rehearsal, weighted."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from edl_jax.config import EvolutionConfig
from edl_jax.losses.base import Context, Loss
from edl_jax.losses.networks import Network, make_network
from edl_jax.losses.scale import matching_scale
from edl_jax.objective.gains import Rehearsal, gains, sample_rehearsal, shortfall
from edl_jax.objective.terms import TERMS, Candidate, Problem, sample_problem, scale_guard

SCALE_GUARD_WEIGHT = 0.1
GAIN = "gain_"  # what the gain in a regime is reported as begins with

ProblemT = TypeVar("ProblemT")


class Objective(NamedTuple, Generic[ProblemT]):
    """An objective, which a search minimises; write your own to search for something else.

    Attributes:
      sample: ``key -> problem``, any pytree of arrays; drawn afresh each generation and shared by
        all candidates.
      evaluate: ``(loss, problem) -> (fitness, terms)``; a scalar to minimise and a dict of
        scalars to report.
    """

    sample: Callable[[jax.Array], ProblemT]
    evaluate: Callable[[Loss, ProblemT], tuple[jax.Array, dict[str, jax.Array]]]


class Generation(NamedTuple):
    """The draws that all candidates of a generation are judged on.

    Attributes:
      problems: one for each number of classes.
      context: how far training has come, for a loss that reads it; else None.
      rehearsal: tasks, where rehearsal has a weight; else None.
    """

    problems: tuple[Problem, ...]
    context: Context | None = None
    rehearsal: Rehearsal | None = None


def make_objective(
    config: EvolutionConfig, network: Network | None = None
) -> Objective[Generation]:
    """The weighted sum of the terms whose weight in ``config.objective`` is above 0.

    The batch is shared by ``num_classes`` and ``more_classes``; a term is its mean over them.
    Losses that read a context are ranked at one drawn for the generation, since the pairs are no
    batch of a training run; in rehearsal they read that of their students' batches.

    Args:
      config: the terms' weights, the mixture, the numbers of classes.
      network: what candidates are; the one that ``config`` names by default.

    >>> objective = make_objective(EvolutionConfig(batch_size=64, more_classes=(2, 100)))
    >>> [problem.pairs.logits.shape for problem in objective.sample(jax.random.key(0)).problems]
    [(21, 10), (21, 2), (21, 100)]
    """
    weights = {name: getattr(config.objective, name) for name in TERMS}
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    network = network or make_network(config.network, config.width, config.num_classes)
    counts = (config.num_classes, *config.more_classes)

    def sample(key: jax.Array) -> Generation:
        keys = [key, *(jax.random.fold_in(key, i) for i in range(1, len(counts) + 2))]
        size = config.batch_size // len(counts)
        problems = tuple(
            sample_problem(keys[i], config.mixture, size, count) for i, count in enumerate(counts)
        )
        context = _sample_context(keys[-2]) if network.reads_context else None
        rehearsed = config.objective.rehearsal > 0
        rehearsal = sample_rehearsal(keys[-1], config.rehearsal) if rehearsed else None
        return Generation(problems, context, rehearsal)

    def evaluate(loss: Loss, drawn: Generation) -> tuple[jax.Array, dict[str, jax.Array]]:
        def ranked(logits: jax.Array, labels: jax.Array) -> jax.Array:
            if drawn.context is None:
                return loss(logits, labels)
            return loss(logits, labels, context=drawn.context)  # type: ignore[call-arg]

        candidates = [Candidate(ranked, problem) for problem in drawn.problems]

        def mean(term: Callable[[Candidate], jax.Array]) -> jax.Array:
            first, *rest = map(term, candidates)
            return sum(rest, first) / len(candidates)

        def of(name: str) -> jax.Array:
            return mean(lambda candidate: TERMS[name](candidate, config.objective))

        terms = {name: of(name) for name in weights}
        guard = mean(scale_guard)
        fitness = SCALE_GUARD_WEIGHT * guard
        fitness += sum(weight * terms[name] for name, weight in weights.items())
        terms["scale_guard"] = guard
        if drawn.rehearsal is not None:
            gained = gains(_scaled(loss), drawn.rehearsal, config.rehearsal)
            terms["rehearsal"] = shortfall(gained, config.rehearsal)
            fitness += config.objective.rehearsal * terms["rehearsal"]
            terms |= {GAIN + name: gain for name, gain in gained.items()}
        return fitness, terms

    def _scaled(loss: Loss) -> Loss:
        """The loss as it will be frozen, so that students meet the learning rate it will have."""
        if network.is_scaled:
            return loss
        scale, found = matching_scale(loss, config.num_classes)
        scale = jnp.where(found, scale, jnp.nan)  # its students learn nothing
        return lambda logits, labels: scale * loss(logits, labels)

    return Objective(sample, evaluate)


def _sample_context(key: jax.Array) -> Context:
    """Some moment of some training run: agreement is at most confidence."""
    confidence, share, spread = jax.random.uniform(key, (3,), jnp.float32)
    return Context(confidence, share * confidence, spread)
