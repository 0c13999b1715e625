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
    labels: str | None = None,
    stream: bool = False,
) -> Dataset:
    """Read a data set.

    Args:
      name: ``"synthetic"``, which :func:`edl_jax.training.made.synthetic` makes; a path that ends
        in ``.npz``, see :func:`edl_jax.training.files.read_arrays`; ``"folder:PATH"``, see
        :func:`edl_jax.training.files.read_folder`; all else is a set that TensorFlow Datasets has
        prepared, see :func:`edl_jax.training.prepared.load`.
      data_dir, cache_dir: of sets of TensorFlow Datasets.
      image_size: pixels, to which the pictures of a folder are scaled.
      labels: the feature of a set of TensorFlow Datasets that its training labels are.
      stream: read the images of a folder, or of a set of TensorFlow Datasets, when they are needed.

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
    own = name == made.NAME or is_path(name)
    require(not (labels and own), "labels", labels, "a set of TensorFlow Datasets with it")
    in_memory = name == made.NAME or name.endswith(ARRAYS)
    expected = "folder:PATH or a set of TensorFlow Datasets with it, not arrays"
    require(not (stream and in_memory), "stream", stream, expected)
    if name == made.NAME:
        return made.synthetic()
    if is_path(name):
        path = user_path(name.removeprefix(FOLDER))
        if name.startswith(FOLDER):
            return files.read_folder(path, image_size, stream=stream)
        return files.read_arrays(path)
    return prepared.load(name, data_dir, cache_dir, labels=labels or prepared.LABEL, stream=stream)
