"""Protects what is read of a user's own arrays and pictures, and the lines that refuse them."""

import numpy as np
import pytest
from PIL import Image

from edl_jax.errors import EdlError, OptionError
from edl_jax.training.files import read_arrays, read_folder
from edl_jax.training.sources import load
from tests.training.toy import equal, toy


def save(path, **arrays):
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def test_arrays_with_a_test_part_are_read_as_they_are(tmp_path):
    given = toy()
    path = save(
        tmp_path / "toy.npz",
        train_images=given.train_images,
        train_labels=given.train_labels,
        test_images=given.test_images,
        test_labels=given.test_labels,
        class_names=np.array(["r", "g", "b"]),
        something_else=np.arange(3),
    )
    found = load(str(path))
    assert equal(found, given)
    assert (found.name, found.class_names) == ("toy.npz", ("r", "g", "b"))


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({}, "holds no array: expected train_images or train_features, and train_labels"),
        ({"images": np.zeros(3)}, "holds images: expected train_images"),
        ({"train_images": np.zeros(3), "train_features": np.zeros(3), "train_labels": []}, "holds"),
        ({"train_features": np.zeros((4, 2)), "train_labels": np.zeros((4, 2), int)}, "argmax"),
        (
            {"train_features": np.array([{}]), "train_labels": np.array([0])},
            "expected an .npz file of arrays",
        ),
    ],
)
def test_arrays_that_are_no_data_set_are_one_line(tmp_path, arrays, line):
    with pytest.raises(EdlError, match=line) as error:
        read_arrays(save(tmp_path / "odd.npz", **arrays))
    assert "odd.npz" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_archive_is_one_line(tmp_path, content):
    path = tmp_path / "odd.npz"
    path.write_bytes(content)
    with pytest.raises(EdlError, match=r"expected an \.npz file of arrays"):
        read_arrays(path)
    with pytest.raises(EdlError, match=r"cannot read .*missing\.npz: No such file"):
        load(str(tmp_path / "missing.npz"))


def pictures(folder, number=6, size=(7, 5), mode="RGB", suffix="png"):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(number):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i}.{suffix}")


def test_a_folder_a_class_is_read_in_the_order_of_names(tmp_path):
    for name in ("cat", "ant", "bee"):
        pictures(tmp_path / "train" / name)
        pictures(tmp_path / "test" / name, 2)
    dataset = load(f"folder:{tmp_path}")
    assert dataset.class_names == ("ant", "bee", "cat")
    assert dataset.train_images.shape == (18, 5, 7, 3)
    assert dataset.train_labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert len(dataset.test_labels) == 6
    first = np.asarray(Image.open(tmp_path / "train/ant/0.png"))
    np.testing.assert_array_equal(dataset.train_images[0], first)
    assert dataset.train_names[0] == str(tmp_path / "train/ant/0.png")


def test_without_a_split_a_fifth_is_drawn_for_the_test(tmp_path):
    for name in ("a", "b"):
        pictures(tmp_path / name, 10, mode="L", suffix="jpg")
    (tmp_path / ".hidden").mkdir()
    dataset = read_folder(tmp_path)
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (16, 4)
    assert dataset.train_images.shape[1:] == (5, 7, 1)  # all are grey
    for name, label in zip(dataset.train_names, dataset.train_labels, strict=True):
        assert name.startswith(str(tmp_path / "ab"[label]))


def test_pictures_of_any_size_are_scaled_by_their_middle(tmp_path):
    pictures(tmp_path / "a", size=(20, 10))
    pictures(tmp_path / "b", size=(9, 30), mode="L")
    assert load(f"folder:{tmp_path}", image_size=6).train_images.shape[1:] == (6, 6, 3)
    with pytest.raises(EdlError, match=r"pictures of .* pixels: expected all of one size, or --im"):
        load(f"folder:{tmp_path}")


def test_image_size_is_for_folders_alone():
    with pytest.raises(OptionError) as error:
        load("synthetic", image_size=8)
    assert error.value.as_option.startswith("--image-size 8: expected --dataset folder:PATH")


def test_folders_that_are_no_data_set_are_one_line(tmp_path):
    def refused(match):
        with pytest.raises(EdlError, match=match) as error:
            read_folder(tmp_path)
        assert "\n" not in str(error.value)

    refused("expected a folder for each of two or more classes")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    refused("expected pictures in it, .png, .jpg, .jpeg")
    pictures(tmp_path / "train" / "a")
    pictures(tmp_path / "train" / "b")
    refused("holds train: expected test or validation or val beside it")
    pictures(tmp_path / "val" / "a")
    pictures(tmp_path / "val" / "c")
    refused("expected the classes of .*, but b is in one of the two only")
    with pytest.raises(EdlError, match="expected a directory that exists"):
        load("folder:no/such/place")


def test_hidden_files_are_passed_over_and_deep_pictures_refused(tmp_path):
    for name in ("a", "b"):
        pictures(tmp_path / name, 5)
        (tmp_path / name / "._0.png").write_bytes(b"no picture")
    assert len(read_folder(tmp_path).train_labels) == 8
    Image.fromarray(np.full((5, 7), 40_000, np.uint16)).save(tmp_path / "a" / "deep.png")
    with pytest.raises(EdlError, match=r"deep\.png: more than 8 bits a channel: expected 8"):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n and no more"])
def test_a_damaged_picture_is_named(tmp_path, content):
    pictures(tmp_path / "a")
    pictures(tmp_path / "b")
    (tmp_path / "b" / "3.png").write_bytes(content)
    with pytest.raises(EdlError, match=r"b/3\.png: ") as error:
        read_folder(tmp_path)
    assert "\n" not in str(error.value)
