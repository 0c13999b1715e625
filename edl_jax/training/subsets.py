"""The training set of a seed: a random part of a data set, held-out examples, noisy labels."""

from dataclasses import replace

import jax
import numpy as np

from edl_jax.errors import require_int, require_number
from edl_jax.training.data import Dataset
from edl_jax.training.noise import Noise, noisy_labels, require_kind


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
    noise_kind: Noise = "symmetric",
) -> Dataset:
    """The training set of one seed: a random subset with noisy labels.

    It depends on the seed and these sizes and rates only, so all losses see the same.

    Args:
      dataset: the whole, clean set.
      seed: of the choice of images and of the label noise.
      train_size: training images; all by default.
      holdout_size: see :func:`holdout_split`; the held-out labels stay clean.
      label_noise: probability, from 0 to 1, that a training label is replaced.
      noise_kind: see :func:`edl_jax.training.noise.noisy_labels`.

    Raises:
      OptionError: an argument is out of its range.
      EdlError: ``noise_kind`` is no matrix for so many classes.
    """
    require_number("label_noise", label_noise, 0.0, 1.0)
    require_kind(noise_kind, dataset.num_classes)
    subset_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))
    subset = holdout_split(dataset, train_size, holdout_size, subset_key)
    if label_noise == 0:
        return subset
    clean = subset.train_images, subset.train_labels
    labels = noisy_labels(noise_key, *clean, label_noise, noise_kind, dataset.num_classes)
    return replace(subset, train_labels=labels)


def with_noisy_holdout(
    dataset: Dataset, seed: int, label_noise: float, noise_kind: Noise = "symmetric"
) -> Dataset:
    """The same noise on the held-out labels: whoever tunes with noisy data has no other.

    Args:
      dataset: of :func:`for_seed`, with a hold-out.
      seed: of the noise.
      label_noise, noise_kind: as there.
    """
    if label_noise == 0:
        return dataset
    clean = dataset.test_images, dataset.test_labels
    key = jax.random.key(seed)
    labels = noisy_labels(key, *clean, label_noise, noise_kind, dataset.num_classes)
    return replace(dataset, test_labels=labels)
