"""Figures of a report: diagnostics of the chaotic maps that a search mutated with."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.chaos.maps import MAPS, ChaoticMap
from edl_jax.report.figures import Panel, axes, colour, label, line, style
from edl_jax.report.runs import PretrainRun

NUM_ORBITS, NUM_STEPS, NUM_SHOWN, NUM_LAGS, NUM_BINS = 64, 2000, 100, 20, 50


def diagnostics(runs: Sequence[PretrainRun]) -> Iterator[Panel]:
    """Orbit, histogram and autocorrelation of each map that a search mutated with."""
    chosen = [run for run in runs if run.config.mutation.startswith("chaotic")]
    names = list(dict.fromkeys(run.config.chaos.map for run in chosen))
    if not names:
        return
    orbits = {name: orbits_of(MAPS[name], chosen[0].config.seed) for name in names}

    figure = axes("step", "value", yaxis_range=[0, 1])
    for i, name in enumerate(names):
        look = style(i) | {"width": 1}
        line(figure, name, np.arange(NUM_SHOWN), orbits[name][:NUM_SHOWN, 0], look)
    yield Panel("Orbit", figure, f"The first {NUM_SHOWN} steps of one orbit.")

    figure = axes("value", "density", xaxis_range=[0, 1])
    edges = np.linspace(0, 1, NUM_BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    for i, name in enumerate(names):
        density, _ = np.histogram(orbits[name], edges, density=True)
        cdf = np.asarray(MAPS[name].law.cdf(jnp.asarray(edges, jnp.float32)), np.float64)
        figure.add_bar(
            name=label(name),
            x=middles,
            y=density,
            marker={"color": colour(i), "opacity": 0.45, "line": {"width": 0}},
        )
        look = style(i) | {"width": 1.8, "shape": "hvh"}
        law = np.diff(cdf) / np.diff(edges)
        line(figure, f"{name}: invariant law", middles, law, look)
    figure.update_layout(bargap=0, barmode="overlay", yaxis_rangemode="tozero")
    said = f"{NUM_ORBITS} orbits of {NUM_STEPS:,} steps"
    yield Panel("Histogram", figure, f"{said}, beside the density that the invariant law gives.")

    figure = axes("lag (steps)", "autocorrelation", yaxis_range=[-1.05, 1.05])
    for i, name in enumerate(names):
        values = autocorrelation(MAPS[name], orbits[name])
        line(figure, name, np.arange(len(values)), values, style(i))
    note = f"{said}, by the invariant law's mean and variance; independent draws have 0 from lag 1."
    yield Panel("Autocorrelation", figure, note)


def orbits_of(chaotic: ChaoticMap, seed: int) -> np.ndarray:
    """Values along :data:`NUM_ORBITS` orbits, float32 of shape (steps, orbits)."""

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        state = chaotic.init(key, (NUM_ORBITS,))
        return jax.lax.scan(lambda s, _: chaotic.step(s), state, length=NUM_STEPS)[1]

    return np.asarray(run(jax.random.key(seed)))


def autocorrelation(chaotic: ChaoticMap, orbits: np.ndarray) -> np.ndarray:
    """Autocorrelation at lags 0 to :data:`NUM_LAGS`, with the invariant law's mean and variance.

    Args:
      chaotic: the map, for its law.
      orbits: values of shape (steps, orbits).

    >>> values = autocorrelation(MAPS["logistic"], orbits_of(MAPS["logistic"], 0))
    >>> bool(abs(values[0] - 1) < 0.02) and bool(abs(values[1]) < 0.02)
    True
    """
    z = np.asarray(chaotic.standardise(jnp.asarray(orbits)), np.float64)
    steps = len(z)
    return np.array([np.mean(z[: steps - k] * z[k:]) for k in range(NUM_LAGS + 1)])
