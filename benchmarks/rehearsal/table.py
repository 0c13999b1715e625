"""How well rehearsal ranks losses as real training does: rank correlations and a scatter plot."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from benchmarks.common.pages import DOCS, between_marks, markdown_table
from benchmarks.common.results_file import Row, committed
from benchmarks.rehearsal.cells import RATES, REAL

PAGE = DOCS / "rehearsal.md"
COUNTERPARTS = {
    "mlp_clean": ("middle_clean", "long_clean"),
    "mlp_noisy": ("long_noisy",),
    "resnet_clean": ("short_clean", "normalised_clean"),
    "resnet_noisy": ("short_noisy", "normalised_noisy"),
}
"""Real regime to the regimes of rehearsal whose mean accuracy is to predict it."""

Accuracies = Mapping[tuple[str, str], Mapping[str, Mapping[float, float]]]
"""(kind, regime) to loss to rate to accuracy."""
Statistic = Callable[[Mapping[float, float]], float | None]


def accuracies(rows: Sequence[Row]) -> Accuracies:
    """The rows of a results file by kind, regime, loss and rate."""
    found: dict[tuple[str, str], dict[str, dict[float, float]]] = {}
    for row in rows:
        if "accuracy" in row:
            regime = found.setdefault((row["kind"], row["regime"]), {})
            regime.setdefault(row["loss"], {})[row["rate"]] = row["accuracy"]
    return found


def at_best(by_rate: Mapping[float, float]) -> float | None:
    """The accuracy at the best rate; None where not all rates have been run."""
    return max(by_rate.values()) if set(RATES) <= by_rate.keys() else None


def at_middle(by_rate: Mapping[float, float]) -> float | None:
    """The accuracy at the middle rate, the one that serves cross-entropy."""
    return by_rate.get(1.0)


def scores(
    found: Accuracies, kind: str, regimes: Sequence[str], statistic: Statistic
) -> dict[str, float]:
    """A score for each loss that was run in all ``regimes``: the mean statistic over them."""
    known = [found.get((kind, regime), {}) for regime in regimes]
    means = {}
    for name in known[0]:
        values = [statistic(of.get(name, {})) for of in known]
        if None not in values:
            means[name] = float(np.mean(np.array(values, float)))
    return means


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
    headings = ["real regime", "rehearsed in", "at the best rate", "at the middle rate"]
    lines = []
    for real, regimes in COUNTERPARTS.items():
        cells: list[str] = []
        for statistic in (at_best, at_middle):
            predicted = scores(found, "rehearsed", regimes, statistic)
            rho, number = correlation(predicted, scores(found, "real", (real,), statistic))
            cells.append("–" if np.isnan(rho) else f"{rho:.2f} ({number})")
        lines.append([real, ", ".join(regimes), *cells])
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
        predicted = scores(found, "rehearsed", COUNTERPARTS[real], at_best)
        measured = scores(found, "real", (real,), at_best)
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
