"""Finished runs, made as a user makes them, in which text is hostile."""

import contextlib
import io
import json
import shutil

import pytest

from edl_jax import pretrain, transfer
from edl_jax.report import __main__ as report
from tests.report.damage import HOSTILE, NAMES, edit, quick_compilation


@pytest.fixture(scope="session")
def runs(tmp_path_factory, toy_data_dir):
    """Directories of two searches and of one comparison, in which text is hostile."""
    parent = tmp_path_factory.mktemp("runs")
    with quick_compilation():
        return make_runs(parent, toy_data_dir)


def make_runs(parent, toy_data_dir):
    first, second, trained = (parent / name for name in NAMES)
    tiny = "--population-size 8 --num-generations 10 --batch-size 32 --num-classes 3 --width 4"
    other = "--max-rise 1 --objective.proper-ranking 0 --mutation chaotic"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        pretrain.command([*tiny.split(), *other.split(), "--output-dir", str(first)])
    assert printed.getvalue().splitlines()[-1] == f"See it: {report.PROG} {first}"
    shutil.copytree(first, second)
    edit(second / "config.json", '"margin": 0.002', '"margin": 0.25')
    small = "--model mlp --width 8 --batch-size 16 --dataset toy_colours --train-size 64 --epochs 2"
    losses = ["--loss", "cross_entropy", "brier", "--seeds", "0", "1", "2", *small.split()]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        transfer.command([*losses, "--data-dir", str(toy_data_dir), "--output-dir", str(trained)])
    assert printed.getvalue().splitlines()[-1] == f"See it: {report.PROG} {trained}"
    for name in ("config.json", "metrics.jsonl", "summary.json"):
        edit(trained / name, '"brier"', json.dumps(HOSTILE))
    return first, second, trained
