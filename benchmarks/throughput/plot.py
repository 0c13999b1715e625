"""The picture of ``throughput``: how time and memory of a generation grow."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.common.results_file import Row
from edl_jax import plots

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


def draw(rows: Sequence[Row], path: Path) -> None:
    """Time and memory against each size, on logarithmic axes."""
    axes_here = [axis for axis in AXES if any(row["axis"] == axis for row in rows)]
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(2.9 * len(axes_here), 5))
        panels = figure.subplots(2, len(axes_here), squeeze=False, sharey="row")
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
