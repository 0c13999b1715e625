"""Runs of several losses side by side: paired differences, a table, learning curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edl_jax.statistics import bootstrap_interval

Row = Mapping[str, Any]
"""One run: ``loss``, ``seed``, ``test_accuracy``, ``nll``, ``ece``; ``None`` is not finite."""

MIN_SEEDS = 3


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
