"""A summary of the rows of ``mutation_strategies``: each operator against Gaussian mutation."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.common.results_file import Row
from benchmarks.mutation_strategies.scores import log_generations
from benchmarks.mutation_strategies.variants import ALL, FIELDS, GAUSSIAN
from edl_jax.statistics import bootstrap_interval

NAMES = {tuple(variant.row()[f] for f in FIELDS): variant.name for variant in ALL}
REFERENCE = GAUSSIAN.name
MEASURES = ("discordance", "student_error", "error")

Line = dict[str, Any]


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of the middle half along ``axis`` (Agarwal et al., arXiv 2108.13264)."""
    values = np.sort(np.moveaxis(values, axis, -1), axis=-1)
    cut = values.shape[-1] // 4
    return values[..., cut : values.shape[-1] - cut].mean(axis=-1)


def exp_mean(logs: np.ndarray, axis: int = -1) -> np.ndarray:
    """Geometric mean along ``axis`` of what ``logs`` are the logarithms of."""
    return np.exp(np.mean(logs, axis=axis))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction for several tests (Scandinavian J. Statistics 6, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()


def summarise(rows: Iterable[Row]) -> list[Line]:
    """One line for each problem and operator, each compared with tuned Gaussian mutation.

    Returns:
      Lines with the geometric mean of the generations to the target, and its ratio to the
      Gaussian's, paired by seed (``ratio``, ``ratio_interval``); the interquartile mean of the
      final score, and of its paired differences (``difference``, ``interval``; of log10 where the
      score is an ``error``); Wilcoxon signed-rank p, Holm-corrected over the problem's operators;
      the share of runs that stagnated.
    """
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row["stage"] == "test":
            name = NAMES.get(tuple(row[f] for f in FIELDS), "?")
            groups.setdefault(row["problem"], {}).setdefault(name, []).append(row)
    lines: list[Line] = []
    for problem, members in groups.items():
        if REFERENCE not in members:
            continue
        for group in members.values():
            group.sort(key=lambda row: row["seed"])
        of_problem = {name: _alone(problem, name, group) for name, group in members.items()}
        base, tested = _scores(members[REFERENCE]), []
        for name, line in of_problem.items():
            if name != REFERENCE:
                line.update(ratio_to(of_problem[REFERENCE], line))
                line.update(_difference(_scores(members[name]), base))
                tested.append(line)
        for line, p in zip(tested, holm([line["p"] for line in tested]), strict=True):
            line["p"] = p
        lines += of_problem.values()
    return lines


def _alone(problem: str, name: str, group: Sequence[Row]) -> Line:
    """The figures of an operator by itself."""
    reached = [row["generations_to_target"] for row in group]
    total = group[0]["num_generations"]
    return {
        "problem": problem,
        "name": name,
        "log": _is_error(group),
        "target": group[0]["target"],
        "step_size": group[0]["step_size"],
        "num_seeds": len(group),
        "reached": reached,
        "num_generations": total,
        "generations": float(exp_mean(log_generations(reached, total))),
        "score": float(interquartile_mean(_scores(group))),
        "stagnated": float(np.mean([row["stagnated"] for row in group])),
    }


def _is_error(group: Sequence[Row]) -> bool:
    return "error" in group[0]


def _scores(group: Sequence[Row]) -> np.ndarray:
    field = next(name for name in MEASURES if name in group[0])
    values = np.array([row[field] for row in group], np.float64)
    return np.log10(np.maximum(values, 1e-12)) if _is_error(group) else values


def _difference(scores: np.ndarray, base: np.ndarray) -> Line:
    same = np.all(scores == base)
    return {
        "difference": float(interquartile_mean(scores - base)),
        "interval": bootstrap_interval(scores - base, statistic=interquartile_mean),
        "p": 1.0 if same else float(stats.wilcoxon(scores, base).pvalue),
    }


def ratio_to(reference: Line, line: Line) -> Line:
    """Ratio of generations to target, paired by seed, with its bootstrap 95 % interval.

    Args:
      reference: a line whose runs have the same seeds.
      line: a line of :func:`summarise`.

    Returns:
      ``ratio`` and ``ratio_interval``; below 1 is faster than the reference.
    """
    own, other = (log_generations(x["reached"], x["num_generations"]) for x in (line, reference))
    interval = bootstrap_interval(own - other, statistic=exp_mean)
    return {"ratio": float(exp_mean(own - other)), "ratio_interval": interval}


def shortened(lines: Sequence[Line]) -> list[Line]:
    """Of each problem: the Gaussian, chaos where the paper puts it, and the best other operator."""
    kept = []
    for problem in dict.fromkeys(line["problem"] for line in lines):
        members = [line for line in lines if line["problem"] == problem]
        others = [line for line in members if line["name"] not in (REFERENCE, "direction")]
        kept += [line for line in members if line["name"] in (REFERENCE, "direction")]
        # Only what is chaotic can win for chaos.
        chaotic = [line for line in others if not is_control(line["name"])]
        kept += sorted(chaotic, key=lambda line: line["ratio"])[:1]
    return kept


def is_control(name: str) -> bool:
    """Whether an operator is there to be compared with: no chaos, or chaos without its order."""
    return any(word in name for word in ("Gaussian", "gradient")) or any(
        part in ("iid", "shuffled") for part in name.split(", ")
    )
