"""The benchmark of the training step: that both implementations take the same step."""

import json

import jax
import numpy as np
import pytest

from benchmarks.common import timing
from benchmarks.common.pages import DOCS, with_blocks
from benchmarks.common.results_file import committed
from benchmarks.training_step import __main__ as training_step
from benchmarks.training_step import cells, parts, table
from benchmarks.training_step.convolutions import Convolution, convolutions
from tests.benchmarks.test_throughput import InThisProcess


def test_the_step_in_pytorch_is_the_step_here():
    """Same weights, same batch: the same losses over some steps, so the same updates too."""
    pytest.importorskip("torch")
    from benchmarks.training_step.torch_resnet import make_step

    images, labels = cells.batch(16)
    ours, params = cells.jax_step("resnet8", 4, "cross_entropy", images, labels)
    theirs = make_step(8, 4, images, labels, cells.LEARNING_RATE, params)
    expected = [float(ours()) for _ in range(5)]

    assert expected[-1] < 0.95 * expected[0]
    np.testing.assert_allclose([theirs() for _ in range(5)], expected, rtol=1e-3)


def test_a_quick_run_fills_a_file(tmp_path, monkeypatch, capsys):
    """With a network that compiles in no time."""
    monkeypatch.setattr(training_step, "QUICK_MODELS", ("mlp",))
    monkeypatch.setattr(cells, "CLASSES", (10,))
    monkeypatch.setattr(cells, "LOSSES", ("cross_entropy", "edl-robust"))
    monkeypatch.setattr(timing, "SETTLE", 0.0)
    monkeypatch.setattr(training_step, "ProcessPoolExecutor", InThisProcess)
    path = tmp_path / "results.json"
    training_step.command(["--quick", "--output", str(path)])
    content = json.loads(path.read_text())

    assert {row["loss"] for row in content["rows"]} == set(cells.LOSSES)
    assert {row["repeat"] for row in content["rows"]} == {0, 1, 2}
    assert all(row["images_per_second"] > 0 for row in content["rows"])
    assert {row["num_classes"] for row in content["bare_losses"]} == {10}
    assert "| 10 | edl-robust |" in capsys.readouterr().out


@pytest.mark.parametrize("implementation", [parts.in_xla, parts.in_torch])
def test_a_convolution_is_timed_with_its_gradients(implementation):
    if implementation is parts.in_torch:
        pytest.importorskip("torch")
    value, gradients = implementation(Convolution(8, 3, 4, 2, 1), batch_size=2, repeats=1)

    assert 0 < value < 60
    assert 0 < gradients < 60


@pytest.mark.parametrize(("depth", "width"), [(8, 4), (20, 2)])
def test_the_convolutions_are_those_of_the_network(depth, width):
    """Their kernels, by shape and number, are those among the parameters."""
    images, labels = cells.batch(2)
    _, params = cells.jax_step(f"resnet{depth}", width, "cross_entropy", images, labels)
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    listed = [
        (3, 3, conv.inputs, conv.outputs)
        for conv in convolutions(depth, width)
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
    text = table.markdown(
        {"rows": [], "bare_losses": [], "convolutions": rows, "variants": variants}
    )

    assert "| 32 × 32, 8 to 8, stride 1 | 5 | 2.00 | 4.00 | 1.00 | 2.00 |" in text
    assert "| all of a step |  | 12.0 | 24.0 | 6.0 | 12.0 |" in text
    assert "| one device | 50 |" in text


def results():
    """A results file whose machine is slower in every repeat than in the one before."""
    rows, bare = [], []
    for repeat in range(5):
        slow = 1 + repeat
        for implementation, loss, time in (
            ("edl_jax", "cross_entropy", 0.1),
            ("edl_jax", "edl-base", 0.101),
            ("pytorch", "cross_entropy", 0.2),
        ):
            rows.append(
                {
                    "model": "resnet8",
                    "width": 16,
                    "implementation": implementation,
                    "loss": loss,
                    "repeat": repeat,
                    "seconds_per_step": time * slow,
                    "images_per_second": 128 / (time * slow),
                }
            )
            if implementation == "edl_jax":
                bare.append({"loss": loss, "num_classes": 10, "microseconds": 1e4 * time * slow})
                bare[-1]["repeat"] = repeat
    return {"rows": rows, "bare_losses": bare}


def test_a_step_is_compared_with_cross_entropy_repeat_by_repeat():
    text = table.markdown(results())

    assert "| `edl_jax` | edl-base | 422 | 1.010 [1.010, 1.010] | 5 |" in text
    assert "| `pytorch` | cross_entropy | 213 | 2.000 [2.000, 2.000] | 5 |" in text
    assert "| 10 | edl-base | 3,030 | 1.010 [1.010, 1.010] | 5 |" in text


def test_the_page_shows_what_the_results_file_says():
    page = (DOCS / "speed.md").read_text()

    assert with_blocks(page, table.blocks(committed("training_step"))) == page
