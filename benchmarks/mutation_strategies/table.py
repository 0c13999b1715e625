"""The tables and plots of ``mutation_strategies``, made from its results file alone.

``python -m benchmarks.mutation_strategies.table`` puts the short table into the README, writes
``docs/mutation_strategies.md`` with every operator, and draws ``docs/mutation_intervals.png`` and
``docs/mutation_ecdf.png``.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results_file import RESULTS, between_marks
from benchmarks.mutation_strategies.__main__ import VARIANT, log_generations
from benchmarks.mutation_strategies.variants import ALL, GAUSSIAN

ROOT = Path(__file__).parent.parent.parent
NAMES = {tuple(variant.row()[f] for f in VARIANT): variant.name for variant in ALL}
REFERENCE = GAUSSIAN.name

Line = dict[str, Any]


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half along the last axis (Agarwal et al., arXiv 2108.13264)."""
    values = np.sort(values, axis=-1)
    cut = values.shape[-1] // 4
    return values[..., cut : values.shape[-1] - cut].mean(axis=-1)


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


def summarise(rows: Iterable[dict[str, Any]]) -> list[Line]:
    """One line for each problem and operator, each compared with tuned Gaussian mutation.

    Returns:
      Lines with the geometric mean of the generations to the target, and its ratio to the
      Gaussian's, paired by seed (``ratio``, ``ratio_interval``); the interquartile mean of the
      final score, and of its paired differences (``difference``, ``interval``; of log10 where the
      score is an ``error``); Wilcoxon signed-rank p, Holm-corrected over the problem's operators;
      the share of runs that stagnated.
    """
    from scipy import stats

    groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        if row["stage"] == "test":
            name = NAMES.get(tuple(row[f] for f in VARIANT), "?")
            groups.setdefault(row["problem"], {}).setdefault(name, []).append(row)
    lines = []
    for problem, members in groups.items():
        if REFERENCE not in members:
            continue
        for group in members.values():
            group.sort(key=lambda row: row["seed"])
        reference, of_problem = members[REFERENCE], []
        total = reference[0]["num_generations"]
        for name, group in members.items():
            score, log = _scores(group)
            base, _ = _scores(reference)
            reached = [row["generations_to_target"] for row in group]
            of_base = [row["generations_to_target"] for row in reference]
            line: Line = {
                "problem": problem,
                "name": name,
                "log": log,
                "target": group[0]["target"],
                "step_size": group[0]["step_size"],
                "num_seeds": len(group),
                "reached": reached,
                "num_generations": total,
                "generations": float(np.exp(log_generations(reached, total).mean())),
                "score": float(interquartile_mean(score)),
                "stagnated": float(np.mean([row["stagnated"] for row in group])),
            }
            if name != REFERENCE:
                faster = log_generations(reached, total) - log_generations(of_base, total)
                line |= _compared(score - base, faster)
                same = np.all(score == base)
                line["p"] = 1.0 if same else float(stats.wilcoxon(score, base).pvalue)
            of_problem.append(line)
        tested = [line for line in of_problem if "p" in line]
        for line, p in zip(tested, holm([line["p"] for line in tested]), strict=True):
            line["p"] = p
        lines += of_problem
    return lines


def _scores(group: Sequence[dict[str, Any]]) -> tuple[np.ndarray, bool]:
    log = "error" in group[0]
    field = "error" if log else "discordance"
    values = np.array([row[field] for row in group], np.float64)
    return (np.log10(np.maximum(values, 1e-12)) if log else values), log


def _compared(differences: np.ndarray, log_ratios: np.ndarray) -> dict[str, Any]:
    """Ratio and difference with paired bootstrap 95 % intervals: whole seeds are resampled."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(differences), (10_000, len(differences)))
    ratios = np.exp(log_ratios[draws].mean(axis=1))
    return {
        "ratio": float(np.exp(log_ratios.mean())),
        "ratio_interval": _quantiles(ratios),
        "difference": float(interquartile_mean(differences)),
        "interval": _quantiles(interquartile_mean(differences[draws])),
    }


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def markdown(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    out = [
        "| problem | operator | step size | generations to target | ratio to Gaussian "
        "| final score | difference | p | stagnated |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        unit = "" if line["log"] else " %"
        factor = 1 if line["log"] else 100
        shown = 10 ** line["score"] if line["log"] else 100 * line["score"]
        compared = ["", "", ""]
        if "ratio" in line:
            low, high = line["ratio_interval"]
            below, above = (factor * bound for bound in line["interval"])
            compared = [
                f"{line['ratio']:.2f} [{low:.2f}, {high:.2f}]",
                f"{factor * line['difference']:+.2g} [{below:+.2g}, {above:+.2g}]",
                f"{line['p']:.2g}",
            ]
        cells = [
            line["problem"],
            line["name"],
            f"{line['step_size']:g}",
            f"{line['generations']:.0f}",
            compared[0],
            f"{shown:.3g}{unit}",
            compared[1],
            compared[2],
            f"{100 * line['stagnated']:.0f} %",
        ]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def shortened(lines: Sequence[Line]) -> list[Line]:
    """Of each problem: the Gaussian, chaos where the paper puts it, and the best other operator."""
    kept = []
    for problem in dict.fromkeys(line["problem"] for line in lines):
        members = [line for line in lines if line["problem"] == problem]
        others = [line for line in members if line["name"] not in (REFERENCE, "direction")]
        kept += [line for line in members if line["name"] in (REFERENCE, "direction")]
        # Only what is chaotic can win for chaos.
        chaotic = [line for line in others if not _is_control(line["name"])]
        kept += sorted(chaotic, key=lambda line: line["ratio"])[:1]
    return kept


def _is_control(name: str) -> bool:
    return "Gaussian" in name or any(part in ("iid", "shuffled") for part in name.split(", "))


def page(content: dict[str, Any], lines: Sequence[Line]) -> str:
    """The whole of ``docs/mutation_strategies.md``."""
    commits = dict.fromkeys(row["commit"][:7] for row in content["rows"] if row["commit"])
    versions = content["meta"]["environment"]
    return f"""# Mutation strategies

Made by `python -m benchmarks.mutation_strategies.table` from `benchmarks/results/mutation_strategies.json`,
whose rows come from `python -m benchmarks.mutation_strategies` at commit
{", ".join(commits)} with jax {versions["jax"]} and evosax {versions["evosax"]} on
{versions["device"]}.

Every search has the same number of evaluations, and every operator its own step size, chosen on
other seeds. *Generations to target*: geometric mean over the seeds; the target is what Gaussian
mutation reaches, in the median and at the step size for which that is lowest, after half of its
generations, and a run that never reaches it counts as if it had at its end. *Final
score*: interquartile mean over the seeds, of the share of discordant pairs among fresh held-out
pairs, or of the distance to a function's minimal value. *Difference*: interquartile mean of the
paired differences to Gaussian mutation, in points, or in powers of ten for functions. Intervals
are 95 %, from resampled seeds; *p* is Wilcoxon's signed-rank test of these differences,
Holm-corrected over the operators of a problem. *Stagnated*: runs that end above the target without
progress in their last quarter. An operator's name says where chaos acts; *iid* and *shuffled* keep
its law without its order.

![Generations to target, relative to Gaussian mutation](mutation_intervals.png)

![Share of runs that have reached the target](mutation_ecdf.png)

{markdown(lines)}
"""


def print_table(path: Path) -> None:
    """Print the table of the results file ``path``."""
    print(markdown(summarise(json.loads(path.read_text())["rows"])))


def draw_intervals(
    lines: Sequence[Line], path: Path, relative_to: str = "Gaussian mutation"
) -> None:
    """Ratio of generations to target, a panel for each problem."""
    from edl_jax import plots

    problems = list(dict.fromkeys(line["problem"] for line in lines if "ratio" in line))
    columns = min(4, len(problems))
    counts = [sum(line["problem"] == p for line in lines) for p in problems]
    heights = [max(counts[i : i + columns]) + 6 for i in range(0, len(counts), columns)]
    every_bound = [bound for line in lines if "ratio" in line for bound in line["ratio_interval"]]
    left, right = min(0.4, *every_bound), max(5.0, *every_bound)
    with plots.plt.rc_context(plots.STYLE):
        figure, axes = plots.plt.subplots(
            len(heights),
            columns,
            figsize=(3.6 * columns, 0.17 * sum(heights)),
            height_ratios=heights,
            squeeze=False,
        )
        for axis in axes.flat[len(problems) :]:
            axis.axis("off")
        for axis, problem in zip(axes.flat, problems, strict=False):
            members = [x for x in lines if x["problem"] == problem and "ratio" in x]
            places = np.arange(len(members))
            bounds = np.array([x["ratio_interval"] for x in members]).T
            colors = ["0.6" if _is_control(x["name"]) else "tab:blue" for x in members]
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
    from edl_jax import plots

    lines = shortened(lines)
    problems = list(dict.fromkeys(line["problem"] for line in lines))
    columns = min(4, len(problems))
    rows = -(-len(problems) // columns)
    with plots.plt.rc_context(plots.STYLE):
        figure, axes = plots.plt.subplots(
            rows, columns, figsize=(3.2 * columns, 2.5 * rows), squeeze=False, sharey=True
        )
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


def main() -> None:
    """Make everything anew from the committed results."""
    content = json.loads((RESULTS / "mutation_strategies.json").read_text())
    lines = summarise(content["rows"])
    readme = ROOT / "README.md"
    block = markdown(shortened(lines))
    readme.write_text(between_marks(readme.read_text(), "mutation_strategies", block))
    (ROOT / "docs" / "mutation_strategies.md").write_text(page(content, lines))
    draw_intervals(lines, ROOT / "docs" / "mutation_intervals.png")
    draw_ecdf(lines, ROOT / "docs" / "mutation_ecdf.png")


if __name__ == "__main__":
    main()
