"""Protects the transfer command: what it writes, what it prints, and how it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from edl_jax import cli, transfer
from edl_jax.errors import EdlError
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.loading import load_loss
from edl_jax.losses.networks import NetworkSpec
from edl_jax.runs.checkpoint import Checkpoints
from edl_jax.runs.interrupts import Stopped

ROOT = Path(transfer.__file__).parents[1]
QUICK = ["--model", "mlp", "--width", "8", "--batch-size", "16", "--dataset", "toy_colours"]
ROW = {
    "dataset",
    "model",
    "train_size",
    "epochs",
    "label_noise",
    "noise_kind",
    "loss",
    "learning_rate",
    "seed",
    "test_accuracy",
    "nll",
    "ece",
}


def run_command(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As a user calls it, from a directory of the user's own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "edl_jax.transfer", *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_as_a_user_starts_it(toy_data_dir, tmp_path):
    """The set is read in a process that has never seen its builder."""
    result = run_command(
        *("--loss", "cross_entropy", "brier", "--data-dir", str(toy_data_dir), *QUICK),
        *("--epochs", "2", "--train-size", "100", "--label-noise", "0.2", "--seeds", "0", "1", "2"),
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "+" in result.stdout and "paired by seed" in result.stdout
    assert sum("│ brier" in line for line in result.stdout.splitlines()) == 4

    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("transfer-")
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "metrics.jsonl", "summary.json", "learning_curves.png"}
    config = json.loads((run / "config.json").read_text())
    assert config["command"] == "transfer" and config["label_noise"] == 0.2

    history = read_lines(run / "metrics.jsonl")
    assert len(history) == 2 * 3 * 2
    assert {(row["loss"], row["seed"], row["epoch"]) for row in history} == {
        (loss, seed, epoch)
        for loss in ("cross_entropy", "brier")
        for seed in (0, 1, 2)
        for epoch in (1, 2)
    }
    summary = json.loads((run / "summary.json").read_text())
    assert all(set(row) >= ROW for row in summary["rows"])
    assert [(row["loss"], row["seed"]) for row in summary["rows"]] == [
        (loss, seed) for loss in ("cross_entropy", "brier") for seed in (0, 1, 2)
    ]
    assert {"environment", "wall_time_s", "paired_differences"} <= set(summary)


def test_help_is_quick_and_says_what_each_option_does(tmp_path):
    start = time.perf_counter()
    result = run_command("--help", cwd=tmp_path)
    # A second is the aim; JAX alone takes about that, so this finds it on any machine.
    assert time.perf_counter() - start < 3
    assert result.returncode == 0
    for option in ("loss", "dataset", "model", "epochs", "train-size", "label-noise", "seeds"):
        assert f"--{option} " in result.stdout
    assert "default: resnet8" in " ".join(result.stdout.replace("│", " ").split())


def test_options_are_checked_before_jax_is_imported(tmp_path):
    code = (
        "import sys; from edl_jax import transfer; from edl_jax.errors import EdlError\n"
        "try: transfer.command(['--epochs', '0'])\n"
        "except EdlError: print('jax' in sys.modules, 'flax' in sys.modules)"
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


WRONG = {
    "unknown loss": ["--loss", "no_such_loss"],
    "unknown constant of a loss": ["--loss", "gce:p=0.3"],
    "loss given twice": ["--loss", "gce", "gce"],
    "unknown model": ["--model", "resnet9"],
    "unknown dataset": ["--dataset", "no_such_set"],
    "no epochs": ["--epochs", "0"],
    "more images than there are": ["--train-size", "121"],
    "fewer images than a batch": ["--train-size", "15"],
    "batch larger than the set": ["--batch-size", "121"],
    "label noise above 1": ["--label-noise", "1.1"],
    "label noise below 0": ["--label-noise", "-0.1"],
    "unknown noise": ["--noise-kind", "pink"],
    "negative learning rate": ["--learning-rate", "-0.1"],
    "no data directory": ["--data-dir", "no/such/directory"],
    "no data directory's name": ["--data-dir", ""],
    "nearly a dataset": ["--dataset", "fashion-mnist"],
    "output directory under a file": ["--output-dir", "file/run"],
    "output directory with something else": ["--output-dir", "done"],
    "seed below 0": ["--seeds", "-1"],
    "no seed": ["--seeds"],
    "not a number": ["--epochs", "many"],
    "unknown option": ["--epoch", "1"],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_bad_option_is_one_line_and_leaves_nothing(
    wrong, toy_data_dir, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("done").mkdir()
    Path("done/config.json").touch()
    before = sorted(tmp_path.rglob("*"))
    defaults = ["--data-dir", str(toy_data_dir), "--loss", "cross_entropy", *QUICK]
    args = _override(defaults, wrong)
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: transfer.command(args))
    assert stop.value.code == 2
    output, error = capfd.readouterr()
    assert output == ""
    assert error.startswith("error: ") and error.count("\n") == 1
    assert wrong[-1] in error or wrong[0] in error
    assert sorted(tmp_path.rglob("*")) == before


def _override(defaults: list[str], changes: list[str]) -> list[str]:
    """The arguments ``defaults`` with the option ``changes`` in place of what it was."""
    pairs = dict(zip(defaults[::2], defaults[1::2], strict=True))
    pairs.pop(changes[0], None)
    return [*(part for pair in pairs.items() for part in pair), *changes]


def test_a_loss_for_another_number_of_classes_is_refused_before_anything_is_written(
    toy_data_dir, tmp_path, monkeypatch
):
    spec = NetworkSpec("concat", 4, 10)
    params = spec.build().init(jax.random.key(0))
    LearnedLoss(params, jnp.float32(1.0), spec).save(tmp_path / "ten.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdlError, match="evolved for 10 classes got 3"):
        transfer.command(["--loss", "ten.npz", "--data-dir", str(toy_data_dir), *QUICK])
    assert [path.name for path in tmp_path.iterdir()] == ["ten.npz"]


def test_a_diverged_run_is_reported_without_nan(toy_data_dir, tmp_path, capsys):
    transfer.command(
        [
            *("--loss", "cross_entropy", "brier", "--data-dir", str(toy_data_dir), *QUICK),
            *("--learning-rate", "1e30", "--epochs", "3", "--output-dir", str(tmp_path / "run")),
        ]
    )
    assert "diverged" in capsys.readouterr().out
    summary = json.loads(
        (tmp_path / "run" / "summary.json").read_text(), parse_constant=pytest.fail
    )
    assert summary["rows"][0]["diverged"] and summary["rows"][0]["nll"] is None
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "null" in metrics and "NaN" not in metrics


@pytest.mark.parametrize("calls", [1, 3, 4, 7])
def test_a_run_that_is_stopped_and_resumed_ends_bit_identical(
    calls, toy_data_dir, tmp_path, monkeypatch
):
    """In the first run or a later one; the runs of two losses and two seeds are 8 calls."""
    args = ["--loss", "cross_entropy", "brier", "--data-dir", str(toy_data_dir), *QUICK]
    args += ["--epochs", "2", "--seeds", "0", "1", "--label-noise", "0.2"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    transfer.command([*args, "--output-dir", str(whole)])
    offer, offered = Checkpoints.offer, []

    def stop_at(checkpoints, state):
        offered.append(state)
        if len(offered) == calls:
            os.kill(os.getpid(), signal.SIGTERM)
        offer(checkpoints, state)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="--resume"):
        patch.setattr(Checkpoints, "offer", stop_at)
        transfer.command([*args, "--output-dir", str(run)])
    assert not (run / "summary.json").exists()
    transfer.command(["--resume", "--output-dir", str(run)])

    names = {path.name for path in whole.iterdir()}
    assert {path.name for path in run.iterdir()} == names
    for name in names - {"summary.json"}:
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    summaries = [json.loads((path / "summary.json").read_text()) for path in (whole, run)]
    assert summaries[0].pop("wall_time_s") and summaries[1].pop("wall_time_s")
    assert summaries[0] == summaries[1]


def test_a_run_is_resumed_from_another_directory_with_the_paths_that_it_was_started_with(
    toy_data_dir, tmp_path, monkeypatch
):
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    for name in ("start", "elsewhere"):
        (tmp_path / name).mkdir()
    load_loss("edl-base").save(start / "loss.npz")
    (start / "data").symlink_to(toy_data_dir)
    monkeypatch.chdir(start)
    args = ["--loss", "loss.npz", "gce:q=0.3", "--data-dir", "data", *QUICK, "--epochs", "1"]

    offer = Checkpoints.offer

    def stop(checkpoints, state):
        os.kill(os.getpid(), signal.SIGTERM)
        offer(checkpoints, state)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Checkpoints, "offer", stop)
        transfer.command([*args, "--output-dir", "run"])
    monkeypatch.chdir(elsewhere)
    transfer.command(["--resume", "--output-dir", "../start/run"])

    config = json.loads((start / "run" / "config.json").read_text())
    assert (config["loss"], config["data_dir"]) == (["loss.npz", "gce:q=0.3"], "data")
    assert config["working_dir"] == str(start)
    rows = json.loads((start / "run" / "summary.json").read_text())["rows"]
    assert [row["loss"] for row in rows] == ["loss.npz", "gce:q=0.3"]
    assert not list(elsewhere.iterdir())
