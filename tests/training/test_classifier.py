"""Protects that a trained classifier takes examples as they came, and says what it was measured."""

import json
import shutil

import numpy as np
import pytest
from flax import nnx

from edl_jax import load_classifier
from edl_jax.errors import EdlError
from edl_jax.runs.checkpoint import digest
from edl_jax.training.classifier import Classifier
from edl_jax.training.config import TrainConfig
from edl_jax.training.data import Dataset
from edl_jax.training.loop import train
from edl_jax.training.saved import ARRAYS, DESCRIPTION, save_classifier
from tests.training.test_network import Plain
from tests.training.toy import MLP, cross_entropy, rows_of_numbers, toy


def counts() -> Dataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 160)
    words = rng.poisson(1.0, (160, 9)) + 4 * (np.arange(9) % 3 == labels[:, None])
    return Dataset.from_arrays(words, labels, name="counts", class_names=["a", "b", "c"])


SETS = {"images": toy(), "fractions": rows_of_numbers(), "counts": counts()}
CONFIG = TrainConfig(model="mlp", width=16, epochs=3, batch_size=16)


@pytest.fixture(scope="module", params=SETS)
def trained(request):
    dataset = SETS[request.param]
    return dataset, train(dataset, cross_entropy, CONFIG, seed=0)


def test_it_predicts_what_was_measured(trained):
    dataset, result = trained
    predicted = result.predict(dataset.test_images)
    assert predicted.dtype == np.int32
    assert np.mean(predicted == dataset.test_labels) == pytest.approx(result.test_accuracy)
    probs = result.classifier.predict_probs(dataset.test_images)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    nll = -np.log(probs[np.arange(len(probs)), dataset.test_labels]).mean()
    assert nll == pytest.approx(result.nll, rel=1e-3)


def test_any_number_of_examples_gives_the_same(trained):
    dataset, result = trained
    whole = result.classifier.logits(np.concatenate([dataset.train_images] * 5))
    some = result.classifier.logits(dataset.train_images[:3])
    np.testing.assert_allclose(whole[:3], some, rtol=1e-5, atol=1e-5)
    assert len(whole) == 5 * len(dataset.train_images) > 512


def test_images_may_be_bytes_or_shares():
    classifier = train(toy(), cross_entropy, MLP, seed=0).classifier
    images = toy().test_images
    np.testing.assert_allclose(
        classifier.logits(images), classifier.logits(images / 255), rtol=1e-4, atol=1e-5
    )


def test_counts_may_be_larger_than_those_trained_on():
    dataset = SETS["counts"]
    small = Dataset.from_arrays(dataset.train_images.astype(np.uint8), dataset.train_labels)
    classifier = train(small, cross_entropy, CONFIG, seed=0).classifier
    assert classifier.predict(np.eye(9, dtype=int)[:3] * 300).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (np.zeros((4, 6, 6, 1), np.uint8), r"shape \[4, 6, 6, 1\]: expected that of the training"),
        (np.zeros((6, 6, 3), np.uint8), "expected .N, height, width, channels"),
        (np.full((4, 6, 6, 3), 7.0), "float64 from 7 to 7: expected 0 to 1"),
    ],
)
def test_other_examples_are_refused(given, line):
    classifier = train(toy(), cross_entropy, MLP, seed=0).classifier
    with pytest.raises(EdlError, match=line):
        classifier.predict(given)


# --- on the disk -------------------------------------------------------------------------------


def test_a_saved_classifier_is_read_back_to_the_bit(trained, tmp_path):
    dataset, result = trained
    save_classifier(result.classifier, tmp_path / "kept", {"loss": "cross_entropy"})
    found = load_classifier(tmp_path / "kept")
    assert isinstance(found, Classifier) and found.spec == result.classifier.spec
    np.testing.assert_array_equal(
        found.logits(dataset.test_images), result.classifier.logits(dataset.test_images)
    )
    with pytest.raises(EdlError, match="expected a directory that does not exist yet"):
        save_classifier(result.classifier, tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_module_of_the_users_is_read_back_with_the_module(tmp_path):
    dataset = rows_of_numbers()
    result = train(dataset, cross_entropy, CONFIG, seed=0, model=Plain(nnx.Rngs(0)))
    save_classifier(result.classifier, tmp_path / "kept")
    found = load_classifier(tmp_path / "kept", model=Plain)
    np.testing.assert_array_equal(
        found.predict(dataset.test_images), result.predict(dataset.test_images)
    )
    with pytest.raises(EdlError, match=r"its model is .*Plain.*load_classifier\(\.\.\., model="):
        load_classifier(tmp_path / "kept")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifiers") / "kept"
    save_classifier(train(toy(), cross_entropy, MLP, seed=0).classifier, path)
    return path


def change(path, **values):
    content = json.loads((path / DESCRIPTION).read_text())
    (path / DESCRIPTION).write_text(json.dumps(content | values))


def forge(path, **values):
    """As someone would who knows the format: the checksum is that of what is said."""
    content = json.loads((path / DESCRIPTION).read_text()) | values
    del content["sha256"]
    (path / DESCRIPTION).write_text(json.dumps(content | {"sha256": digest(content)}))


FORGED = [
    {"width": 10**9},
    {"width": "wide"},
    {"num_classes": 10**9},
    {"num_classes": "many"},
    {"num_classes": 0},
    {"shape": [10**6, 10**6, 3]},
    {"shape": [6, 6, -3]},
    {"shape": "abc"},
    {"kind": "sounds"},
    {"dtype": "object"},
    {"class_names": ["one"]},
    {"class_names": 3},
    {"statistics_shape": [5]},
    {"statistics_shape": [10**12]},
    {"model": "../mine.py:Small", "model_sha256": 5},
    {"files": {}},
    {"files": {"../x": [1, "0"]}},
]


@pytest.mark.parametrize("values", FORGED, ids=str)
def test_a_forged_description_is_one_line_and_allocates_nothing(kept, tmp_path, values):
    path = tmp_path / "forged"
    shutil.copytree(kept, path)
    forge(path, **values)
    with pytest.raises(EdlError, match=str(path)) as error:
        load_classifier(path)
    assert "\n" not in str(error.value)


def flip(path):
    (largest,) = sorted(path.rglob("*"), key=lambda file: file.stat().st_size * file.is_file())[-1:]
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


DAMAGE = {
    "other shape": lambda path: change(path, shape=[9, 9, 3]),
    "other format": lambda path: change(path, format="other"),
    "no text": lambda path: (path / DESCRIPTION).write_text("{"),
    "flipped bit": flip,
    "lost file": lambda path: next((path / ARRAYS).rglob(".zarray")).unlink(),
    "added file": lambda path: (path / ARRAYS / "more").touch(),
    "no arrays": lambda path: shutil.rmtree(path / ARRAYS),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_classifier_is_one_line(kept, tmp_path, damage):
    path = tmp_path / "damaged"
    shutil.copytree(kept, path)
    DAMAGE[damage](path)
    with pytest.raises(EdlError, match=str(path)) as error:
        load_classifier(path)
    assert "\n" not in str(error.value)


def test_a_directory_without_classifiers_is_one_line(tmp_path):
    with pytest.raises(EdlError, match="expected the directory of a run of transfer --save-model"):
        load_classifier(tmp_path)
