"""Restarts on stagnation, for any strategy that has a mean."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp

from edl_jax.chaos.maps import State
from edl_jax.strategies.base import Evaluate, Strategy, keep_state

# Weight of the newest generation in the smoothed fitness: one lucky batch is no progress.
_SMOOTHING = 0.1


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "mean",
        "inner",
        "starts",
        "smoothed",
        "lowest",
        "lowest_ever",
        "stagnant",
        "restarts",
    ],
    meta_fields=[],
)
@dataclass(frozen=True)
class RestartingState:
    """The state of :func:`restarting`.

    Attributes:
      mean: the mean that had the lowest smoothed fitness so far, float32 (num_dims,).
      inner: the strategy's own state.
      starts: where searches start, float32 (population_size, num_dims), one after the other.
      smoothed: smoothed fitness of the present search.
      lowest: the lowest smoothed fitness of the present search, and
      lowest_ever: of all of them, to which ``mean`` belongs.
      stagnant: int32, generations since ``lowest`` fell.
      restarts: int32, searches begun after the first.
    """

    mean: jax.Array
    inner: State
    starts: jax.Array
    smoothed: jax.Array
    lowest: jax.Array
    lowest_ever: jax.Array
    stagnant: jax.Array
    restarts: jax.Array


def restarting(strategy: Strategy, patience: int) -> Strategy:
    """``strategy``, started again whenever it has made no progress for ``patience`` generations.

    Progress is a new minimum of the mean fitness of the best quarter, smoothed over about ten
    generations. The search stands for the mean at which that was lowest; the next search starts
    from the next candidate of the first population.

    Args:
      strategy: on vectors, with a mean as its incumbent.
      patience: generations without progress that end a search.

    >>> from edl_jax.strategies.es import es
    >>> strategy = restarting(es(16, 2), patience=20)
    >>> state = strategy.init(jax.random.key(0), jnp.ones((16, 2)), None)
    """

    def init(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> RestartingState:
        zero, inf = jnp.zeros((), jnp.int32), jnp.float32(jnp.inf)
        return RestartingState(
            mean=population[0],
            inner=strategy.init(key, population, evaluate),
            starts=population,
            smoothed=inf,
            lowest=inf,
            lowest_ever=inf,
            stagnant=zero,
            restarts=zero,
        )

    def ask(key: jax.Array, state: RestartingState) -> tuple[jax.Array, RestartingState]:
        population, inner = strategy.ask(key, state.inner)
        return population, replace(state, inner=inner)

    def tell(
        key: jax.Array, population: jax.Array, fitness: jax.Array, state: RestartingState
    ) -> RestartingState:
        before = strategy.incumbent(state.inner)
        inner = strategy.tell(key, population, fitness, state.inner)
        best = jnp.mean(jnp.sort(fitness)[: max(1, len(population) // 4)])
        known = jnp.isfinite(state.smoothed)
        smoothed = jnp.where(known, state.smoothed + _SMOOTHING * (best - state.smoothed), best)
        progress, record = smoothed < state.lowest, smoothed < state.lowest_ever
        state = replace(
            state,
            inner=inner,
            mean=jnp.where(record, before, state.mean),
            smoothed=smoothed,
            lowest=jnp.minimum(smoothed, state.lowest),
            lowest_ever=jnp.minimum(smoothed, state.lowest_ever),
            stagnant=jnp.where(progress, 0, state.stagnant + 1),
        )
        return jax.lax.cond(
            state.stagnant >= patience,
            lambda state: again(key, state),
            lambda state: state,
            state,
        )

    def again(key: jax.Array, state: RestartingState) -> RestartingState:
        restarts = state.restarts + 1
        start = state.starts[restarts % len(state.starts)]
        fresh = strategy.init(jax.random.fold_in(key, 1), start[None], _unknown)
        inf = jnp.full_like(state.smoothed, jnp.inf)
        return replace(
            state,
            inner=jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), fresh, state.inner),
            smoothed=inf,
            lowest=inf,
            stagnant=jnp.zeros_like(state.stagnant),
            restarts=restarts,
        )

    return Strategy(init, ask, tell, keep_state, lambda state: state.mean)


def _unknown(population: jax.Array) -> jax.Array:
    """The fitness of what has not been evaluated: a strategy with a mean does not ask for it."""
    return jnp.full(len(population), jnp.inf, jnp.float32)
