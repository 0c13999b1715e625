"""The tables of ``training_step``, made from its results file alone.

``python -m benchmarks.training_step.table`` puts them into ``docs/speed.md``, each between two
marks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common.comparisons import paired_ratios, source
from benchmarks.common.pages import DOCS, markdown_table, with_blocks
from benchmarks.common.results_file import Row, committed
from edl_jax.statistics import bootstrap_interval

REFERENCE = {"implementation": "edl_jax", "loss": "cross_entropy"}


def blocks(content: dict[str, Any]) -> dict[str, str]:
    """The blocks of ``docs/speed.md``, by mark."""
    return {
        "training_step": source(content, "training_step") + "\n\n" + steps(content["rows"]),
        "bare_losses": bare_losses(content["bare_losses"]),
        "step_parts": parts(content),
    }


def markdown(content: dict[str, Any]) -> str:
    """All tables of a results file, to be printed."""
    return "\n\n".join(
        (steps(content["rows"]), bare_losses(content["bare_losses"]), parts(content))
    )


def _compared(rows: Sequence[Row], one: Row, other: Row, quantity: str) -> str:
    """The median ratio within a repeat, with its interval; nothing where the two are one."""
    ratios = paired_ratios(rows, one, other, quantity)
    if one == other or not len(ratios):
        return ""
    low, high = bootstrap_interval(ratios, statistic=np.median)
    return f"{np.median(ratios):.3f} [{low:.3f}, {high:.3f}]"


def steps(rows: Sequence[Row]) -> str:
    """Images a second with each network, implementation and loss, relative to cross-entropy."""
    lines = []
    key = ("model", "width", "implementation", "loss")
    for model, width, implementation, loss in dict.fromkeys(tuple(r[f] for f in key) for r in rows):
        members = [row for row in rows if (row["model"], row["width"]) == (model, width)]
        own = {"implementation": implementation, "loss": loss}
        rates = [row["images_per_second"] for row in members if own.items() <= row.items()]
        lines.append(
            [
                f"{model}, width {width}",
                f"`{implementation}`",
                loss,
                f"{np.median(rates):,.0f}",
                _compared(members, own, REFERENCE, "seconds_per_step"),
                f"{len(rates)}",
            ]
        )
    headings = [
        "network",
        "implementation",
        "loss",
        "images/s",
        "time of a step, relative to `edl_jax` with cross-entropy",
        "repeats",
    ]
    return markdown_table(headings, lines)


def bare_losses(rows: Sequence[Row]) -> str:
    """Microseconds of each loss alone at each number of classes, relative to cross-entropy."""
    lines = []
    for classes, loss in dict.fromkeys((row["num_classes"], row["loss"]) for row in rows):
        members = [row for row in rows if row["num_classes"] == classes]
        times = [row["microseconds"] for row in members if row["loss"] == loss]
        compared = _compared(members, {"loss": loss}, {"loss": "cross_entropy"}, "microseconds")
        lines.append([f"{classes:,}", loss, f"{np.median(times):,.0f}", compared, f"{len(times)}"])
    return markdown_table(["classes", "loss", "µs", "relative to cross-entropy", "repeats"], lines)


def parts(content: dict[str, Any]) -> str:
    """Convolutions of a step, in both implementations, and the step under XLA's options."""
    rows, variants = content.get("convolutions", []), content.get("variants", [])
    names = list(dict.fromkeys(row["implementation"] for row in rows))
    shape = ("size", "inputs", "outputs", "stride", "times")
    lines, totals = [], np.zeros(2 * len(names))
    for key in dict.fromkeys(tuple(row[f] for f in shape) for row in rows):
        size, inputs, outputs, stride, number = key
        own = [row for row in rows if tuple(row[f] for f in shape) == key]
        times = [1e3 * row[f"{of}_seconds"] for row in own for of in ("value", "gradient")]
        totals += number * np.array(times)
        what = f"{size} × {size}, {inputs} to {outputs}, stride {stride}"
        lines.append([what, f"{number}", *(f"{time:.2f}" for time in times)])
    lines.append(["all of a step", "", *(f"{time:.1f}" for time in totals)])
    columns = [f"`{name}`, {of}, ms" for name in names for of in ("value", "gradients")]
    tried = [[row["variant"], f"{1e3 * row['seconds_per_step']:.0f}"] for row in variants]
    tables = [markdown_table(["convolution", "times", *columns], lines)] if rows else []
    tables += [markdown_table(["the whole step", "ms"], tried)] if tried else []
    return "\n\n".join(tables)


def main() -> None:
    """Make tables and pictures from the committed results."""
    page = DOCS / "speed.md"
    page.write_text(with_blocks(page.read_text(), blocks(committed("training_step"))))


if __name__ == "__main__":
    main()
