"""The tables of ``mutation_strategies``, made from its results file alone.

``python -m benchmarks.mutation_strategies.table`` puts the short table into the README, writes
``docs/mutation_strategies.md`` with every operator, and draws ``docs/mutation_intervals.png`` and
``docs/mutation_ecdf.png``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.pages import DOCS, README, between_marks, markdown_table
from benchmarks.common.results_file import committed, read_results
from benchmarks.mutation_strategies.plot import draw_ecdf, draw_intervals
from benchmarks.mutation_strategies.summary import Line, shortened, summarise


def markdown(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    headings = [
        "problem",
        "operator",
        "step size",
        "generations to target",
        "ratio to Gaussian",
        "final score",
        "difference",
        "p",
        "stagnated",
    ]
    rows = []
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
        rows.append(cells)
    return markdown_table(headings, rows)


def page(content: dict[str, Any], lines: Sequence[Line]) -> str:
    """The whole of ``docs/mutation_strategies.md``."""
    commits = dict.fromkeys(row["commit"][:7] for row in content["rows"] if row["commit"])
    versions = content["meta"]["environment"]
    return f"""# Mutation strategies

Made by `python -m benchmarks.mutation_strategies.table` from
`benchmarks/results/mutation_strategies.json`, whose rows come from
`python -m benchmarks.mutation_strategies` at commit {", ".join(commits)}
with jax {versions["jax"]} and evosax {versions["evosax"]} on {versions["device"]}.

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
    print(markdown(summarise(read_results(path)["rows"])))


def main() -> None:
    """Make everything anew from the committed results."""
    content = committed("mutation_strategies")
    lines = summarise(content["rows"])
    block = markdown(shortened(lines))
    README.write_text(between_marks(README.read_text(), "mutation_strategies", block))
    (DOCS / "mutation_strategies.md").write_text(page(content, lines))
    draw_intervals(lines, DOCS / "mutation_intervals.png")
    draw_ecdf(lines, DOCS / "mutation_ecdf.png")


if __name__ == "__main__":
    main()
