"""python -m edl_jax.analyze: losses side by side."""

import pytest

from edl_jax import analyze, cli
from edl_jax.losses.learned import load_loss


def test_analyze_prints_losses_side_by_side_and_draws_them(tmp_path, capsys):
    analyze.command(["gce", "brier", "--num-classes", "3", "--output-dir", str(tmp_path)])

    out = capsys.readouterr().out
    assert "properness gap" in out
    assert "gce" in out
    assert {path.name for path in tmp_path.iterdir()} == {"gradient_profile.png", "simplex.png"}


def test_losses_of_one_name_get_a_column_each(tmp_path, capsys):
    for place in ("a", "b"):
        (tmp_path / place / "seed[0]").mkdir(parents=True)
        load_loss("edl-base").save(tmp_path / place / "seed[0]" / "loss.npz")
    runs = [str(tmp_path / place / "seed[0]") for place in ("a", "b")]
    analyze.command([*runs, "edl-base", "edl-base", "--num-classes", "3"])

    heading = capsys.readouterr().out.splitlines()[2]
    assert heading.split()[1::2] == ["property", "a/seed[0]", "b/seed[0]", "edl-base"]


@pytest.mark.parametrize("args", [[], ["no-such-loss"], ["gce", "--num-classes", "1"]])
def test_analyze_refuses_in_one_line(args, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: analyze.command(args))

    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
