"""Invariant laws of chaotic maps: how the values of almost every orbit are distributed.

Where the law has a closed form it is given; where none is known, ``laws.npz`` holds it as a
table, made in float64 by ``python -m benchmarks.chaos.invariant_laws``, read when first asked for.
"""

import functools
import math
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Law(NamedTuple):
    """The law of almost every orbit of a map.

    Attributes:
      mean: of the values.
      variance: of the values.
      cdf: distribution function of the values; float arrays of any shape, elementwise.
      lyapunov: largest Lyapunov exponent, the natural logarithm of the factor by which
        neighbouring orbits part in a step.
    """

    mean: float
    variance: float
    cdf: Callable[[jax.Array], jax.Array]
    lyapunov: float


def arcsine_cdf(x: jax.Array) -> jax.Array:
    """Distribution function of the arcsine law, of density 1 / (pi sqrt(x (1 - x)))."""
    return (2.0 / math.pi) * jnp.arcsin(jnp.sqrt(x))


def _identity(x: jax.Array) -> jax.Array:
    return x


def arcsine(lyapunov: float) -> Law:
    """The law of ``cos^2(pi theta)`` for a uniform ``theta`` (Ulam and von Neumann, 1947)."""
    return Law(0.5, 0.125, arcsine_cdf, lyapunov)


def uniform(lyapunov: float) -> Law:
    """The uniform law on (0, 1)."""
    return Law(0.5, 1.0 / 12.0, _identity, lyapunov)


@functools.cache
def tabulated(name: str) -> Law:
    """The law of the map called ``name`` from the table that the package holds.

    The table gives the distribution function at points evenly spaced in the arcsine law's own;
    between them it is interpolated. Those points are densest at 0 and 1, where a density often
    grows like the inverse square root of the distance.

    Raises:
      KeyError: the table has no such map.
    """
    with as_file(files("edl_jax.chaos").joinpath("laws.npz")) as path, np.load(path) as tables:
        table = tables[f"{name}.cdf"]
        mean, variance, lyapunov = tables[f"{name}.mean_variance_lyapunov"].tolist()
    cells = len(table) - 1

    def cdf(x: jax.Array) -> jax.Array:
        position = arcsine_cdf(x) * cells
        left = jnp.clip(position.astype(jnp.int32), 0, cells - 1)
        heights = jnp.asarray(table, position.dtype)
        low, high = heights[left], heights[left + 1]
        return low + (position - left.astype(position.dtype)) * (high - low)

    return Law(mean, variance, cdf, lyapunov)
