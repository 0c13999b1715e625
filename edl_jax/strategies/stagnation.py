"""Restarts on stagnation, for any strategy that moves a distribution."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from evosax.algorithms.distribution_based.base import (
    DistributionBasedAlgorithm,
    metrics_fn,
)
from evosax.algorithms.distribution_based.base import State as BaseState
from flax import struct

# Weight of the newest generation in the smoothed fitness: one lucky batch is no progress.
_SMOOTHING = 0.1


@struct.dataclass
class State(BaseState):
    """What :class:`Restarting` carries.

    Attributes:
      mean: the mean that had the lowest smoothed fitness so far, shape (num_dims,).
      inner: the strategy's own state.
      starts: where searches start, shape (population_size, num_dims), one after the other.
      smoothed: smoothed fitness of the present search.
      lowest: the lowest smoothed fitness of the present search, and
      lowest_ever: of all of them, to which ``mean`` belongs.
      stagnant: int32, generations since ``lowest`` fell.
      restarts: int32, searches begun after the first.
    """

    inner: Any
    starts: jax.Array
    smoothed: jax.Array
    lowest: jax.Array
    lowest_ever: jax.Array
    stagnant: jax.Array
    restarts: jax.Array


class Restarting(DistributionBasedAlgorithm):
    """``strategy``, begun anew whenever it has made no progress for ``patience`` generations.

    Progress is a new minimum of the mean fitness of the best quarter, smoothed over about ten
    generations. The search stands for the mean at which that was lowest.

    Args:
      strategy: a strategy with a mean.
      patience: generations without progress that end a search.

    >>> from edl_jax.strategies.es import ES
    >>> strategy = Restarting(ES(16, jnp.zeros(2)), patience=20)
    >>> state = strategy.init(jax.random.key(0), jnp.ones(2), strategy.default_params)
    """

    def __init__(self, strategy: Any, patience: int, metrics_fn: Callable = metrics_fn):
        super().__init__(strategy.population_size, strategy.solution, metrics_fn=metrics_fn)
        self.strategy, self.patience = strategy, patience

    @property
    def _default_params(self) -> Any:
        return self.strategy.default_params

    def begin(self, state: State, starts: jax.Array) -> State:
        """``state`` of a search that begins at the first of ``starts``, and then at the next."""
        inner = state.inner.replace(mean=starts[0])
        return state.replace(mean=starts[0], inner=inner, starts=starts)

    def _init(self, key: jax.Array, params: Any) -> State:
        zero, inf = jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf)
        return State(
            mean=jnp.zeros(self.num_dims),
            inner=self.strategy._init(key, params).replace(mean=jnp.zeros(self.num_dims)),
            starts=jnp.zeros((self.population_size, self.num_dims)),
            smoothed=inf,
            lowest=inf,
            lowest_ever=inf,
            stagnant=zero,
            restarts=zero,
            best_solution=jnp.zeros(self.num_dims),
            best_fitness=jnp.inf,
            generation_counter=0,
        )

    def init(self, key: jax.Array, mean: Any, params: Any) -> State:
        """Begin at ``mean``, and after stagnation there again with other mutations."""
        state = super().init(key, mean, params)
        return self.begin(state, jnp.tile(state.mean, (self.population_size, 1)))

    def _ask(self, key: jax.Array, state: State, params: Any) -> tuple[jax.Array, State]:
        population, inner = self.strategy._ask(key, state.inner, params)
        return population, state.replace(inner=inner)

    def _tell(
        self, key: jax.Array, population: jax.Array, fitness: jax.Array, state: State, params: Any
    ) -> State:
        unravelled = jax.vmap(self._unravel_solution)(population)
        before = state.inner.mean
        inner, _ = self.strategy.tell(key, unravelled, fitness, state.inner, params)
        best = jnp.mean(jnp.sort(fitness)[: max(1, self.population_size // 4)])
        known = jnp.isfinite(state.smoothed)
        smoothed = jnp.where(known, state.smoothed + _SMOOTHING * (best - state.smoothed), best)
        progress, record = smoothed < state.lowest, smoothed < state.lowest_ever
        state = state.replace(
            inner=inner,
            mean=jnp.where(record, before, state.mean),
            smoothed=smoothed,
            lowest=jnp.minimum(smoothed, state.lowest),
            lowest_ever=jnp.minimum(smoothed, state.lowest_ever),
            stagnant=jnp.where(progress, 0, state.stagnant + 1),
        )
        return jax.lax.cond(
            state.stagnant >= self.patience,
            lambda state: self._again(key, state, params),
            lambda state: state,
            state,
        )

    def _again(self, key: jax.Array, state: State, params: Any) -> State:
        restarts = state.restarts + 1
        start = state.starts[restarts % self.population_size]
        fresh = self.strategy._init(jax.random.fold_in(key, 1), params).replace(mean=start)
        inf = jnp.full_like(state.smoothed, jnp.inf)
        return state.replace(
            inner=jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), fresh, state.inner),
            smoothed=inf,
            lowest=inf,
            stagnant=jnp.zeros_like(state.stagnant),
            restarts=restarts,
        )
