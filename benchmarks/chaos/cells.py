"""The cells of ``chaos``: long orbits of every map, against what is known of it."""

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.chaos.config import CHUNK
from benchmarks.common.results_file import Row
from edl_jax.chaos.maps import MAPS, ChaoticMap

KEY = ("map", "orbits", "steps", "seed")
BINS, PICTURE_BINS, LAGS = 4096, 64, 8


@partial(jax.jit, static_argnums=(0, 2))
def _run_chunk(chaos: ChaoticMap, carry: Any, keep: bool) -> tuple[Any, tuple[Any, Any]]:
    """``CHUNK`` steps: the carry, the mean growth of deviations at each, and the values."""

    def step(carry: Any, _: None) -> tuple[Any, tuple[Any, Any]]:
        state, before, growth, counts = carry
        state, x = chaos.step(state)
        history = (x, *before)[: chaos.order]
        slope, *coupling = chaos.slopes(*history)
        # An infinitesimal deviation obeys d' = slope d + coupling d_before.
        growth = slope + (coupling[0] / growth if coupling else 0.0)
        # A float32 value lies within 2**-25 of where the slope is 0: the logarithm ends there.
        growth = jnp.where(jnp.abs(growth) < 2.0**-24, 2.0**-24, growth)
        cells = (chaos.law.cdf(x) * BINS).astype(jnp.int32)
        counts = counts.at[jnp.clip(cells, 0, BINS - 1)].add(1)
        carry = state, history[: chaos.order - 1], growth, counts
        return carry, (jnp.log(jnp.abs(growth)).mean(), x if keep else None)

    return jax.lax.scan(step, carry, length=CHUNK)


def measure(name: str, orbits: int, steps: int, seed: int = 0) -> Row:
    """Statistics of the orbits of a map after ``steps`` steps, a multiple of 1,000.

    Returns:
      A row of the results file. ``ks``: the most by which the distribution function of all values
      can differ from the law's; ``distinct``: the least share of distinct values in an orbit's
      last 1,000 steps; ``stuck``: share of orbits whose last 1,000 values are one; ``lyapunov``:
      the largest exponent, from the formula's slopes along the orbits.
    """
    chaos, began = MAPS[name], time.perf_counter()
    state = chaos.init(jax.random.key(seed), (orbits,))
    before: tuple[jax.Array, ...] = ()
    for _ in range(chaos.order - 1):
        state, x = chaos.step(state)
        before = (x, *before)
    carry = state, before, jnp.ones(orbits), jnp.zeros(BINS, jnp.int32)
    logs = []
    for start in range(0, steps, CHUNK):
        carry, (log_growth, values) = _run_chunk(chaos, carry, start + CHUNK == steps)
        logs.append(np.asarray(log_growth, np.float64))
    last = np.asarray(values)
    cumulated = np.cumsum(np.asarray(carry[3])) / (orbits * steps)
    distance = np.abs(cumulated - np.arange(1, BINS + 1) / BINS).max()
    distinct = np.array([len(np.unique(orbit)) for orbit in last.T])
    row = {
        "map": name,
        "orbits": orbits,
        "steps": steps,
        "seed": seed,
        # Between the edges of the bins, the distance can be larger by a bin's mass.
        "ks": float(distance + 1 / BINS),
        "distinct": float(distinct.min() / CHUNK),
        "stuck": float((distinct == 1).mean()),
        "lyapunov": float(np.mean(logs)),
        "lyapunov_known": chaos.law.lyapunov,
        "mean": float(last.mean(dtype=np.float64)),
        "variance": float(last.var(dtype=np.float64)),
        "mean_known": chaos.law.mean,
        "variance_known": chaos.law.variance,
        "histogram": np.histogram(last, PICTURE_BINS, (0, 1))[0].tolist(),
        "autocorrelation": _autocorrelation(last),
    }
    if name == "logistic_float32":
        row["collapse"] = collapse(carry[0])
    return {**row, "seconds": round(time.perf_counter() - began, 1)}


def _autocorrelation(values: np.ndarray) -> list[float]:
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    power = max(float((centred**2).mean()), np.finfo(float).tiny)
    return [
        float((centred[lag:] * centred[: len(values) - lag]).mean() / power)
        for lag in range(1, LAGS + 1)
    ]


def collapse(x: jax.Array, most: int = 20_000) -> Row:
    """Where the orbits of the plain float32 iteration are, from their present values ``x``.

    Returns:
      ``at_zero``: share of orbits at exactly 0; ``cycle``: length of the longest cycle found in
      ``most`` steps; ``in_cycle``: share of orbits in it; ``values``: how many distinct values
      all orbits together still take.
    """
    chaos = MAPS["logistic_float32"]

    @jax.jit
    def trace(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda s, _: (chaos.step(s)[0], s), x, length=most)[1]

    # Orbits at the same value have one future.
    starts, orbits = np.unique(np.asarray(x), return_counts=True)
    values = np.asarray(trace(jnp.asarray(starts)))
    returns = values[1:] == values[0]
    period = np.where(returns.any(0), returns.argmax(0) + 1, 0)
    longest = int(period.max())
    return {
        "at_zero": float(orbits[starts == 0].sum() / orbits.sum()),
        "cycle": longest,
        "in_cycle": float(orbits[period == longest].sum() / orbits.sum()),
        "values": len(np.unique(values)),
    }
