"""How well rehearsal ranks losses as real training does: rank correlations and a scatter plot."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata, spearmanr

from benchmarks.common.pages import DOCS, between_marks, markdown_table
from benchmarks.common.results_file import Row, committed
from benchmarks.rehearsal.cells import FRESH_SEED, RATES, REAL, SEED
from benchmarks.rehearsal.config import CHOOSING, LOSSES, SHOWN

PAGE = DOCS / "rehearsal.md"

Accuracies = Mapping[tuple[str, str, int], Mapping[str, Mapping[float, float]]]
"""(kind, regime, seed) to loss to rate to accuracy."""
Statistic = Callable[[Mapping[float, float]], float | None]


def accuracies(rows: Sequence[Row]) -> Accuracies:
    """The rows of a results file by kind, regime, seed, loss and rate."""
    found: dict[tuple[str, str, int], dict[str, dict[float, float]]] = {}
    for row in rows:
        if "accuracy" in row:
            regime = found.setdefault((row["kind"], row["regime"], row["seed"]), {})
            regime.setdefault(row["loss"], {})[row["rate"]] = row["accuracy"]
    return found


def at_best(by_rate: Mapping[float, float]) -> float | None:
    """The accuracy at the best rate; None where not all rates have been run."""
    return max(by_rate.values()) if set(RATES) <= by_rate.keys() else None


def at_middle(by_rate: Mapping[float, float]) -> float | None:
    """The accuracy at the middle rate, the one that serves cross-entropy."""
    return by_rate.get(1.0)


def scores(
    found: Accuracies,
    kind: str,
    regimes: Sequence[str],
    statistic: Statistic,
    seed: int = SEED,
    losses: Sequence[str] = LOSSES,
) -> dict[str, float]:
    """A score for each of ``losses`` that was run in all ``regimes``: the mean over them."""
    known = [found.get((kind, regime, seed), {}) for regime in regimes]
    means = {}
    for name in losses:
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


def chosen(found: Accuracies, real: str) -> tuple[str, ...]:
    """The one or two regimes that predict ``real`` best, clean for clean and noisy for noisy.

    Judged by the mean correlation at the best and at the middle rate, over half of the losses.
    """
    names = sorted({regime for kind, regime, _ in found if kind == "rehearsed"})
    names = [name for name in names if name.rpartition("_")[2] == real.rpartition("_")[2]]

    def agreement(regimes: tuple[str, ...]) -> float:
        rhos = [
            correlation(
                scores(found, "rehearsed", regimes, statistic, losses=CHOOSING),
                scores(found, "real", (real,), statistic, losses=CHOOSING),
            )[0]
            for statistic in (at_best, at_middle)
        ]
        known = [rho for rho in rhos if not np.isnan(rho)]
        return float(np.mean(known)) if known else -np.inf

    return max([*combinations(names, 1), *combinations(names, 2)], key=agreement)


def markdown(rows: Sequence[Row]) -> str:
    """The table: two rows for each real regime, at the best and at the middle rate."""
    found = accuracies(rows)
    headings = [
        "real regime",
        "rehearsed in",
        "learning rate",
        "losses it was chosen with",
        "other losses, fresh tasks",
        "all losses",
        "two seeds of real training",
    ]
    lines = []
    for real in REAL if any(kind == "rehearsed" for kind, *_ in found) else ():
        regimes = chosen(found, real)
        for label, statistic in (("best", at_best), ("middle", at_middle)):

            def rehearsed(
                losses: Sequence[str] = LOSSES,
                seed: int = SEED,
                regimes: tuple[str, ...] = regimes,
                statistic: Statistic = statistic,
            ) -> dict[str, float]:
                return scores(found, "rehearsed", regimes, statistic, seed, losses)

            measured, again = (
                scores(found, "real", (real,), statistic, seed) for seed in (SEED, FRESH_SEED)
            )
            pairs = [
                (rehearsed(CHOOSING), measured),
                (rehearsed(SHOWN, FRESH_SEED), measured),
                (rehearsed(), measured),
                (measured, again),
            ]
            lines.append([real, " + ".join(regimes), label, *(_cell(*pair) for pair in pairs)])
    return markdown_table(headings, lines)


def _cell(one: Mapping[str, float], other: Mapping[str, float]) -> str:
    rho, number = correlation(one, other)
    return "–" if np.isnan(rho) else f"{rho:.2f} ({number})"


def costs(rows: Sequence[Row]) -> str:
    """The cost of a generation at each size; the last column is constant where cost is linear."""
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
    """Ranks in real training over ranks in rehearsal: a panel a real regime, a point a loss.

    At the best rate; at the middle one where that is known of more losses.
    """
    found = accuracies(rows)
    figure, panels = plt.subplots(2, 2, figsize=(11, 10), layout="constrained")
    for panel, real in zip(panels.flat, REAL, strict=True):
        regimes, label, statistic = chosen(found, real), "best", at_best
        if len(scores(found, "real", (real,), at_middle)) > len(
            scores(found, "real", (real,), at_best)
        ):
            label, statistic = "middle", at_middle
        predicted = scores(found, "rehearsed", regimes, statistic)
        measured = scores(found, "real", (real,), statistic)
        names = [name for name in predicted if name in measured]
        # Accuracies of most losses lie so close together that nobody could read their names.
        x, y = (rankdata([-of[name] for name in names]) for of in (predicted, measured))
        panel.scatter(x, y, s=18)
        for name, *place in zip(names, x, y, strict=True):
            panel.annotate(name, place, fontsize=7, xytext=(3, 3), textcoords="offset points")
        rho, _ = correlation(predicted, measured)
        panel.set_title(f"{real.replace('_', ', ')}, {label} rate: Spearman {rho:.2f}")
        panel.set_xlabel(f"rank in {' and '.join(regimes)} (1 is best)")
        panel.set_ylabel("rank on held-out images")
        panel.margins(x=0.12)
        panel.invert_xaxis()
        panel.invert_yaxis()
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
