"""Evolution strategies with evosax's interface: one of our own, and evosax's by name.

:class:`ES` is the (mu/mu_w, lambda) evolution strategy, the core of CMA-ES without covariance
adaptation (Hansen, arXiv 1604.00772, equations 38 to 53), with a mutation operator that can be
exchanged: its state is part of the strategy's state and so runs through any scan.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from evosax.algorithms import (
    CMA_ES,
    SNES,
    DifferentialEvolution,
    Open_ES,
    Sep_CMA_ES,
    SimpleGA,
)
from evosax.algorithms.distribution_based.base import (
    DistributionBasedAlgorithm,
    metrics_fn,
)
from evosax.algorithms.distribution_based.base import Params as BaseParams
from evosax.algorithms.distribution_based.base import State as BaseState
from evosax.algorithms.population_based.base import PopulationBasedAlgorithm
from evosax.core.fitness_shaping import identity_fitness_shaping_fn
from flax import struct

from edl_jax.mutation import Mutation, gaussian


@struct.dataclass
class State(BaseState):
    """What :class:`ES` carries.

    Attributes:
      mean: centre of the search, shape (num_dims,).
      step_size: standard deviation of the mutation of each gene, scalar.
      mutation: state of the mutation operator.
    """

    step_size: jax.Array
    mutation: Any


@struct.dataclass
class Params(BaseParams):
    """What stays fixed during a search with :class:`ES`.

    Attributes:
      weights: recombination weights by rank, shape (population_size,), non-negative, sum 1.
    """

    weights: jax.Array


class ES(DistributionBasedAlgorithm):
    """(mu/mu_w, lambda) evolution strategy with a pluggable mutation operator.

    Each generation draws ``population = mean + step_size * mutation`` and moves the mean to the
    weighted average of the best quarter, the weights falling with the logarithm of the rank.
    Fitness is minimised; a candidate whose fitness is not finite ranks last, and a generation
    without any finite fitness leaves the mean where it is.

    Args:
      population_size: candidates in a generation (lambda), at least 2.
      solution: a pytree that shows the shape of a candidate.
      mutation: the operator; Gaussian by default.
      step_size_schedule: step size as a function of the generation, as optax's schedules;
        0.1 throughout by default.
      elite_ratio: the share of the population that becomes parents (mu / lambda).

    >>> strategy = ES(16, jnp.zeros(2))
    >>> params = strategy.default_params
    >>> state = strategy.init(jax.random.key(0), jnp.ones(2), params)
    >>> population, state = strategy.ask(jax.random.key(1), state, params)
    >>> fitness = jnp.sum(population**2, axis=-1)
    >>> state, metrics = strategy.tell(jax.random.key(2), population, fitness, state, params)
    """

    def __init__(
        self,
        population_size: int,
        solution: Any,
        mutation: Mutation | None = None,
        step_size_schedule: Callable | None = None,
        elite_ratio: float = 0.25,
        fitness_shaping_fn: Callable = identity_fitness_shaping_fn,
        metrics_fn: Callable = metrics_fn,
    ):
        super().__init__(population_size, solution, fitness_shaping_fn, metrics_fn)
        self.elite_ratio = elite_ratio
        self.mutation = mutation or gaussian()
        self.step_size_schedule = step_size_schedule or optax.constant_schedule(0.1)

    @property
    def _default_params(self) -> Params:
        ranks = jnp.arange(1, self.population_size + 1)
        weights = jnp.log(self.num_elites + 0.5) - jnp.log(ranks)
        weights = jnp.maximum(weights, 0.0)
        return Params(weights=weights / jnp.sum(weights))

    def _init(self, key: jax.Array, params: Params) -> State:
        shape = (self.population_size, self.num_dims)
        return State(
            mean=jnp.zeros(self.num_dims),
            step_size=jnp.asarray(self.step_size_schedule(0), jnp.float32),
            mutation=self.mutation.init(key, shape),
            best_solution=jnp.zeros(self.num_dims),
            best_fitness=jnp.inf,
            generation_counter=0,
        )

    def _ask(self, key: jax.Array, state: State, params: Params) -> tuple[jax.Array, State]:
        mutation, z = self.mutation.sample(key, state.mutation)
        return state.mean + state.step_size * z, state.replace(mutation=mutation)

    def _tell(
        self,
        key: jax.Array,
        population: jax.Array,
        fitness: jax.Array,
        state: State,
        params: Params,
    ) -> State:
        usable = jnp.isfinite(fitness)
        order = jnp.argsort(jnp.where(usable, fitness, jnp.inf))
        weights = jnp.where(usable[order], params.weights, 0.0)
        total = jnp.sum(weights)
        weights = jnp.zeros_like(weights).at[order].set(weights / jnp.where(total > 0, total, 1.0))
        mean = jnp.where(total > 0, weights @ population, state.mean)
        step_size = self.step_size_schedule(state.generation_counter + 1)
        return state.replace(mean=mean, step_size=jnp.asarray(step_size, jnp.float32))


STRATEGIES: dict[str, Callable[..., Any]] = {
    "ES": ES,
    "Open_ES": Open_ES,
    "SNES": SNES,
    "Sep_CMA_ES": Sep_CMA_ES,
    "CMA_ES": CMA_ES,
    "SimpleGA": SimpleGA,
    "DifferentialEvolution": DifferentialEvolution,
}


def make_strategy(
    name: str,
    population_size: int,
    solution: Any,
    *,
    step_size: float,
    final_step_size: float,
    num_generations: int,
    mutation: Mutation | None = None,
) -> tuple[Any, Any]:
    """The strategy called ``name`` and its parameters, with the step sizes put where it has them.

    Args:
      name: a name in :data:`STRATEGIES`.
      population_size: candidates in a generation.
      solution: a pytree that shows the shape of a candidate.
      step_size: standard deviation of the first mutations (``DifferentialEvolution`` has none).
      final_step_size: where strategies that follow a schedule end; the others adapt their own.
      num_generations: length of that exponential schedule.
      mutation: the operator of ``ES``; evosax's strategies draw their own noise.

    Returns:
      ``(strategy, params)``.
    """
    schedule = optax.exponential_decay(
        step_size, max(1, num_generations), final_step_size / step_size
    )
    options: dict[str, Any] = {}
    if name == "ES":
        options = {"mutation": mutation, "step_size_schedule": schedule}
    elif name == "Open_ES":
        options = {"std_schedule": schedule, "optimizer": optax.adam(step_size)}
    elif name == "SimpleGA":
        options = {"std_schedule": schedule}
    strategy = STRATEGIES[name](population_size=population_size, solution=solution, **options)
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

    A distribution starts at the first individual; a population is evaluated and taken whole.
    """
    # evosax marks with NaN what is not known yet; a NaN in a state means something else here.
    with jax.debug_nans(False):
        if isinstance(strategy, PopulationBasedAlgorithm):
            return strategy.init(key, population, evaluate(population), params)
        first = jax.tree.map(lambda leaf: leaf[0], population)
        state = strategy.init(key, first, params)
        return state.replace(best_solution=strategy._ravel_solution(first))


def reevaluate(strategy: Any, state: Any, evaluate: Callable[[Any], jax.Array]) -> Any:
    """Measure anew what a strategy would otherwise believe for ever.

    DifferentialEvolution keeps a parent's fitness until a child beats it, so that under noise the
    luckiest stay; all others judge a candidate in the generation that drew it, and once.
    """
    if not isinstance(strategy, DifferentialEvolution):
        return state
    population = jax.vmap(strategy._unravel_solution)(state.population)
    return state.replace(fitness=evaluate(population))


def incumbent(strategy: Any, state: Any) -> Any:
    """The solution that a search stands for: the mean, or the fittest of the population.

    Never the best candidate ever seen: under noisy fitness that is the luckiest one.
    """
    if isinstance(strategy, PopulationBasedAlgorithm):
        return strategy.get_best_solution(state)
    return strategy.get_mean(state)
