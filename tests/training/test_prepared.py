"""Protects what is read of a prepared set: its pixels and labels, whatever its cache is like."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from benchmarks.common.toy_data import TOY_SIZES, toy_example
from edl_jax.errors import EdlError, OptionError
from edl_jax.training import prepared
from edl_jax.training.prepared import load
from edl_jax.training.streamed import Streamed
from tests.training.toy import equal


def test_load_returns_the_pixels_and_labels_that_were_prepared(toy_data_dir):
    dataset = load("toy_colours", toy_data_dir)
    assert (dataset.name, dataset.num_classes) == ("toy_colours", 3)
    assert dataset.input_shape == (8, 8, 3)
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
    monkeypatch.setattr(prepared, "_decode", lambda *args: pytest.fail("decoded again"))
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
        ("../toy", "not a name that TensorFlow Datasets knows"),
        ("fashion-mnist", "knows; did you mean fashion_mnist?"),
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


def test_training_labels_of_another_feature_leave_the_test_labels_alone(toy_data_dir, tmp_path):
    right = load("toy_colours", toy_data_dir, tmp_path)
    for _ in range(2):  # decoded, then from the cache
        worse = load("toy_colours", toy_data_dir, tmp_path, labels="worse_label")
        assert np.array_equal(right.train_images, worse.train_images)
        assert np.array_equal(right.test_labels, worse.test_labels)
        wrong = right.train_labels != worse.train_labels
        assert np.sum(wrong) == TOY_SIZES["train"] / 5
        assert np.all(worse.train_labels[wrong] == (right.train_labels[wrong] + 1) % 3)


def test_labels_that_are_none_are_refused(toy_data_dir):
    for labels in ("worse_labels", "number", "image"):
        with pytest.raises(OptionError) as error:
            load("toy_colours", toy_data_dir, labels=labels)
        assert str(error.value).startswith(f"labels {labels}: expected one of label, worse_label")


def test_a_streamed_set_is_the_same_one(toy_data_dir, tmp_path):
    whole = load("toy_colours", toy_data_dir, tmp_path / "a", labels="worse_label")
    streamed = load("toy_colours", toy_data_dir, tmp_path / "b", labels="worse_label", stream=True)
    again = load("toy_colours", toy_data_dir, tmp_path / "b", labels="worse_label", stream=True)
    assert isinstance(streamed.train_images, Streamed) and equal(whole, streamed)
    assert equal(streamed, again)
    (cache,) = (tmp_path / "b").iterdir()
    assert cache.stat().st_size < 3000  # the labels alone


def test_a_damaged_streamed_shard_is_one_line(toy_data_dir, tmp_path):
    shutil.copytree(toy_data_dir, tmp_path / "tfds")
    dataset = load("toy_colours", tmp_path / "tfds", tmp_path / "cache", stream=True)
    (shard,) = tmp_path.glob("tfds/toy_colours/1.0.0/*train*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    shard.write_bytes(content)
    with pytest.raises(EdlError, match="dataset toy_colours: damaged in") as error:
        np.asarray(dataset.train_images)
    assert "\n" not in str(error.value)


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
        prepared._check_features("odd", tfds.features.FeaturesDict(features), "label")


def test_a_data_set_without_labels_is_refused(toy_data_dir, tmp_path, monkeypatch):
    decode = prepared._decode

    def unlabelled(*args):
        images, labels = decode(*args)
        return images, np.full_like(labels, -1)

    monkeypatch.setattr(prepared, "_decode", unlabelled)
    with pytest.raises(EdlError, match="train labels run from -1 to -1: expected 0 to 2"):
        load("toy_colours", toy_data_dir, tmp_path)
