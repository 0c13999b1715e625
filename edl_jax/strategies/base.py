"""A strategy: five pure functions of a state that any ``lax.scan`` can carry."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from edl_jax.chaos.maps import State

PyTree = Any
Evaluate = Callable[[PyTree], jax.Array]
"""``candidates -> fitness``: leaves that lead with n to float32 (n,), lower is better."""


class Strategy(NamedTuple):
    """How a search asks for candidates, and what it learns from their fitness.

    Candidates are a pytree whose leaves lead with population_size; a solution is one of them,
    without that axis. Fitness is minimised; inf stands for a candidate that failed. A strategy of
    your own is one more such object: ``make_evolution(config, strategy=...)`` runs it.

    Attributes:
      init: ``(key, candidates, evaluate) -> state``, given the population that the search starts
        from. A strategy with a mean starts at the first of them and evaluates nothing.
      ask: ``(key, state) -> (candidates, state)``.
      tell: ``(key, candidates, fitness, state) -> state``, what ``ask`` gave and its fitness,
        float32 of shape (population_size,).
      reevaluate: ``(state, evaluate) -> state``, called before each ``ask`` with the generation's
        own batch. A strategy that keeps the fitness of its parents measures it again here: under
        noise the luckiest would stay for ever. :func:`keep_state` where nothing is kept.
      incumbent: ``state -> solution`` that the search stands for: the mean, or the fittest of the
        population. Never the best candidate ever seen: under noise that is the luckiest one.

    >>> def ask(key, best):
    ...     return best + jax.random.normal(key, (8, 2)), best
    >>> def tell(key, candidates, fitness, best):
    ...     return candidates[jnp.argmin(fitness)]
    >>> random_walk = Strategy(
    ...     init=lambda key, candidates, evaluate: candidates[0],
    ...     ask=ask,
    ...     tell=tell,
    ...     reevaluate=keep_state,
    ...     incumbent=lambda best: best,
    ... )
    """

    init: Callable[[jax.Array, PyTree, Evaluate], State]
    ask: Callable[[jax.Array, State], tuple[PyTree, State]]
    tell: Callable[[jax.Array, PyTree, jax.Array, State], State]
    reevaluate: Callable[[State, Evaluate], State]
    incumbent: Callable[[State], PyTree]


def keep_state(state: State, evaluate: Evaluate) -> State:
    """``reevaluate`` of a strategy that judges each candidate once, when it was drawn."""
    del evaluate
    return state


def on_pytrees(strategy: Strategy, solution: PyTree) -> Strategy:
    """A strategy for vectors, made one for pytrees.

    Args:
      strategy: its candidates are float32 arrays (population_size, num_dims).
      solution: a pytree of float32 arrays that shows the form of a solution; num_dims in all.

    >>> from edl_jax.strategies.es import es
    >>> strategy = on_pytrees(es(4, 3), {"a": jnp.zeros(()), "b": jnp.zeros(2)})
    >>> start = {"a": jnp.zeros(4), "b": jnp.zeros((4, 2))}
    >>> state = strategy.init(jax.random.key(0), start, None)
    >>> jax.tree.map(jnp.shape, strategy.ask(jax.random.key(1), state)[0])
    {'a': (4,), 'b': (4, 2)}
    """
    _, unravel = ravel_pytree(solution)

    def flat(candidates: PyTree) -> jax.Array:
        return jax.vmap(lambda one: ravel_pytree(one)[0])(candidates)

    def evaluated(evaluate: Evaluate) -> Evaluate:
        return lambda vectors: evaluate(jax.vmap(unravel)(vectors))

    def ask(key: jax.Array, state: State) -> tuple[PyTree, State]:
        vectors, state = strategy.ask(key, state)
        return jax.vmap(unravel)(vectors), state

    return Strategy(
        lambda key, candidates, evaluate: strategy.init(key, flat(candidates), evaluated(evaluate)),
        ask,
        lambda key, candidates, fitness, state: strategy.tell(
            key, flat(candidates), fitness, state
        ),
        lambda state, evaluate: strategy.reevaluate(state, evaluated(evaluate)),
        lambda state: unravel(strategy.incumbent(state)),
    )


def num_dims(solution: PyTree) -> int:
    """How many numbers a solution has.

    >>> num_dims({"a": jnp.zeros(()), "b": jnp.zeros((4, 2))})
    9
    """
    return sum(jnp.size(leaf) for leaf in jax.tree.leaves(solution))
