"""python -m edl_jax.analyze: losses side by side."""

import pytest

from edl_jax import analyze, cli


def test_analyze_prints_losses_side_by_side_and_draws_them(tmp_path, capsys):
    analyze.command(["gce", "brier", "--num-classes", "3", "--output-dir", str(tmp_path)])

    out = capsys.readouterr().out
    assert "properness gap" in out
    assert "gce" in out
    assert {path.name for path in tmp_path.iterdir()} == {"gradient_profile.png", "simplex.png"}


@pytest.mark.parametrize("args", [[], ["no-such-loss"], ["gce", "--num-classes", "1"]])
def test_analyze_refuses_in_one_line(args, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: analyze.command(args))

    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
