"""Students: that each kind learns, and that what is paired is paired."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from edl_jax.losses import LOSSES
from edl_jax.objective import students
from edl_jax.objective.students import apply_student, init_student, student_accuracy
from edl_jax.objective.tasks import REGIMES, Regime, sample_task

EASY = Regime(num_steps=40, num_classes=4, num_clusters=1, num_train=256)
KINDS = {
    "mlp": EASY,
    "normalised": dataclasses.replace(EASY, student="normalised"),
    "convolutional": dataclasses.replace(EASY, student="convolutional", num_inputs=64),
    "adam": dataclasses.replace(EASY, optimizer="adam", learning_rate=0.01),
}


@jax.jit
def nothing(logits, labels):
    """A loss that teaches nothing."""
    return 0.0 * logits[..., 0]


def accuracy(regime, loss="cross_entropy", rate=None, seed=0):
    def run(key, rate):
        task_key, student_key = jax.random.split(key)
        chosen = nothing if loss == "nothing" else LOSSES[loss]
        return student_accuracy(chosen, regime, sample_task(task_key, regime), rate, student_key)

    rate = regime.learning_rate if rate is None else rate
    return float(jax.jit(run)(jax.random.key(seed), jnp.float32(rate)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_student_learns_what_a_loss_teaches(kind):
    assert accuracy(KINDS[kind]) > accuracy(KINDS[kind], "nothing") + 0.3


def test_a_student_that_diverges_has_the_accuracy_of_chance():
    assert accuracy(EASY, rate=1e6) < 0.6


def test_the_same_key_trains_the_same_student():
    assert accuracy(EASY) == accuracy(EASY)
    assert accuracy(EASY) != accuracy(EASY, seed=1)


@pytest.mark.parametrize("name", REGIMES)
def test_the_student_of_every_regime_has_a_logit_for_each_class(name):
    regime = REGIMES[name]

    def logits(key):
        weights = init_student(key, regime)
        return apply_student(weights, jnp.ones((3, regime.num_inputs)), regime)

    assert jax.eval_shape(logits, jax.random.key(0)).shape == (3, regime.num_classes)


def test_a_convolution_by_patches_is_a_convolution():
    regime = KINDS["convolutional"]
    weights = init_student(jax.random.key(0), regime)
    images = jax.random.normal(jax.random.key(1), (5, 64))
    kernel = weights.matrices[0].reshape(3, 3, 1, -1)
    layout = ("NHWC", "HWIO", "NHWC")
    images = images.reshape(5, 8, 8, 1)
    x = jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=layout)

    def rectified(x):
        axes = tuple(range(x.ndim - 1))
        return np.maximum((x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5), 0)

    x = rectified(np.asarray(x)).reshape(5, 3, 2, 3, 2, -1).mean((2, 4)).reshape(5, -1)
    x = rectified(x @ np.asarray(weights.matrices[1])) @ np.asarray(weights.matrices[2])
    found = apply_student(weights, images.reshape(5, 64), regime)

    np.testing.assert_allclose(found, x, atol=1e-4)


@pytest.mark.parametrize("num_steps", [7, 60, 800])
def test_the_schedule_is_optaxs(num_steps):
    expected = optax.warmup_cosine_decay_schedule(0.0, 1.0, max(1, num_steps // 20), num_steps)
    steps = jnp.arange(num_steps)
    with jax.numpy_dtype_promotion("standard"):
        rates = jax.vmap(expected)(steps.astype(jnp.float32))
    np.testing.assert_allclose(students._schedule(steps, num_steps), rates, atol=1e-6)
