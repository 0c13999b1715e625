"""Protects the losses as a PyTorch user meets them: no JAX, CrossEntropyLoss's options, compiled.

That value and gradient are JAX's, under all options, is protected by ``tests/export``: the module
is the same one. These tests run where torch is installed.
"""

import subprocess
import sys

import numpy as np
import pytest

from edl_jax import EdlError
from edl_jax.losses import load_learned_loss
from edl_jax.losses.loading import load_loss as load_in_jax

torch = pytest.importorskip("torch")

from edl_jax.torch import load_loss  # noqa: E402


def batch(seed=0, number=64, classes=10):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(number, classes, generator=generator)
    return logits, torch.randint(classes, (number,), generator=generator)


@pytest.mark.parametrize("name", ["edl-base", "edl-robust", "edl-base-1", "edl-robust-1"])
def test_a_shipped_loss_is_that_of_jax(name):
    logits, labels = batch()
    ours = load_loss(name, reduction="none")(logits, labels)
    np.testing.assert_allclose(
        ours, load_in_jax(name)(logits.numpy(), labels.numpy()), rtol=1e-4, atol=1e-5
    )


def test_jax_is_not_imported():
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "import torch; from edl_jax.torch import load_loss\n"
        "criterion = load_loss('edl-robust')\n"
        "print(float(criterion(torch.zeros(4, 10), torch.arange(4))) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_run_directory_and_a_file_are_loaded_and_what_is_neither_is_one_line(tmp_path):
    load_learned_loss("edl-base").save(tmp_path / "loss.npz")
    logits, labels = batch()
    expected = load_loss("edl-base")(logits, labels)
    for source in (tmp_path, tmp_path / "loss.npz"):
        assert torch.equal(load_loss(source)(logits, labels), expected)
    with pytest.raises(EdlError, match="no-such: no such loss; give one of edl-base"):
        load_loss("no-such")
    (tmp_path / "loss.npz").write_bytes(b"damaged")
    with pytest.raises(EdlError, match="not a learned loss, or damaged"):
        load_loss(tmp_path)


def test_the_options_mean_what_they_mean_in_torch():
    """On labels that only edl-base's own values change, reductions and weights act alike."""
    logits, labels = batch(classes=4)
    labels[::7] = -100
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0])
    each = load_loss("edl-base", reduction="none")(logits, labels)
    known = labels >= 0
    counted = torch.where(known, weight[labels.clamp(min=0)], 0.0)
    for reduction, expected in (
        ("mean", (counted * each).sum() / counted.sum()),
        ("sum", (counted * each).sum()),
        ("none", counted * each),
    ):
        found = load_loss("edl-base", weight, reduction=reduction)(logits, labels)
        torch.testing.assert_close(found, expected)
    other = torch.where(known, labels, 7)
    same = load_loss("edl-base", weight, ignore_index=7)(logits, other)
    torch.testing.assert_close(same, load_loss("edl-base", weight)(logits, labels))


@pytest.mark.parametrize("name", ["edl-base", "edl-robust"])
def test_class_probabilities_are_the_expectation_over_classes(name):
    logits, labels = batch()
    one_hot = torch.nn.functional.one_hot(labels, 10).float()
    criterion = load_loss(name)
    torch.testing.assert_close(criterion(logits, one_hot), criterion(logits, labels))


@pytest.mark.parametrize("name", ["edl-base", "edl-robust"])
def test_it_compiles_with_its_gradient(name):
    criterion = load_loss(name)
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    logits, labels = batch()
    values = []
    for function in (criterion, compiled):
        z = logits.clone().requires_grad_()
        value = function(z, labels)
        value.backward()
        values.append((value.detach(), z.grad))
    for one, other in zip(*values, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["edl-base", "edl-robust"])
def test_under_autocast_it_computes_in_float32(name):
    logits, labels = batch()
    criterion = load_loss(name)
    narrow = logits.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = criterion(narrow, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, criterion(narrow.float(), labels))


def test_a_training_loop_learns():
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    labels = inputs[:, :3].argmax(-1)
    model = torch.nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    criterion = load_loss("edl-robust")
    for _ in range(60):
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()
    assert (model(inputs).argmax(-1) == labels).float().mean() > 0.95
