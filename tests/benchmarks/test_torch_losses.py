"""Protects the table of ``torch_losses``, and that a quick run times each loss in its turn."""

import json

import pytest

from benchmarks.common.pages import between_marks
from benchmarks.common.results_file import committed
from benchmarks.torch_losses import table
from benchmarks.torch_losses.__main__ import command


def test_the_page_shows_what_the_results_file_says():
    page = table.PAGE.read_text()
    assert between_marks(page, "torch_losses", table.block(committed("torch_losses"))) == page


def test_a_quick_run_times_each_loss(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "results.json"
    command(["--quick", "--output", str(path)])
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 3 * 3 and all(row["microseconds"] > 0 for row in rows)
    assert {row["loss"] for row in rows} == {"cross_entropy", "edl-base", "edl-robust"}
