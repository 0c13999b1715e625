"""The picture of ``chaos``: each map's values against its law, and its autocorrelation."""

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.chaos.cells import LAGS, PICTURE_BINS
from benchmarks.common.results_file import Row
from edl_jax import plots
from edl_jax.chaos.maps import MAPS


def draw(rows: Sequence[Row], path: Path) -> None:
    """A row of two panels for each map: its values against the law, its autocorrelation."""
    columns = 3
    height = -(-len(rows) // columns)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(12, 2.1 * height))
        axes = figure.subplots(height, 2 * columns, width_ratios=[3, 2] * columns)
        panels = axes.reshape(-1, 2)
        for row, (left, right) in zip(rows, panels, strict=False):
            edges = np.linspace(0, 1, PICTURE_BINS + 1)
            share = np.array(row["histogram"]) / np.sum(row["histogram"]) * PICTURE_BINS
            cdf = np.asarray(MAPS[row["map"]].law.cdf(jnp.asarray(edges, jnp.float32)), float)
            left.stairs(share, edges, fill=True, color="tab:blue", alpha=0.45)
            left.stairs(np.diff(cdf) * PICTURE_BINS, edges, color="0.2", linewidth=1)
            left.set_title(row["map"], fontsize=9)
            left.set_ylim(0, 6)
            right.bar(range(1, LAGS + 1), row["autocorrelation"], color="tab:blue", width=0.6)
            right.axhline(0, color="0.2", linewidth=1)
            right.set_ylim(-1, 1)
            for axis in (left, right):
                axis.tick_params(labelsize=7)
        for axis in panels[len(rows) :].ravel():
            axis.set_axis_off()
        for left, right in panels[-columns:]:
            left.set_xlabel("value", fontsize=8)
            right.set_xlabel("lag", fontsize=8)
        figure.suptitle("Densities (blue: orbits, line: law) and autocorrelations", fontsize=10)
        plots.save(figure, path)
