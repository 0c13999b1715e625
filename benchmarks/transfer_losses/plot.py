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
    by_problem,
    most_compared,
    noise_name,
    place,
    shortened,
)
from edl_jax import plots
from edl_jax.losses.handmade import LOSSES

Style = dict[str, Any]

HIGHLIGHTED: dict[str, Style] = {
    REFERENCE: {"color": "black", "linestyle": "--"},
    "edl-base": {"color": "tab:blue"},
    "edl-robust": {"color": "tab:orange"},
    "edl-robust-1": {"color": "tab:orange", "linestyle": ":"},
}
OTHER: Style = {"color": "0.75", "linewidth": 1, "markersize": 3, "zorder": 1}
POINTS: dict[str, Style] = {
    "edl-robust": {"color": "tab:orange"},
    "edl-base": {"color": "tab:blue", "marker": "s"},
    "best hand-made loss": {"color": "0.6", "marker": "D"},
}
PROTOCOLS = {"unaware": "rate chosen on clean labels", "aware": "rate chosen for the noise"}
_AT_THE_LEFT = ("axes fraction", "data")
_HEADING: Style = {
    "textcoords": "offset points",
    "fontsize": 9,
    "fontweight": "bold",
    "va": "center",
    "annotation_clip": False,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
}


def draw_noise(lines: Sequence[Line], path: Path) -> None:
    """Draw the MLP's test accuracy over label noise, a panel for each protocol.

    Hand-made losses are grey. Other kinds of noise have places of their own at the right.
    """
    members = most_compared(lines)
    levels = {place(x)[-3:-1]: x for x in members}
    names = []
    for key in sorted(levels):
        kind = levels[key]["noise_kind"]
        names.append(f"{100 * key[1]:g} %" + ("" if kind == "symmetric" else f"\n{kind}"))
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(9, 3.8))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (protocol, title) in zip(axes, PROTOCOLS.items(), strict=True):
            shown = [x for x in members if not x["label_noise"] or x["protocol"] == protocol]
            for name in dict.fromkeys((*LOSSES, *HIGHLIGHTED)):
                own = [line for line in shown if line["loss"] == name]
                if own:
                    _over_noise(axis, own, sorted(levels), HIGHLIGHTED.get(name, OTHER))
            axis.set_xticks(range(len(names)), names, fontsize=8)
            axis.set(title=title, xlabel="label noise")
        for name, style in HIGHLIGHTED.items():
            axes[0].plot([], [], label=name.replace("_", "-"), marker="o", markersize=4, **style)
        axes[0].plot([], [], label="hand-made", marker="o", **OTHER)
        axes[0].legend(loc="lower left", fontsize=9)
        axes[0].set_ylabel("test accuracy (%)")
        plots.save(figure, path)


def _over_noise(axis: Axes, lines: Sequence[Line], levels: Sequence[Any], style: Style) -> None:
    places: dict[str, dict[int, float]] = {}
    for line in lines:
        x = levels.index(place(line)[-3:-1])
        places.setdefault(line["noise_kind"], {})[x] = 100 * line["test_accuracy"]
    for points in places.values():
        xs = sorted(points)
        axis.plot(xs, [points[x] for x in xs], marker="o", **{"markersize": 4, **style})


def draw_differences(lines: Sequence[Line], path: Path) -> None:
    """Draw the differences to cross-entropy: a row for each problem and noise, a panel a protocol.

    Of the hand-made losses there is the best of each row; all are in the tables.
    """
    rows: list[tuple[str, dict[str, list[Line]]]] = []
    for problem, members in by_problem(lines):
        compared = [
            line
            for line in shortened(members)
            if line["interval"] is not None and line["loss"] != REFERENCE
        ]
        own: dict[str, dict[str, list[Line]]] = {}
        for line in compared:
            protocols = [line["protocol"]] if line["label_noise"] else list(PROTOCOLS)
            for protocol in protocols:
                level = own.setdefault(noise_name(line), {})
                level.setdefault(protocol, []).append(line)
        rows += [(problem, {}), *own.items()] if own else []
    with matplotlib.rc_context(plots.STYLE | {"font.size": 11}):
        figure = Figure(figsize=(11, 1.2 + 0.27 * len(rows)))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (protocol, title) in zip(axes, PROTOCOLS.items(), strict=True):
            _panel(axis, [of.get(protocol, []) for _, of in rows])
            axis.set_title(title, fontsize=11)
        for y, (name, of) in enumerate(rows):
            if not of:
                axes[0].annotate(name, (0, y), (-60, 0), xycoords=_AT_THE_LEFT, **_HEADING)
        axes[0].set_yticks(range(len(rows)), [_level(name) if of else "" for name, of in rows])
        for name, style in POINTS.items():
            axes[1].scatter([], [], label=name, s=30, **style)
        axes[1].legend(loc="lower left", fontsize=9)
        figure.supxlabel("points of test accuracy above cross-entropy (asinh scale)", fontsize=11)
        plots.save(figure, path)


def _level(name: str) -> str:
    """``"0.4 asymmetric"`` as ``"40 % asymmetric"``, and ``"0"`` as ``"clean"``."""
    rate, _, kind = name.partition(" ")
    return f"{100 * float(rate):g} % {kind}".rstrip() if float(rate) else "clean"


def _panel(axis: Axes, rows: Sequence[Sequence[Line]]) -> None:
    axis.axvline(0, color="0.35", linestyle="--", linewidth=1)
    for y, members in enumerate(rows):
        for line in members:
            style = POINTS.get(line["loss"], POINTS["best hand-made loss"])
            low, high = line["interval"]
            axis.hlines(y, low, high, colors=style["color"], linewidth=2)
            axis.scatter(line["difference"], y, s=30, zorder=3, **style)
    # A loss that fails altogether is tens of points away from those that are compared.
    axis.set_xscale("asinh", linear_width=1.0)
    axis.set_xticks([-30, -10, -3, -1, 0, 1, 3, 10, 25])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlim(-40, 40)
    axis.tick_params(axis="x", labelsize=9)
    axis.tick_params(axis="y", labelsize=9, length=0)
    axis.set_ylim(len(rows) - 0.4, -0.8)
