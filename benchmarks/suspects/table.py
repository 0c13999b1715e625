"""The table of ``suspects``, between its marks on the page about suspect labels.

python -m benchmarks.suspects.table
"""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.common.pages import DOCS, between_marks, markdown_table
from benchmarks.common.results_file import Row, committed
from benchmarks.suspects.config import NOISE, RATES
from edl_jax.statistics import bootstrap_interval

METHODS = {"edl_jax": "edl_jax", "cleanlab": "cleanlab", "edl_jax_as_many": "edl_jax, as many"}
PAGE = DOCS / "suspects.md"
HEADINGS = ("loss", "label noise", "labels wrong (%)", "method", "suspect (%)", "precision",
            "recall", "F1", "F1 − cleanlab's")  # fmt: skip


def lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    """A line a loss, level of noise and method: means over the seeds."""
    for loss in RATES:
        for noise in NOISE:
            own = [row for row in rows if (row["loss"], row["noise"]) == (loss, noise)]
            if not own:
                continue
            for i, (method, title) in enumerate(METHODS.items()):
                first = [f"`{loss}`", noise, f"{100 * _mean(row['wrong'] for row in own):.1f}"]
                found = [row[method] for row in own]
                shares = [_percent(found, name) for name in ("suspect", "precision", "recall")]
                yield [*(first if i == 0 else ["", "", ""]), title, *shares,
                       _percent(found, "f1"), _difference(own, method)]  # fmt: skip


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _percent(found: Sequence[Row], name: str) -> str:
    values = [of[name] for of in found]
    return "" if None in values else f"{100 * np.mean(values):.1f}"


def _difference(rows: Sequence[Row], method: str) -> str:
    pairs = [(row[method]["f1"], row["cleanlab"]["f1"]) for row in rows]
    if method == "cleanlab" or any(None in pair for pair in pairs):
        return ""
    differences = 100 * np.array([ours - theirs for ours, theirs in pairs])
    low, high = bootstrap_interval(differences)
    return f"{differences.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    return markdown_table(HEADINGS, lines(rows))


def main() -> None:
    """Write the table of the committed results into the page."""
    table = markdown(committed("suspects")["rows"])
    PAGE.write_text(between_marks(PAGE.read_text(), "suspects", table))


if __name__ == "__main__":
    main()
