"""What several benchmarks use: results files, pages, comparisons within a repeat."""

import json
import sys

import numpy as np
import pytest

from benchmarks.common.comparisons import paired_ratios, source
from benchmarks.common.pages import between_marks
from benchmarks.common.results_file import RESULTS, ResultsFile, meta, results_path
from edl_jax.errors import EdlError

KEY = ("loss", "seed")


def row(seed, accuracy=None):
    return {"loss": "edl", "seed": seed, "test_accuracy": accuracy}


def test_two_writers_of_a_results_file_lose_nothing(tmp_path):
    path = tmp_path / "results.json"
    one, other = (ResultsFile(path, KEY) for _ in range(2))
    one.add(row(0, 0.5))
    other.add(row(1, 0.6))
    one.add(row(2, 0.7))

    assert [r["seed"] for r in json.loads(path.read_text())["rows"]] == [0, 1, 2]


def test_a_results_file_is_resumed_where_it_stopped(tmp_path):
    path = tmp_path / "results.json"
    ResultsFile(path, KEY).add(row(0, 0.5))
    again = ResultsFile(path, KEY)

    assert again.find(row(0))["test_accuracy"] == 0.5
    assert again.find(row(1)) is None
    assert {"command", "commit", "environment"} <= json.loads(path.read_text())["meta"].keys()


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("benchmarks/throughput/__main__.py", "python -m benchmarks.throughput --quick"),
        ("benchmarks/throughput.py", "python -m benchmarks.throughput --quick"),
    ],
)
def test_a_results_file_names_its_command_and_not_where_files_lie(program, command, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program, "--output", "x.json", "--quick"])

    assert meta()["command"] == command


def test_a_quick_run_does_not_replace_the_committed_results(tmp_path):
    assert results_path("faults", None, quick=False) == RESULTS / "faults.json"
    assert RESULTS not in results_path("faults", None, quick=True).resolve().parents
    assert results_path("faults", tmp_path / "x.json", quick=True) == tmp_path / "x.json"


@pytest.mark.parametrize("page", ["", "<!-- x -->\n", "<!-- /x -->"])
def test_a_page_without_a_place_for_a_table_is_refused(page):
    with pytest.raises(EdlError, match="no place for x"):
        between_marks(page, "x", "table")


def test_ratios_are_of_one_repeat_and_so_free_of_what_slows_both():
    slow = [1.0, 3.0, 0.5]
    rows = [
        {"name": name, "repeat": i, "seconds": time * slow[i]}
        for name, time in (("a", 2.0), ("b", 1.0))
        for i in (2, 0, 1)
    ]
    rows.append({"name": "a", "repeat": 9, "seconds": 1.0})  # which has no partner

    np.testing.assert_array_equal(
        paired_ratios(rows, {"name": "a"}, {"name": "b"}, "seconds"), [2, 2, 2]
    )


def test_a_table_says_with_what_and_on_what_it_was_measured():
    about = {
        "commit": "0123456789",
        "environment": {"jax": "1", "flax": "9", "numpy": "3"},
        "num_processors": 2,
        "cpu": "a processor",
        "torch": "4",
    }

    assert source({"meta": about}, "throughput") == (
        "Measured by `python -m benchmarks.throughput` at commit 0123456 with jax 1, numpy 3, "
        "torch 4 on 2 processors (a processor)."
    )
