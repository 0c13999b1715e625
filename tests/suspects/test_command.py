"""Protects the command: it finds the labels that were made wrong, and says where to look."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from edl_jax import EdlError, cli, transfer
from edl_jax.report import __main__ as report
from edl_jax.suspects import __main__ as suspects

SMALL = ["--model", "mlp", "--width", "128", "--epochs", "20", "--augment", "none", "--save-model"]


def run(*args):
    transfer.command([*SMALL, *args])
    return args[-1]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A run on the set that the package makes, with labels made wrong, of two losses."""
    path = tmp_path_factory.mktemp("runs") / "noisy"
    args = ["--dataset", "synthetic", "--train-size", "7000", "--label-noise", "0.4"]
    run(*args, "--loss", "edl-robust", "cross_entropy", "--output-dir", str(path))
    return path


def rows(path):
    with open(path / "suspects.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_wrong_labels_are_found_and_listed(noisy, capsys):
    suspects.command([str(noisy), "--loss", "edl-robust", "--pictures", "25"])
    said = capsys.readouterr().out
    found = json.loads((noisy / "suspects.json").read_text())
    assert found["precision"] > 0.5 and found["recall"] > 0.5
    assert f"{found['num_suspects']:,} of 7,000 labels are suspect" in said
    listed = rows(noisy)
    assert len(listed) == found["num_suspects"]
    margins = [float(row["p_given"]) - float(row["p_suggested"]) for row in listed]
    assert max(margins) <= 0 and np.all(np.diff(margins) > -3e-4)  # of four digits each
    assert all(row["given"] != row["suggested"] for row in listed)
    # Each is called by its number in the whole training set, of 8,000.
    assert 7000 < max(int(row["example"]) for row in listed) < 8000
    with Image.open(noisy / "suspects.png") as sheet:
        assert sheet.size[0] > 500


def test_a_network_that_knows_all_labels_by_heart_suspects_none_and_that_is_said(tmp_path, capsys):
    path = tmp_path / "run"
    args = ["--dataset", "synthetic", "--train-size", "200", "--label-noise", "0.4"]
    run(*args, "--loss", "cross_entropy", "--epochs", "200", "--output-dir", str(path))
    suspects.command([str(path)])
    assert "learned wrong ones by heart" in capsys.readouterr().out
    found = json.loads((path / "suspects.json").read_text())
    assert (found["num_suspects"], found["precision"], found["recall"]) == (0, None, 0.0)
    assert rows(path) == [] and not (path / "suspects.png").exists()
    report.command([str(path)])


def test_the_report_shows_them(noisy, capsys):
    suspects.command([str(noisy), "--loss", "edl-robust"])
    report.command([str(noisy)])
    page = (noisy / "report.html").read_text()
    assert "Suspect labels of noisy" in page and "data:image/png;base64," in page
    (noisy / "suspects.png").write_bytes(b"no picture")
    with pytest.raises(EdlError, match=r"suspects\.png: damaged, not a PNG file"):
        report.command([str(noisy)])


def test_features_have_a_table_and_no_pictures(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    features = rng.normal(size=(400, 6)) + 6 * np.eye(6)[labels]
    given = labels.copy()
    given[:20] = (given[:20] + 1) % 3
    np.savez(
        tmp_path / "mine.npz",
        train_features=features,
        train_labels=given,
        test_features=features,
        test_labels=labels,
        class_names=["low", "middle", "high"],
    )
    path = tmp_path / "run"
    args = ["--dataset", str(tmp_path / "mine.npz"), "--batch-size", "40", "--seeds", "0", "1"]
    args += ["--epochs", "4"]
    run(*args, "--loss", "edl-robust", "--learning-rate", "0.03", "--output-dir", str(path))
    suspects.command([str(path)])
    found = json.loads((path / "suspects.json").read_text())
    assert found["seeds"] == [0, 1] and "precision" not in found
    assert {int(row["example"]) for row in rows(path)} == set(range(20))
    assert {row["given"] for row in rows(path)} <= {"low", "middle", "high"}
    assert not (path / "suspects.png").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--loss not given: expected one of the run's, edl-robust, cross_entropy"),
        (["--loss", "gce"], "--loss gce: expected one of the run's"),
        (["--loss", "edl-robust", "--seed", "7"], "--seed 7: expected one of the run's, 0"),
        (["--pictures", "0"], "--pictures 0: expected a whole number from 1"),
    ],
)
def test_a_bad_option_is_one_line(noisy, args, said, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: suspects.command([str(noisy), *args]))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and said in error and error.count("\n") == 1


def test_a_directory_without_classifiers_is_one_line(tmp_path):
    with pytest.raises(EdlError, match="expected a directory that holds a run of transfer"):
        suspects.command([str(tmp_path)])
    path = tmp_path / "run"
    args = [*SMALL[:-1], "--dataset", "synthetic", "--epochs", "1", "--train-size", "200"]
    transfer.command([*args, "--loss", "brier", "--output-dir", str(path)])
    with pytest.raises(EdlError, match="expected a finished run of transfer --save-model"):
        suspects.command([str(path)])
    assert (path / "config.json").exists() and not (path / "suspects.csv").exists()
