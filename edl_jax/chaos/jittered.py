"""Maps without an exact integer form: the formula in float32, and a jitter that keeps it chaotic.

Rounding turns an iteration in float32 into a walk on finitely many numbers, which ends in a
short cycle. Each step here therefore moves the value by the fraction :data:`JITTER` of the way
towards a fresh uniform number. That is up to four units in the last place near 1, enough that no
orbit settles into a cycle, and it cannot leave the unit interval.

It keeps the law because such maps are stochastically stable: as the noise of a step shrinks, the
law of the noisy orbit tends to that of the map (Baladi and Viana, Ann. Sci. Ecole Norm. Sup. 29,
1996, for maps of the interval; Benedicks and Viana, Ann. Inst. H. Poincare 23, 2006, for maps
like Henon's). How near it is can be judged by the densities, whose poles are inverse square
roots: moving mass by 2e-7 changes a distribution function by some 3e-4 at a pole, by 2e-7
elsewhere. ``python -m benchmarks.chaos`` measures it.

The three maps of the interval are taken where their critical points land on a repelling fixed
point, so that they have an absolutely continuous invariant law and a positive exponent by a
theorem (Misiurewicz, Publ. Math. IHES 53, 1981; van Strien, Commun. Math. Phys. 128, 1990). No
computation at a parameter read off a plot could show that: periodic windows are dense.

Formulas take values of the unit interval, in which the map's own interval is laid affinely.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from edl_jax.chaos.digits import random_digits

JITTER = 2.0**-22
# Steps after which orbits that start evenly spread follow the invariant law.
_BURN_IN = 100

GAUSS_A = 9.0
# Where the fourth image of the critical point 0 is the map's fixed point.
GAUSS_B = -0.7017286374961632
# Where the critical points map to the fixed point: sqrt(K^2 - 1) - arccos(1 / K) = pi.
CIRCLE_K = 4.6033388487517
HENON_A, HENON_B = 1.4, 0.3
# A little more than the attractor's extent, [-1.2847, 1.2730].
HENON_LOW, HENON_HIGH = -1.286, 1.274


def sine(x: jax.Array) -> jax.Array:
    """``sin(pi x)``, the sine map at r = 1: 1/2 -> 1 -> 0, and 0 repels with slope pi."""
    # Folded at 1/2: float32's pi is above pi, so that just below 1 the sine would be negative, on
    # the wrong side of a point that repels.
    return jnp.sin(math.pi * jnp.minimum(x, 1.0 - x))


def _gauss_interval() -> tuple[float, float]:
    high = 1.0 + GAUSS_B
    return math.exp(-GAUSS_A * high * high) + GAUSS_B, high


def gauss(x: jax.Array) -> jax.Array:
    """``exp(-a X^2) + b``, the Gauss or "mouse" map (Hilborn, Chaos and Nonlinear Dynamics, 2000).

    With a = 9 and b = -0.7017286..., X = 0 reaches the repelling fixed point in four steps, and
    X runs through [f(f(0)), f(0)]. The exponent, 0.538, exceeds ln(2)/2, which it could not if the
    orbit alternated between two bands, as it does at many parameters.
    """
    low, high = _gauss_interval()
    X = low + (high - low) * x
    return (jnp.exp(-GAUSS_A * X * X) + (GAUSS_B - low)) * (1.0 / (high - low))


def circle(x: jax.Array) -> jax.Array:
    """``theta + Omega - K/(2 pi) sin(2 pi theta) mod 1`` at Omega = 0, with theta = x + 1/2.

    With K = 4.6033... both critical points map to the repelling fixed point theta = 1/2, so that
    three branches each cover the circle. Below K = 1 the map is invertible and has no chaos
    (Arnold, 1965); that holds of K = 0.5, Omega = 0.2, the values most used in optimisers
    (Gandomi et al., Commun. Nonlinear Sci. Numer. Simul. 18, 2013).
    """
    turned = x + (CIRCLE_K / (2.0 * math.pi)) * jnp.sin((2.0 * math.pi) * x)
    return turned - jnp.floor(turned)


def henon(x: jax.Array, before: jax.Array) -> jax.Array:
    """``X' = 1 - a X^2 + Y``, ``Y' = b X``, as ``X' = 1 - a X^2 + b X_before`` (Henon, 1976).

    With a = 1.4 and b = 0.3, Henon's own. The quadrilateral with corners (-1.33, 0.42),
    (1.32, 0.133), (1.245, -0.14), (-1.06, -0.5), given by him, is mapped into itself, its image
    staying 7e-4 from the border. The jitter, at most 6e-7 in X, does not cross that distance, so an
    orbit that starts inside never leaves: none diverges.
    """
    width = HENON_HIGH - HENON_LOW
    X, X_before = HENON_LOW + width * x, HENON_LOW + width * before
    return (1.0 - HENON_LOW - HENON_A * X * X + HENON_B * X_before) * (1.0 / width)


@partial(jax.tree_util.register_dataclass, data_fields=["history", "key"], meta_fields=[])
@dataclass(frozen=True)
class JitteredState:
    """State of a jittered map: its last values, newest first, float32, and a PRNG key."""

    history: tuple[jax.Array, ...]
    key: jax.Array


def make_step(formula: Callable[..., jax.Array]) -> Callable[[JitteredState], JitteredState]:
    """One step of ``formula``, which takes the values of ``state.history``, with jitter."""

    def step(state: JitteredState) -> JitteredState:
        key, jitter_key = jax.random.split(state.key)
        x = formula(*state.history)
        # Eight bits are enough of a uniform number that counts for so little.
        digits = random_digits(jitter_key, x.shape, 256).astype(jnp.int32)
        target = (digits.astype(jnp.float32) + 0.5) * 2.0**-8
        x = x + JITTER * (target - x)
        return JitteredState((x, *state.history[:-1]), key)

    return step


def make_init(
    formula: Callable[..., jax.Array], order: int = 1, spread: float = 1.0
) -> Callable[[jax.Array, tuple[int, ...]], JitteredState]:
    """``(key, shape) -> state`` of independent orbits that follow the invariant law.

    Args:
      formula: as in :func:`make_step`.
      order: how many values the formula takes.
      spread: width of the interval around 1/2 in which the orbits start, before a burn-in.
    """
    step = make_step(formula)

    def init(key: jax.Array, shape: tuple[int, ...]) -> JitteredState:
        start_key, key = jax.random.split(key)
        start = 0.5 + spread * (jax.random.uniform(start_key, (order, *shape), jnp.float32) - 0.5)
        state = JitteredState(tuple(start), key)
        return jax.lax.fori_loop(0, _BURN_IN, lambda _, state: step(state), state)

    return init
