"""Chaotic evolution: each individual tries a point that an orbit names, and keeps the better.

Pei, "Chaotic evolution: fusion of chaotic ergodicity and evolutionary iteration for optimization",
Natural Computing 13 (2014), doi 10.1007/s11047-013-9409-2.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp

from edl_jax.chaos.maps import State
from edl_jax.chaos.streams import Stream, make_stream
from edl_jax.strategies.base import Evaluate, Strategy


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["population", "fitness", "stream"],
    meta_fields=[],
)
@dataclass(frozen=True)
class ChaoticEvolutionState:
    """The state of :func:`chaotic_evolution`.

    Attributes:
      population: float32 (population_size, num_dims).
      fitness: of these individuals, float32 (population_size,).
      stream: state of the stream of chaotic parameters.
    """

    population: jax.Array
    fitness: jax.Array
    stream: State


def chaotic_evolution(
    stream: Stream | None = None, crossover_rate: float = 0.5, direction_rate: float = 0.5
) -> Strategy:
    """Chaotic evolution of a population of vectors, one trial for each individual.

    Gene j of individual i is tried at ``x_ij (1 + D_ij c_ij)``, where D is 1 or -1 and c in (0, 1)
    comes from the stream; the trial replaces its individual if its fitness is lower. Steps are as
    large as the gene itself: a search for a point far from 0 moves widely, one for 0 converges by
    itself, and no gene changes its sign or leaves 0. That makes the operator a poor match for the
    weights of networks, and flatters it on functions whose minimum lies at 0.

    Args:
      stream: of the chaotic parameters c; the logistic map's by default.
      crossover_rate: probability that a gene is drawn again; one gene always is.
      direction_rate: probability that it moves towards 0 rather than away from it.

    >>> strategy, start = chaotic_evolution(), jnp.ones((4, 2))
    >>> state = strategy.init(jax.random.key(0), start, lambda x: jnp.sum(x, axis=-1))
    >>> strategy.ask(jax.random.key(1), state)[0].shape
    (4, 2)
    """
    chaos = stream or make_stream("logistic")

    def init(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> ChaoticEvolutionState:
        fitness = evaluate(population)
        return ChaoticEvolutionState(population, fitness, chaos.init(key, population.shape))

    def ask(
        key: jax.Array, state: ChaoticEvolutionState
    ) -> tuple[jax.Array, ChaoticEvolutionState]:
        cross_key, gene_key, direction_key, stream_key = jax.random.split(key, 4)
        shape = state.population.shape
        inner, c = chaos.sample(stream_key, state.stream)
        towards = jax.random.bernoulli(direction_key, direction_rate, shape)
        always = jax.random.randint(gene_key, (shape[0], 1), 0, shape[1])
        crossed = jax.random.bernoulli(cross_key, crossover_rate, shape)
        crossed |= jnp.arange(shape[1])[None] == always
        trial = state.population * (1.0 + jnp.where(towards, -c, c))
        return jnp.where(crossed, trial, state.population), replace(state, stream=inner)

    def tell(
        key: jax.Array,
        population: jax.Array,
        fitness: jax.Array,
        state: ChaoticEvolutionState,
    ) -> ChaoticEvolutionState:
        del key
        better = fitness < state.fitness
        return replace(
            state,
            population=jnp.where(better[:, None], population, state.population),
            fitness=jnp.where(better, fitness, state.fitness),
        )

    def incumbent(state: ChaoticEvolutionState) -> jax.Array:
        return state.population[jnp.argmin(state.fitness)]

    def reevaluate(state: ChaoticEvolutionState, evaluate: Evaluate) -> ChaoticEvolutionState:
        return replace(state, fitness=measured_again(state.population, state.fitness, evaluate))

    return Strategy(init, ask, tell, reevaluate, incumbent)


def measured_again(population: jax.Array, fitness: jax.Array, evaluate: Evaluate) -> jax.Array:
    """The parents' fitness on this generation's batch; where none can be judged, as it was."""
    again = evaluate(population)
    return jnp.where(jnp.any(jnp.isfinite(again)), again, fitness)
