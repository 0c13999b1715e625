"""The pictures of ``transfer_losses``: accuracy over label noise, and every loss's difference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.transfer_losses.summary import (
    REFERENCE,
    Line,
    by_cell,
    by_problem,
    most_compared,
    noise_name,
)
from edl_jax import plots
from edl_jax.losses.artifact import NAMES
from edl_jax.losses.handmade import LOSSES

Style = dict[str, Any]

HIGHLIGHTED: dict[str, Style] = {
    REFERENCE: {"color": "black", "linestyle": "--"},
    "edl-base": {"color": "tab:blue"},
    "edl-robust": {"color": "tab:orange"},
    "edl-robust-1": {"color": "tab:orange", "linestyle": ":"},
}
OTHER: Style = {"color": "0.75", "linewidth": 1, "markersize": 3, "zorder": 1}
PROTOCOLS = {"unaware": "rate chosen on clean labels", "aware": "rate chosen for the noise"}


def draw_noise(lines: Sequence[Line], path: Path) -> None:
    """Draw the MLP's test accuracy over label noise, a panel for each protocol.

    Hand-made losses are grey. Asymmetric noise has a place of its own at the right.
    """
    members = most_compared(lines)
    rates = sorted({x["label_noise"] for x in members if x["noise_kind"] == "symmetric"})
    asymmetric = sorted({x["label_noise"] for x in members if x["noise_kind"] != "symmetric"})
    names = [f"{100 * r:g} %" for r in rates] + [f"{100 * r:g} %\nasymmetric" for r in asymmetric]
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(9, 3.8))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (protocol, title) in zip(axes, PROTOCOLS.items(), strict=True):
            shown = [x for x in members if not x["label_noise"] or x["protocol"] == protocol]
            for name in dict.fromkeys((*LOSSES, *HIGHLIGHTED)):
                own = [line for line in shown if line["loss"] == name]
                if own:
                    _over_noise(axis, own, rates, asymmetric, HIGHLIGHTED.get(name, OTHER))
            axis.set_xticks(range(len(names)), names)
            axis.set(title=title, xlabel="label noise")
        for name, style in HIGHLIGHTED.items():
            axes[0].plot([], [], label=name.replace("_", "-"), marker="o", markersize=4, **style)
        axes[0].plot([], [], label="hand-made", marker="o", **OTHER)
        axes[0].legend(loc="lower left", fontsize=9)
        axes[0].set_ylabel("test accuracy (%)")
        plots.save(figure, path)


def _over_noise(
    axis: Axes, lines: Sequence[Line], rates: list[float], asymmetric: list[float], style: Style
) -> None:
    places: dict[str, dict[int, float]] = {"symmetric": {}, "asymmetric": {}}
    for line in lines:
        kind, rate = line["noise_kind"], line["label_noise"]
        x = rates.index(rate) if kind == "symmetric" else len(rates) + asymmetric.index(rate)
        places[kind][x] = 100 * line["test_accuracy"]
    for points in places.values():
        xs = sorted(points)
        axis.plot(xs, [points[x] for x in xs], marker="o", **{"markersize": 4, **style})


def draw_differences(lines: Sequence[Line], path: Path) -> None:
    """Draw the differences to cross-entropy: a row for each label noise, a column a protocol."""
    rows: dict[tuple[str, str], dict[str, list[Line]]] = {}
    for problem, members in by_problem(lines):
        for cell in by_cell(members):
            shown = [x for x in cell if x["interval"] is not None and x["loss"] != REFERENCE]
            if shown:
                protocol = cell[0]["protocol"] if cell[0]["label_noise"] else "unaware"
                rows.setdefault((problem, noise_name(cell[0])), {})[protocol] = shown
    tallest = [max(map(len, panels.values())) for panels in rows.values()]
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(8.5, 1.1 * len(rows) + 0.19 * sum(tallest)))
        heights = [size + 1 for size in tallest]
        axes = figure.subplots(len(rows), 2, height_ratios=heights, squeeze=False)
        previous = ""
        for pair, ((problem, noise), panels) in zip(axes, rows.items(), strict=True):
            for axis, protocol in zip(pair, PROTOCOLS, strict=True):
                if protocol in panels:
                    _panel(axis, panels[protocol])
                    noisy = panels[protocol][0]["label_noise"]
                    axis.set_title(PROTOCOLS[protocol] if noisy else "", fontsize=9, loc="right")
                else:
                    axis.axis("off")
            heading = "" if problem == previous else f"{problem}\n\n"
            pair[0].set_title(f"{heading}label noise {noise}", fontsize=9, loc="left")
            previous = problem
        figure.supxlabel("points of test accuracy above cross-entropy (asinh scale)", fontsize=9)
        plots.save(figure, path)


def _panel(axis: Axes, members: Sequence[Line]) -> None:
    means = np.array([line["difference"] for line in members])
    bounds = np.array([line["interval"] for line in members]).T
    colors = ["tab:blue" if line["loss"] in NAMES else "0.5" for line in members]
    places = np.arange(len(members))
    axis.hlines(places, bounds[0], bounds[1], colors=colors)
    axis.scatter(means, places, c=colors, s=14, zorder=3)
    axis.axvline(0, color="0.35", linestyle="--", linewidth=1)
    # A loss that fails altogether is tens of points away from those that are compared.
    axis.set_xscale("asinh", linear_width=1.0)
    ends = np.arcsinh([min(bounds.min(), 0), max(bounds.max(), 0)])
    low, high = np.sinh(ends + 0.06 * np.ptp(ends) * np.array([-1, 1]))
    steps = (-80, -30, -10, -3, -1, 0, 1, 3, 10, 20)
    axis.set_xticks([x for x in steps if low <= x <= high])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlim(low, high)
    axis.set_yticks(places, [line["loss"] for line in members], fontsize=8)
    axis.set_ylim(-0.7, len(members) - 0.3)
    axis.tick_params(axis="x", labelsize=7)
    axis.invert_yaxis()
