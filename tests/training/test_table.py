"""Protects the table that a comparison is printed as."""

import io

from rich.console import Console

from edl_jax.training.table import table
from tests.training.toy import rows


def printed(content: list[dict]) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=120).print(table(content))
    return output.getvalue().splitlines()


def test_the_table_has_a_row_a_run_a_mean_and_a_difference():
    lines = printed(rows({"a": [0.5, 0.6, 0.7], "b": [0.51, 0.62, 0.73]}))
    assert sum("mean" in line and "│" in line for line in lines) == 2
    (mean,) = (line for line in lines if "│ b" in line and "mean" in line)
    assert "62.00%" in mean and "+2.00 [+1." in mean
    assert sum("│ b" in line for line in lines) == 4


def test_the_table_of_one_run_has_no_mean():
    lines = printed(rows({"a": [0.5]}))
    assert not any("mean" in line or "first" in line for line in lines)
    assert any("50.00%" in line for line in lines)


def test_the_table_marks_a_run_that_diverged():
    diverged = rows({"a": [0.1]})
    diverged[0] |= {"nll": None, "ece": None}
    assert any("diverged" in line for line in printed(diverged))
