"""The pictures that the command lines draw: PNG files, without pyplot and its global state."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edl_jax.errors import EdlError
from edl_jax.files import atomic_write
from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.properties import SHAPE_TICKS
from edl_jax.objective.properties import loss_shape as shape_of
from edl_jax.runs.curves import search_curve, seed_curves, short_names
from edl_jax.runs.history import Row

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType


class LineStyle(TypedDict, total=False):
    """How a line is drawn, as ``Axes.plot`` takes it."""

    color: str
    linestyle: str
    label: str


STYLE: "dict[RcKeyType, Any]" = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
"""Settings for ``matplotlib.rc_context``, where a figure is made, drawn on and saved."""
REFERENCE: LineStyle = {"color": "0.35", "linestyle": "--", "label": "cross-entropy"}
DASHES = ("-", "--", "-.", ":")


def save(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as PNG, atomically.

    Raises:
      EdlError: ``path`` cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight")
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def convergence(history: Iterable[Row], path: str | Path) -> None:
    """Draw fitness and held-out discordance over the generations.

    Args:
      history: rows as in ``metrics.jsonl`` of a pretrain run.
      path: the PNG file.
    """
    history = list(history)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4))
        left, right = figure.subplots(1, 2)
        for name, label in (("mean_fitness", "population mean"), ("best_fitness", "best")):
            generations, values = search_curve(history, name)
            left.plot(generations, values, label=label, linewidth=1)
        # That of a rehearsing search is below 0 where its losses are ahead of cross-entropy.
        scale = "log" if left.dataLim.ymin > 0 else "linear"
        left.set(xlabel="generation", ylabel="fitness (soft)", yscale=scale)
        left.legend()
        generations, percent = search_curve(history, "held_out_discordance", factor=100)
        percent = np.maximum(percent, 1e-3)
        right.plot(generations, percent, marker="o", markersize=3, color="tab:green")
        right.set(xlabel="generation", ylabel="held-out discordant pairs (%)", yscale="log")
        right.set_xlim(left.get_xlim())
        save(figure, path)


def _shown(name: str) -> str:
    """Text shown as ``name``: no dollar begins a formula, no underscore hides it."""
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def loss_shape(losses: Mapping[str, Loss], path: str | Path, num_classes: int = 10) -> None:
    """Draw each loss, and its gradient in the true logit, beside cross-entropy's.

    Args:
      losses: unreduced losses by the name that the legend shows.
      path: the PNG file.
      num_classes: classes that share 1 - p_y equally.
    """
    styles: list[tuple[Loss, LineStyle]] = [(LOSSES["cross_entropy"], REFERENCE)]
    others = {name: loss for name, loss in losses.items() if name != "cross_entropy"}
    styles += [(loss, {"label": _shown(name)}) for name, loss in others.items()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4))
        left, right = figure.subplots(1, 2)
        for loss, style in styles:
            shape = shape_of(loss, num_classes)
            left.plot(shape.logit, shape.values, **style)
            right.plot(shape.logit, shape.gradients, **style)
        labels = [f"{p:g}" if p >= 0.01 else f"$10^{{{math.log10(p):.0f}}}$" for p in SHAPE_TICKS]
        for axes in (left, right):
            axes.set_xticks(list(SHAPE_TICKS.values()), labels, fontsize=8)
            axes.set_xlabel("probability of the true class")
        left.set_ylabel("loss, less its value at the right end")
        right.set_ylabel("gradient in the true logit")
        right.axhline(0.0, color="0.7", linewidth=0.8)
        right.legend()
        save(figure, path)


def simplex(losses: Mapping[str, Loss], path: str | Path) -> None:
    """Draw each loss of three classes over the simplex, for the class at the lower left.

    Args:
      losses: unreduced losses by the title that they get; one that refuses three classes (a
        concat loss evolved for another number) is drawn empty and says so.
      path: the PNG file.
    """
    steps = 60
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    p = (jnp.array(grid, jnp.float32) + 0.02) / (steps + 0.06)
    x, y = p[:, 1] + 0.5 * p[:, 2], p[:, 2] * 3**0.5 / 2
    columns = min(3, len(losses))
    rows = -(-len(losses) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * columns, 2.9 * rows))
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, (name, loss) in zip(axes.flat, losses.items(), strict=False):
            axis.set_title(_shown(name), fontsize=12)
            axis.set_aspect("equal")
            try:
                values = jax.jit(loss)(jnp.log(p), jnp.zeros(len(p), jnp.int32))
            except EdlError:
                axis.text(0.5, 0.5, "not for\n3 classes", ha="center", transform=axis.transAxes)
                continue
            contours = axis.tricontourf(x, y, values - values.min(), levels=16, cmap="viridis")
            axis.plot([0, 1, 0.5, 0], [0, 0, 3**0.5 / 2, 0], color="0.3", linewidth=0.8)
            axis.text(-0.03, -0.04, "true class", fontsize=10, va="top")
            figure.colorbar(contours, ax=axis, shrink=0.7).ax.tick_params(labelsize=9)
        save(figure, path)


def learning_curves(history: Sequence[Row], path: str | Path) -> None:
    """Draw training and test accuracy over the epochs: seeds thin, their mean thick.

    Args:
      history: rows with ``loss``, ``seed``, ``epoch``, ``train_accuracy`` and, where the test
        images were looked at, ``test_accuracy``.
      path: the PNG file.
    """
    names = list(dict.fromkeys(row["loss"] for row in history))
    shown = [_shown(name) for name in short_names(names, 32)]
    panels = (
        ("train_accuracy", "accuracy on the training labels (%)"),
        ("test_accuracy", "test accuracy (%)"),
    )
    last_epoch = max(row["epoch"] for row in history)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6))
        axes = figure.subplots(1, 2)
        for axis, (metric, label) in zip(axes, panels, strict=True):
            for i, name in enumerate(names):
                seeds = list(dict.fromkeys(row["seed"] for row in history if row["loss"] == name))
                curves = seed_curves(history, name, seeds, metric, factor=100)
                axis.plot(*curves, color=f"C{i}", lw=0.7, alpha=0.5)
                epochs, values = curves.complete()
                # Markers keep a single epoch visible, dashes a curve under another one.
                axis.plot(
                    epochs,
                    values.mean(axis=1),
                    label=shown[i],
                    color=f"C{i}",
                    linestyle=DASHES[i % len(DASHES)],
                    marker="o" if len(epochs) <= 30 else None,
                    markersize=3,
                )
            axis.set(xlabel="epoch", ylabel=label, xlim=(0.5, last_epoch + 0.5))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        handles, labels = axes[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(names), 4))
        save(figure, path)
