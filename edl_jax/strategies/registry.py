"""Strategies by name: ours, and evosax's.

What each of them can do is said in :data:`edl_jax.config.STRATEGIES`, which needs no JAX.
"""

from collections.abc import Callable
from functools import partial

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
from evosax.algorithms.base import EvolutionaryAlgorithm

from edl_jax.chaos.streams import Stream, make_stream
from edl_jax.config import EvolutionConfig
from edl_jax.strategies.base import PyTree, Strategy, num_dims, on_pytrees
from edl_jax.strategies.chaotic_evolution import chaotic_evolution
from edl_jax.strategies.es import es
from edl_jax.strategies.evosax import default_params, from_evosax, mutated
from edl_jax.strategies.mutation import make_mutation
from edl_jax.strategies.stagnation import restarting
from edl_jax.strategies.step_size import make_control, make_schedule

Maker = Callable[[EvolutionConfig, int, Stream], Strategy]
"""``(config, num_dims, stream) -> strategy`` on vectors."""


def _es(config: EvolutionConfig, size: int, stream: Stream) -> Strategy:
    chaotic = config.mutation == "chaotic" and "recombination" in config.chaos.acts_on
    return es(
        config.population_size,
        size,
        mutation=make_mutation(config.mutation, config.chaos, stream),
        control=make_control(
            config.schedule,
            step_size=config.step_size,
            final_step_size=config.final_step_size,
            num_generations=config.num_generations,
            stream=stream,
        ),
        recombination=stream if chaotic else None,
    )


def _chaotic_evolution(config: EvolutionConfig, size: int, stream: Stream) -> Strategy:
    return chaotic_evolution(stream)


def _schedule(config: EvolutionConfig) -> optax.Schedule:
    return make_schedule(
        config.schedule,
        step_size=config.step_size,
        final_step_size=config.final_step_size,
        num_generations=config.num_generations,
    )


def _open_es(config: EvolutionConfig, size: int, stream: Stream) -> Strategy:
    algorithm = Open_ES(
        population_size=config.population_size,
        solution=jnp.zeros(size),
        optimizer=optax.adam(config.step_size),
        std_schedule=_schedule(config),
    )
    return mutated(algorithm, make_mutation(config.mutation, config.chaos, stream), mirrored=True)


def _snes(config: EvolutionConfig, size: int, stream: Stream) -> Strategy:
    algorithm = SNES(population_size=config.population_size, solution=jnp.zeros(size))
    params = default_params(algorithm).replace(std_init=jnp.float32(config.step_size))
    return mutated(algorithm, make_mutation(config.mutation, config.chaos, stream), params)


def _adapting(
    algorithm: type[EvolutionaryAlgorithm], config: EvolutionConfig, size: int, stream: Stream
) -> Strategy:
    """An algorithm that adapts its own step size from the first one."""
    made = algorithm(population_size=config.population_size, solution=jnp.zeros(size))
    params = default_params(made).replace(std_init=jnp.float32(config.step_size))
    return from_evosax(made, params)


def _simple_ga(config: EvolutionConfig, size: int, stream: Stream) -> Strategy:
    return from_evosax(
        SimpleGA(
            population_size=config.population_size,
            solution=jnp.zeros(size),
            std_schedule=_schedule(config),
        )
    )


def _differential_evolution(config: EvolutionConfig, size: int, stream: Stream) -> Strategy:
    algorithm = DifferentialEvolution(config.population_size, jnp.zeros(size))
    return from_evosax(algorithm, keeps_fitness=True)


STRATEGIES: dict[str, Maker] = {
    "ES": _es,
    "ChaoticEvolution": _chaotic_evolution,
    "Open_ES": _open_es,
    "SNES": _snes,
    "Sep_CMA_ES": partial(_adapting, Sep_CMA_ES),
    "CMA_ES": partial(_adapting, CMA_ES),
    "SimpleGA": _simple_ga,
    "DifferentialEvolution": _differential_evolution,
}
"""Name to maker: ``(config, num_dims, stream) -> strategy`` on vectors."""


def make_strategy(config: EvolutionConfig, solution: PyTree) -> Strategy:
    """The strategy that a configuration describes, its mutation, step sizes and chaos in it.

    Args:
      config: names the strategy; the search's size, step sizes, mutation and chaos.
      solution: a pytree of float32 arrays that shows the form of a solution.

    >>> strategy = make_strategy(EvolutionConfig(population_size=8), {"weights": jnp.zeros(3)})
    >>> start = {"weights": jnp.zeros((8, 3))}
    >>> import jax
    >>> state = strategy.init(jax.random.key(0), start, None)
    >>> strategy.ask(jax.random.key(1), state)[0]["weights"].shape
    (8, 3)
    """
    chaos = config.chaos
    stream = make_stream(chaos.map, chaos.dynamics, chaos.orbits)
    strategy = STRATEGIES[config.strategy](config, num_dims(solution), stream)
    if config.restart_after:
        strategy = restarting(strategy, config.restart_after)
    return on_pytrees(strategy, solution)
