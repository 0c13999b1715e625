"""What is done to the pixels of a batch: augmentation and normalisation."""

import jax
import jax.numpy as jnp
import numpy as np

# Sets whose classes survive a mirror. A mirrored digit or letter is another one, or none.
MIRRORED = ("cifar10", "cifar100", "fashion_mnist")

# bincount widens what it counts to eight bytes, so it is given a part at a time.
_COUNTED_AT_ONCE = 1000


def resolve_augmentation(augment: str, dataset_name: str) -> str:
    """What ``"auto"`` means for a data set; other policies are returned as they are.

    >>> resolve_augmentation("auto", "cifar10"), resolve_augmentation("auto", "mnist")
    ('crop-flip', 'crop')
    """
    if augment != "auto":
        return augment
    name, *_ = dataset_name.split(":", maxsplit=1)
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


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel.

    Args:
      images: uint8 ``[N, height, width, channels]``.

    Returns:
      Two float32 arrays ``[channels]``, in units of the full range 255. A channel that is constant
      has the deviation 1.

    >>> mean, std = channel_statistics(np.full((2, 4, 4, 1), 51, np.uint8))
    >>> float(mean[0]).__round__(3), float(std[0])
    (0.2, 1.0)
    """
    values = np.arange(256) / 255
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for start in range(0, len(images), _COUNTED_AT_ONCE):
        for c in range(images.shape[-1]):
            part = images[start : start + _COUNTED_AT_ONCE, ..., c]
            counts[c] += np.bincount(part.ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    variance = np.sum(shares * np.square(values - mean[:, None]), axis=1)
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return mean.astype(np.float32), std.astype(np.float32)


def normalize(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Scale uint8 images to zero mean and unit variance per channel.

    Args:
      images: uint8 ``[..., channels]``.
      mean, std: float32 ``[channels]``, from :func:`channel_statistics` of the training images.

    Returns:
      float32 of the shape of ``images``.
    """
    channels = (1,) * (images.ndim - 1) + (-1,)
    return (images.astype(jnp.float32) / 255 - mean.reshape(channels)) / std.reshape(channels)
