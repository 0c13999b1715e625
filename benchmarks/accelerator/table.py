"""The tables of ``accelerator``, made from its results file alone.

``python -m benchmarks.accelerator.table`` puts them into ``docs/accelerator.md``, between two
marks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common.pages import DOCS, markdown_table, with_blocks
from benchmarks.common.results_file import RESULTS, Row, committed

PAGE = DOCS / "accelerator.md"
NOTHING = "No accelerator has been measured yet, so there are no figures."


def blocks(content: dict[str, Any] | None) -> dict[str, str]:
    """The blocks of the page, by mark; ``content`` is None without a file."""
    return {"accelerator": NOTHING if content is None else markdown(content)}


def markdown(content: dict[str, Any]) -> str:
    """All tables of a results file, those of a device together."""
    about, rows = content["meta"]["environment"], content["rows"]
    versions = ", ".join(f"{name} {about[name]}" for name in ("jax", "flax", "evosax"))
    parts = []
    for device in dict.fromkeys(row["device"] for row in rows):
        own = [row for row in rows if row["device"] == device and "failed" not in row]
        if not own:
            continue
        commits = ", ".join(dict.fromkeys(str(row["commit"])[:7] for row in own))
        parts.append(
            f"Measured by `python -m benchmarks.accelerator` at commit {commits} with {versions} "
            f"on one **{device}**."
        )
        for make in (_peaks, _searches, _rehearsals, _losses, _steps, _runs):
            text = make(own)
            if text:
                parts.append(text)
    return "\n\n".join(parts)


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2g} %"


def _peaks(rows: Sequence[Row]) -> str:
    lines = []
    for row in _of(rows, "device"):
        rates = [row[name] / 1e12 for name in ("bfloat16", "float32", "float32_highest")]
        memory = "" if row["memory_bytes"] is None else f"{row['memory_bytes'] / 2**30:.0f}"
        lines.append(
            [*(f"{rate:.3g}" for rate in rates), f"{row['copied_bytes'] / 1e9:.0f}", memory]
        )
    headings = [
        "bfloat16 products, 10¹² flop/s",
        "float32, as JAX multiplies by default",
        "float32, highest precision",
        "copy, read and written, GB/s",
        "memory for JAX, GiB",
    ]
    return markdown_table(headings, lines) if lines else ""


def _searches(rows: Sequence[Row]) -> str:
    loops = {row["population_size"]: row for row in _of(rows, "evosax")}
    lines = []
    for row in sorted(_of(rows, "search"), key=lambda row: row["population_size"]):
        rate, loop = row["generations_per_second"], loops.get(row["population_size"])
        theirs = None if loop is None else loop["generations_per_second"]
        lines.append(
            [
                f"{row['population_size']:,}",
                f"{rate:,.3g}",
                "" if theirs is None else f"{theirs:,.3g}",
                "" if theirs is None else f"{rate / theirs:.3g}",
                f"{rate * row['population_size'] / 1e3:,.3g}",
                f"{max(0.0, row['compile_seconds']):.0f}",
                f"{row['buffer_bytes'] / 2**20:,.0f}",
                _percent(row["share_of_peak"]),
            ]
        )
    headings = [
        "population",
        "generations/s",
        "evosax's loop",
        "so many times as fast",
        "10³ candidates/s",
        "compilation, s",
        "buffers that XLA plans, MiB",
        "share of the float32 peak in matrix products",
    ]
    return markdown_table(headings, lines) if lines else ""


def _rehearsals(rows: Sequence[Row]) -> str:
    lines = [
        [
            f"{row['candidates']:,}",
            f"{row['seconds']:.3g}",
            f"{1e3 * row['seconds'] / row['candidates']:.3g}",
            f"{max(0.0, row['compile_seconds']):.0f}",
        ]
        for row in _of(rows, "rehearsal")
    ]
    headings = ["candidates rehearsed at once", "s", "ms a candidate", "compilation, s"]
    return markdown_table(headings, lines) if lines else ""


def _losses(rows: Sequence[Row]) -> str:
    own = _of(rows, "loss")
    names = list(dict.fromkeys(row["loss"] for row in own))
    lines = []
    for classes, batch in dict.fromkeys((row["num_classes"], row["batch_size"]) for row in own):
        times = {
            row["loss"]: f"{1e3 * row['milliseconds']:.3g}"
            for row in own
            if (row["num_classes"], row["batch_size"]) == (classes, batch)
        }
        lines.append([f"{classes:,}", f"{batch:,}", *(times.get(name, "") for name in names)])
    headings = ["classes", "batch", *(f"{name}, µs" for name in names)]
    return markdown_table(headings, lines) if lines else ""


def _steps(rows: Sequence[Row]) -> str:
    own, lines = _of(rows, "step"), []
    for row in own:
        plain = [
            other["milliseconds"]
            for other in own
            if (other["loss"], other["dtype"]) == ("cross_entropy", row["dtype"])
        ]
        lines.append(
            [
                f"{row['model']}, width {row['width']}, batch {row['batch_size']}",
                row["dtype"],
                row["loss"],
                f"{row['milliseconds']:.3g}",
                f"{row['milliseconds'] / plain[0]:.3f}" if plain else "",
                f"{row['images_per_second']:,.0f}",
                f"{max(0.0, row['compile_seconds']):.0f}",
                _percent(row["share_of_peak"]),
            ]
        )
    headings = [
        "network",
        "computes in",
        "loss",
        "ms a step",
        "relative to cross-entropy",
        "images/s",
        "compilation, s",
        "share of the peak",
    ]
    return markdown_table(headings, lines) if lines else ""


def _runs(rows: Sequence[Row]) -> str:
    lines = []
    every = _of(rows, "training")
    key = ("label_noise", "loss", "epochs")
    for noise, loss, epochs in dict.fromkeys(tuple(row[field] for field in key) for row in every):
        own = [row for row in every if tuple(row[field] for field in key) == (noise, loss, epochs)]
        given = 100 * np.mean([row["train_accuracy"] for row in own])
        lines.append(
            [
                f"{100 * noise:.0f} %",
                loss,
                f"{100 * np.mean([row['test_accuracy'] for row in own]):.2f}",
                f"{given:.2f}",
                f"{len(own)}",
                f"{epochs}",
                f"{own[0]['learning_rate']:g}",
                f"{np.median([row['epoch_seconds'] for row in own]):.2g}",
            ]
        )
    headings = [
        "labels replaced",
        "loss",
        "test accuracy, %",
        "accuracy on the given training labels, %",
        "seeds",
        "epochs",
        "learning rate",
        "s an epoch",
    ]
    return markdown_table(headings, lines) if lines else ""


def main() -> None:
    """Make the page from the committed results."""
    there = (RESULTS / "accelerator.json").exists()
    content = committed("accelerator") if there else None
    PAGE.write_text(with_blocks(PAGE.read_text(), blocks(content)))


if __name__ == "__main__":
    main()
