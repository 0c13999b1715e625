"""Streams: sequences of values with a chaotic map's law, in its order or in another.

What chaos does to a search can come from how its values are distributed (the law) or from how
they follow each other (the dynamics). A stream therefore comes in three dynamics of one law:
``chaotic`` is the orbit itself, ``shuffled`` the orbit's own values in a random order, and ``iid``
draws each value afresh. A chaotic stream gives each element an orbit of its own (``element``), or
runs one orbit through all elements of an array and on into the next (``sequence``), as the papers
on chaotic evolution do (Pei, Natural Computing 13, 2014, doi 10.1007/s11047-013-9409-2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from edl_jax import parts
from edl_jax.chaos.maps import MAPS, ChaoticMap, State
from edl_jax.config import DYNAMICS, ORBITS
from edl_jax.errors import require, require_one_of

# Places in which a shuffled stream keeps values back: the order of an orbit that forgets one bit
# a step is gone long before a value has waited this long on average.
_SHUFFLE_SIZE = 32


@dataclass(frozen=True)
class Stream:
    """A sequence of arrays whose values follow the law of a chaotic map.

    Attributes:
      init: ``(key, shape) -> state``.
      sample: ``(key, state) -> (state, values)``; float32 values in (0, 1) of that shape. A chaotic
        stream leaves the key unread.
      chaos: the map whose law the values have.

    >>> stream = make_stream("logistic")
    >>> state = stream.init(jax.random.key(0), (4, 2))
    >>> state, values = stream.sample(jax.random.key(1), state)
    >>> values.shape
    (4, 2)
    """

    init: Callable[[jax.Array, tuple[int, ...]], State]
    sample: Callable[[jax.Array, State], tuple[State, jax.Array]]
    chaos: ChaoticMap


def make_stream(
    chaotic_map: str | ChaoticMap, dynamics: str = "chaotic", orbits: str = "element"
) -> Stream:
    """The stream of a map.

    Args:
      chaotic_map: a name in :data:`edl_jax.chaos.MAPS`, ``path/to/file.py:NAME``, or a map.
      dynamics: one of :data:`edl_jax.config.DYNAMICS`.
      orbits: one of :data:`edl_jax.config.ORBITS`; without meaning for ``iid``.

    Raises:
      OptionError: an unknown name.
    """
    found = parts.find("map", chaotic_map, MAPS)
    require_one_of("dynamics", dynamics, DYNAMICS)
    require_one_of("orbits", orbits, ORBITS)
    chaos = parts.finished("map", chaotic_map, found, ChaoticMap)
    known = chaos.closed_law is not None or chaos.name in MAPS
    require(known, "map", parts.shown(chaotic_map), "a map with a closed_law")
    if dynamics == "iid":
        return independent(chaos)
    stream = one_orbit_each(chaos) if orbits == "element" else one_orbit_through_all(chaos)
    return stream if dynamics == "chaotic" else shuffled(stream)


def one_orbit_each(chaos: ChaoticMap) -> Stream:
    """Each element follows an orbit of its own."""
    return Stream(chaos.init, lambda key, state: chaos.step(state), chaos)


@partial(jax.tree_util.register_dataclass, data_fields=["orbit"], meta_fields=["shape"])
@dataclass(frozen=True)
class _Sequence:
    """A single orbit, and the shape of the arrays that it fills."""

    orbit: State
    shape: tuple[int, ...]


def one_orbit_through_all(chaos: ChaoticMap) -> Stream:
    """One orbit runs through the elements in row-major order, and on into the next array.

    Its steps cannot be taken side by side, so an array costs as many steps as it has elements.
    """

    def sample(key: jax.Array, state: _Sequence) -> tuple[_Sequence, jax.Array]:
        del key
        orbit, values = jax.lax.scan(
            lambda orbit, _: chaos.step(orbit), state.orbit, length=math.prod(state.shape)
        )
        return _Sequence(orbit, state.shape), values.reshape(state.shape)

    return Stream(lambda key, shape: _Sequence(chaos.init(key, ()), tuple(shape)), sample, chaos)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Shape:
    """The state of what remembers nothing but the shape that it draws."""

    shape: tuple[int, ...]


def independent(chaos: ChaoticMap) -> Stream:
    """Independent values of the map's law: each is where a new orbit starts."""

    def sample(key: jax.Array, state: Shape) -> tuple[Shape, jax.Array]:
        return state, chaos.step(chaos.init(key, state.shape))[1]

    return Stream(lambda key, shape: Shape(tuple(shape)), sample, chaos)


@partial(jax.tree_util.register_dataclass, data_fields=["stream", "held"], meta_fields=[])
@dataclass(frozen=True)
class _Shuffle:
    """Values of ``stream`` that are held back, with a leading axis of places."""

    stream: State
    held: jax.Array


def shuffled(stream: Stream) -> Stream:
    """The same values in a random order: Bays and Durham's shuffle (ACM TOMS 2, 1976).

    Each new value goes to a random place and releases the one that waited there, for each element
    by itself.
    """

    def init(key: jax.Array, shape: tuple[int, ...]) -> _Shuffle:
        stream_key, fill_key = jax.random.split(key)

        def fill(state: State, key: jax.Array) -> tuple[State, jax.Array]:
            return stream.sample(key, state)

        keys = jax.random.split(fill_key, _SHUFFLE_SIZE)
        return _Shuffle(*jax.lax.scan(fill, stream.init(stream_key, shape), keys))

    def sample(key: jax.Array, state: _Shuffle) -> tuple[_Shuffle, jax.Array]:
        place_key, stream_key = jax.random.split(key)
        inner, values = stream.sample(stream_key, state.stream)
        place = jax.random.randint(place_key, (1, *values.shape), 0, _SHUFFLE_SIZE, jnp.int32)
        released = jnp.take_along_axis(state.held, place, axis=0)[0]
        held = jnp.put_along_axis(state.held, place, values[None], axis=0, inplace=False)
        return _Shuffle(inner, held), released

    return Stream(init, sample, stream.chaos)
