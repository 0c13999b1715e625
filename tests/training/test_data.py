"""Protects that a data set is checked when it is made, stays so, and is all that training asks."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edl_jax import training
from edl_jax.errors import EdlError
from edl_jax.training.data import Dataset
from tests.training.toy import numbered


def test_a_data_set_cannot_be_changed():
    with pytest.raises(AttributeError):
        numbered(3).name = "other"  # type: ignore[misc]
    assert replace(numbered(3), name="other").name == "other"


def test_whoever_trains_on_arrays_needs_no_tensorflow_datasets():
    code = (
        "import sys; sys.modules['tensorflow_datasets'] = None\n"
        "from edl_jax.training import Dataset, TrainConfig, compare, train"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_wing_offers_what_it_names():
    assert all(hasattr(training, name) for name in training.__all__)


IMAGES = np.zeros((6, 8, 8, 3), np.uint8)
LABELS = np.arange(6) % 3
FEATURES = np.linspace(-1, 1, 30).reshape(6, 5)


def made(inputs=IMAGES, labels=LABELS, num_classes=3, test=None, **named):
    given = (inputs[:2], labels[:2]) if test is None else test
    return Dataset("mine", num_classes, inputs, labels, *given, **named)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"inputs": np.moveaxis(IMAGES, -1, 1)},
            r"train images of shape \[6, 3, 8, 8\]: .* with 1 to 4 channels last; np.moveaxis",
        ),
        ({"inputs": IMAGES[..., 0]}, r"images of shape \[6, 8, 8\]: .* images\[..., None\] gives"),
        ({"inputs": IMAGES[0]}, r"expected \[N, height, width, channels\]"),
        ({"inputs": IMAGES - 0.5}, "float64 from -0.5 to -0.5: expected 0 to 1, or uint8"),
        ({"inputs": IMAGES + np.float32(200)}, "float32 from 200 to 200: expected 0 to 1"),
        ({"inputs": IMAGES.astype(np.int64) - 1}, "int64 from -1 to -1: expected uint8"),
        ({"inputs": IMAGES.astype(object)}, "train images are object: expected numbers"),
        ({"inputs": IMAGES[:0], "labels": LABELS[:0]}, "expected one at the least"),
        ({"inputs": np.where(FEATURES > 0, np.nan, 0.0)}, "train features run from nan to nan"),
        ({"inputs": np.full((6, 2), 1e300)}, "expected finite float32"),
        (
            {"inputs": FEATURES[:, 0], "kind": "features"},
            r"features of shape \[6\]: expected \[N, F",
        ),
        ({"labels": LABELS + 1}, "train labels run from 1 to 3: expected 0 to 2, for 3 classes"),
        ({"labels": LABELS - 1}, "train labels run from -1 to 1"),
        ({"labels": LABELS / 1}, "train labels are float64: expected whole numbers"),
        ({"labels": np.eye(3)[LABELS]}, r"train labels are float64 \[6, 3\]: .*argmax"),
        ({"labels": LABELS[:5]}, "train part: 6 examples and 5 labels"),
        (
            {"test": (IMAGES[:, :4], LABELS)},
            r"test images are uint8 \[6, 4, 8, 3\]: expected those",
        ),
        ({"test": (IMAGES / 255, LABELS)}, "test images are float32"),
        ({"test": (IMAGES[:0], LABELS[:0])}, "test images of shape .* expected one at the least"),
        ({"test": (IMAGES, LABELS + 1)}, "test labels run from 1 to 3"),
        ({"num_classes": 1, "labels": 0 * LABELS}, "1 classes: expected two or more"),
        ({"class_names": ("a", "b")}, "2 class names for 3 classes"),
        ({"train_names": ("a.png",)}, "1 names for 6 training examples"),
    ],
)
def test_what_is_no_data_set_is_one_line_that_says_what_would_be_right(given, line):
    with pytest.raises(EdlError, match=line) as error:
        made(**given)
    assert str(error.value).startswith("dataset mine: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "kind", "dtype"),
    [
        (IMAGES, "images", np.uint8),
        (IMAGES.astype(np.int64) + 255, "images", np.uint8),
        (IMAGES / 255, "images", np.float32),
        (FEATURES, "features", np.float32),
        (FEATURES > 0, "features", np.uint8),
        (np.arange(30).reshape(6, 5), "features", np.int32),
        (np.arange(30).reshape(6, 5) * 2**40, "features", np.float32),
    ],
)
def test_kind_and_type_follow_from_the_arrays(inputs, kind, dtype):
    dataset = made(inputs)
    assert (dataset.kind, dataset.train_images.dtype) == (kind, dtype)
    np.testing.assert_allclose(dataset.train_images, inputs, rtol=1e-6)
    assert dataset.train_labels.dtype == np.int32


def test_a_test_part_is_drawn_once_for_a_seed_and_shares_no_example():
    inputs = np.arange(100)[:, None]
    parts = [Dataset.from_arrays(inputs, inputs[:, 0] % 4, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (set(part.test_images[:, 0].tolist()) for part in parts)
    assert first == again != other and len(first) == 20
    assert not first & set(parts[0].train_images[:, 0].tolist())
    assert np.all(parts[0].test_labels == parts[0].test_images[:, 0] % 4)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (np.arange(10) % 3 + 1, "labels run from 1 to 3: expected to begin at 0"),
        (np.arange(9) % 3, "10 examples and 9 labels"),
    ],
)
def test_labels_that_cannot_be_counted_are_refused(labels, line):
    with pytest.raises(EdlError, match=line):
        Dataset.from_arrays(np.zeros((10, 4)), labels)


def test_half_a_test_part_is_refused():
    with pytest.raises(EdlError, match="both its examples and its labels"):
        Dataset.from_arrays(FEATURES, LABELS, FEATURES)
