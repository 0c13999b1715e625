"""evosax's algorithms as strategies (Lange, arXiv 2212.04180).

Their record of the best candidate ever seen is left out: under noisy fitness that is the luckiest
one, and looking it up would bring the whole population to every device.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from evosax.algorithms.base import EvolutionaryAlgorithm, Params
from evosax.algorithms.distribution_based.base import DistributionBasedAlgorithm
from evosax.algorithms.population_based.base import PopulationBasedAlgorithm

from edl_jax.chaos.maps import State
from edl_jax.strategies.base import Evaluate, Strategy, keep_state
from edl_jax.strategies.chaotic_evolution import measured_again
from edl_jax.strategies.mutation import Mutation


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
    params = algorithm.default_params if params is None else params

    def init(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> State:
        first = population[0]
        # evosax marks with NaN what is not known yet; a NaN in a state means something else here.
        with jax.debug_nans(False):
            if isinstance(algorithm, PopulationBasedAlgorithm):
                state = algorithm.init(key, population, evaluate(population), params)
            else:
                state = algorithm.init(key, first, params)
        return state.replace(best_solution=first, best_fitness=jnp.asarray(jnp.inf))

    def tell(key: jax.Array, population: jax.Array, fitness: jax.Array, state: State) -> State:
        told, _ = algorithm.tell(key, population, fitness, state, params)
        return told.replace(best_solution=state.best_solution, best_fitness=state.best_fitness)

    def incumbent(state: State) -> jax.Array:
        if isinstance(algorithm, PopulationBasedAlgorithm):
            return state.population[jnp.argmin(state.fitness)]
        return state.mean

    def reevaluate(state: State, evaluate: Evaluate) -> State:
        return state.replace(fitness=measured_again(state.population, state.fitness, evaluate))

    return Strategy(
        init,
        lambda key, state: algorithm.ask(key, state, params),
        tell,
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
        return state.inner.mean + state.inner.std * z, replace(state, mutation=operator)

    def tell(
        key: jax.Array, population: jax.Array, fitness: jax.Array, state: MutatedState
    ) -> MutatedState:
        return replace(state, inner=plain.tell(key, population, fitness, state.inner))

    return Strategy(init, ask, tell, keep_state, lambda state: state.inner.mean)
