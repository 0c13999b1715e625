"""Exported losses equal the JAX ones, and need nothing of this package to run.

The tests of the PyTorch module run where torch is installed (``pip install -e ".[torch]"``).
"""

import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import edl_jax
from edl_jax import cli, errors
from edl_jax.errors import EdlError
from edl_jax.export import __main__ as export
from edl_jax.losses.base import as_pytree
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.networks import NetworkSpec

K = 10
NETWORKS = ("symmetric", "deepset", "concat", "taylor")


@functools.cache
def learned(name):
    """A shipped loss, or one with random weights; those of one network share a compilation."""
    if name.startswith("edl"):
        return dataclasses.replace(edl_jax.load_loss(name), provenance_json="{}")
    spec = NetworkSpec(name, 16, K)
    shapes = jax.eval_shape(spec.build().init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = {n: jnp.asarray(rng.normal(size=s.shape), jnp.float32) for n, s in shapes.items()}
    return LearnedLoss(params, jnp.float32(0.7), spec)


def examples(num_classes=K, size=60, seed=0):
    """Logits of every size, ties, absent classes and empty rows; class ids; soft labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(size, num_classes)) * 10 ** rng.uniform(-2, 4, size=(size, 1))
    logits[0], logits[1], logits[2:8, 1] = 0, -np.inf, -np.inf
    labels = rng.integers(0, num_classes, size)
    soft = rng.dirichlet(np.ones(num_classes), size)
    soft[10:20] = np.eye(num_classes)[labels[10:20]]
    return logits.astype(np.float32), labels, soft.astype(np.float32)


value_in_jax = jax.jit(lambda loss, logits, labels: loss(logits, labels))


@jax.jit
def in_jax(loss, logits, labels):
    """Losses, and the gradient of their sum."""
    losses, pull_back = jax.vjp(lambda z: loss(z, labels), logits)
    return losses, *pull_back(jnp.ones_like(losses))


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def without(*modules):
    """Python code after which importing any of ``modules`` fails."""
    return f"import sys; sys.modules.update(dict.fromkeys({modules}))\n"


def run(code, directory):
    # The package is not on the path: what was exported stands alone.
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=directory, env=environment, check=True)


# --- StableHLO ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "soft_labels"), [("edl-base", False), ("concat", True), ("gce", False)]
)
def test_stablehlo_has_value_and_gradient_for_any_batch(name, soft_labels):
    loss = edl_jax.LOSSES[name] if name in edl_jax.LOSSES else learned(name)
    num_classes = K if name == "concat" else None
    content = export.to_stablehlo(loss, num_classes, soft_labels)
    exported = jax.export.deserialize(bytearray(content))

    assert exported.platforms == export.PLATFORMS
    assert str(exported.in_avals[0].shape[0]) == "batch"
    for classes in (K,) if name == "concat" else (K, 3):
        logits, *labels = examples(classes)
        given = jnp.asarray(labels[soft_labels], None if soft_labels else jnp.int32)
        expected = in_jax(as_pytree(loss), logits, given)
        value, gradient = in_jax(as_pytree(exported.call), logits, given)
        assert_close(value, expected[0])
        assert_close(gradient, expected[1])


def test_a_concat_loss_is_bound_to_its_classes():
    with pytest.raises(EdlError, match="evolved for 10 classes"):
        export.to_stablehlo(learned("concat"), K + 1)


def test_exported_stablehlo_needs_jax_alone(tmp_path):
    export.command(["edl-base", "--output", str(tmp_path / "loss.stablehlo")])
    logits, labels, _ = examples()
    np.savez(tmp_path / "examples.npz", logits=logits, labels=labels.astype(np.int32))
    code = """
import jax, jax.export, numpy as np
given = np.load("examples.npz")
exported = jax.export.deserialize(bytearray(open("loss.stablehlo", "rb").read()))
objective = lambda logits: exported.call(logits, given["labels"]).mean()
value, gradient = jax.jit(jax.value_and_grad(objective))(given["logits"])
np.savez("result.npz", value=value, gradient=gradient)
"""
    run(without("edl_jax", "flax", "optax") + code, tmp_path)

    result = np.load(tmp_path / "result.npz")
    value, gradient = in_jax(learned("edl-base"), logits, labels)
    assert_close(result["value"], value.mean())
    assert_close(result["gradient"], gradient / len(labels))


# --- PyTorch -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def in_torch(torch, tmp_path):
    """Makes the PyTorch module of a loss."""
    from edl_jax.export.torch_loss import LearnedLoss

    def make(loss, **options):
        loss.save(tmp_path / "loss.npz")
        return LearnedLoss(tmp_path / "loss.npz", **options)

    return make


@pytest.mark.parametrize("name", ["edl-base", "edl-robust", *NETWORKS])
@pytest.mark.parametrize("form", ["class ids", "soft labels"])
def test_the_torch_module_equals_jax_in_value_and_gradient(torch, in_torch, name, form):
    loss = learned(name)
    criterion = in_torch(loss, reduction="none")
    for classes in (K,) if name == "concat" else (K, 3):
        logits, labels, soft = examples(classes)
        given = labels if form == "class ids" else soft
        value, gradient = in_jax(loss, logits, given)
        z = torch.tensor(logits, requires_grad=True)
        losses = criterion(z, torch.tensor(given))
        losses.sum().backward()
        assert_close(losses.detach(), value)
        assert_close(z.grad, gradient)


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
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        in_torch(learned("edl-base"))(logits, torch.full((6,), -100))
    with pytest.raises(ValueError, match="expected 10"):
        in_torch(learned("concat"))(torch.zeros(6, K + 1), torch.zeros(6, dtype=torch.int64))
    with pytest.raises(ValueError, match="reduction 'average'"):
        in_torch(learned("edl-base"), reduction="average")


@pytest.mark.usefixtures("torch")
def test_an_exported_torch_module_trains_without_jax(tmp_path):
    """An epoch on three Gaussian clouds, and nearly every point is in its own."""
    export.command(["edl-base", "--format", "torch", "--output", str(tmp_path / "my_loss.py")])
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


# --- ONNX --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["edl-robust", "deepset", "concat", "taylor"])
@pytest.mark.parametrize("soft_labels", [False, True])
def test_the_onnx_graph_equals_jax(name, soft_labels):
    runtime = pytest.importorskip("onnxruntime")
    from edl_jax.export.onnx_graph import make_model

    loss = learned(name)
    model = make_model(loss, K if name == "concat" else None, soft_labels)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for classes in (K,) if name == "concat" or soft_labels else (K, 3):
        logits, labels, soft = examples(classes)
        if not soft_labels:
            labels[:2] = -1, classes  # neither is a class: NaN, as in JAX
        given = soft if soft_labels else labels
        (losses,) = session.run(None, {"logits": logits, "labels": given})
        assert_close(losses, value_in_jax(loss, logits, given))


# --- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["stablehlo", "torch", "onnx"])
def test_the_command_names_its_files_after_the_loss(tmp_path, monkeypatch, capsys, form):
    if form == "onnx":
        pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    Path("2nd-run").mkdir()
    learned("concat").save("2nd-run/loss.npz")
    export.command(["2nd-run", "--format", form])

    suffixes = {"stablehlo": {".stablehlo"}, "torch": {".py", ".npz"}, "onnx": {".onnx"}}[form]
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert written == {f"_2nd_run{suffix}" for suffix in suffixes}
    assert all(name in capsys.readouterr().out for name in [f"_2nd_run{min(suffixes)}"])
    if form == "torch":
        assert Path("_2nd_run.npz").read_bytes() == Path("2nd-run/loss.npz").read_bytes()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["gce", "--format", "torch"], "loss gce: expected a learned loss with --format torch"),
        (["gce", "--format", "onnx"], "loss gce: expected a learned loss with --format onnx"),
        (["nonsense"], "loss nonsense: expected one of edl-base"),
        (["edl-base", "--format", "torch", "--num-classes", "3"], "--num-classes 3: expected"),
        (["edl-base", "--format", "torch", "--soft-labels"], "--soft-labels True: expected"),
        (["edl-base", "--format", "torch", "--output", "my-loss.py"], "--output my-loss.py: exp"),
        (["edl-base", "--num-classes", "1"], "--num-classes 1: expected a whole number from 2"),
        (["edl-base", "--output", "here"], "--output here: expected a file that does not exist"),
        (["edl-base", "--format", "torch", "--output", "w.py"], "--output w.npz: expected"),
        (["edl-base", "--output", "no/x"], "cannot write no/x"),
        (["edl-base", "--format", "torch", "--output", "no/x.py"], "cannot write no/x.npz"),
        (["concat.npz", "--num-classes", "7"], "--num-classes 7: expected 10, which this concat"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, args, said
):
    monkeypatch.chdir(tmp_path)
    for name in ("here", "w.npz"):
        Path(name).write_text("mine")
    learned("concat").save("concat.npz")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: export.command(args))

    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_the_onnx_package_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: export.command(["edl-base", "--format", "onnx"]))

    assert stop.value.code == 2
    assert 'pip install "edl_jax[onnx]"' in capsys.readouterr().err


def test_a_module_that_cannot_be_written_leaves_no_weights(tmp_path):
    (tmp_path / "loss.py").mkdir()
    with pytest.raises(EdlError, match="cannot write"):
        export.to_torch(learned("concat"), tmp_path / "loss.py")

    assert [path.name for path in tmp_path.iterdir()] == ["loss.py"]
