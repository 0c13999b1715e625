"""What a data set is: labelled images in memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, as NumPy arrays.

    Attributes:
      name: its name in TensorFlow Datasets, e.g. ``"cifar10"``.
      num_classes: number of classes K.
      train_images: uint8 ``[N, height, width, channels]``.
      train_labels: int32 ``[N]``, from 0 to K - 1.
      test_images: uint8 ``[M, height, width, channels]``.
      test_labels: int32 ``[M]``.
    """

    name: str
    num_classes: int
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels
