"""The benchmarks' bookkeeping, and that the README shows what the results file says."""

import json
from pathlib import Path

import pytest

from benchmarks import transfer_losses, transfer_table
from benchmarks.results_file import RESULTS, ResultsFile
from edl_jax import analyze, cli

ROOT = Path(__file__).parent.parent


def row(loss, seed, accuracy, protocol="aware", noise=0.4):
    return {
        "dataset": "toy",
        "model": "mlp",
        "train_size": 10,
        "epochs": 1,
        "label_noise": noise,
        "noise_kind": "symmetric",
        "protocol": protocol,
        "loss": loss,
        "learning_rate": 0.1,
        "seed": seed,
        "test_accuracy": accuracy,
        "best_accuracy": accuracy,
        "nll": None,
        "ece": 0.1,
        "train_accuracy": 1.0,
    }


def test_differences_are_paired_by_seed_and_in_points():
    rows = [row("cross_entropy", s, 0.5 + 0.1 * s) for s in range(3)]
    rows += [row("edl", s, 0.52 + 0.1 * s) for s in range(3)]
    rows += [row("edl", 7, 0.0, protocol="tuning")]
    line = transfer_table.summarise(rows)[1]

    assert line["loss"] == "edl"
    assert line["difference"] == pytest.approx(2.0)
    assert line["interval"] == pytest.approx((2.0, 2.0))
    assert line["num_seeds"] == 3


def test_a_results_file_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "results.json"
    ResultsFile(path, transfer_losses.KEY).add(row("edl", 0, 0.5))
    again = ResultsFile(path, transfer_losses.KEY)

    assert again.find(row("edl", 0, None))["test_accuracy"] == 0.5
    assert again.find(row("edl", 1, None)) is None
    assert {"command", "commit", "environment"} <= json.loads(path.read_text())["meta"].keys()


def test_the_cells_tune_before_they_measure_and_measure_what_tuning_chose():
    setting = transfer_losses.QUICK
    config = transfer_losses.TransferLossesConfig(losses=("gce",), noise=("0.4",), seeds=(0,))
    cells = list(transfer_losses.cells(setting, config, lambda noise, kind, loss: 1 + noise))

    assert [cell["protocol"] for cell in cells] == ["tuning", "tuning", "unaware", "aware"] * 2
    assert [cell["learning_rate"] for cell in cells[6:]] == [1.0, 1.4]
    assert all(cell["seed"] == transfer_losses.TUNING_SEED for cell in cells[:2])


@pytest.mark.parametrize("option", ["--setting=x", "--noise=1.5", "--noise=b", "--seeds=1000"])
def test_a_bad_option_is_one_line_and_status_2(option, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: transfer_losses.command([option]))

    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_readme_shows_the_table_of_the_results_file():
    rows = json.loads((RESULTS / "transfer_losses.json").read_text())["rows"]
    table = transfer_table.markdown(transfer_table.summarise(rows))
    readme = (ROOT / "README.md").read_text()

    assert transfer_table.in_readme(readme, table) == readme


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
