"""Runs of several losses side by side: paired differences, a table, learning curves."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from edl_jax import plots

Row = Mapping[str, Any]
"""One run: ``loss``, ``seed``, ``test_accuracy``, ``nll``, ``ece``; ``None`` is not finite."""

MIN_SEEDS = 3
DASHES = ("-", "--", "-.", ":")


def bootstrap_interval(
    values: Sequence[float], confidence: float = 0.95, num_resamples: int = 10_000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron and Tibshirani, 1993, chapter 13).

    Under about ten values it is too narrow; it then says how much they scatter, not more.

    Args:
      values: independent measurements, e.g. one paired difference a seed.
      confidence: share of the resampled means that lies inside.
      num_resamples: number of resamples; they are the same at every call.

    Returns:
      Lower and upper bound, in the unit of ``values``.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(len(sample), size=(num_resamples, len(sample)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(sample[drawn].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def paired_difference(
    rows: Sequence[Row], loss: str, reference: str, metric: str = "test_accuracy"
) -> dict[str, Any]:
    """Mean over seeds of a loss's metric minus that of the reference with the same seed.

    Args:
      rows: the runs of both losses, over the same seeds.
      loss: the loss that is compared.
      reference: the loss that it is compared with.
      metric: which figure.

    Returns:
      ``loss``, ``reference``, ``metric``, ``mean``, ``num_seeds`` and ``interval``, the 95 %
      bootstrap interval from :data:`MIN_SEEDS` seeds on, else ``None``. ``mean`` too is ``None``
      if a run's figure is.

    >>> rows = [
    ...     {"loss": "a", "seed": 0, "nll": 1.0},
    ...     {"loss": "b", "seed": 0, "nll": 1.5},
    ... ]
    >>> paired_difference(rows, "b", "a", "nll")["mean"]
    0.5
    """
    by_seed = {(row["loss"], row["seed"]): row[metric] for row in rows}
    pairs = [
        (value, by_seed[reference, seed]) for (name, seed), value in by_seed.items() if name == loss
    ]
    mean, interval = None, None
    if all(None not in pair for pair in pairs):
        differences = [value - other for value, other in pairs]
        mean = float(np.mean(differences))
        if len(pairs) >= MIN_SEEDS:
            interval = bootstrap_interval(differences)
    return {
        "loss": loss,
        "reference": reference,
        "metric": metric,
        "mean": mean,
        "interval": interval,
        "num_seeds": len(pairs),
    }


class Line(NamedTuple):
    """A line of the comparison: the runs' loss, their seed or ``"mean"``, and the figures' text."""

    loss: str
    seed: str
    cells: list[str]


def headings(rows: Sequence[Row]) -> list[str]:
    """What the cells of :func:`lines` are."""
    several = len({row["loss"] for row in rows}) > 1
    return ["accuracy", "NLL", "ECE", *(["accuracy vs. first"] if several else [])]


def lines(rows: Sequence[Row]) -> Iterator[Line]:
    """Each loss's runs, their mean, and the paired difference to the first loss."""
    names = list(dict.fromkeys(row["loss"] for row in rows))
    seeds = {row["seed"] for row in rows}
    for name in names:
        own = [row for row in rows if row["loss"] == name]
        for row in own:
            paired = [r for r in rows if r["seed"] == row["seed"]]
            yield Line(name, str(row["seed"]), _cells([row], paired, name, names[0]))
        if len(seeds) > 1:
            yield Line(name, "mean", _cells(own, rows, name, names[0]))


def table(rows: Sequence[Row]) -> Any:
    """A rich table of :func:`lines`."""
    from rich.table import Table

    seeds = {row["seed"] for row in rows}
    title = "Test images" + (f": mean over {len(seeds)} seeds" if len(seeds) > 1 else "")
    result = Table(title=title, title_justify="left")
    result.add_column("loss", overflow="fold")
    for heading in ("seed", *headings(rows)):
        result.add_column(heading, justify="right")
    for line in lines(rows):
        mean = line.seed == "mean"
        style = "bold" if mean else None
        result.add_row(line.loss, line.seed, *line.cells, style=style, end_section=mean)
    return result


def _cells(own: Sequence[Row], rows: Sequence[Row], name: str, first: str) -> list[str]:
    formats = {"test_accuracy": "{:.2%}", "nll": "{:.3f}", "ece": "{:.3f}"}
    cells = []
    for metric, shape in formats.items():
        values = [row[metric] for row in own]
        cells.append("diverged" if None in values else shape.format(np.mean(values)))
    if len({row["loss"] for row in rows}) > 1:
        difference = paired_difference(rows, name, first)
        cell = "" if name == first else f"{100 * difference['mean']:+.2f}"
        if cell and difference["interval"] is not None:
            low, high = difference["interval"]
            cell += f" [{100 * low:+.2f}, {100 * high:+.2f}]"
        cells.append(cell)
    return cells


def learning_curves(history: Sequence[Row], path: str | Path) -> None:
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
    with plots.plt.rc_context(plots.STYLE):
        figure, axes = plots.plt.subplots(1, 2, figsize=(9, 3.6))
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
        plots.save(figure, path)


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else "…" + name[1 - longest :]
