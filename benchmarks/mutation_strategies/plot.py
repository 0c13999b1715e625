"""The pictures of ``mutation_strategies``: ratios to Gaussian mutation, and runs at the target."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.mutation_strategies.summary import Line, is_control, shortened
from edl_jax import plots


def draw_intervals(
    lines: Sequence[Line], path: Path, relative_to: str = "Gaussian mutation"
) -> None:
    """Ratio of generations to target, a panel for each problem."""
    problems = list(dict.fromkeys(line["problem"] for line in lines if "ratio" in line))
    columns = min(4, len(problems))
    counts = [sum(line["problem"] == p for line in lines) for p in problems]
    heights = [max(counts[i : i + columns]) + 6 for i in range(0, len(counts), columns)]
    every_bound = [bound for line in lines if "ratio" in line for bound in line["ratio_interval"]]
    left, right = min(0.4, *every_bound), max(5.0, *every_bound)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(3.6 * columns, 0.17 * sum(heights)))
        axes = figure.subplots(len(heights), columns, height_ratios=heights, squeeze=False)
        for axis in axes.flat[len(problems) :]:
            axis.axis("off")
        for axis, problem in zip(axes.flat, problems, strict=False):
            members = [x for x in lines if x["problem"] == problem and "ratio" in x]
            places = np.arange(len(members))
            bounds = np.array([x["ratio_interval"] for x in members]).T
            colors = ["0.6" if is_control(x["name"]) else "tab:blue" for x in members]
            axis.hlines(places, *bounds, colors=colors)
            axis.scatter([x["ratio"] for x in members], places, c=colors, s=12, zorder=3)
            axis.axvline(1.0, color="0.35", linestyle="--", linewidth=1)
            axis.set_xscale("log")
            axis.set_xlim(left, right)
            axis.set_xticks([x for x in 2.0 ** np.arange(-8, 9) if left <= x <= right])
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_yticks(places, [x["name"] for x in members], fontsize=7)
            axis.invert_yaxis()
            axis.set_title(problem, fontsize=9)
        figure.supxlabel(f"generations to target, relative to {relative_to}", fontsize=9)
        plots.save(figure, path)


def draw_ecdf(lines: Sequence[Line], path: Path) -> None:
    """Share of runs that reached the target by a generation: Gaussian, direction, the best."""
    lines = shortened(lines)
    problems = list(dict.fromkeys(line["problem"] for line in lines))
    columns = min(4, len(problems))
    rows = -(-len(problems) // columns)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(3.2 * columns, 2.5 * rows))
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis in axes.flat[len(problems) :]:
            axis.axis("off")
        for axis, problem in zip(axes.flat, problems, strict=False):
            for line in (x for x in lines if x["problem"] == problem):
                times = sorted(g for g in line["reached"] if g is not None)
                shares = np.arange(1, len(times) + 1) / len(line["reached"])
                end = line["num_generations"]
                last = shares[-1] if times else 0.0
                axis.step([0, *times, end], [0, *shares, last], where="post", label=line["name"])
            axis.set_title(problem, fontsize=9)
            axis.set_ylim(0, 1.02)
            axis.legend(fontsize=6)
        figure.supxlabel("generation", fontsize=9)
        figure.supylabel("share of runs at the target", fontsize=9)
        plots.save(figure, path)
