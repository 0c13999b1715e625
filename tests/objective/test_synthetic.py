"""Synthetic pairs: components that keep their promises, and how they are mixed."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edl_jax.config import MixtureConfig
from edl_jax.objective.synthetic import COMPONENTS, component_sizes, sample_pairs

NAMES = list(COMPONENTS)


def mixture(**weights):
    return MixtureConfig(**dict.fromkeys(NAMES, 0.0) | weights)


@functools.cache
def sample(component, num_classes=10, size=4000, seed=0):
    """Logits, labels, and float64 probabilities of pairs that come from one component."""
    pairs = sample_pairs(jax.random.key(seed), mixture(**{component: 1.0}), size, num_classes)
    logits = np.asarray(pairs.logits, np.float64)
    return logits, np.asarray(pairs.labels), scipy.special.softmax(logits, axis=-1)


def of_label(values, labels):
    return values[np.arange(len(labels)), labels]


# --- components --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_every_component_gives_finite_logits_and_uniform_labels(name, num_classes):
    logits, labels, _ = sample(name, num_classes)

    assert logits.shape == (4000, num_classes)
    assert np.isfinite(logits).all()
    counts = np.bincount(labels, minlength=num_classes)
    assert counts.size == num_classes
    assert stats.chisquare(counts).pvalue > 1e-4


def test_near_uniform_is_an_untrained_classifier():
    logits, _, p = sample("near_uniform")

    # A standard deviation of U/2, U uniform: 1/12 in mean square.
    assert logits.var() == pytest.approx(1 / 12, rel=0.1)
    assert np.abs(logits).max() < 3
    assert p.max() < 0.6


@pytest.mark.parametrize("num_classes", [2, 10])
def test_flat_dirichlet_is_uniform_on_the_simplex(num_classes):
    _, labels, p = sample("flat_dirichlet", num_classes)
    law = stats.beta(1, num_classes - 1)

    assert stats.kstest(of_label(p, labels), law.cdf).pvalue > 1e-3
    assert stats.kstest(p[:, 0], law.cdf).pvalue > 1e-3


def test_confident_right_is_right_and_confident():
    _, labels, p = sample("confident_right")

    assert np.mean(p.argmax(axis=1) == labels) > 0.95
    assert np.median(of_label(p, labels)) > 0.98


def test_confident_wrong_is_wrong_and_confident():
    _, labels, p = sample("confident_wrong")

    assert np.mean(p.argmax(axis=1) == labels) < 0.02
    assert np.median(p.max(axis=1)) > 0.98
    # Any other class may be the one.
    shift = (p.argmax(axis=1) - labels) % 10
    assert np.bincount(shift[shift > 0], minlength=10)[1:].min() > 300


def test_ambiguous_shares_the_lead_between_the_true_class_and_one_other():
    _, labels, p = sample("ambiguous")
    ranks = np.argsort(-p, axis=1)

    assert np.mean((ranks[:, :2] == labels[:, None]).any(axis=1)) > 0.9
    assert np.mean(ranks[:, 0] == labels) == pytest.approx(0.5, abs=0.05)
    assert np.median(p[np.arange(4000)[:, None], ranks[:, :2]].sum(axis=1)) > 0.9
    gap = np.log(of_label(p, ranks[:, 0])) - np.log(of_label(p, ranks[:, 1]))
    assert np.median(gap) == pytest.approx(1.0, abs=0.5)


def test_graded_covers_every_probability_of_the_true_class():
    logits, labels, p = sample("graded")
    p_y = of_label(p, labels)

    assert p_y.min() < 1e-7
    assert 1 - p_y.max() < 3e-5
    # Evenly in logits, but for the unit noise.
    counts, _ = np.histogram(of_label(logits, labels), bins=8, range=(-12, 12))
    assert stats.chisquare(counts).pvalue > 1e-4


# --- the mixture -------------------------------------------------------------------------------

weights = st.fixed_dictionaries({name: st.floats(0, 1e6) for name in NAMES}).filter(
    lambda w: sum(w.values()) > 0
)


@settings(deadline=None, max_examples=200)
@given(weights, st.integers(16, 100_000))
def test_component_sizes_sum_to_the_batch_and_follow_the_weights(weights, batch_size):
    sizes = component_sizes(MixtureConfig(**weights), batch_size)
    total = sum(weights.values())

    assert sum(sizes.values()) == batch_size
    for name, size in sizes.items():
        assert abs(size - batch_size * weights[name] / total) <= 1
        assert size == 0 or weights[name] > 0


def test_a_component_of_weight_0_is_absent_from_the_batch():
    pairs = sample_pairs(jax.random.key(0), mixture(near_uniform=3.0), 500, 5)
    assert np.abs(pairs.logits).max() < 3

    half = sample_pairs(jax.random.key(0), mixture(near_uniform=1.0, confident_wrong=1.0), 500, 5)
    wrong = np.asarray(scipy.special.softmax(half.logits, axis=-1).max(axis=-1) > 0.6)
    assert 200 < wrong.sum() < 251


def test_the_components_are_mixed_so_that_neighbours_are_random_pairs():
    pairs = sample_pairs(
        jax.random.key(0), mixture(near_uniform=1.0, confident_right=1.0), 2000, 10
    )
    confident = np.ptp(np.asarray(pairs.logits), axis=1) > 4

    for distance in (1, 2, 3, 4):
        same = np.mean(confident == np.roll(confident, distance))
        assert same == pytest.approx(0.5, abs=0.06)


def test_the_key_decides_the_pairs():
    draw = functools.partial(sample_pairs, mixture=MixtureConfig(), batch_size=64, num_classes=4)
    one, again, jitted, other = (
        dataclasses.astuple(pairs)
        for pairs in (
            draw(jax.random.key(0)),
            draw(jax.random.key(0)),
            jax.jit(draw)(jax.random.key(0)),
            draw(jax.random.key(1)),
        )
    )
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    np.testing.assert_allclose(one[0], jitted[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(one[1], jitted[1])
    assert not np.allclose(one[0], other[0])
    assert one[0].dtype == np.float32
    assert one[1].dtype == np.int32
