"""Data sets by name: one that is made here, a user's own file or folder, or one of tfds."""

from pathlib import Path

from edl_jax.errors import require, require_int
from edl_jax.files import user_path
from edl_jax.training import files, made, prepared
from edl_jax.training.data import Dataset

FOLDER, ARRAYS = "folder:", ".npz"


def is_path(name: str) -> bool:
    """Whether ``name`` is that of a user's own file or folder.

    >>> is_path("folder:~/pictures"), is_path("counts.npz"), is_path("cifar10")
    (True, True, False)
    """
    return name.startswith(FOLDER) or name.endswith(ARRAYS)


def load(
    name: str,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    *,
    image_size: int | None = None,
) -> Dataset:
    """Read a data set.

    Args:
      name: ``"synthetic"``, which :func:`edl_jax.training.made.synthetic` makes; a path that ends
        in ``.npz``, see :func:`edl_jax.training.files.read_arrays`; ``"folder:PATH"``, see
        :func:`edl_jax.training.files.read_folder`; all else is a set that TensorFlow Datasets has
        prepared, see :func:`edl_jax.training.prepared.load`.
      data_dir, cache_dir: of sets of TensorFlow Datasets.
      image_size: pixels, to which the pictures of a folder are scaled.

    Raises:
      OptionError: an argument is not one for this set.
      EdlError: there is no such set, or it cannot be used.

    >>> load("synthetic").input_shape
    (16, 16, 1)
    """
    if image_size is not None:
        expected = "--dataset folder:PATH with it, whose pictures it scales"
        require(name.startswith(FOLDER), "image_size", image_size, expected)
        require_int("image_size", image_size, 1)
    if name == made.NAME:
        return made.synthetic()
    if is_path(name):
        path = user_path(name.removeprefix(FOLDER))
        if name.startswith(FOLDER):
            return files.read_folder(path, image_size)
        return files.read_arrays(path)
    return prepared.load(name, data_dir, cache_dir)
