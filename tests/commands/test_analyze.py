"""python -m edl_jax.analyze: losses side by side."""

import functools

import pytest

from edl_jax import analyze, cli
from edl_jax.losses.loading import load_loss
from edl_jax.objective import certificates


@pytest.fixture(autouse=True)
def few_class_counts(monkeypatch):
    """Each number of classes is one more compilation."""
    few = functools.partial(certificates.certify, class_counts=(2, 3))
    monkeypatch.setattr(certificates, "certify", few)


def test_analyze_prints_losses_side_by_side_and_draws_them(tmp_path, capsys):
    analyze.command(["gce:q=0.3", "brier", "--num-classes", "3", "--output-dir", str(tmp_path)])

    out = capsys.readouterr().out
    assert "properness gap" in out
    assert "gce:q=0.3" in out
    assert {path.name for path in tmp_path.iterdir()} == {"gradient_profile.png", "simplex.png"}


def test_analyze_prints_certificates_below_the_properties(capsys):
    analyze.command(["one_minus_p", "--num-classes", "3"])

    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    found = {row[1].strip(): row[2].strip() for row in rows}
    assert found["spread of Σ_k L(p, k), largest found"] == "0"
    assert found["excess risk at 40 % uniform noise, at most"] == "0"
    assert found["numbers of classes whose argmax q is kept"] == "2 3"
    assert found["uniform noise up to which argmax q is kept"] == "0.9"


def test_losses_of_one_name_get_a_column_each(tmp_path, capsys):
    for place in ("a", "b"):
        (tmp_path / place / "seed[0]").mkdir(parents=True)
        load_loss("edl-base").save(tmp_path / place / "seed[0]" / "loss.npz")
    runs = [str(tmp_path / place / "seed[0]") for place in ("a", "b")]
    analyze.command([*runs, "edl-base", "edl-base", "--num-classes", "3"])

    heading = capsys.readouterr().out.splitlines()[2]
    assert heading.split()[1::2] == ["property", "a/seed[0]", "b/seed[0]", "edl-base"]


@pytest.mark.parametrize("args", [[], ["no-such-loss"], ["gce:q"], ["gce", "--num-classes", "1"]])
def test_analyze_refuses_in_one_line(args, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: analyze.command(args))

    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
