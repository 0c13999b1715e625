"""The PyTorch module equals the JAX loss, and needs nothing of this package to run.

Most of these tests run where torch is installed (``pip install -e ".[torch]"``).
"""

import itertools

import numpy as np
import pytest

from edl_jax.errors import EdlError
from edl_jax.export import to_torch
from edl_jax.losses.base import Context
from edl_jax.losses.context import batch_context
from tests.export.examples import (
    NETWORKS,
    K,
    assert_close,
    examples,
    in_jax,
    in_jax_with,
    learned,
    run,
    without,
)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def in_torch(torch, tmp_path):
    """Makes the PyTorch module of a loss."""
    from edl_jax.torch.learned_loss import LearnedLoss

    def make(loss, **options):
        loss.save(tmp_path / "loss.npz")
        return LearnedLoss(file=tmp_path / "loss.npz", **options)

    return make


@pytest.mark.parametrize("name", ["edl-base", "edl-robust", *NETWORKS])
@pytest.mark.parametrize("form", ["class ids", "soft labels"])
def test_the_torch_module_equals_jax_in_value_and_gradient(torch, in_torch, name, form):
    loss = learned(name)
    criterion = in_torch(loss, reduction="none")
    for classes in (K,) if name == "concat" else (K, 3):
        logits, labels, soft = examples(classes)
        labels[:1], labels[20:22] = -1, (-1, classes)  # no classes: NaN, and a gradient of 0
        labels[1] = -1  # with no class there
        logits[22, 0] = np.inf  # NaN, whatever the label
        given = labels if form == "class ids" else soft
        value, gradient = in_jax(loss, logits, given)
        z = torch.tensor(logits, requires_grad=True)
        losses = criterion(z, torch.tensor(given))
        losses.sum().backward()
        assert_close(losses.detach(), value)
        finite = np.arange(len(logits)) != 22
        assert_close(z.grad[finite], gradient[finite])
        if form == "class ids":
            assert np.flatnonzero(np.isnan(value)).tolist() == [0, 20, 21, 22]
            assert torch.all(z.grad[[0, 1, 20, 21]] == 0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_with_its_network_exchanged_the_module_is_torchs_cross_entropy(
    torch, in_torch, reduction, weighted
):
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(K, generator=generator) if weighted else None
    for shape, ignore_index in itertools.product(
        [(K,), (6, K), (6, K, 3), (6, K, 3, 2)], [-100, 3]
    ):
        options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}
        ours, theirs = (
            in_torch(learned("edl-base"), **options),
            torch.nn.CrossEntropyLoss(**options),
        )
        ours._symmetric = lambda log_p, labels: -log_p.gather(-1, labels)
        ours.scale.fill_(1.0)
        logits = torch.randn(shape, generator=generator)
        axis = min(1, len(shape) - 1)
        labels = torch.randint(K, (*shape[:axis], *shape[axis + 1 :]), generator=generator)
        labels.reshape(-1)[: len(shape) - 1] = ignore_index
        soft = torch.rand(shape, generator=generator).softmax(axis)
        ids = (labels, torch.full_like(labels, ignore_index))
        # torch refuses class probabilities beside an id of a class to ignore.
        for target in ids if ignore_index >= 0 else (*ids, soft):
            given = [logits.clone().requires_grad_() for _ in range(2)]
            values = [loss(z, target) for loss, z in zip((ours, theirs), given, strict=True)]
            torch.testing.assert_close(*values, equal_nan=True)
            if target is ids[1]:
                continue  # nothing is left: torch too has the mean 0 / 0
            gradients = [
                torch.autograd.grad(v.sum(), z)[0] for v, z in zip(values, given, strict=True)
            ]
            torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("size", "classes"), [(1, 2), (8, 3), (64, K)])
@pytest.mark.parametrize("form", ["class ids", "soft labels"])
def test_the_context_is_that_of_jax_and_may_be_given(torch, in_torch, size, classes, form):
    loss = learned("monotone")
    logits, labels, soft = examples(classes, max(size, 30), seed=size)
    labels[8:12], logits[12, 0], soft[13] = (-1, -100, classes, 0), np.inf, 0
    logits, labels, soft = logits[-size:], labels[-size:], soft[-size:]
    given = labels if form == "class ids" else soft
    weight = torch.rand(classes, generator=torch.Generator().manual_seed(0))
    criterion = in_torch(loss, weight=weight, reduction="none")  # weights are no part of it
    z = torch.tensor(logits, requires_grad=True)

    context = criterion.batch_context(z, torch.tensor(given))
    assert not any(value.requires_grad for value in context)
    np.testing.assert_allclose(context, batch_context(logits, given), rtol=1e-5, atol=1e-6)
    finite = (logits != np.inf).all(-1) & (labels != -100)
    of_itself, of_given = (
        torch.autograd.grad(criterion(z, torch.tensor(given), c)[finite].nansum(), z)[0]
        for c in (None, context)
    )
    torch.testing.assert_close(of_itself, of_given, equal_nan=True)  # of rows that are not finite
    plain = in_torch(loss, reduction="none")
    for numbers in ((1.0, 0.9, 0.1), (0.0, 0.0, 0.0)):
        moved = Context(*map(np.float32, numbers))
        value, gradient = in_jax_with(loss, logits, given, moved)
        losses = plain(z, torch.tensor(given), moved)
        assert_close(losses[finite].detach(), value[finite])
        (slope,) = torch.autograd.grad(losses[finite].nansum(), z)
        assert_close(slope[finite], gradient[finite])


def test_an_ignored_example_is_no_part_of_the_context(torch, in_torch):
    criterion = in_torch(learned("monotone"), ignore_index=3, reduction="none")
    logits = 3 * torch.randn(6, K, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 3, 0, 3, 5, 9])
    kept = labels != 3

    torch.testing.assert_close(
        criterion.batch_context(logits, labels), criterion.batch_context(logits[kept], labels[kept])
    )
    losses = criterion(logits, labels)
    torch.testing.assert_close(losses[kept], criterion(logits[kept], labels[kept]))
    assert not torch.allclose(losses[kept], criterion(logits[kept], labels[kept], (0.0,) * 3))


def test_an_ignored_example_is_no_part_of_the_mean_or_the_gradient(torch, in_torch):
    logits = torch.randn(6, K, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([1, -100, 3, 255, 0, -100])
    criterion = in_torch(learned("edl-robust"), ignore_index=255)
    kept = torch.tensor([0, 2, 4])
    value = in_torch(learned("edl-robust"))(logits[[0, 1, 2, 4, 5]], labels[[0, 1, 2, 4, 5]])
    torch.testing.assert_close(value, criterion(logits[kept], labels[kept]))
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.all(gradient[[1, 3, 5]] == 0) and gradient[kept].abs().sum() > 0
    assert criterion(logits, labels).isnan()  # -100 is then no class


def test_the_gradient_of_class_probabilities_is_the_loss_also_where_they_are_0(torch, in_torch):
    criterion = in_torch(learned("deepset"), reduction="none")
    logits = torch.randn(4, K, generator=torch.Generator().manual_seed(0))
    target = torch.eye(K)[:4].requires_grad_()
    (slope,) = torch.autograd.grad(criterion(logits, target).sum(), target)

    by_label = [criterion(logits, torch.full((4,), k)) for k in range(K)]
    torch.testing.assert_close(slope, torch.stack(by_label, -1))


def test_the_torch_module_takes_what_torchs_cross_entropy_takes(torch, in_torch):
    loss = learned("edl-base")
    none, mean, total = (in_torch(loss, reduction=r) for r in ("none", "mean", "sum"))
    cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
    generator = torch.Generator().manual_seed(0)
    for shape in ((K,), (6, K), (6, K, 3), (6, K, 3, 2)):
        logits = torch.randn(shape, generator=generator)
        axis = min(1, len(shape) - 1)
        labels = torch.randint(K, (*shape[:axis], *shape[axis + 1 :]), generator=generator)
        one_hot = torch.nn.functional.one_hot(labels, K).movedim(-1, axis)
        losses = none(logits, labels)
        assert losses.shape == cross_entropy(logits, labels).shape
        rows = none(logits.movedim(axis, -1).reshape(-1, K), labels.reshape(-1))
        torch.testing.assert_close(losses, rows.reshape(labels.shape))
        torch.testing.assert_close(none(logits, one_hot.float()), losses)
        torch.testing.assert_close(mean(logits, labels), losses.mean())
        torch.testing.assert_close(total(logits, labels), losses.sum())


def test_the_torch_module_computes_in_full_precision_and_trains_nothing_of_its_own(torch, in_torch):
    criterion = in_torch(learned("edl-base"))
    logits = torch.randn(6, K, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % K
    expected = criterion(logits, labels)

    assert not list(criterion.parameters())
    assert not criterion.state_dict()
    double = logits.double().requires_grad_()
    torch.testing.assert_close(criterion(double, labels).float(), expected)
    # Central differences agree with the gradient only where all is computed in float64.
    assert torch.autograd.gradcheck(lambda z: criterion(z, labels), (double,))
    half = criterion(logits.half(), labels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(criterion(logits, labels), expected)


def test_the_torch_module_refuses_what_does_not_fit(torch, in_torch):
    logits = torch.zeros(6, K)
    with pytest.raises(ValueError, match=r"target of shape \(5,\)"):
        in_torch(learned("edl-base"))(logits, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"target of shape .* torch\.float32: expected integer"):
        in_torch(learned("edl-base"))(logits, torch.zeros(6))
    with pytest.raises(ValueError, match=r"weight of shape \(3,\)"):
        in_torch(learned("edl-base"), weight=torch.ones(3))(
            logits, torch.zeros(6, dtype=torch.int64)
        )
    with pytest.raises(ValueError, match="expected 10"):
        in_torch(learned("concat"))(torch.zeros(6, K + 1), torch.zeros(6, dtype=torch.int64))
    with pytest.raises(ValueError, match="reduction 'average'"):
        in_torch(learned("edl-base"), reduction="average")


@pytest.mark.usefixtures("torch")
def test_an_exported_torch_module_trains_without_jax(tmp_path):
    """An epoch on three Gaussian clouds, and nearly every point is in its own."""
    to_torch(learned("edl-base"), tmp_path / "my_loss.py")
    code = """
import torch
from my_loss import LearnedLoss

torch.manual_seed(0)
labels = torch.arange(600) % 3
points = 4 * torch.eye(3)[labels] + torch.randn(600, 3)
model = torch.nn.Linear(3, 3)
accuracy = lambda: (model(points).argmax(1) == labels).float().mean()
before = accuracy()
criterion, optimizer = LearnedLoss(), torch.optim.SGD(model.parameters(), 0.1)
for batch in torch.randperm(600).split(20):
    optimizer.zero_grad()
    criterion(model(points[batch]), labels[batch]).backward()
    optimizer.step()
assert before < 0.9 < 0.97 < accuracy(), (before, accuracy())
"""
    run(without("jax", "jaxlib", "flax", "edl_jax") + code, tmp_path)


def test_a_module_that_cannot_be_written_leaves_no_weights(tmp_path):
    (tmp_path / "loss.py").mkdir()
    with pytest.raises(EdlError, match="cannot write"):
        to_torch(learned("concat"), tmp_path / "loss.py")

    assert [path.name for path in tmp_path.iterdir()] == ["loss.py"]
