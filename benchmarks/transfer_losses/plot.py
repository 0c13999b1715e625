"""The pictures of ``transfer_losses``: accuracy over label noise, and every loss's difference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.transfer_losses.summary import (
    REFERENCE,
    Line,
    by_cell,
    by_problem,
    most_compared,
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
_ORDER = (*NAMES, *(name for name in LOSSES if name not in (REFERENCE, "gate")))
COLUMNS = {
    "clean": "clean labels",
    "unaware": "noise, usual rate",
    "aware": "noise, rate chosen for it",
}
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
    """Draw the differences to cross-entropy: a row for each problem, a column a question.

    All panels share the scale of the differences, and those of a row the losses. Variants of
    edl-robust, and losses drawn or evolved on the spot, are in the tables alone.
    """
    rows: dict[tuple[str, bool], dict[str, list[Line]]] = {}
    for problem, members in by_problem(lines):
        for cell in by_cell(members):
            shown = [x for x in cell if x["interval"] is not None and x["loss"] in _ORDER]
            if shown:
                kind = shown[0]["noise_kind"] == "asymmetric"
                column = shown[0]["protocol"] if shown[0]["label_noise"] else "clean"
                rows.setdefault((problem, kind), {}).setdefault(column, []).extend(shown)
    names = [
        [name for name in _ORDER if any(x["loss"] == name for ls in row.values() for x in ls)]
        for row in rows.values()
    ]
    with matplotlib.rc_context(plots.STYLE | {"font.size": 11}):
        figure = Figure(figsize=(11, 1.2 * len(rows) + 0.26 * sum(map(len, names))))
        axes = figure.subplots(
            len(rows), 3, height_ratios=[len(x) + 1 for x in names], squeeze=False, sharex=True
        )
        for place, ((problem, other), panels) in enumerate(rows.items()):
            for column, axis in zip(COLUMNS, axes[place], strict=True):
                _panel(axis, panels.get(column, []), names[place], column == "clean")
                if place == 0:
                    axis.annotate(
                        COLUMNS[column],
                        (0.5, 1.0),
                        (0, 24),
                        xycoords="axes fraction",
                        textcoords="offset points",
                        ha="center",
                        fontweight="bold",
                    )
            title = problem + (", labels replaced by a fixed class" if other else "")
            axes[place][0].set_title(title, fontsize=10, loc="left")
        figure.supxlabel("points of test accuracy above cross-entropy (asinh scale)", fontsize=11)
        plots.save(figure, path)


def _panel(axis: Axes, members: Sequence[Line], names: Sequence[str], named: bool) -> None:
    axis.axvline(0, color="0.35", linestyle="--", linewidth=1)
    for line in members:
        y, color = names.index(line["loss"]), "tab:blue" if line["loss"] in NAMES else "0.5"
        low, high = line["interval"]
        axis.hlines(y, low, high, colors=color, linewidth=2)
        axis.scatter(line["difference"], y, color=color, s=24, zorder=3)
    # A loss that fails altogether is tens of points away from those that are compared.
    axis.set_xscale("asinh", linear_width=1.0)
    axis.set_xticks([-50, -10, -3, -1, 0, 1, 3, 10, 25])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlim(-60, 30)
    axis.set_yticks(range(len(names)), names if named else [""] * len(names), fontsize=10)
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.tick_params(axis="x", labelsize=9, labelbottom=True)
    axis.invert_yaxis()
