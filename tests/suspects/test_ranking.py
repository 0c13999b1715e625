"""Protects how suspect labels are ranked: by margin, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import EdlError
from edl_jax.suspects import rank_suspects


def draw(seed, number=40, classes=5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), number), rng.integers(classes, size=number)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7))
def test_a_label_is_suspect_where_another_class_is_more_probable(seed, classes):
    probs, labels = draw(seed, classes=classes)
    found = rank_suspects(probs, labels)
    assert set(found.indices.tolist()) == set(np.flatnonzero(probs.argmax(1) != labels).tolist())
    np.testing.assert_array_equal(found.suggested[found.indices], probs.argmax(1)[found.indices])
    margin = (found.p_given - found.p_suggested)[found.order]
    assert np.all(np.diff(margin) >= 0) and sorted(found.order) == list(range(40))
    assert np.all(found.suggested != labels)
    assert found.noise_rate == np.mean(probs.argmax(1) != labels)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_examples_and_classes_does_not_matter(seed):
    probs, labels = draw(seed)
    rng = np.random.default_rng(seed)
    examples, classes = rng.permutation(40), rng.permutation(5)
    other = rank_suspects(probs[examples][:, classes], np.argsort(classes)[labels[examples]])
    expected = rank_suspects(probs, labels)
    np.testing.assert_array_equal(examples[other.order], expected.order)
    np.testing.assert_array_equal(classes[other.suggested], expected.suggested[examples])


def test_precision_and_recall_are_shares_of_the_suspect_and_of_the_wrong():
    found = rank_suspects([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], [1, 0, 0, 1])
    assert found.indices.tolist() == [0, 2]
    assert found.precision_and_recall([True, True, False, False]) == (0.5, 0.5)
    nothing = rank_suspects([[0.9, 0.1]], [0])
    assert np.isnan(nothing.precision_and_recall([False])).all()


@pytest.mark.parametrize(
    ("probs", "labels", "line"),
    [
        ([[0.5, 0.5]], [2], "labels from 2 to 2: expected 0 to 1"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        ([[0.5, 0.5]], [0, 1], r"expected \[N, K\]"),
        ([0.5, 0.5], [0, 1], r"expected \[N, K\]"),
        (np.zeros((0, 3)), np.zeros(0, int), r"expected \[N, K\]"),
    ],
)
def test_what_does_not_fit_is_one_line(probs, labels, line):
    with pytest.raises(EdlError, match=line):
        rank_suspects(probs, labels)
