"""A small data set that networks learn in a second, and what its tests share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from edl_jax.training.config import TrainConfig
from edl_jax.training.data import Dataset
from edl_jax.training.evaluation import Examples
from edl_jax.training.pixels import channel_statistics

cross_entropy = optax.softmax_cross_entropy_with_integer_labels
MLP = TrainConfig(model="mlp", width=16, epochs=2, batch_size=16, augment="none")


def brier(logits, labels):
    return jnp.sum((jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1])) ** 2, -1)


def toy(seed: int = 0, num_train: int = 150, num_test: int = 33) -> Dataset:
    """Three classes of 6x6 images, told apart by which channel is bright."""
    rng = np.random.default_rng(seed)

    def draw(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 3, size).astype(np.int32)
        images = rng.integers(0, 160, (size, 6, 6, 3)).astype(np.uint8)
        images[np.arange(size), :, :, labels] += 40
        return images, labels

    return Dataset("toy", 3, *draw(num_train), *draw(num_test))


def rows_of_numbers(num_train: int = 120, num_test: int = 40) -> Dataset:
    """Three classes of five fractions, told apart by which of the first three is large."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, num_train + num_test)
    features = rng.normal(size=(len(labels), 5)) * [1, 1, 1, 50, 0.01]
    features[np.arange(len(labels)), labels] += 4
    train, test = slice(num_train), slice(num_train, None)
    return Dataset("rows", 3, features[train], labels[train], features[test], labels[test])


def examples(dataset: Dataset) -> Examples:
    mean, std = channel_statistics(dataset.train_images)
    return Examples(*map(jnp.asarray, (dataset.train_images, dataset.train_labels, mean, std)))


def leaves_equal(one, other) -> bool:
    return jax.tree.all(jax.tree.map(jnp.array_equal, one, other))


ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def equal(one: Dataset, other: Dataset) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


def numbered(size: int) -> Dataset:
    """A set whose every image and label is its own number, so that a subset shows its origin."""
    images = np.arange(size, dtype=np.uint8).reshape(size, 1, 1, 1)
    labels = np.arange(size, dtype=np.int32) % 5
    return Dataset("numbered", 5, images, labels, images[:3], labels[:3])


def rows(accuracies: dict[str, list[float | None]]) -> list[dict]:
    return [
        {
            "loss": loss,
            "seed": seed,
            "learning_rate": 0.1,
            "test_accuracy": value,
            "nll": value,
            "ece": 0.1,
        }
        for loss, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
