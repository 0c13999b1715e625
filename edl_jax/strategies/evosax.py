"""evosax's algorithms as strategies (Lange, arXiv 2212.04180).

Their record of the best candidate ever seen is left out: under noisy fitness that is the luckiest
one, and looking it up would bring the whole population to every device. They know nothing of JAX's
strict modes, and take the width of their numbers from ``jax_enable_x64``; here they have 32 bits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from evosax.algorithms.base import EvolutionaryAlgorithm, Params
from evosax.algorithms.distribution_based.base import DistributionBasedAlgorithm
from evosax.algorithms.population_based.base import PopulationBasedAlgorithm
from jax.typing import ArrayLike

from edl_jax.chaos.maps import State
from edl_jax.strategies.base import Evaluate, PyTree, Strategy, keep_state
from edl_jax.strategies.chaotic_evolution import measured_again
from edl_jax.strategies.mutation import Mutation

Tree = TypeVar("Tree")
Tell = Callable[[jax.Array, jax.Array, jax.Array, State], State]

_NARROW = {"float64": jnp.float32, "int64": jnp.int32}


@contextmanager
def _outside_strict_modes() -> Iterator[None]:
    """What evosax does not know yet it marks with NaN, and it lets shapes and dtypes promote."""
    allow, standard = jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
    with allow, standard, jax.debug_nans(False):
        yield


@_outside_strict_modes()
def default_params(algorithm: EvolutionaryAlgorithm) -> Params:
    """The parameters that an algorithm has where none are given."""
    return algorithm.default_params


def _narrow(leaf: ArrayLike) -> jax.Array:
    leaf = jnp.asarray(leaf)  # under jax.disable_jit a number stays one
    dtype = str(leaf.dtype)
    return leaf.astype(_NARROW[dtype]) if dtype in _NARROW else leaf


def by_its_own_rules(method: Callable[..., Tree]) -> Callable[..., Tree]:
    """``method`` of an algorithm outside of the strict modes; what it gives has 32 bits."""

    @_outside_strict_modes()
    def called(*args: PyTree) -> Tree:
        return jax.tree.map(_narrow, method(*args))

    return called


def without_failures(tell: Tell) -> Tell:
    """``tell`` that is shown finite fitness only.

    Many algorithms average fitness or divide by its spread, and one candidate that failed would
    make their state NaN for good. It is given the worst fitness of its generation; a generation
    that failed as a whole changes nothing.
    """

    def told(key: jax.Array, population: jax.Array, fitness: jax.Array, state: State) -> State:
        finite = jnp.isfinite(fitness)
        some = jnp.any(finite)
        worst = jnp.where(some, jnp.max(jnp.where(finite, fitness, -jnp.inf)), 0.0)
        new = tell(key, population, jnp.where(finite, fitness, worst), state)
        return jax.tree.map(partial(jnp.where, some), new, state)

    return told


def from_evosax(
    algorithm: EvolutionaryAlgorithm, params: Params | None = None, *, keeps_fitness: bool = False
) -> Strategy:
    """An algorithm of evosax on vectors.

    Args:
      algorithm: made for a solution of shape (num_dims,).
      params: its parameters; its default ones by default.
      keeps_fitness: whether parents stay, with the fitness they once had, until a child is better.

    >>> from evosax.algorithms import CMA_ES
    >>> strategy = from_evosax(CMA_ES(population_size=8, solution=jnp.zeros(2)))
    >>> state = strategy.init(jax.random.key(0), jnp.ones((8, 2)), None)
    >>> strategy.incumbent(state)
    Array([1., 1.], dtype=float32)
    """
    params = default_params(algorithm) if params is None else params
    algorithm_init, algorithm_ask, algorithm_tell = map(
        by_its_own_rules, (algorithm.init, algorithm.ask, algorithm.tell)
    )

    def init(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> State:
        first = population[0]
        if isinstance(algorithm, PopulationBasedAlgorithm):
            state = algorithm_init(key, population, evaluate(population), params)
        else:
            state = algorithm_init(key, first, params)
        return state.replace(best_solution=first, best_fitness=jnp.float32(jnp.inf))

    def tell(key: jax.Array, population: jax.Array, fitness: jax.Array, state: State) -> State:
        told, _ = algorithm_tell(key, population, fitness, state, params)
        return told.replace(best_solution=state.best_solution, best_fitness=state.best_fitness)

    def incumbent(state: State) -> jax.Array:
        if isinstance(algorithm, PopulationBasedAlgorithm):
            return state.population[jnp.argmin(state.fitness)]
        return state.mean

    def reevaluate(state: State, evaluate: Evaluate) -> State:
        return state.replace(fitness=measured_again(state.population, state.fitness, evaluate))

    return Strategy(
        init,
        lambda key, state: algorithm_ask(key, state, params),
        # A child that failed must not replace a parent that is worse than the worst of today.
        tell if keeps_fitness else without_failures(tell),
        reevaluate if keeps_fitness else keep_state,
        incumbent,
    )


@partial(jax.tree_util.register_dataclass, data_fields=["inner", "mutation"], meta_fields=[])
@dataclass(frozen=True)
class MutatedState:
    """evosax's state, and that of the mutation operator."""

    inner: State
    mutation: State


def mutated(
    algorithm: DistributionBasedAlgorithm,
    mutation: Mutation,
    params: Params | None = None,
    *,
    mirrored: bool = False,
) -> Strategy:
    """An algorithm of evosax that draws from a mutation operator where it would draw a Gaussian.

    Args:
      algorithm: one whose candidates are ``mean + std * z``, such as ``Open_ES`` and ``SNES``, and
        which reads z from them.
      mutation: gives z, of shape (population_size, num_dims).
      params: the algorithm's parameters; its default ones by default.
      mirrored: the operator gives half the population, and the other half is its mirror image.
    """
    plain = from_evosax(algorithm, params)
    rows = algorithm.population_size // 2 if mirrored else algorithm.population_size

    def init(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> MutatedState:
        state = mutation.init(key, (rows, algorithm.num_dims))
        return MutatedState(plain.init(key, population, evaluate), state)

    def ask(key: jax.Array, state: MutatedState) -> tuple[jax.Array, MutatedState]:
        operator, z = mutation.sample(key, state.mutation)
        z = jnp.concatenate([z, -z]) if mirrored else z
        moved = jax.vmap(lambda z: state.inner.mean + state.inner.std * z)(z)
        return moved, replace(state, mutation=operator)

    def tell(
        key: jax.Array, population: jax.Array, fitness: jax.Array, state: MutatedState
    ) -> MutatedState:
        return replace(state, inner=plain.tell(key, population, fitness, state.inner))

    return Strategy(init, ask, tell, keep_state, lambda state: state.inner.mean)
