"""The benchmark of the training step: that both implementations take the same step."""

import json

import jax
import numpy as np
import pytest

from benchmarks.common import speed_table, timing
from benchmarks.training_step import __main__ as training_step
from benchmarks.training_step import parts as step_parts
from edl_jax import cli
from tests.benchmarks.test_throughput import InThisProcess


def test_the_step_in_pytorch_is_the_step_here():
    """Same weights, same batch: the same losses over some steps, so the same updates too."""
    pytest.importorskip("torch")
    from benchmarks.training_step.torch_resnet import make_step

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
    monkeypatch.setattr(training_step, "ProcessPoolExecutor", InThisProcess)
    path = tmp_path / "results.json"
    training_step.command(["--quick", "--output", str(path)])
    content = json.loads(path.read_text())

    assert {row["loss"] for row in content["rows"]} == set(training_step.LOSSES)
    assert {row["repeat"] for row in content["rows"]} == {0, 1, 2}
    assert all(row["images_per_second"] > 0 for row in content["rows"])
    assert {row["num_classes"] for row in content["bare_losses"]} == {10}
    assert "| 10 | edl-robust |" in capsys.readouterr().out


@pytest.mark.parametrize("implementation", [step_parts.in_xla, step_parts.in_torch])
def test_a_convolution_is_timed_with_its_gradients(implementation, monkeypatch):
    if implementation is step_parts.in_torch:
        pytest.importorskip("torch")
    monkeypatch.setattr(step_parts, "REPEATS", 1)
    value, gradients = implementation(step_parts.Convolution(8, 3, 4, 2, 1), batch_size=2)

    assert 0 < value < 60
    assert 0 < gradients < 60


@pytest.mark.parametrize(("depth", "width"), [(8, 4), (20, 2)])
def test_the_convolutions_are_those_of_the_network(depth, width):
    """Their kernels, by shape and number, are those among the parameters."""
    images, labels = training_step.batch(2)
    _, params = training_step.jax_step(f"resnet{depth}", width, "cross_entropy", images, labels)
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    listed = [
        (3, 3, conv.inputs, conv.outputs)
        for conv in step_parts.convolutions(depth, width)
        for _ in range(conv.times)
    ]

    assert sorted(listed) == sorted(kernels)


def test_the_parts_of_a_step_are_summed_as_often_as_it_has_them():
    shape = {"size": 32, "stride": 1, "inputs": 8, "outputs": 8}
    rows = [
        {"implementation": name, **shape, "inputs": inputs, "times": times}
        | {"value_seconds": slow * 0.001, "gradient_seconds": slow * 0.002}
        for name, slow in (("edl_jax", 2), ("pytorch", 1))
        for inputs, times in ((3, 1), (8, 5))
    ]
    variants = [{"variant": "one device", "seconds_per_step": 0.05}]
    text = speed_table.training_text(
        {"rows": [], "bare_losses": [], "convolutions": rows, "variants": variants}
    )

    assert "| 32 × 32, 8 to 8, stride 1 | 5 | 2.00 | 4.00 | 1.00 | 2.00 |" in text
    assert "| all of a step |  | 12.0 | 24.0 | 6.0 | 12.0 |" in text
    assert "| one device | 50 |" in text
