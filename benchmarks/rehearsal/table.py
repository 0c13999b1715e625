"""How well rehearsal ranks losses as real training does: rank correlations and a scatter plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from benchmarks.common.pages import DOCS, between_marks, markdown_table
from benchmarks.common.results_file import Row, committed
from benchmarks.rehearsal.cells import REAL

PAGE = DOCS / "rehearsal.md"
COUNTERPARTS = {
    "mlp_clean": ("middle_clean", "long_clean"),
    "mlp_noisy": ("long_noisy",),
    "resnet_clean": ("short_clean", "normalised_clean"),
    "resnet_noisy": ("short_noisy", "normalised_noisy"),
}
"""Real regime to the regimes of rehearsal whose mean accuracy is to predict it."""

Accuracies = Mapping[tuple[str, str], Mapping[str, Sequence[float]]]
"""(kind, regime) to loss to accuracies by rate."""


def accuracies(rows: Sequence[Row]) -> Accuracies:
    """The rows of a results file by kind, regime and loss, those of each in the order of rates."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    trained = [row for row in rows if "accuracy" in row]
    for row in sorted(trained, key=lambda row: float(row["rate"])):
        regime = found.setdefault((row["kind"], row["regime"]), {})
        regime.setdefault(row["loss"], []).append(row["accuracy"])
    return found


def scores(
    found: Accuracies, kind: str, regimes: Sequence[str], statistic: Any
) -> dict[str, float]:
    """A score for each loss that was run in all ``regimes``: the mean statistic over them."""
    known = [found.get((kind, regime), {}) for regime in regimes]
    names = [name for name in known[0] if all(name in regime for regime in known)]
    return {name: float(np.mean([statistic(regime[name]) for regime in known])) for name in names}


def correlation(one: Mapping[str, float], other: Mapping[str, float]) -> tuple[float, int]:
    """Spearman's rank correlation over the losses that both have, and their number."""
    names = [name for name in one if name in other]
    if len(names) < 3:
        return float("nan"), len(names)
    rho = spearmanr([one[name] for name in names], [other[name] for name in names]).statistic
    return float(rho), len(names)


def markdown(rows: Sequence[Row]) -> str:
    """The table: a row for each real regime."""
    found = accuracies(rows)
    headings = ["real regime", "rehearsed in", "losses", "at the best rate", "at the median rate"]
    lines = []
    for real, regimes in COUNTERPARTS.items():
        cells: list[str] = []
        number = 0
        for statistic in (np.max, np.median):
            predicted = scores(found, "rehearsed", regimes, statistic)
            rho, number = correlation(predicted, scores(found, "real", (real,), statistic))
            cells.append("–" if np.isnan(rho) else f"{rho:.2f}")
        lines.append([real, ", ".join(regimes), str(number), *cells])
    return markdown_table(headings, lines)


def costs(rows: Sequence[Row]) -> str:
    """What a generation costs at each size; the last column is constant where cost is linear."""
    headings = ["candidates x tasks x rates x regimes", "devices", "seconds", "µs a student's step"]
    lines = [
        [
            row["regime"],
            str(row["num_devices"]),
            f"{row['seconds']:.2f}",
            f"{1e6 * row['seconds'] / row['student_steps']:.1f}",
        ]
        for row in rows
        if row["kind"] == "scaling"
    ]
    return markdown_table(headings, lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Real over rehearsed accuracy at the best rate, a panel a real regime, a point a loss."""
    found = accuracies(rows)
    figure, panels = plt.subplots(2, 2, figsize=(11, 9), layout="constrained")
    for panel, real in zip(panels.flat, REAL, strict=True):
        predicted = scores(found, "rehearsed", COUNTERPARTS[real], np.max)
        measured = scores(found, "real", (real,), np.max)
        names = [name for name in predicted if name in measured]
        x, y = ([100 * of[name] for name in names] for of in (predicted, measured))
        panel.scatter(x, y, s=18)
        for name, *place in zip(names, x, y, strict=True):
            panel.annotate(name, place, fontsize=7, xytext=(3, 3), textcoords="offset points")
        rho, _ = correlation(predicted, measured)
        panel.set(title=f"{real.replace('_', ', ')}: Spearman {rho:.2f}")
        panel.set(xlabel="rehearsed accuracy (%)", ylabel="held-out accuracy (%)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def page(text: str, rows: Sequence[Row]) -> str:
    """The page ``text`` with the tables of ``rows``."""
    return between_marks(between_marks(text, "rehearsal", markdown(rows)), "costs", costs(rows))


if __name__ == "__main__":
    found = committed("rehearsal")["rows"]
    PAGE.write_text(page(PAGE.read_text(), found))
    if any(row["kind"] == "rehearsed" for row in found):
        plot(found, DOCS / "rehearsal.png")
