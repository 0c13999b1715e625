"""A data set that the package makes itself, in a moment: for a first look, and for examples."""

import numpy as np

from edl_jax.training.data import Dataset

NAME = "synthetic"
_CLASSES, _PATTERNS, _SIDE, _WAVES = 10, 4, 16, 5
_SIZES = 8000, 2000
_CONTRAST, _NOISE, _MOST_SHIFT = 30.0, 30.0, 2


def synthetic(seed: int = 0) -> Dataset:
    """Ten classes of grey pictures, 16 x 16, that nothing has been photographed for.

    Each class has four smooth patterns. A picture shows one of them, moved by up to two pixels,
    with noise on every pixel.

    Args:
      seed: of all that is drawn.

    >>> dataset = synthetic()
    >>> dataset.train_images.shape, dataset.test_images.shape, dataset.num_classes
    ((8000, 16, 16, 1), (2000, 16, 16, 1), 10)
    """
    rng = np.random.default_rng(seed)
    place = np.pi * (np.arange(_SIDE) + 0.5) / _SIDE
    waves = np.cos(np.arange(_WAVES)[:, None] * place)
    heights = rng.normal(size=(_CLASSES, _PATTERNS, _WAVES, _WAVES))
    heights[..., 0, 0] = 0.0  # no class is brighter than another
    patterns = np.einsum("kcuv,ux,vy->kcxy", heights, waves, waves)
    patterns /= patterns.std(axis=(-2, -1), keepdims=True)
    train, test = (_part(rng, patterns, size) for size in _SIZES)
    return Dataset(NAME, _CLASSES, *train, *test)


def _part(
    rng: np.random.Generator, patterns: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(_CLASSES, size=size)
    shown = patterns[labels, rng.integers(_PATTERNS, size=size)]
    rows, columns = rng.integers(-_MOST_SHIFT, _MOST_SHIFT + 1, (2, size, 1, 1))
    x, y = np.arange(_SIDE)[:, None] + rows, np.arange(_SIDE)[None, :] + columns
    moved = shown[np.arange(size)[:, None, None], x % _SIDE, y % _SIDE]
    pixels = 128 + _CONTRAST * moved + _NOISE * rng.normal(size=moved.shape)
    return np.clip(pixels, 0, 255).round().astype(np.uint8)[..., None], labels
