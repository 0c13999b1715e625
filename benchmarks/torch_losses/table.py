"""The table of ``torch_losses``, between its marks in ``docs/speed.md``.

python -m benchmarks.torch_losses.table
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common.comparisons import paired_ratios, source
from benchmarks.common.pages import DOCS, between_marks, markdown_table
from benchmarks.common.results_file import Row, committed
from edl_jax.statistics import bootstrap_interval

PAGE = DOCS / "speed.md"


def markdown(rows: Sequence[Row]) -> str:
    """Microseconds of each loss at each number of classes, relative to cross-entropy."""
    lines = []
    for classes, loss in dict.fromkeys((row["num_classes"], row["loss"]) for row in rows):
        members = [row for row in rows if row["num_classes"] == classes]
        times = [row["microseconds"] for row in members if row["loss"] == loss]
        other = "cross_entropy, compiled" if loss.endswith(", compiled") else "cross_entropy"
        compared = ""
        if loss != other:
            ratios = paired_ratios(members, {"loss": loss}, {"loss": other}, "microseconds")
            low, high = bootstrap_interval(ratios, statistic=np.median)
            compared = f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]"
        lines.append([f"{classes:,}", loss, f"{np.median(times):,.0f}", compared, f"{len(times)}"])
    headings = ["classes", "loss", "µs", "relative to cross-entropy, made alike", "repeats"]
    return markdown_table(headings, lines)


def block(content: dict[str, Any]) -> str:
    """The table, under a line that says what made it."""
    return source(content, "torch_losses") + "\n\n" + markdown(content["rows"])


def main() -> None:
    """Write the table of the committed results into the page."""
    PAGE.write_text(
        between_marks(PAGE.read_text(), "torch_losses", block(committed("torch_losses")))
    )


if __name__ == "__main__":
    main()
