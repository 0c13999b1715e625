"""The tables of ``throughput``, made from its results file alone.

``python -m benchmarks.throughput.table`` puts them into ``docs/speed.md``, each between two marks,
and draws ``docs/speed.png``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common.comparisons import paired_ratios, source
from benchmarks.common.pages import DOCS, markdown_table, with_blocks
from benchmarks.common.results_file import Row, committed
from benchmarks.throughput.plot import AXES, QUANTITIES, draw


def blocks(content: dict[str, Any]) -> dict[str, str]:
    """The blocks of ``docs/speed.md``, by mark."""
    return {
        "throughput": source(content, "throughput") + "\n\n" + rates(content),
        "floor": floors(content["floor"]),
        "scaling": "![Time and memory of a generation](speed.png)\n\n" + scaling(content),
    }


def markdown(content: dict[str, Any]) -> str:
    """All tables of a results file, to be printed."""
    return "\n\n".join((rates(content), floors(content["floor"]), scaling(content)))


def rates(content: dict[str, Any]) -> str:
    """Generations a second of each implementation, and how many times as fast this one is."""
    lines = []
    for floor in content["floor"]:
        size = floor["population_size"]
        members = [row for row in content["rows"] if row["population_size"] == size]
        for name in dict.fromkeys(row["implementation"] for row in members):
            own = [row for row in members if row["implementation"] == name]
            compared = ""
            if name != "edl_jax":
                ratio = paired_ratios(
                    members,
                    {"implementation": "edl_jax"},
                    {"implementation": name},
                    "generations_per_second",
                )
                if len(ratio):
                    compared = f"{np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}]"
            median = np.median([row["generations_per_second"] for row in own])
            share = 100 * floor["share_reached"][name]
            lines.append(
                [
                    f"{size}",
                    f"`{name}`",
                    own[0]["strategy"],
                    f"{median:.3g}",
                    compared,
                    f"{share:.0f} %",
                    f"{len(own)}",
                ]
            )
    headings = [
        "population",
        "implementation",
        "strategy",
        "generations/s",
        "`edl_jax` is so many times as fast",
        "share of the floor reached",
        "repeats",
    ]
    return markdown_table(headings, lines)


def floors(rows: Sequence[Row]) -> str:
    """The least time of a generation's arithmetic, part by part."""
    lines = []
    for floor in rows:
        size = f"{floor['population_size']}"
        flops, peak = floor["matmul_flops"], floor["matmul_peak"]
        lines.append(
            [
                size,
                "matrix products",
                f"{flops / 1e9:.3g} · 10⁹ flop",
                f"{peak / 1e9:.0f} · 10⁹ flop/s",
                f"{1e3 * floor['matmul_seconds']:.3g}",
            ]
        )
        for name, count in floor["counts"].items():
            time = floor["nanoseconds"][name]
            lines.append(
                [
                    size,
                    f"`{name}`",
                    f"{count / 1e6:.3g} · 10⁶",
                    f"{time:.2g} ns each",
                    f"{1e-6 * time * count:.3g}",
                ]
            )
        lines.append([size, "the floor", "", "", f"{1e3 * floor['seconds']:.3g}"])
    at_width = ", ".join(
        f"{floor['matmul_rate_at_this_width'] / 1e9:.0f} at population {floor['population_size']}"
        for floor in rows
    )
    note = (
        f"A hidden layer's products alone, batched over the candidates at width "
        f"{rows[0]['width']}, run at so many 10⁹ flop/s: {at_width}."
    )
    headings = ["population", "part", "how much", "best rate", "ms"]
    return markdown_table(headings, lines) + "\n\n" + note


def scaling(content: dict[str, Any]) -> str:
    """Time and memory at each size, and the slopes that they come to."""
    lines = [
        [
            AXES[row["axis"]],
            f"{row[row['axis']]:,}",
            f"{1e3 * row['seconds']:.3g}",
            f"{1e3 * row['sampling_seconds']:.3g}",
            "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.3g}",
            f"{row['buffer_bytes'] / 2**20:.3g}",
        ]
        for row in content["scaling"]
    ]
    headings = [
        "what grows",
        "size",
        "ms a generation",
        "of it drawing the pairs, by itself",
        "peak memory, MiB",
        "buffers that XLA plans, MiB",
    ]
    slopes = [
        [
            AXES[row["axis"]],
            QUANTITIES[row["quantity"]],
            f"{row['slope']:.2f}",
            f"{row['last']:.2f}",
        ]
        for row in content["slopes"]
    ]
    of_slopes = ["what grows", "of", "log-log slope", "between the two largest"]
    return markdown_table(headings, lines) + "\n\n" + markdown_table(of_slopes, slopes)


def main() -> None:
    """Make tables and pictures from the committed results."""
    content, page = committed("throughput"), DOCS / "speed.md"
    page.write_text(with_blocks(page.read_text(), blocks(content)))
    draw(content["scaling"], DOCS / "speed.png")


if __name__ == "__main__":
    main()
