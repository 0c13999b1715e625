"""Losses to export, predictions to call them on, and what JAX makes of these."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

import edl_jax
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.networks import NetworkSpec

K = 10
NETWORKS = ("symmetric", "deepset", "concat", "taylor", "monotone")


@functools.cache
def learned(name):
    """A shipped loss, or one with random weights; those of one network share a compilation."""
    if name.startswith("edl"):
        return edl_jax.load_loss(name)
    spec = NetworkSpec(name, 16, K)
    shapes = jax.eval_shape(spec.build().init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = {n: jnp.asarray(rng.normal(size=s.shape), jnp.float32) for n, s in shapes.items()}
    if name == "monotone":  # a gate that stands ajar, so that all of the context counts
        params |= {"gate/weights": jnp.ones(3), "gate/threshold": jnp.full(1, -1.1)}
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


@jax.jit
def in_jax_with(loss, logits, labels, context):
    """The same in a context of one's own."""
    losses, pull_back = jax.vjp(lambda z: loss(z, labels, context=context), logits)
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
