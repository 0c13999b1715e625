"""The noise-robust losses in particular: what their papers say of them, in closed form."""

import functools

import jax
import numpy as np
import pytest

from edl_jax.losses.handmade import LOSSES, Handmade
from tests.losses.examples import batch, differentiate


def of(name, **constants):
    return Handmade(name, functools.partial(LOSSES[name].definition, **constants))


# A uniform prediction of K classes, and one of p_y = 1, in closed form.
UNIFORM = {
    "nce_agce": lambda k: 1 / k + 4 * (7**1.5 - (6 + 1 / k) ** 1.5) / 1.5,
    "anl_ce": lambda k: 5 / k + 5 * (1 - 1 / k),
    "jal_ce": lambda k: 1 / k + ((30 - 1 / k) ** 2 + (k - 1) / k**2) / k,
    "eps_softmax_mae": lambda k: 0.01 * np.log(k) + 10 * (1 - 1 / k),
    "gce_logit_bias": lambda k: (1 - (0.1 / (1.1 - 1 / k)) ** 0.7) / 0.7,
}
CERTAIN = dict.fromkeys(UNIFORM, lambda k: 0.0) | {"jal_ce": lambda k: 29**2 / k}


@pytest.mark.parametrize("name", UNIFORM)
@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_the_losses_of_a_uniform_and_of_a_certain_prediction(name, num_classes):
    logits = np.zeros((2, num_classes), np.float32)
    logits[1, 1] = 1e3
    expected = [UNIFORM[name](num_classes), CERTAIN[name](num_classes)]
    np.testing.assert_allclose(LOSSES[name](logits, np.array([1, 1])), expected, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_anl_sums_to_a_constant_over_the_labels(num_classes):
    """Symmetric, as both of its parts are normalised: tolerant of uniform label noise."""
    logits, _ = batch(num_classes)
    total = LOSSES["anl_ce"](logits, np.ones_like(logits))
    np.testing.assert_allclose(total, 5 + 5 * (num_classes - 1), rtol=1e-5)


def test_anl_counts_no_probability_below_its_bound():
    """What lies below 1e-7 is as if it were 1e-7, as the authors clip it: A + log p is 0 there."""
    logits = np.array([[0, -17, -40, -300], [0, -17, -17, -17]], np.float32)
    losses, gradient = differentiate(of("anl_ce", alpha=0.0), logits, np.array([0, 0]))
    np.testing.assert_allclose(losses, 0, atol=1e-6)
    np.testing.assert_array_equal(gradient, 0)


def test_jal_is_asymmetric_where_brier_is_proper():
    """With a > 1 the least expected loss is at the likeliest class, at a = 1 at the truth."""
    truth = np.array([0.4, 0.35, 0.25], np.float32)
    at = {"truth": np.log(truth), "likeliest": np.array([50, 0, 0], np.float32)}
    expected = {
        a: {place: of("jal_ce", alpha=0.0, a=a)(z, truth) for place, z in at.items()}
        for a in (1.0, 30.0)
    }
    assert expected[1.0]["truth"] < expected[1.0]["likeliest"]
    assert expected[30.0]["truth"] > expected[30.0]["likeliest"]


# --- epsilon-softmax ---------------------------------------------------------------------------


def amplified(logits, **constants):
    """p' of every class, from the loss that is -log p'."""
    loss = of("eps_softmax_mae", alpha=1.0, beta=0.0, **constants)
    logits = np.asarray(logits, np.float32)
    return np.exp([-loss(logits, np.array(k)) for k in range(len(logits))])


@pytest.mark.parametrize("logits", [[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("m", [0.0, 1.0, 100.0])
def test_the_amplified_probabilities_are_a_distribution_also_at_ties(logits, m):
    p = amplified(logits, m=m)
    assert p.sum() == pytest.approx(1.0, rel=1e-5)
    assert p.max() >= m / (m + 1) / logits.count(max(logits))
    np.testing.assert_allclose(p[::-1], amplified(logits[::-1], m=m), rtol=1e-5)  # no first class


def test_the_largest_class_takes_all_but_the_published_error():
    p = amplified([2.0, 1.0, 0.0], m=100.0)
    softmax = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    np.testing.assert_allclose(p, (softmax + np.array([100, 0, 0])) / 101, rtol=1e-5)


def test_a_label_below_the_clip_has_no_gradient_from_the_first_term():
    """The authors clip p' at 1e-8: with m = 1e5 that is a label of p_y < 1e-3."""
    loss = of("eps_softmax_mae", alpha=1.0, beta=0.0)
    for log_p_y, clipped in ((np.log(0.9e-3), True), (np.log(1.1e-3), False)):
        logits = np.array([log_p_y, np.log1p(-np.exp(log_p_y))], np.float32)
        value, gradient = jax.value_and_grad(loss)(logits, np.array(0))
        assert (value == pytest.approx(-np.log(1e-8), rel=1e-6)) == clipped
        assert np.all(gradient == 0) == clipped


# --- logit bias --------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [3, 100, 1000])
def test_a_logit_bias_is_gce_at_logits_whose_label_is_raised(num_classes):
    logits, labels = batch(num_classes)
    raised = logits.copy()
    raised[np.arange(len(labels)), labels] += np.log(num_classes / 10)
    losses, gradient = differentiate(LOSSES["gce_logit_bias"], logits, labels)
    expected, expected_gradient = differentiate(LOSSES["gce"], raised, labels)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-7)


def test_a_logit_bias_counts_the_classes_that_are_present():
    logits = np.zeros((1, 40), np.float32)
    where = np.arange(40) < 20
    losses = LOSSES["gce_logit_bias"](logits, np.array([0]), where=where[None])
    expected = LOSSES["gce_logit_bias"](logits[:, :20], np.array([0]))
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
