"""Protects what a run trains on: the pixels and labels read, the noise put on them, the subsets."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.common.toy_data import TOY_SIZES, toy_example
from edl_jax.errors import EdlError, OptionError
from edl_jax.training import data
from edl_jax.training.data import Dataset, load
from edl_jax.training.pixels import (
    channel_statistics,
    normalize,
    random_crop_flip,
    resolve_augmentation,
)
from edl_jax.training.subsets import asymmetric_noise, for_seed, holdout_split, symmetric_noise

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def equal(one: Dataset, other: Dataset) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


def numbered(size: int) -> Dataset:
    """A set whose every image and label is its own number, so that a subset shows its origin."""
    images = np.arange(size, dtype=np.uint8).reshape(size, 1, 1, 1)
    labels = np.arange(size, dtype=np.int32) % 5
    return Dataset("numbered", 5, images, labels, images[:3], labels[:3])


# --- reading -----------------------------------------------------------------------------------


def test_load_returns_the_pixels_and_labels_that_were_prepared(toy_data_dir):
    dataset = load("toy_colours", toy_data_dir)
    assert (dataset.name, dataset.num_classes) == ("toy_colours", 3)
    assert dataset.image_shape == (8, 8, 3)
    for split, images, labels in (
        ("train", dataset.train_images, dataset.train_labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        assert len(images) == len(labels) == TOY_SIZES[split]
        # tfds shuffles what it prepares, so the examples are compared as sets.
        prepared = [toy_example(split, i) for i in range(len(labels))]
        read = zip(images, labels, strict=True)
        assert {(image.tobytes(), int(label)) for image, label in read} == {
            (image.tobytes(), label) for image, label in prepared
        }


def test_the_second_load_reads_the_cache_alone(toy_data_dir, tmp_path, monkeypatch):
    first = load("toy_colours", toy_data_dir, tmp_path)
    monkeypatch.setattr(data, "_decode", lambda *args: pytest.fail("decoded again"))
    assert equal(first, load("toy_colours", toy_data_dir, tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "flipped byte", "other arrays", "not an archive"])
def test_a_damaged_cache_is_made_anew(toy_data_dir, tmp_path, damage):
    first = load("toy_colours", toy_data_dir, tmp_path)
    (cache,) = tmp_path.iterdir()
    content = bytearray(cache.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped byte":
        content[len(content) // 2] ^= 1
    elif damage == "not an archive":
        content = bytearray(b"hello")
    cache.write_bytes(content)
    if damage == "other arrays":
        with cache.open("wb") as file:
            np.savez(file, something=np.arange(3))
    assert equal(first, load("toy_colours", toy_data_dir, tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_changed_source_is_read_again(toy_data_dir, tmp_path):
    source = tmp_path / "tfds"
    shutil.copytree(toy_data_dir, source)
    load("toy_colours", source, tmp_path / "cache")
    (shard,) = source.glob("toy_colours/1.0.0/*train*")
    os.utime(shard, (1, 1))
    load("toy_colours", source, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_cache_that_cannot_be_written_does_no_harm(toy_data_dir, tmp_path):
    (tmp_path / "file").touch()
    dataset = load("toy_colours", toy_data_dir, tmp_path / "file" / "cache")
    assert equal(dataset, load("toy_colours", toy_data_dir))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_set", "not a name that TensorFlow Datasets knows"),
        ("mnist", 'pip install "edl_jax[prepare]"'),
        ("toy_colours:9.9.9", "not prepared"),
        ("../toy", "cannot be read"),
    ],
)
def test_a_set_that_is_not_there_is_one_line_that_helps(toy_data_dir, name, message):
    with pytest.raises(EdlError) as error:
        load(name, toy_data_dir)
    assert name in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_downloaded_or_created_for_a_set_that_is_not_prepared(tmp_path, capfd):
    with pytest.raises(EdlError, match="not prepared"):
        load("cifar10", tmp_path)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_a_directory_that_does_not_exist_is_named():
    with pytest.raises(OptionError) as error:
        load("cifar10", "no/such/directory")
    assert error.value.as_option == (
        f"--data-dir {Path('no/such/directory')}: expected a directory that exists"
    )


def test_a_damaged_shard_is_one_line(toy_data_dir, tmp_path):
    shutil.copytree(toy_data_dir, tmp_path / "tfds")
    (shard,) = tmp_path.glob("tfds/toy_colours/1.0.0/*train*")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(EdlError, match="damaged") as error:
        load("toy_colours", tmp_path / "tfds", tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


IMAGE = tfds.features.Image(shape=(8, 8, 3))
LABEL = tfds.features.ClassLabel(num_classes=2)


@pytest.mark.parametrize(
    "features",
    [
        {"image": tfds.features.Image(shape=(None, None, 3)), "label": LABEL},
        {"image": tfds.features.Image(shape=(8, 8, 3), dtype=np.uint16), "label": LABEL},
        {"image": IMAGE, "label": tfds.features.Scalar(np.int64)},
        {"text": tfds.features.Text()},
    ],
)
def test_a_set_of_another_kind_is_refused(features):
    with pytest.raises(EdlError, match="expected a feature image"):
        data._check_features("odd", tfds.features.FeaturesDict(features))


# --- label noise -------------------------------------------------------------------------------

SIZE = 20_000


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0, 1), st.sampled_from([2, 10, 100]))
def test_noise_rates_are_the_expected_ones(seed, rate, num_classes):
    """Five standard deviations of a binomial: a false alarm in a million."""
    key = jax.random.key(seed)
    labels = jnp.arange(SIZE) % num_classes
    wrong_share = {
        symmetric_noise: rate * (num_classes - 1) / num_classes,
        asymmetric_noise: rate,
    }
    for noise, expected in wrong_share.items():
        noisy = noise(key, labels, rate, num_classes)
        assert noisy.dtype == jnp.int32 and noisy.shape == labels.shape
        assert int(noisy.min()) >= 0 and int(noisy.max()) < num_classes
        tolerance = 5 * np.sqrt(expected * (1 - expected) / SIZE) + 1e-6
        assert abs(float(jnp.mean(noisy != labels)) - expected) <= tolerance
    changed = noisy != labels
    assert bool(jnp.all(noisy[changed] == (labels[changed] + 1) % num_classes))


def test_symmetric_noise_draws_every_class_alike():
    noisy = symmetric_noise(jax.random.key(0), jnp.zeros(SIZE, jnp.int32), 1.0, 10)
    counts = np.bincount(np.asarray(noisy), minlength=10)
    assert np.all(np.abs(counts - SIZE / 10) < 5 * np.sqrt(SIZE * 0.1 * 0.9))


@pytest.mark.parametrize("noise", [symmetric_noise, asymmetric_noise])
def test_less_noise_is_a_part_of_more_noise(noise):
    """So two noise levels of one seed differ in the added noise alone."""
    labels = jnp.arange(1000) % 10
    less, more = (noise(jax.random.key(3), labels, rate, 10) for rate in (0.2, 0.5))
    touched = less != labels
    assert bool(jnp.all(jnp.where(touched, less == more, True)))


# --- subsets -----------------------------------------------------------------------------------


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


# --- pixels ------------------------------------------------------------------------------------


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
        name: resolve_augmentation("auto", name)
        for name in ("cifar10:3.0.2", "svhn_cropped", "my_own")
    }
    assert policy == {"cifar10:3.0.2": "crop-flip", "svhn_cropped": "crop", "my_own": "crop"}
    assert resolve_augmentation("none", "cifar10") == "none"


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


def test_a_data_set_without_labels_is_refused(toy_data_dir, tmp_path, monkeypatch):
    decode = data._decode
    monkeypatch.setattr(data, "_decode", lambda *a: (decode(*a)[0], -np.ones(50, np.int32)))
    with pytest.raises(EdlError, match="without a label"):
        load("toy_colours", toy_data_dir, tmp_path)


def test_a_data_set_cannot_be_changed():
    with pytest.raises(AttributeError):
        numbered(3).name = "other"  # type: ignore[misc]
    assert replace(numbered(3), name="other").name == "other"
