"""A comparison as text: the lines of its table, and the table as the terminal shows it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from edl_jax.training.comparison import METRICS, Metric, Row, paired_difference

_FORMATS: dict[Metric, str] = {"test_accuracy": "{:.2%}", "nll": "{:.3f}", "ece": "{:.3f}"}


class Line(NamedTuple):
    """A line of the comparison: the runs' loss, their seed or ``"mean"``, and the figures' text."""

    loss: str
    seed: str
    cells: list[str]


def headings(rows: Sequence[Row]) -> list[str]:
    """The headings of the cells of :func:`lines`."""
    several = len({row["loss"] for row in rows}) > 1
    rate = ["learning rate"] if _rates_differ(rows) else []
    return [*rate, "accuracy", "NLL", "ECE", *(["accuracy vs. first"] if several else [])]


def _rates_differ(rows: Sequence[Row]) -> bool:
    return len({row["learning_rate"] for row in rows}) > 1


def lines(rows: Sequence[Row]) -> Iterator[Line]:
    """Each loss's runs, their mean, and the paired difference to the first loss."""
    names = list(dict.fromkeys(row["loss"] for row in rows))
    seeds = {row["seed"] for row in rows}
    shown = _rates_differ(rows)

    def rate(row: Row) -> list[str]:
        return [f"{row['learning_rate']:g}"] if shown else []

    for name in names:
        own = [row for row in rows if row["loss"] == name]
        for row in own:
            paired = [r for r in rows if r["seed"] == row["seed"]]
            yield Line(name, str(row["seed"]), rate(row) + _cells([row], paired, name, names[0]))
        if len(seeds) > 1:
            yield Line(name, "mean", rate(own[0]) + _cells(own, rows, name, names[0]))


def table(rows: Sequence[Row]) -> Table:
    """A rich table of :func:`lines`."""
    seeds = {row["seed"] for row in rows}
    title = "Test examples" + (f": mean over {len(seeds)} seeds" if len(seeds) > 1 else "")
    result = Table(title=title, title_justify="left")
    result.add_column("loss", overflow="fold")
    for heading in ("seed", *headings(rows)):
        result.add_column(heading, justify="right")
    for line in lines(rows):
        mean = line.seed == "mean"
        style = "bold" if mean else None
        result.add_row(Text(line.loss), line.seed, *line.cells, style=style, end_section=mean)
    return result


def _cells(own: Sequence[Row], rows: Sequence[Row], name: str, first: str) -> list[str]:
    cells = []
    for metric in METRICS:
        values = [value for row in own if (value := row[metric]) is not None]
        whole = len(values) == len(own)
        cells.append(_FORMATS[metric].format(np.mean(values)) if whole else "diverged")
    if len({row["loss"] for row in rows}) > 1:
        difference = paired_difference(rows, name, first)
        mean, interval = difference["mean"], difference["interval"]
        cell = "" if name == first or mean is None else f"{100 * mean:+.2f}"
        if cell and interval is not None:
            low, high = interval
            cell += f" [{100 * low:+.2f}, {100 * high:+.2f}]"
        cells.append(cell)
    return cells
