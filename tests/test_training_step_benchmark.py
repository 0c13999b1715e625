"""The benchmark of the training step: that both implementations take the same step."""

import json

import numpy as np
import pytest

from benchmarks import timing, training_step
from edl_jax import cli


def test_the_step_in_pytorch_is_the_step_here():
    """Same weights, same batch: the same losses over some steps, so the same updates too."""
    pytest.importorskip("torch")
    from benchmarks.torch_resnet import make_step

    images, labels = training_step.batch(16)
    ours, params = training_step.jax_step("resnet8", 4, "cross_entropy", images, labels)
    theirs = make_step(8, 4, images, labels, training_step.LEARNING_RATE, params)
    expected = [float(ours()) for _ in range(5)]

    assert expected[-1] < 0.95 * expected[0]
    np.testing.assert_allclose([theirs() for _ in range(5)], expected, rtol=1e-3)


@pytest.mark.parametrize("option", ["--models=x", "--width=0", "--repeats=0", "--steps=0"])
def test_a_bad_option_is_one_line_and_status_2(option, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: training_step.command([option]))

    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_quick_run_fills_a_file(tmp_path, monkeypatch, capsys):
    """With a network that compiles in no time."""
    monkeypatch.setattr(training_step, "QUICK_MODELS", ("mlp",))
    monkeypatch.setattr(training_step, "CLASSES", (10,))
    monkeypatch.setattr(training_step, "LOSSES", ("cross_entropy", "edl-robust"))
    monkeypatch.setattr(timing, "SETTLE", 0.0)
    path = tmp_path / "results.json"
    training_step.command(["--quick", "--output", str(path)])
    content = json.loads(path.read_text())

    assert {row["loss"] for row in content["rows"]} == set(training_step.LOSSES)
    assert {row["repeat"] for row in content["rows"]} == {0, 1, 2}
    assert all(row["images_per_second"] > 0 for row in content["rows"])
    assert {row["num_classes"] for row in content["bare_losses"]} == {10}
    assert "| 10 | edl-robust |" in capsys.readouterr().out
