"""The table of ``chaos``, made from its results file alone.

``python -m benchmarks.chaos.table`` puts it into ``docs/maps.md``, between two marks, and draws
``docs/chaos.png``.
"""

from collections.abc import Sequence

from benchmarks.chaos.plot import draw
from benchmarks.common.pages import DOCS, between_marks, markdown_table
from benchmarks.common.results_file import Row, committed


def markdown(rows: Sequence[Row]) -> str:
    """The table of ``docs/maps.md``, and what becomes of orbits in plain float32."""
    headings = [
        "map",
        "KS distance to the law, at most",
        "distinct among an orbit's last 1,000 values, at least",
        "orbits stuck",
        "largest Lyapunov exponent: measured",
        "known",
        "autocorrelation at lags 1, 2, 3",
    ]
    lines = []
    for row in rows:
        # Adding 0 turns a rounded -0 into 0.
        lags = ", ".join(f"{round(value, 2) + 0.0:+.2f}" for value in row["autocorrelation"][:3])
        lines.append(
            [
                f"`{row['map']}`",
                f"{row['ks']:.5f}",
                f"{row['distinct']:.1%}",
                f"{row['stuck']:.1%}",
                f"{row['lyapunov']:.4f}",
                f"{row['lyapunov_known']:.4f}",
                lags,
            ]
        )
    found = next(row for row in rows if "collapse" in row)
    at = found["collapse"]
    size = f"{found['orbits']:,} orbits of {found['steps']:,} steps"
    end = (
        f"{size} each. At their end, {at['at_zero']:.1%} of the orbits of `logistic_float32` are "
        f"at exactly 0 and {at['in_cycle']:.1%} in one cycle of {at['cycle']:,} steps; all of them "
        f"together take {at['values']:,} distinct values from then on."
    )
    return markdown_table(headings, lines) + "\n\n" + end


def show(rows: Sequence[Row]) -> None:
    """Put the table of ``rows`` on its page, and draw their picture."""
    page = DOCS / "maps.md"
    page.write_text(between_marks(page.read_text(), "chaos", markdown(rows)))
    draw(rows, DOCS / "chaos.png")


if __name__ == "__main__":
    show(committed("chaos")["rows"])
