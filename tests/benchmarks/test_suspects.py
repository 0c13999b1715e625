"""Protects the table of ``suspects``, and that its shares are those of their names."""

import json

import numpy as np
import pytest

from benchmarks.common.pages import between_marks
from benchmarks.common.results_file import committed
from benchmarks.suspects import table
from benchmarks.suspects.__main__ import command


def test_the_page_shows_what_the_results_file_says():
    page = table.PAGE.read_text()
    shown = table.markdown(committed("suspects")["rows"])
    assert between_marks(page, "suspects", shown) == page


def test_every_cell_of_the_benchmark_is_there():
    rows = committed("suspects")["rows"]
    assert len({(row["loss"], row["noise"], row["seed"]) for row in rows}) == 3 * 4 * 5


def test_the_scores_are_shares():
    pytest.importorskip("cleanlab")
    from benchmarks.suspects.cells import _scores

    wrong = np.array([True, True, False, False])
    found = _scores(np.array([True, False, True, False]), wrong)
    assert found == {"suspect": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    nothing = _scores(np.zeros(4, bool), np.zeros(4, bool))
    assert nothing == {"suspect": 0.0, "precision": None, "recall": None, "f1": None}


def test_a_quick_run_fills_a_file_once(tmp_path, capsys):
    pytest.importorskip("cleanlab")
    path = tmp_path / "results.json"
    command(["--quick", "--output", str(path)])
    first = json.loads(path.read_text())
    command(["--quick", "--output", str(path)])
    assert json.loads(path.read_text())["rows"] == first["rows"] and len(first["rows"]) == 2
    assert "cleanlab" in capsys.readouterr().out
