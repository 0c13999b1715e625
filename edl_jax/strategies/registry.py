"""Evolution strategies by name, all with evosax's interface: ours, and evosax's.

Ours are :class:`edl_jax.strategies.es.ES` and :class:`edl_jax.strategies.chaotic_evolution.ChaoticEvolution`. Evosax's
``Open_ES`` and ``SNES`` take a mutation operator here; without one they are evosax's to the bit.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import optax
from evosax.algorithms import (
    CMA_ES,
    DifferentialEvolution,
    Sep_CMA_ES,
    SimpleGA,
)
from evosax.algorithms.distribution_based import open_es, snes
from evosax.algorithms.population_based.base import PopulationBasedAlgorithm
from flax import struct

from edl_jax.chaos.streams import Stream
from edl_jax.errors import require
from edl_jax.strategies.chaotic_evolution import ChaoticEvolution
from edl_jax.strategies.es import ES
from edl_jax.strategies.mutation import Mutation
from edl_jax.strategies.stagnation import Restarting
from edl_jax.strategies.step_size import make_control, make_schedule


@struct.dataclass
class OpenESState(open_es.State):
    """What :class:`Open_ES` carries: evosax's state, and that of the mutation operator."""

    mutation: Any


@struct.dataclass
class SNESState(snes.State):
    """What :class:`SNES` carries: evosax's state, and that of the mutation operator."""

    mutation: Any


class _Mutated:
    """An evosax strategy that draws from a mutation operator where it would draw a Gaussian."""

    _state: type
    _mirrored = False

    def __init__(
        self, population_size: int, solution: Any, mutation: Mutation | None = None, **options: Any
    ):
        super().__init__(population_size, solution, **options)  # type: ignore[call-arg]
        self.mutation = mutation

    def _init(self: Any, key: jax.Array, params: Any) -> Any:
        state = super()._init(key, params)  # type: ignore[misc]
        if self.mutation is None:
            return state
        rows = self.population_size // 2 if self._mirrored else self.population_size
        mutation = self.mutation.init(key, (rows, self.num_dims))
        return self._state(**_fields(state), mutation=mutation)

    def _ask(self: Any, key: jax.Array, state: Any, params: Any) -> tuple[jax.Array, Any]:
        if self.mutation is None:
            return super()._ask(key, state, params)  # type: ignore[misc]
        mutation, z = self.mutation.sample(key, state.mutation)
        z = jnp.concatenate([z, -z]) if self._mirrored else z
        return state.mean + state.std * z, state.replace(mutation=mutation)


class Open_ES(_Mutated, open_es.Open_ES):  # noqa: N801
    """OpenAI's evolution strategy (Salimans et al., arXiv 1703.03864) with a mutation operator.

    Args:
      population_size: candidates in a generation, an even number.
      solution: a pytree that shows the shape of a candidate.
      mutation: the operator, which gives half the population; the other half is its mirror image.
      **options: evosax's.
    """

    _state, _mirrored = OpenESState, True


class SNES(_Mutated, snes.SNES):
    """Separable natural evolution strategy (Schaul, Glasmachers and Schmidhuber, GECCO 2011).

    Args:
      population_size: candidates in a generation.
      solution: a pytree that shows the shape of a candidate.
      mutation: the mutation operator.
      **options: evosax's.
    """

    _state = SNESState


def _fields(state: Any) -> dict[str, Any]:
    return {f.name: getattr(state, f.name) for f in fields(state)}


STRATEGIES: dict[str, Callable[..., Any]] = {
    "ES": ES,
    "ChaoticEvolution": ChaoticEvolution,
    "Open_ES": Open_ES,
    "SNES": SNES,
    "Sep_CMA_ES": Sep_CMA_ES,
    "CMA_ES": CMA_ES,
    "SimpleGA": SimpleGA,
    "DifferentialEvolution": DifferentialEvolution,
}
"""Name to constructor, with evosax's interface."""


def make_strategy(
    name: str,
    population_size: int,
    solution: Any,
    *,
    step_size: float,
    final_step_size: float,
    num_generations: int,
    schedule: str = "exponential",
    mutation: Mutation | None = None,
    stream: Stream | None = None,
    acts_on: tuple[str, ...] = (),
    restart_after: int = 0,
) -> tuple[Any, Any]:
    """The strategy called ``name`` and its parameters, with the step sizes put where it has them.

    Args:
      name: a name in :data:`STRATEGIES`.
      population_size: candidates in a generation.
      solution: a pytree that shows the shape of a candidate.
      step_size: standard deviation of the first mutations (``DifferentialEvolution`` and
        ``ChaoticEvolution`` have none).
      final_step_size: where strategies that follow a schedule end; the others adapt their own.
      num_generations: length of that schedule.
      schedule: step-size control of ``ES``, one of :data:`edl_jax.strategies.step_size.SCHEDULES`; ``Open_ES``
        and ``SimpleGA`` follow the first three of them.
      mutation: the operator of ``ES``, ``Open_ES`` and ``SNES``; the others draw their own noise.
      stream: what acts on the recombination of ``ES``, its annealing, and ``ChaoticEvolution``.
      acts_on: with ``recombination`` in it, the stream multiplies the weights of ``ES``.
      restart_after: generations without progress after which a strategy that has a mean begins
        anew, see :class:`edl_jax.strategies.stagnation.Restarting`; 0 never.

    Returns:
      ``(strategy, params)``.

    Raises:
      OptionError: the strategy does not go with another option.
    """
    sizes: dict[str, Any] = {
        "step_size": step_size,
        "final_step_size": final_step_size,
        "num_generations": num_generations,
    }
    options: dict[str, Any] = {}
    if name in ("ES", "Open_ES", "SNES"):
        options["mutation"] = mutation
    if name == "ES":
        options["step_size"] = make_control(schedule, **sizes, stream=stream)
        options["recombination"] = stream if "recombination" in acts_on else None
    elif name in ("Open_ES", "SimpleGA"):
        options["std_schedule"] = make_schedule(schedule, **sizes)
    if name == "Open_ES":
        options["optimizer"] = optax.adam(step_size)
    elif name == "ChaoticEvolution":
        options["stream"] = stream
    strategy = STRATEGIES[name](population_size=population_size, solution=solution, **options)
    if restart_after:
        has_mean = not isinstance(strategy, PopulationBasedAlgorithm)
        require(has_mean, "restart_after", restart_after, f"0 with strategy {name}")
        strategy = Restarting(strategy, restart_after)
    params = strategy.default_params
    if hasattr(params, "std_init"):
        params = params.replace(std_init=jnp.asarray(step_size, jnp.float32))
    return strategy, params


def init_strategy(
    strategy: Any,
    params: Any,
    key: jax.Array,
    population: Any,
    evaluate: Callable[[Any], jax.Array],
) -> Any:
    """Start any strategy from ``population``, a pytree whose leaves lead with population_size.

    A distribution starts at the first individual, and begins anew, if it does, at the next ones; a
    population is evaluated and taken whole.
    """
    # evosax marks with NaN what is not known yet; a NaN in a state means something else here.
    with jax.debug_nans(False):
        if isinstance(strategy, PopulationBasedAlgorithm):
            return strategy.init(key, population, evaluate(population), params)
        first = jax.tree.map(lambda leaf: leaf[0], population)
        state = strategy.init(key, first, params)
        if isinstance(strategy, Restarting):
            state = strategy.begin(state, jax.vmap(strategy._ravel_solution)(population))
        return state.replace(best_solution=strategy._ravel_solution(first))


def reevaluate(strategy: Any, state: Any, evaluate: Callable[[Any], jax.Array]) -> Any:
    """Measure anew what a strategy would otherwise believe for ever.

    DifferentialEvolution and ChaoticEvolution keep a parent's fitness until a child beats it, so
    that under noise the luckiest stay; all others judge a candidate in the generation that drew
    it, and once. A generation in which nothing could be judged leaves what was known.
    """
    if not isinstance(strategy, DifferentialEvolution | ChaoticEvolution):
        return state
    population = jax.vmap(strategy._unravel_solution)(state.population)
    fitness = evaluate(population)
    known = jnp.any(jnp.isfinite(fitness))
    return state.replace(fitness=jnp.where(known, fitness, state.fitness))


def incumbent(strategy: Any, state: Any) -> Any:
    """The solution that a search stands for: the mean, or the fittest of the population.

    Never the best candidate ever seen: under noisy fitness that is the luckiest one.
    """
    if isinstance(strategy, PopulationBasedAlgorithm):
        return strategy.get_best_solution(state)
    return strategy.get_mean(state)
