"""Mutation operators: unit-variance perturbations as pure functions of a carried state.

An operator is what a strategy multiplies with its step size. It has ``init(key, shape)``, which
gives the state that the strategy carries, and ``sample(key, state)``, which gives the next state
and an array of that shape with mean 0 and variance 1 in each entry. An i.i.d. operator reads the
key and carries nothing; a chaotic one carries its orbits and leaves the key unread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from edl_jax.chaos import MAPS
from edl_jax.errors import require_one_of

State = Any


@dataclass(frozen=True)
class Mutation:
    """A mutation operator.

    Attributes:
      init: ``(key, shape) -> state``.
      sample: ``(key, state) -> (state, z)`` with ``z`` float32 of the shape given to ``init``.

    >>> mutation = make_mutation("chaotic")
    >>> state = mutation.init(jax.random.key(0), (4, 2))
    >>> state, z = mutation.sample(jax.random.key(1), state)
    >>> z.shape
    (4, 2)
    """

    init: Callable[[jax.Array, tuple[int, ...]], State]
    sample: Callable[[jax.Array, State], tuple[State, jax.Array]]


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Shape:
    """The state of an operator that remembers nothing but the shape it draws."""

    shape: tuple[int, ...]


def gaussian() -> Mutation:
    """Independent standard normal perturbations."""
    return Mutation(
        init=lambda key, shape: _Shape(tuple(shape)),
        sample=lambda key, state: (state, jax.random.normal(key, state.shape)),
    )


def chaotic(map_name: str = "logistic", marginal: str = "map") -> Mutation:
    """One chaotic orbit for each gene of each individual, running through the generations.

    Args:
      map_name: a name in :data:`edl_jax.chaos.MAPS`.
      marginal: ``"map"`` standardises the map's own law to mean 0 and variance 1; ``"normal"``
        carries it to the standard normal law, which leaves the order in time as the only
        difference from :func:`gaussian`.

    Source: Xiang and Pei, arXiv 2605.03722 (chaotic mutation with the logistic map).
    """
    require_one_of("map", map_name, MAPS)
    require_one_of("marginal", marginal, ("map", "normal"))
    chaos = MAPS[map_name]
    transform = chaos.standardise if marginal == "map" else chaos.to_normal

    def sample(key: jax.Array, state: State) -> tuple[State, jax.Array]:
        del key
        state, values = chaos.step(state)
        return state, transform(values)

    return Mutation(chaos.init, sample)


MUTATIONS = ("gaussian", "chaotic")


def make_mutation(name: str, map_name: str = "logistic", marginal: str = "map") -> Mutation:
    """The operator called ``name``, one of :data:`MUTATIONS`."""
    require_one_of("mutation", name, MUTATIONS)
    return gaussian() if name == "gaussian" else chaotic(map_name, marginal)
