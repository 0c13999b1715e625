"""Parts of a user's own, from a file outside of the package, by command and from Python."""

import dataclasses
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import edl_jax
from edl_jax import EvolutionConfig, analyze, cli, parts, pretrain, transfer
from edl_jax.errors import EdlError, OptionError
from edl_jax.export import __main__ as export
from edl_jax.losses import artifact
from edl_jax.runs.checkpoint import Checkpoints
from edl_jax.runs.interrupts import Stopped
from tests import own_parts

TINY = ["--population-size", "8", "--num-generations", "60", "--batch-size", "32"]
TINY += ["--num-classes", "3", "--max-rise", "1"]
OWN = {
    "strategy": "parts/mine.py:best_step",
    "network": "parts/mine.py:power",
    "objective": "parts/mine.py:steep",
    "mutation": "parts/mine.py:laplace",
}
OPTIONS = [text for option, name in OWN.items() for text in (f"--{option}", name)]
PARTS_OF_ES = ["--mutation", "parts/mine.py:laplace", "--schedule", "parts/mine.py:halving"]
PARTS_OF_ES += ["--map", "parts/mine.py:rotation"]
LOGITS, LABELS = jnp.array([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), jnp.array([0, 1])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, with a user's file in a folder."""
    (tmp_path / "parts").mkdir()
    shutil.copy(own_parts.__file__, tmp_path / "parts" / "mine.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stopped(command, args, monkeypatch):
    """Start a run, and stop it at its first checkpoint."""
    offer = Checkpoints.offer

    def stop(checkpoints, state):
        os.kill(os.getpid(), signal.SIGTERM)
        offer(checkpoints, state)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Checkpoints, "offer", stop)
        command(args)


def test_a_search_of_own_parts_runs_resumes_from_elsewhere_and_loads_back(here, monkeypatch):
    pretrain.command([*TINY, *OPTIONS, "--output-dir", "whole"])
    stopped(pretrain.command, [*TINY, *OPTIONS, "--output-dir", "run"], monkeypatch)
    monkeypatch.chdir(here / "parts")
    pretrain.command(["--resume", "--output-dir", "../run"])
    monkeypatch.chdir(here)

    for file in ("loss.npz", "metrics.jsonl"):
        assert (here / "run" / file).read_bytes() == (here / "whole" / file).read_bytes()
    assert "slope" in json.loads((here / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    loss = edl_jax.load_loss("run")
    q = float(1 / (1 + np.exp(-loss.params["q"][0])))
    p = np.exp(LOGITS[0, 0]) / np.sum(np.exp(LOGITS[0]))
    assert float(loss(LOGITS, LABELS)[0]) == pytest.approx(float(loss.scale) * (1 - p**q) / q, 1e-3)
    sources = loss.provenance["parts"]
    assert {option: source["name"] for option, source in sources.items()} == OWN
    assert {len(source["sha256"]) for source in sources.values()} == {64}


def test_parts_of_the_es_run_by_the_command(here):
    pretrain.command([*TINY, *PARTS_OF_ES, "--width", "4", "--output-dir", "run"])

    assert set(edl_jax.load_loss("run").provenance["parts"]) == {"mutation", "schedule", "map"}


def test_a_run_does_not_go_on_with_a_file_that_has_changed(here, monkeypatch, capsys):
    stopped(pretrain.command, [*TINY, *OPTIONS, "--output-dir", "run"], monkeypatch)
    before = (here / "run" / "metrics.jsonl").read_bytes()
    with open(here / "parts" / "mine.py", "a") as file:
        file.write("# changed\n")
    monkeypatch.setattr(sys, "argv", ["pretrain", "--resume", "--output-dir", "run"])

    with pytest.raises(SystemExit) as stop:
        cli.main(pretrain.command)

    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert (
        "parts/mine.py:steep: expected the file as it was when the run began, of SHA-256" in error
    )
    assert (here / "run" / "metrics.jsonl").read_bytes() == before


def test_a_loss_whose_file_is_missing_says_so_in_one_line_and_takes_the_network(here, monkeypatch):
    pretrain.command([*TINY, *OPTIONS, "--output-dir", "run"])
    expected = edl_jax.load_loss("run")(LOGITS, LABELS)
    monkeypatch.chdir(here / "run")

    with pytest.raises(EdlError, match=r"parts/mine.py:power, which is not part of edl_jax"):
        edl_jax.load_loss("loss.npz")
    loss = edl_jax.load_loss("loss.npz", network=own_parts.power)
    np.testing.assert_array_equal(loss(LOGITS, LABELS), expected)


def test_an_artifact_without_a_digest_runs_no_file(here):
    pretrain.command([*TINY, *OPTIONS, "--output-dir", "run"])
    loss = edl_jax.load_loss("run")
    spec = {"network": loss.spec.as_json(), "scale": 1.0, "provenance": {}}
    del spec["network"]["sha256"]
    artifact.write("bad.npz", {n: np.asarray(a) for n, a in loss.params.items()}, spec)

    with pytest.raises(EdlError, match=r"network parts/mine.py:power: expected one of symmetric"):
        edl_jax.load_loss("bad.npz")


def test_the_same_parts_as_objects_give_the_same_search(here):
    config = {"population_size": 8, "num_generations": 20, "batch_size": 32, "num_classes": 3}
    objects = {
        "strategy": own_parts.best_step,
        "network": own_parts.power,
        "objective": own_parts.steep,
        "mutation": own_parts.laplace,
    }
    named = {**OWN, "objective": edl_jax.config.ObjectiveConfig(own=OWN["objective"])}

    by_name = edl_jax.pretrain(EvolutionConfig(**config, **named))
    as_objects = edl_jax.pretrain(EvolutionConfig(**config), **objects)

    np.testing.assert_array_equal(by_name.loss.params["q"], as_objects.loss.params["q"])
    sources = as_objects.loss.provenance["parts"]
    assert sources["strategy"]["name"] == "tests.own_parts:best_step"
    as_objects.loss.save("loss.npz")
    with pytest.raises(EdlError, match=r"tests.own_parts:power, .* load_loss\(..., network=...\)"):
        edl_jax.load_loss("loss.npz")
    again = edl_jax.load_loss("loss.npz", network=own_parts.power)
    np.testing.assert_array_equal(again(LOGITS, LABELS), as_objects.loss(LOGITS, LABELS))


def test_a_loss_from_a_file_is_trained_with_and_resumes(here, toy_data_dir, monkeypatch):
    loss = "parts/mine.py:one_minus_p"
    args = ["--loss", "one_minus_p", loss, "--data-dir", str(toy_data_dir), "--epochs", "1"]
    args += ["--model", "mlp", "--width", "8", "--batch-size", "16", "--dataset", "toy_colours"]
    stopped(transfer.command, [*args, "--output-dir", "run"], monkeypatch)
    monkeypatch.chdir(here / "parts")
    transfer.command(["--resume", "--output-dir", "../run"])

    rows = json.loads((here / "run" / "summary.json").read_text())["rows"]
    assert [row["loss"] for row in rows] == ["one_minus_p", loss]
    assert rows[0]["test_accuracy"] == rows[1]["test_accuracy"]
    assert "loss " + loss in json.loads((here / "run" / "config.json").read_text())["sources"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--strategy parts/mine.py:best_stp", "did you mean best_step?"),
        ("--strategy parts/none.py:best_step", "a Python file that can be read (No such file"),
        ("--strategy parts/mine.py:laplace", "one Strategy, or a function that makes one, not Mut"),
        ("--objective parts/mine.py:laplace", "one Objective, or a function that makes one"),
        ("--objective steep", "expected FILE.py:NAME of your own"),
        ("--network parts/mine.py:steep", "one Network, or a function that makes one"),
        ("--strategy CMA_ES --mutation parts/mine.py:laplace", "gaussian with strategy CMA_ES"),
    ],
)
def test_a_part_that_does_not_serve_is_one_line_and_leaves_nothing(
    here, monkeypatch, capsys, option, said
):
    monkeypatch.setattr(sys, "argv", ["pretrain", *TINY, *option.split(), "--output-dir", "run"])

    with pytest.raises(SystemExit) as stop:
        cli.main(pretrain.command)

    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    assert said in error and option.split()[-1] in error
    assert not Path("run").exists()


def test_a_map_without_a_law_is_refused():
    lawless = dataclasses.replace(own_parts.rotation, closed_law=None)
    with pytest.raises(OptionError, match=r"map tests.own_parts:.* with a closed_law"):
        edl_jax.make_evolution(EvolutionConfig(mutation="chaotic"), map=lawless)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("loss = 3", "(TypeError: "),
        ("def loss(logits):\n    return logits", "a function of logits (6, 10) and labels (6,)"),
        ("def loss(logits, labels):\n    return logits.sum()", "of shape (6,) for 6 of them, not"),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "export"])
def test_a_loss_that_is_none_is_one_line(here, monkeypatch, capsys, command, content, said):
    Path("bad.py").write_text(content)
    module = {"analyze": analyze, "export": export}[command]
    monkeypatch.setattr(sys, "argv", [command, "bad.py:loss"])

    with pytest.raises(SystemExit) as stop:
        cli.main(module.command)

    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    assert "bad.py:loss: expected" in error and said in error


def test_a_file_that_has_changed_is_not_run_before_it_is_refused(here, monkeypatch):
    stopped(pretrain.command, [*TINY, *OPTIONS, "--output-dir", "run"], monkeypatch)
    (here / "parts" / "mine.py").write_text("raise AssertionError('was run')")

    with pytest.raises(OptionError, match="expected the file as it was when the run began"):
        pretrain.command(["--resume", "--output-dir", "run"])


def test_the_provenance_is_of_the_file_as_the_search_began(here):
    digest = parts.digest(OWN["network"], "network")

    def edit(chunk):
        (here / "parts" / "mine.py").unlink(missing_ok=True)

    config = EvolutionConfig(
        **{"population_size": 8, "num_generations": 60, "batch_size": 32, "num_classes": 3},
        network=OWN["network"],
        max_rise=1.0,
    )
    loss = edl_jax.pretrain(config, on_chunk=edit).loss

    assert loss.provenance["parts"]["network"]["sha256"] == digest == loss.spec.sha256
