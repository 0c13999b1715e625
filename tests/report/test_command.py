"""The command: what it refuses, where the page goes, and what it imports first."""

import os
import subprocess
import sys
from pathlib import Path

from edl_jax.report import __main__ as report
from tests.report.damage import refuse

ROOT = Path(__file__).parents[2]


def test_bad_options_are_refused(runs, tmp_path, capsys):
    run = runs[0]
    assert "error: RUN_DIR not given: expected at least one" in refuse([], capsys)
    assert "each run directory once" in refuse([run, run.parent / "." / run.name], capsys)
    assert "ends in .html" in refuse([run, "--output", run / "loss.npz"], capsys)
    missing = tmp_path / "none" / "report.html"
    assert "--output" in refuse([run, "--output", missing], capsys)
    assert not list(tmp_path.iterdir())


def test_the_page_goes_into_the_run_or_for_several_runs_here():
    assert report.ReportConfig((Path("a"),)).page == Path("a/report.html")
    assert report.ReportConfig((Path("a"), Path("b"))).page == Path("report.html")
    assert report.ReportConfig((Path("a"),), Path("c.html")).page == Path("c.html")


def test_runs_are_checked_before_jax_or_plotly_is_imported(tmp_path):
    code = (
        "import sys; from edl_jax.errors import EdlError\n"
        "from edl_jax.report import __main__ as report\n"
        f"try: report.command([{str(tmp_path)!r}])\n"
        "except EdlError: print('jax' in sys.modules, 'plotly' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["False", "False"]
