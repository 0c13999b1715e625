"""How far training has come, read from a batch: what is counted, and who reads it."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import edl_jax
from edl_jax.losses.artifact import EARLIER
from edl_jax.losses.base import Context
from edl_jax.losses.context import STAGES, at_stages, batch_context
from edl_jax.losses.handmade import LOSSES, variant
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.networks import NetworkSpec
from tests.losses import references
from tests.losses.examples import STATIC

K = 4
SPEC = NetworkSpec("monotone", 3, K)
FAR = Context(jnp.float32(0.35), jnp.float32(0.0), jnp.float32(0.1))
context_of = jax.jit(batch_context, static_argnames="axis")


@functools.cache
def monotone_loss():
    """A loss whose gate stands ajar at FAR and in ``batch``, so that all of the context counts."""
    shapes = jax.eval_shape(SPEC.build().init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in shapes.items()}
    params |= {"gate/weights": jnp.ones(3), "gate/threshold": jnp.full(1, -1.73)}
    return LearnedLoss(params, jnp.float32(1.0), SPEC)


def batch(num_classes=K, size=16, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(size, num_classes)) * np.geomspace(0.1, 6, size)[:, None]
    return logits.astype(np.float32), rng.integers(num_classes, size=size)


value_and_gradient = jax.jit(
    jax.value_and_grad(lambda z, y, loss, context: loss(z, y, context=context).sum())
)


# --- what is counted ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("form", ["ids", "soft"])
def test_the_context_is_that_of_a_float64_reference(num_classes, form):
    """Masks, ignored and absent labels, logits that are NaN or infinite, lone classes."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        logits, labels = batch(num_classes, seed=seed)
        where = rng.random(logits.shape) < 0.8
        logits[0, 0], logits[1, 0], logits[2, 0] = np.nan, np.inf, -np.inf
        labels[3:5], where[5], where[:3] = (-1, 255), False, True
        if form == "soft":
            labels = rng.dirichlet(np.ones(num_classes), len(labels)).astype(np.float32)
            labels[6], labels[7] = 0, 3 * labels[7]
        present = where & (logits != -np.inf)

        found = context_of(logits, labels, where=where)
        expected = references.batch_context(zip(logits, labels, present, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert all(value.shape == () and value.dtype == jnp.float32 for value in found)
        assert np.all(expected != 0)


@pytest.mark.parametrize("form", ["ids", "soft"])
@pytest.mark.parametrize("axis", [0, 1, (0, 2), (-1, 0), None])
def test_the_classes_may_lie_on_any_axes(axis, form):
    rng = np.random.default_rng(0)
    shape = (2, 3, 2)
    axes = range(3) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = [i % 3 for i in axes]
    rest = [i for i in range(3) if i not in axes]
    logits = rng.normal(size=shape).astype(np.float32)
    where = rng.random(shape) < 0.9

    def rows(x):
        return x.transpose(*rest, *axes).reshape(*(shape[i] for i in rest), -1)

    if form == "soft":
        labels = rng.random(shape).astype(np.float32)
        last = rows(labels)
    else:
        last = labels = rng.integers(rows(logits).shape[-1], size=[shape[i] for i in rest])
    found = context_of(logits, labels, axis=axis, where=where)
    np.testing.assert_allclose(found, context_of(rows(logits), last, where=rows(where)), rtol=1e-5)


def test_chance_is_0_certainty_is_1_and_nothing_is_0():
    right, wrong = 1e4 * np.eye(K), 1e4 * np.roll(np.eye(K), 1, axis=1)
    for logits, expected in [
        (np.zeros((K, K)), (0, 0, 0)),
        (right, (1, 1, 0)),
        (wrong, (1, -1 / (K - 1), 0)),
        (np.concatenate([right[:2], wrong[2:]]), (1, (1 - 1 / (K - 1)) / 2, 1)),
        (np.full((K, K), np.nan), (0, 0, 0)),
        (np.full((K, K), -np.inf), (0, 0, 0)),
        (np.zeros((0, K)), (0, 0, 0)),
    ]:
        found = batch_context(logits.astype(np.float32), np.arange(len(logits)))
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("labels_dtype", ["int4", "uint8", "int16", "float16"])
@pytest.mark.parametrize("logits_dtype", ["float16", "bfloat16", "float32"])
def test_narrow_dtypes_are_computed_with_in_float32(logits_dtype, labels_dtype):
    logits, labels = batch()
    logits = jnp.asarray(logits, logits_dtype)
    given = jnp.asarray(np.eye(K)[labels] if "float" in labels_dtype else labels, labels_dtype)

    found = context_of(logits, given)
    np.testing.assert_allclose(found, context_of(logits.astype("float32"), labels), rtol=1e-6)
    assert {value.dtype for value in found} == {jnp.dtype("float32")}


def test_float64_logits_have_a_float64_context():
    logits, labels = batch()
    with jax.enable_x64(True):
        found = batch_context(np.float64(logits), labels)
        rows = zip(logits, labels, np.ones_like(logits, bool), strict=True)
        np.testing.assert_allclose(found, references.batch_context(rows), rtol=1e-12)


# --- who reads it ------------------------------------------------------------------------------


def test_there_is_no_gradient_through_the_context():
    logits, labels = batch()
    soft = np.eye(K, dtype=np.float32)[labels]
    slopes = jax.jit(jax.grad(lambda z, q: sum(batch_context(z, q)), argnums=(0, 1)))(logits, soft)
    np.testing.assert_array_equal(np.stack(slopes), 0)

    given = value_and_gradient(logits, labels, monotone_loss(), context_of(logits, labels))
    of_itself = value_and_gradient(logits, labels, monotone_loss(), None)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), of_itself, given)


def test_a_monotone_loss_reads_each_number_and_every_other_loss_ignores_them():
    logits, labels = batch()
    losses = dict(STATIC) | {name: edl_jax.load_loss(name) for name in EARLIER}
    for name in ("deepset", "concat", "taylor"):
        spec = NetworkSpec(name, 3, K)
        losses[name] = LearnedLoss(spec.build().init(jax.random.key(0)), jnp.float32(1.0), spec)

    @jax.jit
    def in_two_contexts(logits):
        return {
            n: (loss(logits, labels), loss(logits, labels, context=FAR))
            for n, loss in losses.items()
        }

    for name, (without, given) in in_two_contexts(logits).items():
        np.testing.assert_array_equal(without, given, err_msg=name)
    start, _ = value_and_gradient(logits, labels, monotone_loss(), FAR)
    for i in range(3):
        moved = Context(*(value - 0.1 * (i == j) for j, value in enumerate(FAR)))
        value, _ = value_and_gradient(logits, labels, monotone_loss(), moved)
        assert abs(value / start - 1) > 1e-3


def test_a_gate_is_cross_entropy_before_its_threshold_and_generalised_cross_entropy_after():
    logits, labels = batch()
    plain, robust = (LOSSES[name](logits, labels) for name in ("cross_entropy", "gce"))

    def at(confidence, loss=LOSSES["gate"]):
        context = Context(*(jnp.float32(x) for x in (confidence, 0.0, 0.0)))
        return loss(logits, labels, context=context)

    np.testing.assert_allclose(at(0.0), plain, rtol=1e-4)
    np.testing.assert_allclose(at(1.0), 1.4 * robust, rtol=1e-5)
    np.testing.assert_allclose(at(0.35), (plain + 1.4 * robust) / 2, rtol=1e-5)
    np.testing.assert_allclose(at(0.35, variant("gate:threshold=0.8")), plain, rtol=1e-4)
    batches = context_of(logits, labels)
    np.testing.assert_allclose(LOSSES["gate"](logits, labels), at(batches.confidence), rtol=1e-6)


def test_a_vmap_over_examples_with_the_batchs_context_is_the_batched_call():
    logits, labels = batch()
    loss, context = monotone_loss(), context_of(logits, labels)
    one = jax.value_and_grad(lambda z, y: loss(z, y, context=context))
    losses, gradient = jax.jit(jax.vmap(one))(logits, labels)

    value, expected = value_and_gradient(logits, labels, loss, None)
    np.testing.assert_allclose(losses.sum(), value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    alone = jax.jit(jax.vmap(loss))(logits, labels)  # each example is a batch of its own
    assert not np.allclose(alone, losses, rtol=1e-2)


# --- over several devices ----------------------------------------------------------------------

ON_DEVICES = """
import jax, numpy as np
from functools import partial
from jax.sharding import NamedSharding, PartitionSpec as P
from edl_jax.losses.context import STAGES, at_stages, batch_context
from tests.losses.test_context import batch, monotone_loss

logits, labels = batch(size=24)
loss = monotone_loss()
total = lambda z, y, context=None: loss(z, y, context=context).sum()
differentiate = jax.jit(jax.value_and_grad(total))
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
mesh = jax.make_mesh((4,), ("data",))
split = jax.device_put((logits, labels), NamedSharding(mesh, P("data")))
jax.tree.map(close, differentiate(*split), differentiate(logits, labels))

@jax.jit
@partial(jax.shard_map, mesh=mesh, in_specs=P("data"), out_specs=(P(), P("data"), P()))
def per_device(z, y):
    context = jax.lax.pmean(batch_context(z, y), "data")
    value, gradient = jax.value_and_grad(total)(z, y, context)
    return jax.lax.psum(value, "data"), gradient, context

value, gradient, context = per_device(*split)
close(context[:2], batch_context(logits, labels)[:2])
jax.tree.map(close, (value, gradient), differentiate(logits, labels, context))
"""


def test_on_several_devices_the_context_is_that_of_the_whole_batch():
    """By itself under jit, and averaged in ``shard_map``; the spread is then that of the parts."""
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # time is compilation
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    }
    subprocess.run([sys.executable, "-c", ON_DEVICES], env=environment, check=True)


def test_a_loss_that_reads_a_context_is_looked_at_early_and_late():
    logits, labels = batch()
    found = at_stages({"mine": monotone_loss(), "gce": LOSSES["gce"]})

    assert list(found) == ["mine, early", "mine, late", "gce"]
    assert found["gce"] is LOSSES["gce"]
    for stage, numbers in STAGES.items():
        given = monotone_loss()(logits, labels, context=Context(*map(jnp.float32, numbers)))
        np.testing.assert_array_equal(found[f"mine, {stage}"](logits, labels), given)
