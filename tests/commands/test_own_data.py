"""Protects what a user does with data and a model of their own: train, keep, load, predict."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edl_jax import EdlError, cli, load_classifier, parts, read_runs, transfer
from edl_jax.runs.checkpoint import Checkpoints
from edl_jax.runs.interrupts import Stopped
from edl_jax.suspects import __main__ as suspects
from edl_jax.training import load

ROOT = Path(transfer.__file__).parents[1]
CLASSES = ("circle", "cross", "square")
QUICK = ["--model", "mlp", "--width", "16", "--batch-size", "16", "--epochs", "3"]
MODEL = '''
"""A network of the user's own."""
from flax import nnx


class Small(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(9, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(9, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.dropout(self.norm(x)))
'''


def picture(rng: np.random.Generator, label: int) -> np.ndarray:
    side = int(rng.integers(20, 30))
    x, y = np.meshgrid(*(np.linspace(-1.5, 1.5, side),) * 2)
    inside = (x**2 + y**2 < 1, np.minimum(abs(x), abs(y)) < 0.3, np.maximum(abs(x), abs(y)) < 0.8)
    pixels = rng.normal(90, 30, (side, side, 3)) + 100 * inside[label][..., None]
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """600 PNGs of many sizes, in a folder for each of three classes."""
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (place / name).mkdir()
        for i in range(200):
            Image.fromarray(picture(rng, label)).save(place / name / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    """An .npz file of texts as counts of nine words, by three authors."""
    path = tmp_path_factory.mktemp("arrays") / "counts.npz"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    words = rng.poisson(1.0, (300, 9)) + 2 * (np.arange(9) % 3 == labels[:, None])
    np.savez(path, train_features=words, train_labels=labels, class_names=["a", "b", "c"])
    return path


def measured(run: Path, loss: str, seed: int) -> float:
    (row,) = (r for r in read_runs(run) if (r["loss"], r["seed"]) == (loss, seed))
    return row["test_accuracy"]


def test_a_folder_of_pictures_is_trained_kept_and_predicted(folder, tmp_path):
    """As a user does it, from a directory of the user's own."""
    command = [sys.executable, "-m", "edl_jax.transfer", "--dataset", f"folder:{folder}"]
    command += ["--image-size", "16", "--loss", "cross_entropy", "edl-robust", "--save-model"]
    result = subprocess.run(
        [*command, *QUICK, "--augment", "none", "--learning-rate", "0.03", "--output-dir", "run"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    classifier = load_classifier(tmp_path / "run", loss="edl-robust")
    assert classifier.spec.class_names == CLASSES

    dataset = load(f"folder:{folder}", image_size=16)
    accuracy = np.mean(classifier.predict(dataset.test_images) == dataset.test_labels)
    assert accuracy == pytest.approx(measured(tmp_path / "run", "edl-robust", 0))
    assert accuracy > 0.8


def test_a_folder_may_be_streamed(folder, tmp_path):
    """And is resumed, its classifier kept and its suspects found as those of one in memory."""
    args = ["--dataset", f"folder:{folder}", "--image-size", "16", *QUICK, "--augment", "none"]
    args += ["--loss", "edl-robust", "--learning-rate", "0.03", "--label-noise", "0.3"]
    found = {}
    for name, option in (("whole", []), ("streamed", ["--stream"])):
        path = tmp_path / name
        transfer.command([*args, *option, "--save-model", "--output-dir", str(path)])
        suspects.command([str(path)])
        found[name] = (path / "suspects.csv").read_text(), measured(path, "edl-robust", 0)
        assert (path / "suspects.png").exists()
    assert found["whole"] == found["streamed"]


def test_labels_that_people_gave_are_trained_on_and_judged(toy_data_dir, tmp_path, capsys):
    args = ["--dataset", "toy_colours", "--data-dir", str(toy_data_dir), *QUICK, "--epochs", "10"]
    args += ["--labels", "worse_label", "--loss", "edl-robust", "--augment", "none"]
    transfer.command([*args, "--save-model", "--output-dir", str(tmp_path / "run")])
    suspects.command([str(tmp_path / "run")])
    assert "Of the labels, 20.0% are known to be wrong: precision" in capsys.readouterr().out


def test_noise_by_a_matrix_of_the_users_own(counts, tmp_path, monkeypatch):
    """Its path means what it meant where the run was started; what is no such matrix is refused."""
    np.savetxt(tmp_path / "mine.csv", [[0, 1, 0], [0, 1, 0], [0, 0.5, 0.5]], delimiter=",")
    np.save(tmp_path / "two.npy", np.eye(2))
    monkeypatch.chdir(tmp_path)
    args = ["--dataset", str(counts), *QUICK, "--loss", "edl-base", "--label-noise", "1"]
    transfer.command([*args, "--noise-kind", "mine.csv", "--save-model", "--output-dir", "run"])
    monkeypatch.chdir("/")
    suspects.command([str(tmp_path / "run")])
    (row,) = read_runs(tmp_path / "run")
    assert row["noise_kind"] == "matrix"
    predicted = load_classifier(tmp_path / "run").predict(load(str(counts)).test_images)
    assert predicted.min() == 1  # no label of the class 0 is left
    monkeypatch.chdir(tmp_path)
    for kind, line in (
        ("two.npy", "noise matrix: for 2 classes: expected 3"),
        ("none.csv", "cannot read none.csv: No such file or directory"),
        ("pink", "noise_kind pink: expected symmetric, asymmetric, instance, or PATH.csv"),
    ):
        with pytest.raises(EdlError, match=line):
            transfer.command([*args, "--noise-kind", kind, "--output-dir", "other"])
    assert not (tmp_path / "other").exists()


def test_counts_of_words_are_trained_kept_and_predicted(counts, tmp_path):
    args = ["--dataset", str(counts), *QUICK, "--seeds", "0", "1", "--save-model"]
    transfer.command([*args, "--output-dir", str(tmp_path / "run")])
    dataset = load(str(counts))
    for seed in (0, 1):
        classifier = load_classifier(tmp_path / "run", "edl-base", seed)
        accuracy = np.mean(classifier.predict(dataset.test_images) == dataset.test_labels)
        assert accuracy == pytest.approx(measured(tmp_path / "run", "edl-base", seed))
        assert accuracy > 0.8
    with pytest.raises(EdlError, match="expected loss and seed of one of its classifiers: loss 'c"):
        load_classifier(tmp_path / "run", loss="edl-base")


def test_a_model_of_the_users_own_file_is_trained_kept_and_predicted(counts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MODEL)
    args = ["--dataset", str(counts), *QUICK[4:], "--loss", "edl-robust", "--save-model"]
    transfer.command([*args, "--model", "mine.py:Small", "--output-dir", "run"])
    config = json.loads(Path("run/config.json").read_text())
    assert list(config["sources"]) == ["model mine.py:Small"]

    dataset = load(str(counts))
    predicted = load_classifier("run").predict(dataset.test_images)
    found = measured(Path("run"), "edl-robust", 0)
    assert np.mean(predicted == dataset.test_labels) == pytest.approx(found) and found > 0.8

    monkeypatch.setattr(parts, "_modules", {})  # as in another process
    Path("mine.py").write_text(MODEL + "# changed\n")
    with pytest.raises(EdlError, match=r"mine\.py:Small: expected the file with SHA-256"):
        load_classifier("run")
    Path("mine.py").unlink()
    with pytest.raises(EdlError, match=r"expected mine.py in the current directory, or load_"):
        load_classifier("run")


@pytest.mark.parametrize("calls", [2, 7, 14, 17])
def test_tuning_and_measuring_resume_to_the_bit_with_a_model_of_ones_own(
    calls, counts, tmp_path, monkeypatch
):
    """Stopped in the first trial, in a later one, between the two parts, and while measuring."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MODEL)
    args = ["--dataset", str(counts), *QUICK[4:], "--loss", "cross_entropy", "brier"]
    args += ["--model", "mine.py:Small", "--learning-rate", "0.01", "0.1", "--save-model"]
    transfer.command([*args, "--output-dir", "whole"])
    offer, offered = Checkpoints.offer, []

    def stop_at(checkpoints, state):
        offered.append(state)
        if len(offered) == calls:
            os.kill(os.getpid(), signal.SIGTERM)
        offer(checkpoints, state)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="--resume"):
        patch.setattr(Checkpoints, "offer", stop_at)
        transfer.command([*args, "--output-dir", "run"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    transfer.command(["--resume", "--output-dir", str(tmp_path / "run")])

    whole, run = tmp_path / "whole", tmp_path / "run"
    names = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    assert {path.relative_to(run) for path in run.rglob("*") if path.is_file()} == names
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    results = [json.loads((place / "summary.json").read_text()) for place in (whole, run)]
    assert results[0]["rows"] == results[1]["rows"]
    assert results[0]["tuning"] == results[1]["tuning"]


def test_a_kill_between_a_classifier_and_its_checkpoint_loses_nothing(
    counts, tmp_path, monkeypatch
):
    args = ["--dataset", str(counts), *QUICK, "--loss", "brier", "--save-model"]
    path = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Checkpoints, "write", lambda self, state: 1 / 0)
        transfer.command([*args, "--output-dir", str(path)])
    assert (path / "classifiers/0-seed0/classifier.json").exists()
    transfer.command(["--resume", "--output-dir", str(path)])
    dataset = load(str(counts))
    predicted = load_classifier(path).predict(dataset.test_images)
    assert np.mean(predicted == dataset.test_labels) == pytest.approx(measured(path, "brier", 0))


def test_the_table_and_the_rows_say_which_rate_each_loss_got(counts, tmp_path, capsys):
    args = ["--dataset", str(counts), *QUICK, "--loss", "cross_entropy", "one_minus_p"]
    rates = ["--learning-rate", "1e-6", "0.03", "--tensorboard"]
    transfer.command([*args, *rates, "--output-dir", str(tmp_path / "run")])
    curves = {path.parent.name for path in (tmp_path / "run").rglob("events.*")}
    assert curves == {"tuning_rate=1e-06", "tuning_rate=0.03", "seed=0"}
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert len(summary["tuning"]) == 4
    best = {row["loss"]: row["learning_rate"] for row in summary["rows"]}
    assert best == {"cross_entropy": 0.03, "one_minus_p": 0.03}
    assert "Each loss has the learning rate that was best for it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--dataset", "folder:none"], "folder none: expected a directory that exists"),
        (["--dataset", "none.npz"], "cannot read none.npz"),
        (["--image-size", "9"], "--image-size 9: expected --dataset folder:PATH with it"),
        (
            ["--learning-rate", "0.1", "0.1"],
            "--learning-rate 0.1 0.1: expected one or more",
        ),
        (["--learning-rate", "0.1", "0"], "--learning-rate 0.0: expected a number above 0"),
        (["--model", "none.py:Small"], "--model none.py:Small: expected a Python file"),
        (["--augment", "crop"], "--augment crop: expected auto or none for features"),
        (["--model", "resnet8"], "expected mlp for features of shape [9]"),
        (["--batch-size", "230", "--learning-rate", "0.1", "0.2"], "--batch-size 230: expected at"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    args, said, counts, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    own = ["--dataset", str(counts)] if "--dataset" not in args else []
    model = ["--model", "mlp"] if "--model" not in args else []
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: transfer.command([*own, *model, *args]))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
