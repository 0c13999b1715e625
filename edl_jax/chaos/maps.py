"""Chaotic maps as pure state machines: ``init(key, shape)``, then ``step(state)``.

Iterating ``4x(1 - x)`` in float32 is not chaotic for long: rounding drives most orbits into
one short cycle or into the fixed point 0. Where a map has an exact integer form, rounding is
avoided altogether. With ``x = sin^2(pi theta)`` the logistic map is conjugate to angle doubling,
``theta -> 2 theta mod 1`` (Ulam and von Neumann, 1947), and doubling a binary fraction is a
shift: the phase is a 32-bit word that moves left by one bit a step, while a random bit enters on
the right. What comes out is the orbit of a uniformly random *real* start whose binary digits
are revealed as needed. The tent and Bernoulli maps are read off the same phase; Chebyshev's of
degree n multiplies the angle by n, and a random digit of base n enters. The other maps are in
:mod:`edl_jax.chaos.jittered`, and the laws of all in :mod:`edl_jax.chaos.laws`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from edl_jax.chaos import jittered
from edl_jax.chaos.digits import random_digits
from edl_jax.chaos.laws import Law, arcsine, tabulated, uniform
from edl_jax.errors import require

State = Any

# The largest float32 below 1 and a positive float32 that survives a square root and a division.
_ALMOST_ONE = 1.0 - 2.0**-24
_ALMOST_ZERO = 2.0**-100


@dataclass(frozen=True)
class ChaoticMap:
    """A chaotic map with values in the open interval (0, 1).

    Attributes:
      name: its name in :data:`MAPS`.
      init: ``(key, shape) -> state``; independent orbits of the given shape, each started from
        the invariant law, so that the first values are already distributed as all others.
      step: ``state -> (state, values)``; float32 values of that shape, one step along each orbit.
      formula: the next value from the last ``order`` ones, newest first; what the orbit obeys.
      order: 1 for a map of the interval, 2 for a map of the plane.
      closed_law: the invariant law where it has a closed form.

    >>> logistic = MAPS["logistic"]
    >>> state = logistic.init(jax.random.key(0), (3,))
    >>> state, x = logistic.step(state)
    >>> state, y = logistic.step(state)
    >>> bool(jnp.allclose(y, logistic.formula(x), atol=1e-6))
    True
    """

    name: str
    init: Callable[[jax.Array, tuple[int, ...]], State]
    step: Callable[[State], tuple[State, jax.Array]]
    formula: Callable[..., jax.Array]
    order: int = 1
    closed_law: Law | None = None

    @property
    def law(self) -> Law:
        """Mean, variance, distribution function and Lyapunov exponent of almost every orbit."""
        return self.closed_law or tabulated(self.name)

    def slopes(self, *history: jax.Array) -> tuple[jax.Array, ...]:
        """Derivatives of the formula by each of the last ``order`` values, elementwise.

        The mean of ``log|slope|`` along an orbit is the Lyapunov exponent of a map of order 1.
        """
        count, one, zero = len(history), jnp.ones_like(history[0]), jnp.zeros_like(history[0])
        directions = [tuple(one if i == j else zero for j in range(count)) for i in range(count)]
        return tuple(jax.jvp(self.formula, history, direction)[1] for direction in directions)

    def standardise(self, values: jax.Array) -> jax.Array:
        """Values of mean 0 and variance 1 along the orbit."""
        return (values - self.law.mean) * (1.0 / math.sqrt(self.law.variance))

    def to_uniform(self, values: jax.Array) -> jax.Array:
        """Values that are uniform in the open interval (0, 1), in the same order as the map's."""
        # The distribution function may round to 0 or 1.
        return jnp.clip(self.law.cdf(values), 2.0**-24, _ALMOST_ONE)

    def to_normal(self, values: jax.Array) -> jax.Array:
        """Values that are standard normal along the orbit, in the same order as the map's."""
        return jax.scipy.special.ndtri(self.to_uniform(values))


# --- exact maps --------------------------------------------------------------------------------


@partial(jax.tree_util.register_dataclass, data_fields=["phase", "key"], meta_fields=[])
@dataclass(frozen=True)
class PhaseState:
    """State of an exact map: ``phase`` uint32 of the orbits' shape, in units of 2**-32."""

    phase: jax.Array
    key: jax.Array


def _init_phase(key: jax.Array, shape: tuple[int, ...]) -> PhaseState:
    phase_key, digit_key = jax.random.split(key)
    return PhaseState(jax.random.bits(phase_key, shape, jnp.uint32), digit_key)


def _multiply_angle(state: PhaseState, base: int) -> PhaseState:
    # The digits of the angle below the word are uniform and independent of it, so what the
    # multiplication carries into the word is a uniform digit, and what is left is as before.
    key, digit_key = jax.random.split(state.key)
    digits = random_digits(digit_key, state.phase.shape, base)
    return PhaseState(state.phase * jnp.uint32(base) + digits, key)


def _sin_squared(angle: jax.Array) -> jax.Array:
    # Read as signed, angles just below 1 become small negative ones: sin keeps full relative
    # precision on both sides of 0, where the arcsine law has half of its mass.
    radians = angle.astype(jnp.int32).astype(jnp.float32) * (math.pi * 2.0**-32)
    return jnp.clip(jnp.square(jnp.sin(radians)), _ALMOST_ZERO, _ALMOST_ONE)


def _midpoint(phase: jax.Array) -> jax.Array:
    # The middle of the phase's interval of length 2**-23 is a float32, and neither 0 nor 1.
    return ((phase >> 9).astype(jnp.int32).astype(jnp.float32) + 0.5) * 2.0**-23


def _fold(phase: jax.Array) -> jax.Array:
    # The tent map of the phase: it maps doubling to itself, tent(2 theta) = tent(tent(theta)).
    sign = (phase.astype(jnp.int32) >> 31).astype(jnp.uint32)
    return _midpoint((phase ^ sign) << 1)


def _exact(
    name: str,
    base: int,
    read: Callable[[jax.Array], jax.Array],
    formula: Callable[..., jax.Array],
    law: Law,
) -> ChaoticMap:
    def step(state: PhaseState) -> tuple[PhaseState, jax.Array]:
        return _multiply_angle(state, base), read(state.phase)

    return ChaoticMap(name, _init_phase, step, formula, closed_law=law)


def _logistic(x: jax.Array) -> jax.Array:
    return 4.0 * x * (1.0 - x)


def _tent(x: jax.Array) -> jax.Array:
    return 1.0 - jnp.abs(1.0 - 2.0 * x)


def _bernoulli(x: jax.Array) -> jax.Array:
    return 2.0 * x - jnp.floor(2.0 * x)


def chebyshev(degree: int = 3) -> ChaoticMap:
    """Chebyshev's map ``y -> T_n(y)`` of [-1, 1], carried to (0, 1) by ``x = (1 + y) / 2``.

    With ``x = cos^2(pi theta)`` it is ``theta -> n theta mod 1``: arcsine law, exponent ln n
    (Adler and Rivlin, Proc. Amer. Math. Soc. 15, 1964). Degree 2 is the logistic map turned
    round, and 4 is two steps of that; 3 is the least that is another map.

    Args:
      degree: n, from 2 to 64.

    Raises:
      OptionError: the degree is out of range.

    >>> round(chebyshev(5).law.lyapunov, 4)
    1.6094
    """
    require(isinstance(degree, int) and 2 <= degree <= 64, "degree", degree,
            "a whole number from 2 to 64")  # fmt: skip

    def formula(x: jax.Array) -> jax.Array:
        y = 2.0 * x - 1.0
        below, last = y, 2.0 * y * y - 1.0
        for _ in range(degree - 2):
            below, last = last, 2.0 * y * last - below
        return 0.5 + 0.5 * last

    # cos^2 is sin^2 a half turn on.
    read = lambda phase: _sin_squared(phase ^ jnp.uint32(1 << 31))  # noqa: E731
    return _exact("chebyshev", degree, read, formula, arcsine(math.log(degree)))


# --- the others --------------------------------------------------------------------------------


def _jittered(
    name: str, formula: Callable[..., jax.Array], order: int = 1, spread: float = 1.0
) -> ChaoticMap:
    advance = jittered.make_step(formula)

    def step(state: jittered.JitteredState) -> tuple[jittered.JitteredState, jax.Array]:
        return advance(state), jnp.clip(state.history[0], _ALMOST_ZERO, _ALMOST_ONE)

    return ChaoticMap(name, jittered.make_init(formula, order, spread), step, formula, order)


def _init_float32(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return _sin_squared(_init_phase(key, shape).phase)


def _step_float32(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _logistic(x), jnp.clip(x, _ALMOST_ZERO, _ALMOST_ONE)


_LN2 = math.log(2.0)

MAPS: dict[str, ChaoticMap] = {
    "logistic": _exact("logistic", 2, _sin_squared, _logistic, arcsine(_LN2)),
    "tent": _exact("tent", 2, _fold, _tent, uniform(_LN2)),
    "bernoulli": _exact("bernoulli", 2, _midpoint, _bernoulli, uniform(_LN2)),
    "chebyshev": chebyshev(),
    "sine": _jittered("sine", jittered.sine),
    "gauss": _jittered("gauss", jittered.gauss),
    "circle": _jittered("circle", jittered.circle),
    # Orbits start well inside the quadrilateral that they cannot leave.
    "henon": _jittered("henon", jittered.henon, order=2, spread=0.1),
    # For comparison only: collapses within some thousand steps, as the module says.
    "logistic_float32": ChaoticMap(
        "logistic_float32", _init_float32, _step_float32, _logistic, closed_law=arcsine(_LN2)
    ),
}
"""Name to map."""
