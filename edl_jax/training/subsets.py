"""The training set of a seed: a random part of a data set, held-out examples, noisy labels.

The kinds of noise are those of the literature on learning with noisy labels.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.errors import require_int, require_number, require_one_of
from edl_jax.training.config import NoiseKind
from edl_jax.training.data import Dataset


def symmetric_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, num_classes: int
) -> jax.Array:
    """Replace labels by uniformly random classes.

    The class drawn may be the one that was there, so a share ``rate * (K - 1) / K`` of the labels
    comes out wrong. With one key, the labels replaced at a lower rate are among those replaced at
    a higher one.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    >>> symmetric_noise(jax.random.key(0), jnp.arange(3), 0.0, num_classes=3).tolist()
    [0, 1, 2]
    """
    labels = jnp.asarray(labels, jnp.int32)
    replace_key, class_key = jax.random.split(key)
    replaced = jax.random.uniform(replace_key, labels.shape) < rate
    drawn = jax.random.randint(class_key, labels.shape, 0, num_classes)
    return jnp.where(replaced, drawn, labels)


def asymmetric_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, num_classes: int
) -> jax.Array:
    """Replace labels k by their fixed neighbour (k + 1) mod K.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced; all that are replaced are wrong.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    >>> asymmetric_noise(jax.random.key(0), jnp.arange(3), 1.0, num_classes=3).tolist()
    [1, 2, 0]
    """
    labels = jnp.asarray(labels, jnp.int32)
    replaced = jax.random.uniform(key, labels.shape) < rate
    return jnp.where(replaced, (labels + 1) % num_classes, labels)


NOISES = {"symmetric": symmetric_noise, "asymmetric": asymmetric_noise}


def holdout_split(
    dataset: Dataset, train_size: int | None, holdout_size: int, key: jax.Array
) -> Dataset:
    """Choose training images at random, and others of them to stand in for the test images.

    Hyper-parameters are chosen on such held-out images, never on the test images. The training
    images depend on ``key`` and ``train_size``, not on ``holdout_size``, so what was chosen is
    then measured with the same ones.

    Args:
      dataset: what is split; classes are not balanced.
      train_size: training images kept; ``None`` keeps all that are not held out.
      holdout_size: training images that replace the test images; 0 leaves these as they are.
      key: PRNG key.

    Raises:
      OptionError: there are not that many training images.
    """
    total = len(dataset.train_labels)
    kept = total - holdout_size if train_size is None else train_size
    require_int("train_size", kept, 1, total - holdout_size)
    order = np.asarray(jax.random.permutation(key, total))
    train, held_out = order[:kept], order[total - holdout_size :]
    names = dataset.train_names
    subset = replace(
        dataset,
        train_images=dataset.train_images[train],
        train_labels=dataset.train_labels[train],
        train_names=tuple(names[i] for i in train) if names else (),
    )
    if not holdout_size:
        return subset
    return replace(
        subset,
        test_images=dataset.train_images[held_out],
        test_labels=dataset.train_labels[held_out],
    )


def for_seed(
    dataset: Dataset,
    seed: int,
    *,
    train_size: int | None = None,
    holdout_size: int = 0,
    label_noise: float = 0.0,
    noise_kind: NoiseKind = "symmetric",
) -> Dataset:
    """The training set of one seed: a random subset with noisy labels.

    It depends on the seed and these sizes and rates only, so all losses see the same.

    Args:
      dataset: the whole, clean set.
      seed: of the choice of images and of the label noise.
      train_size: training images; all by default.
      holdout_size: see :func:`holdout_split`; the held-out labels stay clean.
      label_noise: probability, from 0 to 1, that a training label is replaced.
      noise_kind: ``"symmetric"`` or ``"asymmetric"``.

    Raises:
      OptionError: an argument is out of its range.
    """
    require_number("label_noise", label_noise, 0.0, 1.0)
    require_one_of("noise_kind", noise_kind, NOISES)
    subset_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))
    subset = holdout_split(dataset, train_size, holdout_size, subset_key)
    if label_noise == 0:
        return subset
    clean = jnp.asarray(subset.train_labels)
    labels = NOISES[noise_kind](noise_key, clean, label_noise, dataset.num_classes)
    return replace(subset, train_labels=np.asarray(labels))


def with_noisy_holdout(
    dataset: Dataset, seed: int, label_noise: float, noise_kind: NoiseKind = "symmetric"
) -> Dataset:
    """The same noise on the held-out labels: whoever tunes with noisy data has no other.

    Args:
      dataset: of :func:`for_seed`, with a hold-out.
      seed: of the noise.
      label_noise, noise_kind: as there.
    """
    if label_noise == 0:
        return dataset
    clean = jnp.asarray(dataset.test_labels)
    key = jax.random.key(seed)
    labels = NOISES[noise_kind](key, clean, label_noise, dataset.num_classes)
    return replace(dataset, test_labels=np.asarray(labels))
