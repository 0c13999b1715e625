"""Preparation of the examples of a batch: augmentation of images, and normalisation."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.errors import require
from edl_jax.training.data import Dataset, Inputs
from edl_jax.training.streamed import Streamed

# Sets whose classes survive a mirror. A mirrored digit or letter is another one, or none.
MIRRORED = (
    "cifar10",
    "cifar100",
    "cifar10_n",
    "cifar100_n",
    "fashion_mnist",
    "imagenet_resized",
)

# bincount widens what it counts to eight bytes, so it is given a part at a time.
_COUNTED_AT_ONCE = 1000

# As many images tell the mean and the deviation of a channel to a thousandth.
_ENOUGH = 10_000


def resolve_augmentation(augment: str, dataset: Dataset) -> str:
    """The policy that ``"auto"`` stands for; other policies are returned as they are.

    Raises:
      OptionError: images are to be augmented, and these are none.
    """
    if dataset.kind != "images":
        expected = f"auto or none for features, as those of {dataset.name} are"
        require(augment in ("auto", "none"), "augment", augment, expected)
        return "none"
    if augment != "auto":
        return augment
    name = re.split("[:/]", dataset.name)[0]
    return "crop-flip" if name in MIRRORED else "crop"


def random_crop_flip(
    key: jax.Array, images: jax.Array, padding: int = 4, flip: bool = True
) -> jax.Array:
    """Shift each image by up to ``padding`` pixels, and mirror every other one.

    Pixels that come into view are zero, i.e. black where images have not been normalised yet.

    Args:
      key: PRNG key.
      images: ``[batch, height, width, channels]``, any dtype.
      padding: largest shift, in pixels; offsets are uniform on {0, ..., 2 padding}.
      flip: whether an image is mirrored left to right with probability 1/2.

    Returns:
      Images of the same shape and dtype.

    >>> images = jnp.ones((2, 8, 8, 3), jnp.uint8)
    >>> random_crop_flip(jax.random.key(0), images).shape
    (2, 8, 8, 3)
    """
    batch, height, width, _ = images.shape
    crop_key, flip_key = jax.random.split(key)
    offset = jax.random.randint(crop_key, (2, batch, 1), 0, 2 * padding + 1)
    mirrored = jax.random.bernoulli(flip_key, 0.5 if flip else 0.0, (batch, 1))
    rows = offset[0] + jnp.arange(height)[None]
    across = jnp.arange(width)[None]
    columns = offset[1] + jnp.where(mirrored, across[:, ::-1], across)
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    # One gather of whole pixels: a dynamic slice per image is several times slower on a CPU.
    image = jnp.arange(batch)[:, None, None]
    return jnp.pad(images, border)[image, rows[:, :, None], columns[:, None, :]]


def input_statistics(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation that :func:`normalize` takes for a data set's examples.

    They are those of the training examples: of each channel of images, of each of the features
    if they are fractions, and of all of them at once if they are whole numbers: as counts are,
    whose rare ones would be blown up to the size of the others. Of streamed images they are
    those of 10,000, drawn at random.

    Returns:
      Two float32 arrays, ``[channels]``, the shape of an example, or ``[1]``; of uint8 in units of
      the full range 255. What is constant has the deviation 1.

    >>> features = np.array([[0.0, 5.0], [2.0, 5.0]])
    >>> dataset = Dataset("two", 2, features, [0, 1], features, [0, 1])
    >>> [array.tolist() for array in input_statistics(dataset)]
    [[1.0, 5.0], [1.0, 1.0]]
    """
    inputs = dataset.train_images
    if isinstance(inputs, Streamed):
        rows = np.random.default_rng(0).permutation(len(inputs))[:_ENOUGH]
        return channel_statistics(inputs[np.sort(rows)])
    if dataset.kind == "images":
        return channel_statistics(inputs)
    if inputs.dtype.kind == "f":
        return _moments(inputs)
    return channel_statistics(inputs.reshape(-1, 1))


def channel_statistics(images: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel.

    Args:
      images: uint8 or float ``[..., channels]``.

    Returns:
      Two float32 arrays ``[channels]``, of uint8 in units of the full range 255. A channel that is
      constant has the deviation 1.

    >>> mean, std = channel_statistics(np.full((2, 4, 4, 1), 51, np.uint8))
    >>> float(mean[0]).__round__(3), float(std[0])
    (0.2, 1.0)
    """
    if images.dtype != np.uint8 and isinstance(images, np.ndarray):
        return _moments(images.reshape(-1, images.shape[-1]))
    values = np.arange(256) / 255
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for start in range(0, len(images), _COUNTED_AT_ONCE):
        part = np.asarray(images[start : start + _COUNTED_AT_ONCE])
        for c in range(images.shape[-1]):
            counts[c] += np.bincount(part[..., c].ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    variance = np.sum(shares * np.square(values - mean[:, None]), axis=1)
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return mean.astype(np.float32), std.astype(np.float32)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = rows.mean(axis=0, dtype=np.float64)
    std = rows.std(axis=0, dtype=np.float64)
    # A constant column of fractions has a deviation of rounding, not of 0.
    flat = std <= 1e-6 * np.abs(mean)
    return mean.astype(np.float32), np.where(flat, 1.0, std).astype(np.float32)


def normalize(
    inputs: jax.Array, mean: jax.Array, std: jax.Array, unit: int | None = None
) -> jax.Array:
    """Scale examples to zero mean and unit variance.

    Args:
      inputs: ``[batch, ...]``.
      mean, std: float32, from :func:`input_statistics` of the training examples; their axes are the
        last ones of ``inputs``, or of size 1.
      unit: what ``inputs`` are divided by first; by default 255, its full range, for uint8 and 1
        for all others.

    Returns:
      float32 of the shape of ``inputs``.
    """
    if unit is None:
        unit = unit_of(inputs.dtype)
    lead = (1,) * (inputs.ndim - mean.ndim)
    scaled = inputs.astype(jnp.float32) / unit
    return (scaled - mean.reshape(*lead, *mean.shape)) / std.reshape(*lead, *std.shape)


def unit_of(dtype: jax.typing.DTypeLike) -> int:
    """The unit of examples of ``dtype``: 255 for uint8, whose full range it is, else 1."""
    return 255 if dtype == jnp.uint8 else 1
