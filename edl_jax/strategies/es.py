"""The (mu/mu_w, lambda) evolution strategy, with exchangeable mutation and step-size control.

The core of CMA-ES without covariance adaptation (Hansen, arXiv 1604.00772, equations 38 to 44).
What the mutation operator, the control and the recombination carry is part of the strategy's
state, and so runs through any scan.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from evosax.algorithms.distribution_based.base import (
    DistributionBasedAlgorithm,
    metrics_fn,
)
from evosax.algorithms.distribution_based.base import Params as BaseParams
from evosax.algorithms.distribution_based.base import State as BaseState
from evosax.core.fitness_shaping import identity_fitness_shaping_fn
from flax import struct

from edl_jax.chaos.streams import Stream
from edl_jax.strategies.mutation import Mutation, gaussian
from edl_jax.strategies.step_size import Selection, StepSizeControl, follow


@struct.dataclass
class State(BaseState):
    """What :class:`ES` carries.

    Attributes:
      mean: centre of the search, shape (num_dims,).
      control: state of the step-size control.
      sizes: step sizes of the last generation asked for, shape () or (population_size, 1).
      mutation: state of the mutation operator.
      recombination: state of the stream that the recombination weights are multiplied with.
    """

    control: Any
    sizes: jax.Array
    mutation: Any
    recombination: Any

    @property
    def step_size(self) -> jax.Array:
        """Standard deviation of the next mutations of each gene, scalar."""
        return self.control.step_size


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
      step_size: its control; 0.1 throughout by default.
      recombination: a stream whose values multiply the weights, of mean 1, one a rank; none by
        default.
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
        step_size: StepSizeControl | None = None,
        recombination: Stream | None = None,
        elite_ratio: float = 0.25,
        fitness_shaping_fn: Callable = identity_fitness_shaping_fn,
        metrics_fn: Callable = metrics_fn,
    ):
        super().__init__(population_size, solution, fitness_shaping_fn, metrics_fn)
        self.elite_ratio = elite_ratio
        self.mutation = mutation or gaussian()
        self.control = step_size or follow(optax.constant_schedule(0.1))
        self.recombination = recombination

    @property
    def _default_params(self) -> Params:
        ranks = jnp.arange(1, self.population_size + 1)
        weights = jnp.log(self.num_elites + 0.5) - jnp.log(ranks)
        weights = jnp.maximum(weights, 0.0)
        return Params(weights=weights / jnp.sum(weights))

    def _init(self, key: jax.Array, params: Params) -> State:
        shape = (self.population_size, self.num_dims)
        control_key, ask_key, weight_key = (jax.random.fold_in(key, i) for i in (1, 2, 3))
        control = self.control.init(control_key, *shape)
        _, sizes = jax.eval_shape(self.control.ask, ask_key, control)
        stream = self.recombination
        return State(
            mean=jnp.zeros(self.num_dims),
            control=control,
            sizes=jnp.ones(sizes.shape) * control.step_size,
            mutation=self.mutation.init(key, shape),
            recombination=stream.init(weight_key, shape[:1]) if stream else None,
            best_solution=jnp.zeros(self.num_dims),
            best_fitness=jnp.inf,
            generation_counter=0,
        )

    def _ask(self, key: jax.Array, state: State, params: Params) -> tuple[jax.Array, State]:
        mutation, z = self.mutation.sample(key, state.mutation)
        control, sizes = self.control.ask(jax.random.fold_in(key, 1), state.control)
        state = state.replace(mutation=mutation, control=control, sizes=sizes)
        return state.mean + sizes * z, state

    def _tell(
        self,
        key: jax.Array,
        population: jax.Array,
        fitness: jax.Array,
        state: State,
        params: Params,
    ) -> State:
        by_rank, recombination = params.weights, state.recombination
        if self.recombination:
            recombination, values = self.recombination.sample(key, recombination)
            by_rank = by_rank * values / self.recombination.chaos.law.mean
        fitness = jnp.where(jnp.isfinite(fitness), fitness, jnp.inf)
        order = jnp.argsort(fitness)
        by_rank = jnp.where(jnp.isfinite(fitness[order]), by_rank, 0.0)
        total = jnp.sum(by_rank)
        weights = jnp.zeros_like(by_rank).at[order].set(by_rank / jnp.where(total > 0, total, 1.0))
        step = weights @ ((population - state.mean) / state.sizes)
        mean = jnp.where(total > 0, weights @ population, state.mean)
        seen = Selection(jnp.asarray(state.generation_counter), fitness, weights, step)
        control = self.control.tell(state.control, seen)
        return state.replace(mean=mean, control=control, recombination=recombination)
