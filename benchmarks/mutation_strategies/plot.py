"""The pictures of ``mutation_strategies``: ratios to Gaussian mutation, and runs at the target."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.mutation_strategies.summary import Line, shortened
from edl_jax import plots


def draw_intervals(
    lines: Sequence[Line], path: Path, relative_to: str = "Gaussian mutation"
) -> None:
    """Ratio of generations to target: a panel a problem, a row an operator, in two colours.

    Beside chaos in its order stand independent draws of the same law. Operators that few problems
    have are in the tables alone. All panels share both axes.
    """
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        if "ratio" in line:
            found.setdefault(line["problem"], {})[line["name"]] = line
    counts = Counter(name for of in found.values() for name in of)
    most = len(found) // 2
    names = [name for name in counts if counts[name] > most and not _is_draw(name)]
    names += ["gradient"] if "gradient" in counts and "gradient" not in names else []
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    bounds = [x for of in found.values() for line in of.values() for x in line["ratio_interval"]]
    left, right = min(0.4, *bounds), max(5.0, *bounds)
    with matplotlib.rc_context(plots.STYLE | {"font.size": 11}):
        size = 2.2 * columns + 2.6, rows * (0.3 * len(names) + 0.8)
        figure = Figure(figsize=size)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(found) :]:
            axis.axis("off")
        for axis, (problem, of) in zip(axes.flat, found.items(), strict=False):
            axis.axvline(1.0, color="0.35", linestyle="--", linewidth=1)
            for place, name in enumerate(names):
                for other, shift, color in ((name, -0.15, "tab:blue"), (_draw(name), 0.15, "0.6")):
                    if other in of:
                        line, y = of[other], place + shift
                        axis.hlines(y, *line["ratio_interval"], colors=color, linewidth=2)
                        axis.scatter(line["ratio"], y, color=color, s=18, zorder=3)
            axis.set_xscale("log")
            axis.set_xlim(left, right)
            axis.set_xticks([x for x in 2.0 ** np.arange(-8, 9, 2) if left <= x <= right])
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_yticks(range(len(names)), names, fontsize=10)
            axis.set_title(problem, fontsize=11)
        axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
        figure.supxlabel(
            f"generations to target, relative to {relative_to}\n"
            "blue: the orbit (or no chaos at all: gradient); grey: independent draws of its law",
            fontsize=11,
        )
        plots.save(figure, path)


def _is_draw(name: str) -> bool:
    return any(part in ("iid", "shuffled") for part in name.split(", "))


def _draw(name: str) -> str:
    return f"{name}, iid"


def draw_ecdf(lines: Sequence[Line], path: Path) -> None:
    """Share of runs that reached the target by a generation: Gaussian, direction, the best."""
    lines = shortened(lines)
    problems = list(dict.fromkeys(line["problem"] for line in lines))
    columns = min(4, len(problems))
    rows = -(-len(problems) // columns)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(3.0 * columns, 2.7 * rows))
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
            axis.legend(fontsize=8)
        figure.supxlabel("generation", fontsize=9)
        figure.supylabel("share of runs at the target", fontsize=9)
        plots.save(figure, path)
