"""Chaotic evolution: each individual tries a point that an orbit names, and keeps the better.

Pei, "Chaotic evolution: fusion of chaotic ergodicity and evolutionary iteration for optimization",
Natural Computing 13 (2014), doi 10.1007/s11047-013-9409-2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from evosax.algorithms.base import metrics_fn
from evosax.algorithms.population_based.base import Params as BaseParams
from evosax.algorithms.population_based.base import PopulationBasedAlgorithm
from evosax.algorithms.population_based.base import State as BaseState
from evosax.core.fitness_shaping import identity_fitness_shaping_fn
from flax import struct

from edl_jax.chaos.streams import Stream, make_stream


@struct.dataclass
class State(BaseState):
    """What :class:`ChaoticEvolution` carries.

    Attributes:
      population: shape (population_size, num_dims).
      fitness: of these individuals, shape (population_size,).
      stream: state of the stream of chaotic parameters.
    """

    stream: Any


@struct.dataclass
class Params(BaseParams):
    """What stays fixed during a search with :class:`ChaoticEvolution`.

    Attributes:
      crossover_rate: probability that a gene is tried anew; one gene always is.
      direction_rate: probability that it moves towards 0 rather than away from it.
    """

    crossover_rate: float
    direction_rate: float


class ChaoticEvolution(PopulationBasedAlgorithm):
    """Chaotic evolution of a population, one trial for each individual.

    Gene j of individual i is tried at ``x_ij (1 + D_ij c_ij)``, where D is 1 or -1 and c in (0, 1)
    comes from the stream; the trial replaces its individual if its fitness is lower. Steps are as
    large as the gene itself: a search for a point far from 0 moves widely, one for 0 converges by
    itself, and no gene changes its sign or leaves 0. That makes the operator a poor match for the
    weights of networks, and flatters it on functions whose minimum lies at 0.

    Args:
      population_size: individuals, and trials in a generation.
      solution: a pytree that shows the shape of an individual.
      stream: of the chaotic parameters c; the logistic map's by default.
    """

    def __init__(
        self,
        population_size: int,
        solution: Any,
        stream: Stream | None = None,
        fitness_shaping_fn: Callable = identity_fitness_shaping_fn,
        metrics_fn: Callable = metrics_fn,
    ):
        super().__init__(population_size, solution, fitness_shaping_fn, metrics_fn)
        self.stream = stream or make_stream("logistic")

    @property
    def _default_params(self) -> Params:
        return Params(crossover_rate=0.5, direction_rate=0.5)

    def _init(self, key: jax.Array, params: Params) -> State:
        shape = (self.population_size, self.num_dims)
        return State(
            population=jnp.zeros(shape),
            fitness=jnp.full(self.population_size, jnp.inf),
            stream=self.stream.init(key, shape),
            best_solution=jnp.zeros(self.num_dims),
            best_fitness=jnp.inf,
            generation_counter=0,
        )

    def _ask(self, key: jax.Array, state: State, params: Params) -> tuple[jax.Array, State]:
        cross_key, gene_key, direction_key, stream_key = jax.random.split(key, 4)
        shape = state.population.shape
        stream, c = self.stream.sample(stream_key, state.stream)
        towards = jax.random.bernoulli(direction_key, params.direction_rate, shape)
        always = jax.random.randint(gene_key, (shape[0], 1), 0, shape[1])
        crossed = jax.random.bernoulli(cross_key, params.crossover_rate, shape)
        crossed |= jnp.arange(shape[1]) == always
        trial = state.population * (1.0 + jnp.where(towards, -c, c))
        return jnp.where(crossed, trial, state.population), state.replace(stream=stream)

    def _tell(
        self,
        key: jax.Array,
        population: jax.Array,
        fitness: jax.Array,
        state: State,
        params: Params,
    ) -> State:
        better = fitness < state.fitness
        return state.replace(
            population=jnp.where(better[:, None], population, state.population),
            fitness=jnp.where(better, fitness, state.fitness),
        )
