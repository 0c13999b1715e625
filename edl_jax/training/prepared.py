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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds

from edl_jax import startup
from edl_jax.errors import EdlError, did_you_mean, one_line, require
from edl_jax.files import atomic_write, quiet_logs, user_path
from edl_jax.training.data import Dataset
from edl_jax.training.streamed import Streamed, require_memory

LABEL = "label"
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_LABELS = ("train_labels", "test_labels")
_READ_AT_ONCE = 1024


class _Source(Protocol):
    """A split as TensorFlow Datasets hands it out."""

    dataset_info: tfds.core.DatasetInfo

    def __len__(self) -> int: ...

    def __getitems__(self, rows: Sequence[int], /) -> Sequence[dict[str, Any]]: ...


def load(
    name: str,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    *,
    labels: str = LABEL,
    stream: bool = False,
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
      labels: the feature that the training labels are; those of ``cifar10_n``, by people, are
        ``"worse_label"``, ``"aggre_label"`` and ``"random_label1"`` to 3, that of ``cifar100_n``
        ``"noise_label"``. The test labels are ``label``.
      stream: read the images when they are needed, and the labels alone now; see
        :class:`edl_jax.training.streamed.Streamed`.

    Raises:
      OptionError: ``data_dir`` does not exist, or there are no such labels.
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
        shape, class_names = _check_features(name, info.features, labels)
        names = [info.full_name.replace("/", "-"), _fingerprint(Path(info.data_dir))]
        names += ["streamed"] * stream + [f"labels={labels}"] * (labels != LABEL)
        kept = cache_dir or startup.cache_dir()
        place = Path(kept) / f"{'-'.join(names)}.npz" if kept else None
        if not stream:
            require_memory(name, (len(train) + len(test), *shape))
            arrays = _cached(
                place,
                _ARRAYS,
                lambda: (*_decode(name, train, shape, labels), *_decode(name, test, shape, LABEL)),
            )
            return Dataset(name, len(class_names), *arrays, class_names=class_names)
        # Read here, the first image says what is wrong before anything is trained, and what its
        # decoder has to tell is not told amid the training.
        _streamed(name, train, shape)[:1].__array__()
        sources = _open_splits(name, data_dir, {"image": tfds.decode.SkipDecoding()})
        given = _cached(
            place,
            _LABELS,
            lambda: [
                _decode(name, source, None, feature)[1]
                for source, feature in zip(sources, (labels, LABEL), strict=True)
            ],
        )
    return Dataset(
        name,
        len(class_names),
        _streamed(name, train, shape),
        given[0],
        _streamed(name, test, shape),
        given[1],
        class_names=class_names,
    )


def _open_splits(
    name: str, data_dir: Path | None, decoders: dict[str, Any] | None = None
) -> tuple[_Source, _Source]:
    place = data_dir or Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    try:
        if not re.fullmatch(r"\w+([/:].*)?", name):  # tfds would explain how names are made
            raise tfds.core.DatasetNotFoundError
        splits = tfds.data_source(name, data_dir=data_dir, download=False, decoders=decoders)
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
    name: str, features: tfds.features.FeaturesDict, labels: str
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
    fit = [of for of in known if getattr(known[of], "num_classes", None) == num_classes]
    require(labels in fit, "labels", labels, f"one of {', '.join(fit)}{did_you_mean(labels, fit)}")
    return shape, tuple(known["label"].names)


def _decode(
    name: str, source: _Source, shape: tuple[int, int, int] | None, feature: str
) -> tuple[np.ndarray, np.ndarray]:
    """Images, none of them without ``shape``, and labels."""
    images = np.empty((len(source), *(shape or (0,))), np.uint8)
    labels = np.empty(len(source), np.int32)
    try:
        for start in range(0, len(source), _READ_AT_ONCE):
            rows = range(start, min(start + _READ_AT_ONCE, len(source)))
            for row, example in zip(rows, source.__getitems__(list(rows)), strict=True):
                labels[row] = example[feature]
                if shape:
                    images[row] = example["image"]
    except Exception as error:
        raise _damaged(name, source, error) from error
    return images, labels


def _streamed(name: str, source: _Source, shape: tuple[int, int, int]) -> Streamed:
    def read(numbers: np.ndarray) -> np.ndarray:
        try:
            # One by one takes ten times as long.
            return np.stack([example["image"] for example in source.__getitems__(numbers.tolist())])
        except Exception as error:
            raise _damaged(name, source, error) from error

    return Streamed(read, len(source), shape)


def _damaged(name: str, source: _Source, error: Exception) -> EdlError:
    # It is reported by array_record, by protobuf or by the image decoder.
    place = source.dataset_info.data_dir
    return EdlError(f"dataset {name}: damaged in {place}: {one_line(error)}")


# --- cache -------------------------------------------------------------------------------------


def _fingerprint(directory: Path) -> str:
    """Digest of the names, sizes and times of change of the files that a set consists of."""
    files = [(path.name, path.stat()) for path in sorted(directory.iterdir())]
    content = json.dumps([(name, s.st_size, s.st_mtime_ns) for name, s in files])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _cached(
    path: Path | None, names: Sequence[str], make: Callable[[], Sequence[np.ndarray]]
) -> Sequence[np.ndarray]:
    arrays = _read_cache(path, names) if path else None
    if arrays is None:
        arrays = make()
        if path:
            _write_cache(path, dict(zip(names, arrays, strict=True)))
    return arrays


def _read_cache(path: Path, names: Sequence[str]) -> Sequence[np.ndarray] | None:
    # The file is opened here, because np.load leaves one open whose archive is damaged.
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None


def _write_cache(path: Path, arrays: dict[str, Any]) -> None:
    with contextlib.suppress(EdlError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, **arrays)
