"""Strategies by name: ours, and evosax's.

What each of them can do is said in :data:`edl_jax.config.STRATEGIES`, which needs no JAX.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from evosax.algorithms import algorithms

from edl_jax.chaos.streams import Stream, make_stream
from edl_jax.config import EvolutionConfig
from edl_jax.errors import EdlError, OptionError, one_line
from edl_jax.strategies.base import PyTree, Strategy, num_dims, on_pytrees
from edl_jax.strategies.chaotic_evolution import chaotic_evolution
from edl_jax.strategies.es import es
from edl_jax.strategies.evosax_by_name import evosax_strategy
from edl_jax.strategies.mutation import make_mutation
from edl_jax.strategies.stagnation import restarting
from edl_jax.strategies.step_size import make_control

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


STRATEGIES: dict[str, Maker] = {
    "ES": _es,
    "ChaoticEvolution": _chaotic_evolution,
    **{name: partial(evosax_strategy, name) for name in algorithms},
}
"""Name to maker: ``(config, num_dims, stream) -> strategy`` on vectors."""


def make_strategy(config: EvolutionConfig, solution: PyTree) -> Strategy:
    """The strategy that a configuration describes, its mutation, step sizes and chaos in it.

    Args:
      config: names the strategy; the search's size, step sizes, mutation and chaos.
      solution: a pytree of float32 arrays that shows the form of a solution.

    Raises:
      OptionError: the strategy has no such option, or cannot have such a population.

    >>> import jax, jax.numpy as jnp
    >>> strategy = make_strategy(EvolutionConfig(population_size=8), {"weights": jnp.zeros(3)})
    >>> start = {"weights": jnp.zeros((8, 3))}
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


def matrix_size(config: EvolutionConfig, solution: PyTree) -> int:
    """n, the numbers in a solution, if the strategy carries n by n numbers or more; else 0.

    The time of a generation and the memory then grow with the square of n. A generation is traced,
    so that options with which the strategy cannot run are found out here.

    Raises:
      OptionError: the strategy cannot run with its options or with such a population.

    >>> import jax.numpy as jnp
    >>> [matrix_size(EvolutionConfig(strategy=name), jnp.zeros(50)) for name in ("ES", "CMA_ES")]
    [0, 50]
    """
    size = num_dims(solution)

    def generation(strategy: Strategy, key: jax.Array, population: jax.Array) -> PyTree:
        state = strategy.init(key, population, lambda known: known[:, 0])
        asked, state = strategy.ask(key, state)
        return strategy.tell(key, asked, asked[:, 0], state)

    start = jax.ShapeDtypeStruct((config.population_size, size), jnp.float32)
    try:
        strategy = make_strategy(config, jnp.zeros(size))
        state = jax.eval_shape(partial(generation, strategy), jax.random.key(0), start)
    except EdlError:
        raise
    except Exception as error:  # of any kind, from deep within an algorithm
        if not config.strategy_options:
            raise
        expected = f"values with which {config.strategy} can run ({one_line(error)})"
        given = " ".join(config.strategy_options)
        raise OptionError("strategy_options", given, expected) from None
    square = any(leaf.shape[-2:] == (size, size) for leaf in jax.tree.leaves(state))
    return size if square else 0
