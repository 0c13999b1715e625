"""Sets that TensorFlow Datasets has prepared, read without TensorFlow.

A room of its own: the library takes a second to import, and whoever trains on arrays does without.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds

from edl_jax import startup
from edl_jax.errors import EdlError, did_you_mean, one_line, require
from edl_jax.files import atomic_write, quiet_logs, user_path
from edl_jax.training.data import Dataset

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_READ_AT_ONCE = 1024


class _Source(Protocol):
    """A split as TensorFlow Datasets hands it out."""

    dataset_info: tfds.core.DatasetInfo

    def __len__(self) -> int: ...

    def __getitems__(self, rows: Sequence[int], /) -> Sequence[dict[str, Any]]: ...


def load(
    name: str, data_dir: str | Path | None = None, cache_dir: str | Path | None = None
) -> Dataset:
    """Read a data set that TensorFlow Datasets has prepared as ``array_record``.

    Decoding the images takes seconds, so the arrays are cached; a cache that cannot be written is
    done without, one that is corrupt or out of date is made again.

    Args:
      name: e.g. ``"cifar10"``, ``"fashion_mnist"``, ``"svhn_cropped"``, or a set of your own with
        the features ``image`` (uint8, of one size) and ``label``. The test images are the split
        ``test``, or ``validation`` where there is none.
      data_dir: the directory that holds the prepared set; ``$TFDS_DATA_DIR`` or
        ``~/tensorflow_datasets`` by default.
      cache_dir: where the arrays are cached; ``$XDG_CACHE_HOME/edl_jax`` or ``~/.cache/edl_jax``
        by default, and not at all where the user has no home.

    Raises:
      OptionError: ``data_dir`` does not exist.
      EdlError: the set is unknown, not prepared, damaged, or not of this kind.

    Example::

      dataset = load("fashion_mnist", data_dir="~/tfds")
      dataset.train_images.shape  # (60000, 28, 28, 1)
    """
    if data_dir is not None:
        data_dir = user_path(data_dir)
        require(data_dir.is_dir(), "data_dir", data_dir, "a directory that exists")
    # What tfds would say of a set that is missing is reported here, in one line.
    with quiet_logs(), contextlib.redirect_stdout(io.StringIO()):
        train, test = _open_splits(name, data_dir)
        info = train.dataset_info
        shape, class_names = _check_features(name, info.features)
        version = info.full_name.replace("/", "-")
        file_name = f"{version}-{_fingerprint(Path(info.data_dir))}.npz"
        kept = cache_dir or startup.cache_dir()
        arrays = _read_cache(Path(kept) / file_name) if kept else None
        if arrays is None:
            arrays = (*_decode(name, train, shape), *_decode(name, test, shape))
            if kept:
                _write_cache(Path(kept) / file_name, arrays)
    return Dataset(name, len(class_names), *arrays, class_names=class_names)


def _open_splits(name: str, data_dir: Path | None) -> tuple[_Source, _Source]:
    place = data_dir or Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    try:
        if not re.fullmatch(r"\w+([/:].*)?", name):  # tfds would explain how names are made
            raise tfds.core.DatasetNotFoundError
        splits = tfds.data_source(name, data_dir=data_dir, download=False)
    except tfds.core.DatasetNotFoundError:
        meant = did_you_mean(name, tfds.list_builders(with_community_datasets=False))
        raise EdlError(
            f"dataset {name}: not in {place}, and not a name that TensorFlow Datasets knows{meant}"
        ) from None
    except (AssertionError, NotImplementedError):
        splits = {}
    # What tfds raises for a set that is damaged is of many unrelated types.
    except Exception as error:
        raise EdlError(f"dataset {name}: cannot be read from {place}: {one_line(error)}") from error
    if not splits:
        directory = "" if data_dir is None else f", data_dir={str(data_dir)!r}"
        raise EdlError(
            f"dataset {name}: not prepared as array_record in {place}; point --data-dir to where "
            'it is, or pip install "edl_jax[prepare]" and run: python -c "import '
            f'tensorflow_datasets as tfds; tfds.data_source({name!r}{directory})"'
        )
    train, test = splits.get("train"), splits.get("test", splits.get("validation"))
    if train is None or test is None:
        raise EdlError(f"dataset {name}: expected splits train and test, not {', '.join(splits)}")
    return train, test


def _check_features(
    name: str, features: tfds.features.FeaturesDict
) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    known = dict(features.items())
    image, label = known.get("image"), known.get("label")
    shape: Any = getattr(image, "shape", ())
    num_classes = getattr(label, "num_classes", None)
    sized = len(shape) == 3 and None not in shape and getattr(image, "np_dtype", None) == np.uint8
    if not sized or not num_classes:
        raise EdlError(
            f"dataset {name}: expected a feature image, uint8 and of one size, and a feature "
            "label with a number of classes"
        )
    return shape, tuple(known["label"].names)


def _decode(
    name: str, source: _Source, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    images = np.empty((len(source), *shape), np.uint8)
    labels = np.empty(len(source), np.int32)
    try:
        for start in range(0, len(source), _READ_AT_ONCE):
            rows = range(start, min(start + _READ_AT_ONCE, len(source)))
            for row, example in zip(rows, source.__getitems__(list(rows)), strict=True):
                images[row], labels[row] = example["image"], example["label"]
    # A damaged file is reported by array_record, by protobuf or by the image decoder.
    except Exception as error:
        place = source.dataset_info.data_dir
        raise EdlError(f"dataset {name}: damaged in {place}: {one_line(error)}") from error
    return images, labels


# --- cache -------------------------------------------------------------------------------------


def _fingerprint(directory: Path) -> str:
    """Digest of the names, sizes and times of change of the files that a set consists of."""
    files = [(path.name, path.stat()) for path in sorted(directory.iterdir())]
    content = json.dumps([(name, s.st_size, s.st_mtime_ns) for name, s in files])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _read_cache(path: Path) -> Sequence[np.ndarray] | None:
    # The file is opened here, because np.load leaves one open whose archive is damaged.
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return [archive[name] for name in _ARRAYS]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None


def _write_cache(path: Path, arrays: Sequence[np.ndarray]) -> None:
    with contextlib.suppress(EdlError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            named: dict[str, Any] = dict(zip(_ARRAYS, arrays, strict=True))
            np.savez(file, **named)
