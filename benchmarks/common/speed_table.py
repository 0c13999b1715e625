"""The tables and the picture of ``throughput`` and ``training_step``, from their results files.

``python -m benchmarks.common.speed_table`` puts the tables into ``docs/speed.md``, each between two marks,
and draws ``docs/speed.png``. What has no results file yet stays as it is.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results_file import RESULTS, between_marks

ROOT = Path(__file__).parent.parent.parent
AXES = {
    "population_size": "population",
    "batch_size": "pairs",
    "width": "width",
    "num_classes": "classes",
}
QUANTITIES = {
    "seconds": "time of a generation",
    "peak_bytes": "peak memory",
    "sampling_seconds": "time of drawing the pairs",
}

Row = dict[str, Any]


def paired_ratios(rows: Sequence[Row], one: Row, other: Row, quantity: str) -> np.ndarray:
    """``quantity`` of the rows with the fields ``one`` over those with ``other``, by repeat."""

    def of(fields: Row) -> dict[int, float]:
        return {row["repeat"]: row[quantity] for row in rows if fields.items() <= row.items()}

    above, below = of(one), of(other)
    return np.array([above[repeat] / below[repeat] for repeat in sorted(above.keys() & below)])


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median (Efron and Tibshirani, 1993, chapter 13)."""
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(len(sample), size=(10_000, len(sample)))
    low, high = np.quantile(np.median(sample[drawn], axis=1), [0.025, 0.975])
    return float(low), float(high)


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def source(content: Row, module: str) -> str:
    """What a results file says of its own making."""
    about = content["meta"]
    versions = {**about["environment"], **about}
    named = ", ".join(
        f"{name} {versions[name]}"
        for name in ("jax", "evosax", "numpy", "torch", "evotorch")
        if name in versions
    )
    return (
        f"Measured by `python -m benchmarks.{module}` at commit {str(about['commit'])[:7]} with "
        f"{named} on {about['num_processors']} processors ({about['cpu']})."
    )


# --- throughput --------------------------------------------------------------------------------


def throughput_blocks(content: Row) -> dict[str, str]:
    """What stands between the marks of ``docs/speed.md`` of a throughput results file."""
    return {
        "throughput": source(content, "throughput") + "\n\n" + _rates(content),
        "floor": _floors(content["floor"]),
        "scaling": "![Time and memory of a generation](speed.png)\n\n" + _scaling(content),
    }


def throughput_text(content: Row) -> str:
    """The tables of a throughput results file, to be printed."""
    return "\n\n".join((_rates(content), _floors(content["floor"]), _scaling(content)))


def _rates(content: Row) -> str:
    rows, lines = content["rows"], []
    for floor in content["floor"]:
        size = floor["population_size"]
        members = [row for row in rows if row["population_size"] == size]
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
            rates = [row["generations_per_second"] for row in own]
            lines.append(
                [
                    f"{size}",
                    f"`{name}`",
                    own[0]["strategy"],
                    f"{np.median(rates):.3g}",
                    compared,
                    f"{100 * floor['share_reached'][name]:.0f} %",
                    f"{len(own)}",
                ]
            )
    headings = (
        "population",
        "implementation",
        "strategy",
        "generations/s",
        "`edl_jax` is so many times as fast",
        "share of the floor reached",
        "repeats",
    )
    return table(headings, lines)


def _floors(floors: Sequence[Row]) -> str:
    lines = []
    for floor in floors:
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
    rates = ", ".join(
        f"{floor['matmul_rate_at_this_width'] / 1e9:.0f} at population {floor['population_size']}"
        for floor in floors
    )
    note = (
        f"A hidden layer's products alone, batched over the candidates at width "
        f"{floors[0]['width']}, run at so many 10⁹ flop/s: {rates}."
    )
    return table(("population", "part", "how much", "best rate", "ms"), lines) + "\n\n" + note


def _scaling(content: Row) -> str:
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
    headings = (
        "what grows",
        "size",
        "ms a generation",
        "of it drawing the pairs, by itself",
        "peak memory, MiB",
        "buffers that XLA plans, MiB",
    )
    found = [
        [
            AXES[row["axis"]],
            QUANTITIES[row["quantity"]],
            f"{row['slope']:.2f}",
            f"{row['last']:.2f}",
        ]
        for row in content["slopes"]
    ]
    slopes = table(("what grows", "of", "log-log slope", "between the two largest"), found)
    return table(headings, lines) + "\n\n" + slopes


def draw(rows: Sequence[Row], path: Path) -> None:
    """Time and memory against each size, on logarithmic axes."""
    from matplotlib.ticker import LogLocator

    from edl_jax import plots

    axes_here = [axis for axis in AXES if any(row["axis"] == axis for row in rows)]
    with plots.plt.rc_context(plots.STYLE):
        figure, panels = plots.plt.subplots(
            2, len(axes_here), figsize=(2.9 * len(axes_here), 5), squeeze=False, sharey="row"
        )
        for axis, (above, below) in zip(axes_here, panels.T, strict=True):
            members = [row for row in rows if row["axis"] == axis]
            sizes = [row[axis] for row in members]
            for quantity, style in (("seconds", "o-"), ("sampling_seconds", "s--")):
                times = [1e3 * row[quantity] for row in members]
                above.loglog(sizes, times, style, markersize=4, label=QUANTITIES[quantity])
            for quantity, style in (("peak_bytes", "o-"), ("buffer_bytes", "s--")):
                known = [row for row in members if row[quantity]]
                below.loglog(
                    [row[axis] for row in known],
                    [row[quantity] / 2**20 for row in known],
                    style,
                    markersize=4,
                    label="measured" if quantity == "peak_bytes" else "planned by XLA",
                )
            for panel in (above, below):
                panel.minorticks_off()
                panel.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
            below.set_xlabel(AXES[axis])
        panels[0, 0].set_ylabel("ms")
        panels[1, 0].set_ylabel("peak memory, MiB")
        for panel in panels[:, 0]:
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter("{x:g}")
        for row_of_panels in panels:
            row_of_panels[0].legend(fontsize=7)
        plots.save(figure, path)


# --- training step -----------------------------------------------------------------------------


def training_blocks(content: Row) -> dict[str, str]:
    """What stands between the marks of ``docs/speed.md`` of a training_step results file."""
    return {
        "training_step": source(content, "training_step") + "\n\n" + _steps(content["rows"]),
        "bare_losses": _bare(content["bare_losses"]),
        "step_parts": _parts(content),
    }


def training_text(content: Row) -> str:
    """The tables of a training_step results file, to be printed."""
    blocks = _steps(content["rows"]), _bare(content["bare_losses"]), _parts(content)
    return "\n\n".join(blocks)


def _compared(rows: Sequence[Row], one: Row, other: Row, quantity: str) -> str:
    ratios = paired_ratios(rows, one, other, quantity)
    if not len(ratios):
        return ""
    low, high = median_interval(ratios)
    return f"{np.median(ratios):.3f} [{low:.3f}, {high:.3f}]"


def _steps(rows: Sequence[Row]) -> str:
    lines = []
    key = ("model", "width", "implementation", "loss")
    for model, width, implementation, loss in dict.fromkeys(tuple(r[f] for f in key) for r in rows):
        members = [row for row in rows if (row["model"], row["width"]) == (model, width)]
        own = {"implementation": implementation, "loss": loss}
        reference = {"implementation": "edl_jax", "loss": "cross_entropy"}
        rates = [row["images_per_second"] for row in members if own.items() <= row.items()]
        compared = (
            "" if own == reference else _compared(members, own, reference, "seconds_per_step")
        )
        lines.append(
            [
                f"{model}, width {width}",
                f"`{implementation}`",
                loss,
                f"{np.median(rates):,.0f}",
                compared,
                f"{len(rates)}",
            ]
        )
    headings = (
        "network",
        "implementation",
        "loss",
        "images/s",
        "time of a step, relative to `edl_jax` with cross-entropy",
        "repeats",
    )
    return table(headings, lines)


def _bare(rows: Sequence[Row]) -> str:
    lines = []
    for classes, loss in dict.fromkeys((row["num_classes"], row["loss"]) for row in rows):
        members = [row for row in rows if row["num_classes"] == classes]
        times = [row["microseconds"] for row in members if row["loss"] == loss]
        own, reference = {"loss": loss}, {"loss": "cross_entropy"}
        compared = "" if own == reference else _compared(members, own, reference, "microseconds")
        lines.append([f"{classes:,}", loss, f"{np.median(times):,.0f}", compared, f"{len(times)}"])
    headings = ("classes", "loss", "µs", "relative to cross-entropy", "repeats")
    return table(headings, lines)


def _parts(content: Row) -> str:
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
    tables = [table(["convolution", "times", *columns], lines)] if rows else []
    return "\n\n".join([*tables, table(["the whole step", "ms"], tried)] if tried else tables)


# --- the page ----------------------------------------------------------------------------------

BLOCKS = {"throughput": throughput_blocks, "training_step": training_blocks}


def page(text: str, directory: Path = RESULTS) -> str:
    """The page ``text`` with the tables of the results files that are in ``directory``."""
    for name, blocks in BLOCKS.items():
        path = directory / f"{name}.json"
        if path.exists():
            for mark, block in blocks(json.loads(path.read_text())).items():
                text = between_marks(text, mark, block)
    return text


def main() -> None:
    """Make everything anew from the committed results."""
    speed = ROOT / "docs" / "speed.md"
    speed.write_text(page(speed.read_text()))
    path = RESULTS / "throughput.json"
    if path.exists():
        draw(json.loads(path.read_text())["scaling"], ROOT / "docs" / "speed.png")


if __name__ == "__main__":
    main()
