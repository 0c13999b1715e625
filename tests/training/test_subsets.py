"""Protects what a run trains on: the subsets, and that they depend on the seed alone."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import OptionError
from edl_jax.training.subsets import for_seed, holdout_split
from tests.training.toy import equal, numbered


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_held_out_images_are_never_trained_on(draw):
    total = 60
    holdout = draw.draw(st.integers(0, total - 1))
    kept = draw.draw(st.integers(1, total - holdout))
    key = jax.random.key(draw.draw(st.integers(0, 1000)))
    dataset = numbered(total)
    split = holdout_split(dataset, kept, holdout, key)
    train = split.train_images.ravel().tolist()
    assert len(set(train)) == kept
    assert np.array_equal(split.train_labels, split.train_images.ravel() % 5)
    if holdout:
        held_out = split.test_images.ravel().tolist()
        assert len(set(held_out)) == holdout and not set(train) & set(held_out)
        assert np.array_equal(split.test_labels, split.test_images.ravel() % 5)
    else:
        assert split.test_images is dataset.test_images
    # What is chosen on held-out images is then measured with the same training images.
    assert train == holdout_split(dataset, kept, 0, key).train_images.ravel().tolist()


@pytest.mark.parametrize(("train_size", "holdout_size"), [(0, 0), (61, 0), (60, 1), (None, 60)])
def test_a_split_that_is_too_large_is_refused(train_size, holdout_size):
    with pytest.raises(OptionError, match="train_size"):
        holdout_split(numbered(60), train_size, holdout_size, jax.random.key(0))


def test_what_a_seed_trains_on_depends_on_the_seed():
    dataset = numbered(200)
    one, again, other = (
        for_seed(dataset, seed, train_size=100, label_noise=0.4) for seed in (1, 1, 2)
    )
    assert equal(one, again) and not equal(one, other)
    clean = for_seed(dataset, 1, train_size=100)
    assert np.array_equal(one.train_images, clean.train_images)
    assert 0 < np.mean(one.train_labels != clean.train_labels) < 0.6
    assert one.test_labels is dataset.test_labels


@pytest.mark.parametrize(
    "wrong", [{"label_noise": -0.1}, {"label_noise": float("nan")}, {"noise_kind": "pink"}]
)
def test_wrong_noise_is_refused(wrong):
    with pytest.raises(OptionError):
        for_seed(numbered(10), 0, **wrong)
