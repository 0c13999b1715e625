"""Synthetic classification tasks, and the regimes in which students are trained on them.

A task is K classes of Gaussian clusters, so that features must be learned, with labels that may be
wrong. A regime says what does not vary from task to task, since it is the shape of a program: how
many examples, classes and steps there are, which student learns and how. What varies is drawn with
the task: how far apart clusters lie, how many there are, how unequal classes are, how many labels
are wrong.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

SIDE = 8  # the images of a convolutional student
_NUM_TEST = 512


@dataclass(frozen=True)
class Regime:
    """A kind of task, student and training; a static argument of compiled programs.

    Inside of one, the number of steps, the noise and the learning rate may be traced scalars.
    """

    num_steps: int
    """Steps of training."""
    label_noise: float = 0.0
    """Mean share of the training labels that are replaced; a task's own is within a quarter."""
    noise_kind: Literal["symmetric", "class", "instance"] = "symmetric"
    """Replaced by a random class, by the next class, or, where classes lie close, by the nearest
    other one."""
    learning_rate: float = 0.1
    """Peak rate that serves cross-entropy; students train at multiples of it."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Nesterov momentum 0.9, or Adam; both with 5 % warm-up and cosine decay."""
    student: Literal["mlp", "normalised", "convolutional"] = "mlp"
    """Two hidden layers of 64 units, without or with batch normalisation, or a convolution and a
    hidden layer, normalised."""
    num_classes: int = 10
    num_clusters: int = 3
    """Clusters of a class at most; a task has from one to all of them."""
    num_inputs: int = 32
    """Dimensions of the inputs; images of 8 x 8 for a convolutional student."""
    num_train: int = 512
    batch_size: int = 32
    imbalance: float = 0.0
    """The rarest class is exp(-imbalance) times as frequent as the most frequent one, at most."""
    unevenness: float = 0.0
    """Standard deviation of the logarithm of a cluster's distance from the middle: where it is
    large, some examples are learned at once and others hardly."""


REGIMES: dict[str, Regime] = {
    "short_clean": Regime(60),
    "short_noisy": Regime(60, 0.4),
    "middle_clean": Regime(400),
    "long_noisy": Regime(800, 0.4),
    "long_clean": Regime(800, num_inputs=64, num_clusters=2),
    "normalised_clean": Regime(
        256, student="normalised", num_clusters=8, num_train=2048, learning_rate=0.1
    ),
    "normalised_noisy": Regime(
        256, 0.4, student="normalised", num_clusters=8, num_train=2048, learning_rate=0.1
    ),
    "uneven_clean": Regime(
        256, student="normalised", num_clusters=8, num_train=2048, unevenness=1.5
    ),
    "uneven_noisy": Regime(
        256, 0.4, student="normalised", num_clusters=8, num_train=2048, unevenness=1.5
    ),
    "hard_clean": Regime(
        256, student="normalised", num_clusters=32, num_train=2048, unevenness=1.5
    ),
    "hard_noisy": Regime(
        256, 0.4, student="normalised", num_clusters=32, num_train=2048, unevenness=1.5
    ),
    "convolutional_clean": Regime(200, student="convolutional", num_inputs=64, num_train=1024),
    "convolutional_noisy": Regime(200, 0.4, student="convolutional", num_inputs=64, num_train=1024),
    "adam_noisy": Regime(400, 0.4, optimizer="adam", learning_rate=0.003, batch_size=64),
    "many_clean": Regime(300, num_classes=100, num_clusters=1, num_train=2048, imbalance=1.0),
    "many_noisy": Regime(300, 0.4, num_classes=100, num_clusters=1, num_train=2048, imbalance=1.0),
    "two_noisy": Regime(400, 0.4, num_classes=2, num_clusters=6),
    "class_noisy": Regime(400, 0.3, "class", num_classes=20, batch_size=128),
    "instance_noisy": Regime(400, 0.3, "instance", imbalance=1.0),
}
"""Name to regime."""


class Task(NamedTuple):
    """A synthetic classification task.

    Attributes:
      inputs: float32 ``[num_train, num_inputs]``, of about unit variance; larger where clusters
        are uneven, since some of them lie far out.
      given: int32 ``[num_train]``, the labels that a student is told, some of them wrong.
      test_inputs: float32 ``[512, num_inputs]``.
      test_labels: int32 ``[512]``, the true ones.
    """

    inputs: jax.Array
    given: jax.Array
    test_inputs: jax.Array
    test_labels: jax.Array


def sample_task(key: jax.Array, regime: Regime) -> Task:
    """Draw a task of a regime.

    >>> task = sample_task(jax.random.key(0), REGIMES["short_noisy"])
    >>> task.inputs.shape, task.given.shape, task.test_inputs.shape
    ((512, 32), (512,), (512, 32))
    """
    centre_key, drawn_key, label_key, cluster_key, input_key, noise_key = jax.random.split(key, 6)
    classes, clusters = regime.num_classes, regime.num_clusters
    size = regime.num_train + _NUM_TEST
    spread, number, skew, rate = jax.random.uniform(drawn_key, (4,), jnp.float32)
    spread = 0.8 + 0.2 * spread
    used = 1 + jnp.floor(number * clusters).astype(jnp.int32)
    log_frequency = -skew * regime.imbalance * jnp.linspace(0, 1, classes, dtype=jnp.float32)
    labels = jax.random.categorical(label_key, log_frequency, shape=(size,)).astype(jnp.int32)
    cluster = jax.random.randint(cluster_key, (size,), 0, jnp.int32(2**30)) % used
    centres = spread * jax.random.normal(
        centre_key, (classes, clusters, regime.num_inputs), jnp.float32
    )
    if regime.unevenness:
        distance = jax.random.normal(
            jax.random.fold_in(centre_key, 1), (classes, clusters, 1), jnp.float32
        )
        centres *= jnp.exp(regime.unevenness * distance)
    if regime.student == "convolutional":
        inputs = _images(input_key, spread * centres[labels, cluster])
    else:
        noise = jax.random.normal(input_key, (size, regime.num_inputs), jnp.float32)
        inputs = (centres[labels, cluster] + noise) / jnp.sqrt(1 + jnp.square(spread))
    rate = regime.label_noise * (0.75 + 0.5 * rate)
    wrong = _wrong_labels(noise_key, regime, rate, labels, inputs, centres)
    train = regime.num_train
    return Task(inputs[:train], wrong[:train], inputs[train:], labels[train:])


def _images(key: jax.Array, patterns: jax.Array) -> jax.Array:
    """A pattern of 4 x 4 somewhere in a noisy image, for each example: ``[size, 64]``."""
    place_key, noise_key = jax.random.split(key)
    size, side = len(patterns), SIDE // 2
    rows, columns = jax.random.randint(place_key, (2, size), 0, SIDE - side + 1)
    noise = jax.random.normal(noise_key, (size, SIDE, SIDE), jnp.float32)
    small = 2.0 * patterns[:, : side * side].reshape(size, side, side)

    def put(image: jax.Array, pattern: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        full = jax.lax.dynamic_update_slice(jnp.zeros_like(image), pattern, (row, column))
        return 0.5 * image + full

    return jax.vmap(put)(noise, small, rows, columns).reshape(size, SIDE * SIDE)


def _wrong_labels(
    key: jax.Array,
    regime: Regime,
    rate: jax.Array,
    labels: jax.Array,
    inputs: jax.Array,
    centres: jax.Array,
) -> jax.Array:
    """``labels`` with a share ``rate`` of them replaced, by the regime's kind of noise."""
    flip_key, class_key = jax.random.split(key)
    chance = jax.random.uniform(flip_key, labels.shape, jnp.float32)
    if regime.noise_kind == "class":
        other = (labels + 1) % regime.num_classes
    elif regime.noise_kind == "symmetric":
        other = jax.random.randint(class_key, labels.shape, 0, regime.num_classes, jnp.int32)
    else:
        # Squared distance to the nearest centre of each class, but for what all of them share.
        products = jnp.einsum("nd,kcd->nkc", inputs, centres)
        norms = jnp.sum(jnp.square(centres), axis=-1)
        distance = jnp.min(norms[None] - 2 * products, axis=-1)
        own = jnp.take_along_axis(distance, labels[:, None], axis=-1)[:, 0]
        is_own = jax.nn.one_hot(labels, regime.num_classes, dtype=bool)
        others = jnp.where(is_own, jnp.inf, distance)
        other = jnp.argmin(others, axis=-1).astype(jnp.int32)
        # From 0 for the example that lies closest to another class to 2 for the clearest one.
        margin = jnp.argsort(jnp.argsort(jnp.min(others, axis=-1) - own)).astype(jnp.float32)
        chance = chance * 0.5 / jnp.maximum(1 - margin / margin.size, 1e-6)
    return jnp.where(chance < rate, other, labels)
