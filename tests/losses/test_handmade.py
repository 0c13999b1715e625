"""The hand-made losses: each against its published formula, and against each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from edl_jax.losses import tempered
from edl_jax.losses.handmade import LOSSES, Handmade
from tests.losses.examples import STATIC, assert_same, batch, differentiate, every_loss
from tests.losses.references import REFERENCES, handmade_loss


def variant(name, **constants):
    return Handmade(name, functools.partial(LOSSES[name].definition, **constants))


# --- values and gradients ----------------------------------------------------------------------


def test_every_loss_of_the_registry_has_a_reference():
    assert list(REFERENCES) == list(STATIC)
    assert all(name == loss.name for name, loss in LOSSES.items())


@every_loss
@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_values_and_gradients_follow_the_published_formula(name, num_classes):
    logits, labels = batch(num_classes, seed=num_classes)
    losses, gradient = differentiate(LOSSES[name], logits, labels)

    expected = [handmade_loss(name, z, y) for z, y in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=3e-5, atol=3e-6)

    rng = np.random.default_rng(1)
    directions = np.eye(num_classes) if num_classes <= 10 else rng.normal(size=(3, num_classes))
    step, loss_at = 1e-4, functools.partial(handmade_loss, name)
    slopes = [
        [(loss_at(z + step * d, y) - loss_at(z - step * d, y)) / (2 * step) for d in directions]
        for z, y in zip(logits.astype(np.float64), labels, strict=True)
    ]
    np.testing.assert_allclose(gradient @ directions.T, slopes, rtol=1e-4, atol=1e-5)


@every_loss
def test_float64_logits_are_evaluated_in_float64(name):
    logits, labels = batch(10, dtype=np.float64)
    with jax.enable_x64(True):
        losses = np.asarray(LOSSES[name](logits, labels))
    assert losses.dtype == np.float64
    expected = [handmade_loss(name, z, y) for z, y in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("t1, t2", [(0.8, 1.2), (0.2, 2.0)])
def test_bi_tempered_is_differentiable_twice(t1, t2):
    """The rule for the normaliser is written by hand, so its own derivative needs a check."""
    logits, labels = batch(5, size=1, dtype=np.float64)
    step = 1e-5
    with jax.enable_x64(True):
        loss = variant("bi_tempered", t1=t1, t2=t2)
        gradient = jax.jit(jax.grad(lambda z: loss(z, labels[0])))
        hessian = jax.jit(jax.jacfwd(gradient))(logits[0])
        slopes = [
            (gradient(logits[0] + step * d) - gradient(logits[0] - step * d)) / (2 * step)
            for d in np.eye(5)
        ]
    np.testing.assert_allclose(hessian, slopes, rtol=1e-6, atol=1e-9)


def test_bi_tempered_normalises_the_hardest_distributions():
    """Groups of equal logits far apart take Newton's method longest; exp_t then sums to 1."""
    for num_classes in (2, 1000):
        for gap in (0.5, 5.0, 40.0, 2e4):
            log_p = np.zeros((3, num_classes), np.float32)
            for row, size in enumerate((1, num_classes // 2, num_classes - 1)):
                log_p[row, :size] = -gap
            c = tempered._tempered_normaliser(1.2, log_p, np.ones_like(log_p, bool))
            total = ((1 + 0.2 * (np.asarray(c, np.float64) - log_p)) ** -5).sum(axis=-1)
            np.testing.assert_allclose(total, 1, atol=2e-5)


# --- relations between the losses --------------------------------------------------------------


@pytest.mark.parametrize(
    "special_case, general",
    [
        (variant("focal", gamma=0.0), "cross_entropy"),
        (variant("label_smoothing", alpha=0.0), "cross_entropy"),
        (variant("poly1", epsilon=0.0), "cross_entropy"),
        (variant("gce", q=0.0), "cross_entropy"),
        (variant("gce", q=1.0), "one_minus_p"),
        (variant("symmetric_ce", alpha=1.0, beta=0.0), "cross_entropy"),
        (variant("bi_tempered", t1=1.0, t2=1.0), "cross_entropy"),
        (variant("gce_logit_bias", q=0.0, unbiased=10.0), "cross_entropy"),
        (variant("gce_logit_bias", unbiased=10.0), "gce"),
        (variant("nce_agce", alpha=0.0, beta=1.0, a=2.0, q=1.0), "one_minus_p"),
        (variant("nce_agce", alpha=0.0, beta=1.0, a=1e-6, q=0.7), "gce"),
        (variant("jal_ce", alpha=0.0, beta=10.0, a=1.0), "brier"),
        (variant("eps_softmax_mae", alpha=0.0, beta=0.5), "one_minus_p"),
        (
            variant("eps_softmax_mae", alpha=1.0, beta=0.0, m=0.0, smallest_p=1e-30),
            "cross_entropy",
        ),
    ],
    ids=lambda loss: getattr(loss, "name", loss),
)
def test_special_cases(special_case, general):
    logits, labels = batch(10)
    logits[0] = 1e4 * np.eye(10)[labels[0]]  # p_y = 1, where powers of 1 - p_y are delicate
    actual = differentiate(special_case, logits, labels)
    assert_same(actual, differentiate(LOSSES[general], logits, labels))


@pytest.mark.parametrize(
    "near_limit",
    [variant("gce", q=1e-4), variant("bi_tempered", t1=0.9999, t2=1.0001)],
    ids=lambda loss: loss.name,
)
def test_tempered_losses_approach_cross_entropy_continuously(near_limit):
    """The formula for t != 1 divides by 1 - t; near the limit it must lose no digits."""
    logits, labels = batch(10)
    expected = differentiate(LOSSES["cross_entropy"], logits, labels)
    assert_same(differentiate(near_limit, logits, labels), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_symmetric_losses_sum_to_a_constant_over_the_labels(num_classes):
    """What makes a loss tolerant of uniform label noise (arXiv 1712.09482)."""
    logits, _ = batch(num_classes)
    everywhere = np.ones_like(logits)
    constants = {"one_minus_p": num_classes - 1, "nce_rce": 1 + 4 * (num_classes - 1)}
    for name, constant in constants.items():
        np.testing.assert_allclose(LOSSES[name](logits, everywhere), constant, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_baikal_is_least_where_its_definition_over_all_classes_says(num_classes):
    """With the logarithm of p_y alone, the minimum would be at p_y = 1."""
    p_y = num_classes**-0.5
    p = np.full((6, num_classes), (1 - p_y) / (num_classes - 1), np.float32)
    p[:, 0] = p_y
    _, gradient = differentiate(LOSSES["baikal"], np.log(p), np.zeros(6, int))
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_baikal_continues_along_its_tangent_below_the_smallest_p():
    log_p_y = np.log(1e-7) + np.array([1e-3, 0, -1e-3, -1, -2, -3], np.float32)
    logits = np.stack([log_p_y, np.log1p(-np.exp(log_p_y))], axis=-1)
    losses, gradient = differentiate(LOSSES["baikal"], logits, np.zeros(6, int))
    np.testing.assert_allclose(losses[:3], 1e7 / 2 * np.array([1 - 1e-3, 1, 1 + 1e-3]), rtol=1e-5)
    np.testing.assert_allclose(losses[3:], 1e7 / 2 * np.array([2, 3, 4]), rtol=1e-5)
    np.testing.assert_allclose(gradient[1:, 0], -1e7 / 2, rtol=1e-5)


def test_values_of_optax():
    logits, labels = batch(10)
    where = np.arange(10) != (labels[:, None] + 3) % 10
    one_hot = jnp.asarray(np.eye(10, dtype=np.float32)[labels])
    smooth = optax.smooth_labels(one_hot, 0.1, where=where)
    expected = {
        "cross_entropy": optax.softmax_cross_entropy(logits, one_hot, where=where),
        "label_smoothing": optax.softmax_cross_entropy(logits, smooth, where=where),
        "poly1": optax.losses.poly_loss_cross_entropy(logits, one_hot, epsilon=1.0, where=where),
    }
    for name, losses in expected.items():
        actual = LOSSES[name](logits, labels, where=where)
        np.testing.assert_allclose(actual, losses, rtol=1e-6, atol=1e-6)
