"""Runs are checked as they are read: what is damaged is one line, and no page."""

import json
import shutil
from pathlib import Path

import pytest

from edl_jax.report.runs import PretrainRun, TransferRun, read_runs
from tests.report.damage import NAMES, cut, edit, refuse, rewrite

REFUSED = {
    "not a run": ("config.json", Path.unlink, "expected a run directory"),
    "another command's": ("config.json", rewrite(command="cook"), "expected a run of pretrain"),
    "not a configuration": ("config.json", rewrite(width="wide"), "config.json"),
    "an option out of range": ("config.json", rewrite(num_classes=1), "num-classes|num_classes"),
    "not finished": ("summary.json", Path.unlink, "expected a finished run"),
    "damaged summary": ("summary.json", cut, "summary.json: damaged"),
    "summary without a figure": ("summary.json", rewrite(scale=None), "a number scale"),
    "no metrics": ("metrics.jsonl", Path.unlink, "metrics.jsonl: missing"),
    "no lines": ("metrics.jsonl", lambda path: path.write_text(""), "a line at least"),
    "broken line": ("metrics.jsonl", cut, "metrics.jsonl, line 10: damaged"),
    "line of text": (
        "metrics.jsonl",
        lambda path: edit(path, '"num_failed": 0', '"num_failed": "<b>"'),
        "line 1: expected a number or null for num_failed",
    ),
    "generation that is none": (
        "metrics.jsonl",
        lambda path: edit(path, '"generation": 10', '"generation": 11'),
        "line 10: expected generation",
    ),
    "no loss": ("loss.npz", Path.unlink, "loss.npz"),
    "damaged loss": ("loss.npz", cut, "loss.npz"),
}


@pytest.mark.parametrize(("name", "damage", "said"), REFUSED.values(), ids=REFUSED)
def test_a_bad_run_is_one_line_and_leaves_nothing(name, damage, said, runs, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    damage(run / name)
    before = sorted(tmp_path.rglob("*"))
    error = refuse([run], capsys)
    assert any(text in error for text in said.split("|"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_transfer_run_that_lacks_a_row_is_refused(runs, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(runs[2], run)
    rows = json.loads((run / "summary.json").read_text())["rows"]
    rewrite(rows=rows[:-1])(run / "summary.json")
    assert "a row for each loss and seed" in refuse([run], capsys)
    rewrite(rows=[*rows[:-1], rows[-1] | {"nll": "<b>"}])(run / "summary.json")
    assert "a number or null nll" in refuse([run], capsys)


def test_two_runs_of_one_name_are_called_by_what_tells_them_apart(runs, tmp_path):
    other = tmp_path / runs[0].name
    shutil.copytree(runs[0], other)
    assert [run.name for run in read_runs([runs[0], other])] == [
        f"{run.parent.name}/{run.name}" for run in (runs[0], other)
    ]
    assert [run.name for run in read_runs(runs)] == list(NAMES)


def test_a_run_has_the_configuration_of_its_command(runs):
    search, _, comparison = read_runs(runs)
    assert isinstance(search, PretrainRun) and isinstance(comparison, TransferRun)
    assert (search.config.num_generations, comparison.config.seeds) == (10, (0, 1, 2))
    assert search.defaults["num_generations"] == 600
