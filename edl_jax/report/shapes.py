"""Figures of a report that are computed: shapes of losses, and diagnostics of chaotic maps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.chaos.maps import MAPS, ChaoticMap
from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.properties import loss_profile
from edl_jax.report.figures import REFERENCE, Panel, axes, label, line, style
from edl_jax.report.runs import Run

TICKS = (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
NUM_ORBITS, NUM_STEPS, NUM_SHOWN, NUM_LAGS, NUM_BINS = 64, 2000, 100, 20, 50
_HOVER = (
    "<b>%{fullData.name}</b><br>p true %{x:.4f}<br>p largest other %{y:.4f}<br>loss %{z:.4f}"
    "<extra></extra>"
)
_CONTOURS = {"show": True, "start": 0.5, "end": 20, "size": 0.5, "color": "#30343a", "width": 1}


# --- losses ------------------------------------------------------------------------------------


def profiles(losses: Mapping[str, Loss], classes: Mapping[str, int]) -> Iterator[Panel]:
    """Each loss's gradient in the true logit, and its value, beside cross-entropy's.

    Args:
      losses: the evolved losses by the name of their run.
      classes: the number of classes of each, which share 1 - p_y equally.
    """
    logit = np.linspace(-9.5, 7.5, 171)
    p_y = 1 / (1 + np.exp(-logit))
    gradient = axes("probability of the true class", "gradient in the true logit")
    value = axes("probability of the true class", "loss")
    names = list(losses)
    curves: list[tuple[str, Loss, int, Any]] = [
        ("cross-entropy", LOSSES["cross_entropy"], 10, _reference())
    ]
    curves += [(name, losses[name], classes[name], style(i)) for i, name in enumerate(names)]
    for name, loss, num_classes, look in curves:
        values, gradients = map(np.asarray, loss_profile(loss, jnp.asarray(p_y), num_classes))
        for figure, y in ((gradient, gradients), (value, values - values[-1])):
            hover = "%{y:.4f} at p = %{customdata:.4g}"
            line(figure, name, logit, y, look, customdata=p_y, hovertemplate=hover)
    ticks = [float(np.log(p / (1 - p))) for p in TICKS]
    for figure in (gradient, value):
        figure.update_xaxes(tickvals=ticks, ticktext=[f"{p:g}" for p in TICKS])
        figure.update_xaxes(unifiedhovertitle={"text": " "})
    shared = "The other classes share the rest equally."
    yield Panel("Logit gradient", gradient, f"Cross-entropy's is p − 1. {shared}")
    yield Panel("Loss", value, f"Less its value at the right end. {shared}")


def surface(losses: Mapping[str, Loss], classes: Mapping[str, int]) -> Panel | None:
    """The losses over the true class's probability and the largest of the others.

    Further classes share what is left equally. ``None`` for two classes: there are none.
    """
    # Parametrised by the share of the largest other in 1 - p_y, the domain has no ragged edge.
    p_y = 1 / (1 + np.exp(-np.linspace(-7, 7, 43)))
    figure = axes("", "", margin={"l": 0, "r": 0, "t": 0, "b": 0}, hovermode="closest")
    drawn = {name: classes[name] for name in losses if classes[name] > 2}
    if not drawn:
        return None
    surfaces: list[tuple[str, Loss, int, str, float]] = [
        ("cross-entropy", LOSSES["cross_entropy"], max(drawn.values()), REFERENCE, 0.45)
    ]
    for i, name in enumerate(losses):
        if name in drawn:
            surfaces.append((name, losses[name], drawn[name], style(i)["color"], 0.95))
    for name, loss, num_classes, ink, opacity in surfaces:
        share = np.linspace(1 / (num_classes - 1), 1 - 1e-4, 21)
        true, largest = np.meshgrid(p_y, share)
        largest = largest * (1 - true)
        rest = (1 - true - largest) / (num_classes - 2)
        p = np.stack([true, largest, *[rest] * (num_classes - 2)], axis=-1)
        labels = jnp.zeros(true.shape, jnp.int32)
        values = np.asarray(jax.jit(loss)(jnp.log(jnp.asarray(p, jnp.float32)), labels))
        figure.add_surface(
            name=label(name),
            x=true.astype(np.float32),
            y=largest.astype(np.float32),
            z=values - values[0, -1],
            colorscale=[[0, ink], [1, ink]],
            opacity=opacity,
            showscale=False,
            showlegend=True,
            contours={"z": _CONTOURS},
            lighting={"ambient": 0.7, "diffuse": 0.5, "specular": 0.05},
            hovertemplate=_HOVER,
        )
    axis = {"gridcolor": REFERENCE, "showbackground": False, "nticks": 5, "zeroline": False}
    figure.update_layout(
        scene={
            "xaxis": axis | {"title": {"text": "p true"}, "range": [0, 1]},
            "yaxis": axis | {"title": {"text": "p largest other"}, "range": [0, 1]},
            "zaxis": axis | {"title": {"text": "loss"}},
            "camera": {
                "eye": {"x": 1.5, "y": 1.6, "z": 0.8},
                "center": {"x": 0, "y": 0, "z": -0.1},
            },
        }
    )
    note = (
        "Drag to turn, hover to read, click a name to hide its surface, twice to see it alone. "
        "Less the value at the right end; further classes share the rest equally."
    )
    return Panel("Loss surface", figure, note, wide=True)


def _reference() -> dict[str, Any]:
    return {"color": REFERENCE, "dash": "dash", "width": 1.5}


# --- chaos -------------------------------------------------------------------------------------


def chaos(runs: Sequence[Run]) -> Iterator[Panel]:
    """Orbit, histogram and autocorrelation of each map that a search mutated with."""
    chosen = [run for run in runs if run.config.mutation.startswith("chaotic")]
    names = list(dict.fromkeys(run.config.map for run in chosen))
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
    for i, name in enumerate(names):
        density, _ = np.histogram(orbits[name], edges, density=True)
        cdf = np.asarray(MAPS[name].law.cdf(jnp.asarray(edges, jnp.float32)), np.float64)
        figure.add_bar(
            name=label(name),
            x=(edges[1:] + edges[:-1]) / 2,
            y=density,
            marker={"color": style(i)["color"], "opacity": 0.45, "line": {"width": 0}},
        )
        look = style(i) | {"width": 1.8, "shape": "hvh"}
        law = np.diff(cdf) / np.diff(edges)
        line(figure, f"{name}: invariant law", (edges[1:] + edges[:-1]) / 2, law, look)
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
