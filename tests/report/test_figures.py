"""The figures' own arithmetic: means, ranges and gaps."""

import json
import shutil

import numpy as np
import pytest

from edl_jax.report.figures import learning_curves
from edl_jax.report.runs import read_runs
from tests.report.damage import HOSTILE


def test_a_mean_curve_ends_where_a_seed_has_no_figure(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[2], run)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    broken = json.loads(lines[-1])
    (run / "metrics.jsonl").write_text("".join(lines[:-1]) + json.dumps(broken | {"nll": None}))
    panels = learning_curves(read_runs([run]))
    (nll,) = (panel.figure for panel in panels if panel.title.startswith("Negative"))
    lengths = [len(trace.x) for trace in nll.data if trace.fill is None]
    assert lengths == [2, 1]  # the last line is the second loss's, of its second epoch
    rows = [json.loads(line) for line in lines]
    for i, loss in enumerate(("cross_entropy", HOSTILE)):
        values = [row["nll"] for row in rows if row["loss"] == loss and row["epoch"] == 1]
        band, mean = (trace for trace in nll.data if trace.legendgroup == str(i))
        assert mean.y[0] == pytest.approx(np.mean(values))
        assert {band.y[0], band.y[-1]} == {max(values), min(values)}
