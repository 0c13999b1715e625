"""Protects what is done to examples: crops and mirrors of the image that was there, normalised."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import OptionError
from edl_jax.training.data import Dataset
from edl_jax.training.pixels import (
    channel_statistics,
    normalize,
    random_crop_flip,
    resolve_augmentation,
)
from edl_jax.training.pixels import input_statistics as statistics
from tests.training.toy import rows_of_numbers, toy


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 3), st.booleans())
def test_crops_and_flips_are_windows_of_the_padded_image(seed, padding, flip):
    images = np.random.default_rng(seed).integers(0, 256, (6, 5, 4, 2)).astype(np.uint8)
    result = np.asarray(random_crop_flip(jax.random.key(seed), jnp.asarray(images), padding, flip))
    assert result.dtype == np.uint8
    border = ((padding, padding), (padding, padding), (0, 0))
    for image, augmented in zip(images, result, strict=True):
        padded = np.pad(image, border)
        windows = [
            padded[y : y + 5, x : x + 4]
            for y in range(2 * padding + 1)
            for x in range(2 * padding + 1)
        ]
        if flip:
            windows += [window[:, ::-1] for window in windows]
        assert any(np.array_equal(augmented, window) for window in windows)


def test_every_shift_and_both_mirrors_occur_alike():
    image = np.zeros((1, 5, 5, 1), np.uint8)
    image[0, 2, 1] = 1
    count = 9000
    images = jnp.asarray(np.repeat(image, count, axis=0))
    result = np.asarray(random_crop_flip(jax.random.key(0), images, padding=1))
    position = result.reshape(count, 25).argmax(axis=1)
    rows, columns = np.divmod(position, 5)
    for counts, share in (
        (np.bincount(rows)[1:4], 1 / 3),
        # Column 1 shifts to 0, 1, 2; mirrored it shifts to 2, 3, 4.
        (np.bincount(columns), np.array([1, 1, 2, 1, 1]) / 6),
    ):
        assert np.all(np.abs(counts / count - share) < 5 * np.sqrt(0.25 / count))


def test_augmentation_may_be_jitted_and_vmapped():
    images = jnp.arange(2 * 3 * 4 * 4, dtype=jnp.uint8).reshape(2, 3, 4, 4, 1)
    keys = jax.random.split(jax.random.key(0), 2)
    together = jax.jit(jax.vmap(random_crop_flip))(keys, images)
    apart = jnp.stack([random_crop_flip(*pair) for pair in zip(keys, images, strict=True)])
    assert bool(jnp.all(together == apart))


def test_digits_are_not_mirrored():
    policy = {
        name: resolve_augmentation("auto", replace(toy(), name=name))
        for name in ("cifar10:3.0.2", "svhn_cropped", "my_own")
    }
    assert policy == {"cifar10:3.0.2": "crop-flip", "svhn_cropped": "crop", "my_own": "crop"}
    assert resolve_augmentation("none", toy()) == "none"


def test_features_are_not_augmented():
    assert resolve_augmentation("auto", rows_of_numbers()) == "none"
    with pytest.raises(OptionError, match="augment crop: expected auto or none for features"):
        resolve_augmentation("crop", rows_of_numbers())


@pytest.mark.parametrize("whole", [False, True])
def test_fractions_are_scaled_one_by_one_and_whole_numbers_all_alike(whole):
    features = np.array([[1, 100], [3, 300]])
    features = features if whole else features / 1.0
    dataset = Dataset("f", 2, features, [0, 1], features, [0, 1])
    scaled = normalize(jnp.asarray(dataset.train_images), *map(jnp.asarray, statistics(dataset)))
    overall = (features - features.mean()) / features.std()
    np.testing.assert_allclose(scaled, overall if whole else [[-1, -1], [1, 1]], rtol=1e-5)


def test_float_images_are_normalised_as_the_same_in_uint8():
    whole = toy()
    share = replace(
        whole,
        train_images=(whole.train_images / 255).astype(np.float32),
        test_images=(whole.test_images / 255).astype(np.float32),
    )
    for one, other in zip(statistics(whole), statistics(share), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_normalised_training_images_have_zero_mean_and_unit_variance():
    rng = np.random.default_rng(0)
    images = rng.integers(0, (50, 256, 1), (40, 6, 5, 3)).astype(np.uint8)
    mean, std = channel_statistics(images)
    pixels = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std[:2], pixels.std(axis=0)[:2], rtol=1e-6)
    assert std[2] == 1, "a constant channel must not divide by zero"
    result = np.asarray(normalize(jnp.asarray(images), jnp.asarray(mean), jnp.asarray(std)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(0, 1, 2)), [1, 1, 0], atol=1e-5)
