"""The figures of the claims page, read from committed results, and the verdicts they allow."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.common.comparisons import paired_ratios
from benchmarks.common.results_file import committed
from benchmarks.mutation_strategies import summary as mutation
from benchmarks.rehearsal import table as rehearsal
from benchmarks.rehearsal.cells import FRESH_SEED, SEED
from benchmarks.rehearsal.config import SHOWN
from benchmarks.transfer_losses import ablation
from benchmarks.transfer_losses import summary as transfer
from benchmarks.transfer_losses.config import parse_noise
from benchmarks.transfer_losses.settings import SETTINGS
from edl_jax.losses.handmade import LOSSES
from edl_jax.statistics import bootstrap_interval

HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "open"


class Figure(NamedTuple):
    """A difference or a ratio, with its 95 % interval and the number of pairs."""

    value: float
    low: float
    high: float
    num: int

    @property
    def points(self) -> str:
        """As a difference in points of accuracy."""
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}] (n = {self.num})"

    @property
    def ratio(self) -> str:
        """As a ratio."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] (n = {self.num})"


# --- verdicts ----------------------------------------------------------------------------------


def above(figures: Iterable[Figure], bound: float = 0.0) -> str:
    """Whether all figures are above ``bound`` by their intervals.

    >>> above([Figure(1.0, 0.5, 1.5, 5)]), above([Figure(1.0, -0.5, 1.5, 5)])
    ('holds', 'does not hold')
    """
    return _verdict([figure.low > bound for figure in figures])


def below(figures: Iterable[Figure], bound: float) -> str:
    """Whether all figures are below ``bound`` by their intervals."""
    return _verdict([figure.high < bound for figure in figures])


def not_below(figures: Iterable[Figure], bound: float = 0.0) -> str:
    """Whether no figure is below ``bound`` by its interval: as far as the seeds can tell."""
    return _verdict([figure.high >= bound for figure in figures])


def within(figures: Iterable[Figure], bound: float) -> str:
    """Whether no figure can be as low as ``bound``, by its interval.

    >>> within([Figure(0.0, -0.2, 0.2, 5), Figure(-0.3, -0.8, 0.2, 5)], -0.5)
    'holds in part'
    """
    return above(figures, bound)


def more_than_chance(figures: Sequence[Figure]) -> str:
    """Whether of many ratios more are below 1 by their intervals than chance makes, and than above.

    >>> more_than_chance([Figure(0.9, 0.8, 0.95, 5)] + 39 * [Figure(1.0, 0.9, 1.1, 5)])
    'does not hold'
    """
    faster, slower = (sum(x.high < 1 for x in figures), sum(x.low > 1 for x in figures))
    by_chance = 0.025 * len(figures)
    if not figures:
        return OPEN
    return HOLDS if faster > slower and faster > 2 * by_chance + 1 else FAILS


def _verdict(each: Sequence[bool]) -> str:
    if not each:
        return OPEN
    return HOLDS if all(each) else IN_PART if any(each) else FAILS


# --- transfer ----------------------------------------------------------------------------------


@cache
def _transfer_lines() -> tuple[transfer.Line, ...]:
    return tuple(transfer.summarise(committed("transfer_losses")["rows"]))


def gained(
    setting: str, noise: str, protocol: str, loss: str, over: str = "difference"
) -> list[Figure]:
    """How far ``loss`` is above cross-entropy in points of test accuracy; empty where not run.

    Args:
      setting: a name in :data:`SETTINGS`.
      noise: level of label noise, as on the command line: ``"0.4"``, ``"0.4i"``.
      protocol: ``aware`` or ``unaware``; on clean labels they are one.
      loss: its name.
      over: ``difference`` to cross-entropy, or ``from_best``, to the best hand-made loss.
    """
    rate, kind = parse_noise(noise)
    problem = SETTINGS[setting].problem(rate, kind)
    interval = "interval" if over == "difference" else "from_best_interval"
    return [
        Figure(line[over], line[interval][0], line[interval][1], line["num_seeds"])
        for line in _transfer_lines()
        if problem.items() <= line.items()
        and (line["protocol"], line["loss"]) == (protocol if rate else "aware", loss)
        and line[interval] is not None
    ]


def rates(setting: str, loss: str) -> tuple[float, float] | None:
    """The learning rates that clean held-out data chose: of ``loss``, and of cross-entropy."""
    problem = SETTINGS[setting].problem(0.0, "symmetric")
    found = {
        line["loss"]: line["learning_rate"]
        for line in _transfer_lines()
        if problem.items() <= line.items()
    }
    return (found[loss], found["cross_entropy"]) if loss in found else None


def ablated(other: str) -> dict[str, list[Figure]]:
    """``edl-robust`` less the same loss with another gate, in points, by where that was run."""
    found = {}
    for (problem, noise, protocol), of in ablation.differences(
        committed("transfer_losses")["rows"]
    ).items():
        if other in of and of[other].interval is not None:
            low, high = of[other].interval or (0.0, 0.0)
            name = f"{problem.rpartition(', ')[2]}, {100 * noise:g} % noise {protocol}".strip()
            found[name] = [Figure(of[other].mean, low, high, of[other].num_pairs)]
    return found


def num_handmade(setting: str, noise: str) -> int:
    """How many hand-made losses were measured there, constants of one loss counted once."""
    problem = SETTINGS[setting].problem(*parse_noise(noise))
    names = (x["loss"].partition(":")[0] for x in _transfer_lines() if problem.items() <= x.items())
    return len(set(names) & LOSSES.keys())


# --- mutation ----------------------------------------------------------------------------------


@cache
def _mutation_lines() -> tuple[mutation.Line, ...]:
    return tuple(mutation.summarise(committed("mutation_strategies")["rows"]))


def line_of(problem: str, operator: str) -> mutation.Line | None:
    """The mutation study's figures of an operator on a problem."""
    wanted = (problem, operator)
    return next((x for x in _mutation_lines() if (x["problem"], x["name"]) == wanted), None)


def speed(problem: str, operator: str, than: str = mutation.REFERENCE) -> list[Figure]:
    """Ratio of the generations to the target; below 1 is faster. Empty where not run."""
    one, other = line_of(problem, operator), line_of(problem, than)
    if one is None or other is None:
        return []
    found = mutation.ratio_to(other, one)
    low, high = found["ratio_interval"]
    return [Figure(found["ratio"], low, high, one["num_seeds"])]


def stagnation(problem: str, operator: str) -> list[Figure]:
    """Share of runs that stagnate, less Gaussian mutation's, in points, paired by seed."""
    stuck: dict[str, dict[int, bool]] = {}
    for row in committed("mutation_strategies")["rows"]:
        if row["problem"] == problem and row["stage"] == "test":
            name = mutation.NAMES.get(tuple(row[field] for field in mutation.FIELDS), "?")
            stuck.setdefault(name, {})[row["seed"]] = row["stagnated"]
    if operator not in stuck:
        return []
    one, other = stuck[operator], stuck[mutation.REFERENCE]
    found = [100.0 * (one[seed] - other[seed]) for seed in one]
    low, high = bootstrap_interval(found)
    return [Figure(float(np.mean(found)), low, high, len(found))]


def order_against_draws() -> dict[str, list[Figure]]:
    """Every chaotic operator against independent draws of its own law, by what it is."""
    found = {}
    for line in _mutation_lines():
        operator, _, last = line["name"].rpartition(", ")
        if last == "iid":
            name = f"{operator} on {line['problem']}"
            found[name] = speed(line["problem"], operator, line["name"])
    return found


# --- the others --------------------------------------------------------------------------------


def orbits() -> tuple[list[dict], dict]:
    """The rows of the exact maps, and that of the map in plain float32."""
    rows = committed("chaos")["rows"]
    naive = next(row for row in rows if "collapse" in row)
    return [row for row in rows if row is not naive], naive


def rehearsal_correlations() -> dict[str, tuple[float, int]]:
    """Spearman's correlation of rehearsal with real training, over losses not chosen with."""
    found = rehearsal.accuracies(committed("rehearsal")["rows"])
    result = {}
    for real in rehearsal.REAL:
        regimes = rehearsal.chosen(found, real)
        for statistic in (rehearsal.at_best, rehearsal.at_middle):
            rehearsed = rehearsal.scores(found, "rehearsed", regimes, statistic, FRESH_SEED, SHOWN)
            measured = rehearsal.scores(found, "real", (real,), statistic, SEED)
            rho, number = rehearsal.correlation(rehearsed, measured)
            if real not in result and not np.isnan(rho):
                result[real] = rho, number
    return result


def kills() -> dict[str, int]:
    """Runs that were killed, resumed, and ended bit-identical."""
    results = committed("faults")["results"]
    both = [results[f"kills of {name}"] for name in ("pretrain", "transfer")]
    return {name: sum(of[name] for of in both) for name in ("kills", "resumed", "bit-identical")}


def generations(population_size: int) -> Figure:
    """Generations a second, as a multiple of evosax's own loop, jitted as well as it can be."""
    rows = [
        row for row in committed("throughput")["rows"] if row["population_size"] == population_size
    ]
    ratios = paired_ratios(
        rows,
        {"implementation": "edl_jax"},
        {"implementation": "evosax_loop_tuned"},
        "generations_per_second",
    )
    low, high = bootstrap_interval(ratios)
    return Figure(float(np.mean(ratios)), low, high, len(ratios))
