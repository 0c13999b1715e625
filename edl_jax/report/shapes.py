"""Figures of a report: shapes of losses, as curves and as surfaces."""

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.properties import SHAPE_TICKS, loss_shape
from edl_jax.report.figures import REFERENCE, Layout, Panel, axes, colour, label, line, style

_HOVER = (
    "<b>%{fullData.name}</b><br>p true %{x:.4f}<br>p largest other %{y:.4f}<br>loss %{z:.4f}"
    "<extra></extra>"
)
_CONTOURS = {"show": True, "start": 0.5, "end": 20, "size": 0.5, "color": "#30343a", "width": 1}

_REFERENCE_LINE: Layout = {"color": REFERENCE, "dash": "dash", "width": 1.5}


def profiles(losses: Mapping[str, Loss], classes: Mapping[str, int]) -> Iterator[Panel]:
    """Each loss's gradient in the true logit, and its value, beside cross-entropy's.

    Args:
      losses: the evolved losses by the name of their run.
      classes: the number of classes of each, which share 1 - p_y equally.
    """
    gradient = axes("probability of the true class", "gradient in the true logit")
    value = axes("probability of the true class", "loss")
    curves: list[tuple[str, Loss, int, Layout]] = [
        ("cross-entropy", LOSSES["cross_entropy"], 10, _REFERENCE_LINE)
    ]
    curves += [(name, losses[name], classes[name], style(i)) for i, name in enumerate(losses)]
    for name, loss, num_classes, look in curves:
        shape = loss_shape(loss, num_classes)
        for figure, y in ((gradient, shape.gradients), (value, shape.values)):
            hover = "%{y:.4f} at p = %{customdata:.4g}"
            line(figure, name, shape.logit, y, look, customdata=shape.p_y, hovertemplate=hover)
    for figure in (gradient, value):
        names = [f"{p:g}" for p in SHAPE_TICKS]
        figure.update_xaxes(tickvals=list(SHAPE_TICKS.values()), ticktext=names)
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
            surfaces.append((name, losses[name], drawn[name], colour(i), 0.95))
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
    axis: Layout = {"gridcolor": REFERENCE, "showbackground": False, "nticks": 5, "zeroline": False}
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
