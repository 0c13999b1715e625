"""The pictures that the command lines draw."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from edl_jax.errors import EdlError
from edl_jax.files import atomic_write
from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.properties import loss_profile

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
REFERENCE: Any = {"color": "0.35", "linestyle": "--", "label": "cross-entropy"}


def save(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as PNG, atomically, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight")
    plt.close(figure)
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def convergence(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw fitness and held-out discordance over the generations.

    Args:
      history: rows as in ``metrics.jsonl`` of a pretrain run.
      path: the PNG file.
    """
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
        generations = [row["generation"] for row in history]
        for name, label in (("mean_fitness", "population mean"), ("best_fitness", "best")):
            values = [float("nan") if row[name] is None else row[name] for row in history]
            left.plot(generations, values, label=label, linewidth=1)
        left.set(xlabel="generation", ylabel="fitness (soft)", yscale="log")
        left.legend()
        measured = [row for row in history if "held_out_discordance" in row]
        right.plot(
            [row["generation"] for row in measured],
            [max(100 * row["held_out_discordance"], 1e-3) for row in measured],
            marker="o",
            markersize=3,
            color="tab:green",
        )
        right.set(xlabel="generation", ylabel="held-out discordant pairs (%)", yscale="log")
        right.set_xlim(left.get_xlim())
        save(figure, path)


def loss_shape(losses: Mapping[str, Loss], path: str | Path, num_classes: int = 10) -> None:
    """Draw each loss, and its gradient in the true logit, beside cross-entropy's.

    Args:
      losses: unreduced losses by the name that the legend shows.
      path: the PNG file.
      num_classes: classes that share 1 - p_y equally.
    """
    logit = jnp.linspace(-10.0, 8.0, 400)
    p_y = 1.0 / (1.0 + jnp.exp(-logit))
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
        styles: list[tuple[Loss, Any]] = [(LOSSES["cross_entropy"], REFERENCE)]
        styles += [
            (loss, {"label": name}) for name, loss in losses.items() if name != "cross_entropy"
        ]
        for loss, style in styles:
            values, gradients = loss_profile(loss, p_y, num_classes)
            left.plot(logit, values - values[-1], **style)
            right.plot(logit, gradients, **style)
        ticks = jnp.array([1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
        labels = ["$10^{-4}$", "$10^{-3}$", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999"]
        for axes in (left, right):
            axes.set_xticks(jnp.log(ticks / (1 - ticks)).tolist(), labels, fontsize=8)
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
    with plt.rc_context(STYLE):
        columns = min(4, len(losses))
        rows = -(-len(losses) // columns)
        figure, axes = plt.subplots(
            rows, columns, figsize=(2.7 * columns, 2.6 * rows), squeeze=False
        )
        for axis in axes.flat:
            axis.axis("off")
        for axis, (name, loss) in zip(axes.flat, losses.items(), strict=False):
            axis.set_title(name, fontsize=10)
            axis.set_aspect("equal")
            try:
                values = jax.jit(loss)(jnp.log(p), jnp.zeros(len(p), jnp.int32))
            except EdlError:
                axis.text(0.5, 0.5, "not for\n3 classes", ha="center", transform=axis.transAxes)
                continue
            contours = axis.tricontourf(x, y, values - values.min(), levels=16, cmap="viridis")
            axis.plot([0, 1, 0.5, 0], [0, 0, 3**0.5 / 2, 0], color="0.3", linewidth=0.8)
            axis.text(-0.03, -0.04, "true class", fontsize=7, va="top")
            figure.colorbar(contours, ax=axis, shrink=0.7).ax.tick_params(labelsize=7)
        save(figure, path)


DASHES = ("-", "--", "-.", ":")


def learning_curves(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw training and test accuracy over the epochs: seeds thin, their mean thick.

    Args:
      history: rows with ``loss``, ``seed``, ``epoch``, ``train_accuracy`` and, where the test
        images were looked at, ``test_accuracy``.
      path: the PNG file.
    """
    names = list(dict.fromkeys(row["loss"] for row in history))
    panels = (
        ("train_accuracy", "accuracy on the training labels (%)"),
        ("test_accuracy", "test accuracy (%)"),
    )
    last_epoch = max(row["epoch"] for row in history)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
        for axis, (metric, label) in zip(axes, panels, strict=True):
            for i, name in enumerate(names):
                rows = [row for row in history if row["loss"] == name and metric in row]
                by_seed: dict[int, dict[int, float]] = {}
                for row in rows:
                    by_seed.setdefault(row["seed"], {})[row["epoch"]] = 100 * row[metric]
                for curve in by_seed.values():
                    axis.plot(*zip(*curve.items(), strict=True), color=f"C{i}", lw=0.7, alpha=0.5)
                epochs = sorted({row["epoch"] for row in rows})
                means = [np.mean([c[e] for c in by_seed.values() if e in c]) for e in epochs]
                # Markers keep a single epoch visible, dashes a curve under another one.
                marker = "o" if len(epochs) <= 30 else None
                style: Any = {"color": f"C{i}", "linestyle": DASHES[i % len(DASHES)]}
                axis.plot(epochs, means, label=_short(name), marker=marker, markersize=3, **style)
            axis.set(xlabel="epoch", ylabel=label, xlim=(0.5, last_epoch + 0.5))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        handles, labels = axes[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(names), 4))
        save(figure, path)


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else "…" + name[1 - longest :]
