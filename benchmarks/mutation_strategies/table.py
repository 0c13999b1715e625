"""The tables of ``mutation_strategies``, made from its results file alone.

``python -m benchmarks.mutation_strategies.table`` puts them between the marks of
``docs/mutation_strategies.md``, and draws ``docs/mutation_intervals.png`` and
``docs/mutation_ecdf.png``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.pages import DOCS, folded, made_by, markdown_table, with_blocks
from benchmarks.common.results_file import committed, read_results
from benchmarks.mutation_strategies.plot import draw_ecdf, draw_intervals
from benchmarks.mutation_strategies.summary import Line, shortened, summarise

PAGE = DOCS / "mutation_strategies.md"


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


def blocks(content: dict[str, Any], lines: Sequence[Line]) -> dict[str, str]:
    """The blocks of ``docs/mutation_strategies.md``, by mark."""
    problems = dict.fromkeys(line["problem"] for line in lines)
    every = (
        folded(problem, markdown([line for line in lines if line["problem"] == problem]))
        for problem in problems
    )
    return {
        "made_by": made_by(content, "mutation_strategies", ("jax", "evosax")),
        "mutation_strategies": markdown(shortened(lines)),
        "all_operators": "\n\n".join(every),
    }


def print_table(path: Path) -> None:
    """Print the table of the results file ``path``."""
    print(markdown(summarise(read_results(path)["rows"])))


def main() -> None:
    """Make tables and pictures from the committed results."""
    content = committed("mutation_strategies")
    lines = summarise(content["rows"])
    PAGE.write_text(with_blocks(PAGE.read_text(), blocks(content, lines)))
    draw_intervals(lines, DOCS / "mutation_intervals.png")
    draw_ecdf(lines, DOCS / "mutation_ecdf.png")


if __name__ == "__main__":
    main()
