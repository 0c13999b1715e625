"""Chaotic maps as pure state machines: ``init(key, shape)``, then ``step(state)``.

Iterating ``4x(1 - x)`` in float32 is not chaotic for long: rounding drives most orbits into
one short cycle or into the fixed point 0. The default ``logistic`` avoids rounding altogether.
With ``x = sin^2(pi theta)`` the map is conjugate to angle doubling, ``theta -> 2 theta mod 1``
(Ulam and von Neumann, 1947), and doubling a binary fraction is a shift: the phase is a 32-bit
word that moves left by one bit a step, while a random bit enters on the right. What comes out
is the orbit of a uniformly random *real* start whose binary digits are revealed as needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

State = Any

# The largest float32 below 1 and a positive float32 that survives a square root and a division.
_ALMOST_ONE = 1.0 - 2.0**-24
_ALMOST_ZERO = 2.0**-100


class Law(NamedTuple):
    """The invariant law of a map: how its values are distributed along almost every orbit."""

    mean: float
    variance: float
    cdf: Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class ChaoticMap:
    """A chaotic map with values in the open interval (0, 1).

    Attributes:
      name: its name in :data:`MAPS`.
      init: ``(key, shape) -> state``; independent orbits of the given shape, each started from
        the invariant law, so that the first values are already distributed as all others.
      step: ``state -> (state, values)``; float32 values of that shape, one step along each orbit.
      law: mean, variance and distribution function of the values.

    >>> logistic = MAPS["logistic"]
    >>> state = logistic.init(jax.random.key(0), (3,))
    >>> state, x = logistic.step(state)
    >>> state, y = logistic.step(state)
    >>> bool(jnp.allclose(y, 4 * x * (1 - x), atol=1e-6))
    True
    """

    name: str
    init: Callable[[jax.Array, tuple[int, ...]], State]
    step: Callable[[State], tuple[State, jax.Array]]
    law: Law

    def standardise(self, values: jax.Array) -> jax.Array:
        """Values of mean 0 and variance 1 along the orbit."""
        return (values - self.law.mean) * (1.0 / math.sqrt(self.law.variance))

    def to_normal(self, values: jax.Array) -> jax.Array:
        """Values that are standard normal along the orbit, in the same order as the map's."""
        # The distribution function may round to 0 or 1, whose quantiles are infinite.
        return jax.scipy.special.ndtri(jnp.clip(self.law.cdf(values), 2.0**-24, _ALMOST_ONE))


@partial(jax.tree_util.register_dataclass, data_fields=["phase", "key"], meta_fields=[])
@dataclass(frozen=True)
class PhaseState:
    """State of an exact binary map: ``phase`` uint32 of the orbits' shape, in units of 2**-32."""

    phase: jax.Array
    key: jax.Array


def _init_phase(key: jax.Array, shape: tuple[int, ...]) -> PhaseState:
    phase_key, bit_key = jax.random.split(key)
    return PhaseState(jax.random.bits(phase_key, shape, jnp.uint32), bit_key)


def _random_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """One random bit (uint32, 0 or 1) for each element, 32 of them from each word drawn."""
    size = math.prod(shape)
    words = jax.random.bits(key, (-(-size // 32), 1), jnp.uint32)
    bits = (words >> jnp.arange(32, dtype=jnp.uint32)) & jnp.uint32(1)
    return bits.reshape(-1)[:size].reshape(shape)


def _double_phase(state: PhaseState) -> PhaseState:
    key, bit_key = jax.random.split(state.key)
    return PhaseState((state.phase << 1) | _random_bits(bit_key, state.phase.shape), key)


def _step_logistic(state: PhaseState) -> tuple[PhaseState, jax.Array]:
    # Read as signed, phases just below 1 become small negative angles: sin keeps full relative
    # precision on both sides of 0, where the arcsine law has half of its mass.
    angle = state.phase.astype(jnp.int32).astype(jnp.float32) * (math.pi * 2.0**-32)
    values = jnp.clip(jnp.square(jnp.sin(angle)), _ALMOST_ZERO, _ALMOST_ONE)
    return _double_phase(state), values


def _init_float32(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return _step_logistic(_init_phase(key, shape))[1]


def _step_float32(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return 4.0 * x * (1.0 - x), jnp.clip(x, _ALMOST_ZERO, _ALMOST_ONE)


def _arcsine_cdf(x: jax.Array) -> jax.Array:
    return (2.0 / math.pi) * jnp.arcsin(jnp.sqrt(x))


ARCSINE = Law(mean=0.5, variance=0.125, cdf=_arcsine_cdf)

MAPS: dict[str, ChaoticMap] = {
    m.name: m
    for m in (
        ChaoticMap("logistic", _init_phase, _step_logistic, ARCSINE),
        # For comparison only: collapses within some thousand steps, as the module says.
        ChaoticMap("logistic_float32", _init_float32, _step_float32, ARCSINE),
    )
}
