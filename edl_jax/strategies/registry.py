"""Strategies by name: ours, and evosax's.

What each of them can do is said in :data:`edl_jax.config.STRATEGIES`, which needs no JAX.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from evosax.algorithms import algorithms

from edl_jax import parts
from edl_jax.config import EvolutionConfig
from edl_jax.errors import EdlError, OptionError, one_line, require
from edl_jax.strategies.base import PyTree, Strategy, num_dims, on_pytrees
from edl_jax.strategies.chaotic_evolution import chaotic_evolution
from edl_jax.strategies.es import es
from edl_jax.strategies.evosax_by_name import evosax_strategy
from edl_jax.strategies.gradient import gradient
from edl_jax.strategies.ingredients import Ingredients, OwnIngredients, make_ingredients
from edl_jax.strategies.stagnation import restarting
from edl_jax.strategies.step_size import Sizes, make_schedule

Maker = Callable[[Ingredients], Strategy]
"""``ingredients -> strategy`` on vectors."""


def _es(of: Ingredients) -> Strategy:
    chaos = of.config.mutation == "chaotic" and "recombination" in of.config.chaos.acts_on
    return es(
        of.config.population_size,
        of.num_dims,
        mutation=of.mutation,
        control=of.control,
        recombination=of.stream if chaos else None,
    )


def _gradient(of: Ingredients) -> Strategy:
    config = of.config
    sizes = Sizes(config.step_size, config.final_step_size, config.num_generations)
    return gradient(make_schedule(config.schedule, sizes))


STRATEGIES: dict[str, Maker] = {
    "ES": _es,
    "ChaoticEvolution": lambda of: chaotic_evolution(of.stream),
    "gradient": _gradient,
    **{name: partial(evosax_strategy, name) for name in algorithms},
}
"""Name to maker: ``ingredients -> strategy`` on vectors."""


def make_strategy(
    config: EvolutionConfig,
    solution: PyTree,
    strategy: Strategy | Maker | None = None,
    **own: Unpack[OwnIngredients],
) -> Strategy:
    """The strategy that a configuration describes, its mutation, step sizes and chaos in it.

    Args:
      config: names the strategy; the search's size, step sizes, mutation and chaos.
      solution: a pytree of float32 arrays that shows the form of a solution.
      strategy: in place of the one named: a :class:`Strategy` of candidates like ``solution``, or
        a function ``ingredients -> Strategy`` on vectors. A file's NAME may be either.
      own: its mutation, schedule and chaotic map; see
        :class:`~edl_jax.strategies.ingredients.OwnIngredients`.

    Raises:
      OptionError: the strategy has no such option, cannot have such a population, or does not
        keep to the contract of :class:`Strategy`.

    >>> import jax, jax.numpy as jnp
    >>> strategy = make_strategy(EvolutionConfig(population_size=8), {"weights": jnp.zeros(3)})
    >>> start = {"weights": jnp.zeros((8, 3))}
    >>> state = strategy.init(jax.random.key(0), start, None)
    >>> strategy.ask(jax.random.key(1), state)[0]["weights"].shape
    (8, 3)
    """
    named = config.strategy if strategy is None else strategy
    found: Any = parts.find("strategy", named, STRATEGIES)
    if isinstance(found, Strategy):
        expected = "0 with a strategy that is given as an object"
        require(not config.restart_after, "restart_after", config.restart_after, expected)
        return found
    given = make_ingredients(config, num_dims(solution), **own)
    made = parts.finished("strategy", named, found, Strategy, given)
    if config.restart_after:
        made = restarting(made, config.restart_after)
    return on_pytrees(made, solution)


def matrix_size(config: EvolutionConfig, solution: PyTree, strategy: Strategy | None = None) -> int:
    """n, the numbers in a solution, if the strategy carries n by n numbers or more; else 0.

    The time of a generation and the memory then grow with the square of n. A generation is traced,
    so that options with which the strategy cannot run are found out here.

    Args:
      config: the search.
      solution: a pytree of float32 arrays that shows the form of a solution.
      strategy: the one of ``config`` on such pytrees, if it is made already.

    Raises:
      OptionError: the strategy cannot run with its options or with such a population.

    >>> import jax.numpy as jnp
    >>> [matrix_size(EvolutionConfig(strategy=name), jnp.zeros(50)) for name in ("ES", "CMA_ES")]
    [0, 50]
    """
    size, leaves = num_dims(solution), jax.tree.leaves

    def first(population: PyTree) -> jax.Array:
        return jnp.zeros(leaves(population)[0].shape[0], jnp.float32)

    def generation(strategy: Strategy, key: jax.Array) -> PyTree:
        start = jax.tree.map(
            lambda leaf: jnp.zeros((config.population_size, *leaf.shape), leaf.dtype), solution
        )
        state = strategy.init(key, start, first)
        asked, state = strategy.ask(key, state)
        return strategy.tell(key, asked, first(asked), state)

    try:
        strategy = strategy or make_strategy(config, solution)
        state = jax.eval_shape(partial(generation, strategy), jax.random.key(0))
    except EdlError:
        raise
    except Exception as error:  # of any kind, from deep within an algorithm
        if not config.strategy_options:
            raise
        expected = f"values with which {config.strategy} can run ({one_line(error)})"
        given = " ".join(config.strategy_options)
        raise OptionError("strategy_options", given, expected) from None
    square = any(leaf.shape[-2:] == (size, size) for leaf in leaves(state))
    return size if square else 0
