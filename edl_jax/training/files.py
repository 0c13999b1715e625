"""A user's own data set: arrays in an .npz file, or pictures in a folder a class."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from edl_jax.errors import EdlError, cannot, one_line
from edl_jax.runs.output import progress_bar
from edl_jax.training.data import Dataset
from edl_jax.training.streamed import Streamed, require_memory

SUFFIXES = (".png", ".jpg", ".jpeg")
_KINDS = ("images", "features")
_TEST_NAMES = ("test", "validation", "val")
_READ_AT_ONCE, _SHOWN_FROM = 512, 5000


# --- arrays ------------------------------------------------------------------------------------


def read_arrays(path: Path, seed: int = 0) -> Dataset:
    """Read an .npz file of arrays.

    It holds ``train_images`` or ``train_features``, and ``train_labels``; it may hold ``test_``
    ones too, else a fifth of the examples is drawn for them; and ``class_names``. Arrays of other
    names are passed over.

    Args:
      path: the file.
      seed: of the test part that is drawn.

    Raises:
      EdlError: the file cannot be read, or its arrays are not those of a data set; see
        :class:`edl_jax.training.data.Dataset`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "mine.npz")
    ...     np.savez(path, train_features=np.random.rand(50, 4), train_labels=np.arange(50) % 3)
    ...     dataset = read_arrays(path)
    >>> dataset.name, dataset.kind, dataset.num_classes, len(dataset.test_labels)
    ('mine.npz', 'features', 3, 10)
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _wanted(path, archive.files)}
    except OSError as error:
        raise cannot("read", path, error) from None
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise EdlError(f"{path}: expected an .npz file of arrays ({one_line(error)})") from None
    kind = "images" if "train_images" in arrays else "features"
    names = arrays.get("class_names", np.array([]))
    return Dataset.from_arrays(
        arrays[f"train_{kind}"],
        arrays["train_labels"],
        arrays.get(f"test_{kind}"),
        arrays.get("test_labels"),
        name=path.name,
        kind=kind,  # type: ignore[arg-type]
        class_names=[str(name) for name in names.tolist()],
        seed=seed,
    )


def _wanted(path: Path, found: Sequence[str]) -> Iterator[str]:
    kinds = [kind for kind in _KINDS if f"train_{kind}" in found]
    if len(kinds) != 1 or "train_labels" not in found:
        raise EdlError(
            f"{path}: holds {', '.join(found) or 'no array'}: expected train_images or "
            "train_features, and train_labels"
        )
    optional = (f"test_{kinds[0]}", "test_labels", "class_names")
    yield from (f"train_{kinds[0]}", "train_labels")
    yield from (name for name in optional if name in found)


# --- pictures ----------------------------------------------------------------------------------


class _Picture(NamedTuple):
    path: Path
    label: int


def read_folder(
    path: Path, image_size: int | None = None, seed: int = 0, *, stream: bool = False
) -> Dataset:
    """Read pictures, PNG or JPEG, from a folder for each class.

    The folders lie in ``path/train`` and ``path/test`` (or ``validation``, ``val``), or in ``path``
    itself; then a fifth of the pictures is drawn for the test. Their names, sorted, are the
    classes. Pictures have one channel where all are grey, else three.

    Args:
      path: the folder.
      image_size: pixels; each picture's largest square in the middle is scaled to this. Without
        it all pictures have one size.
      seed: of the test part that is drawn.
      stream: read the pictures when they are needed; see
        :class:`edl_jax.training.streamed.Streamed`.

    Raises:
      EdlError: a picture cannot be read or is of another size, or the folders are not as they
        should be.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     for name in ("cat", "dog"):
    ...         Path(directory, name).mkdir()
    ...         for i in range(5):
    ...             Image.new("RGB", (9, 7)).save(Path(directory, name, f"{i}.png"))
    ...     dataset = read_folder(Path(directory), image_size=8)
    >>> dataset.class_names, dataset.train_images.shape, dataset.test_images.shape
    (('cat', 'dog'), (8, 8, 8, 3), (2, 8, 8, 3))
    """
    if not path.is_dir():
        raise EdlError(f"folder {path}: expected a directory that exists")
    split = (path / "train").is_dir()
    classes = _folders(path / "train" if split else path)
    train = _pictures(path / "train" if split else path, classes)
    test = _pictures(_test_folder(path, classes), classes) if split else []
    grey = {_is_grey(found.path) for found in (*train, *test)} == {True}  # looks at every one
    as_read = partial(_read, image_size=image_size, mode="L" if grey else "RGB")
    shape = as_read(train[0]).shape
    if not stream:
        require_memory(path.name, (len(train) + len(test), *shape))
    read = partial(_streamed if stream else _read_all, read=as_read, shape=shape)
    labels = [np.array([found.label for found in part], np.int32) for part in (train, test)]
    return Dataset.from_arrays(
        read(train),
        labels[0],
        read(test) if split else None,
        labels[1] if split else None,
        name=path.resolve().name,
        kind="images",
        class_names=classes,
        names=[str(found.path) for found in train],
        seed=seed,
    )


def _folders(path: Path) -> list[str]:
    found = (place for place in path.iterdir() if place.is_dir())
    names = sorted(place.name for place in found if not place.name.startswith("."))
    if len(names) < 2:
        raise EdlError(f"folder {path}: expected a folder for each of two or more classes in it")
    return names


def _test_folder(path: Path, classes: Sequence[str]) -> Path:
    found = [path / name for name in _TEST_NAMES if (path / name).is_dir()]
    if not found:
        raise EdlError(f"folder {path}: holds train: expected {' or '.join(_TEST_NAMES)} beside it")
    odd = set(_folders(found[0])) ^ set(classes)
    if odd:
        raise EdlError(
            f"folder {found[0]}: expected the classes of {path / 'train'}, but {min(odd)} is in "
            "one of the two only"
        )
    return found[0]


def _pictures(path: Path, classes: Sequence[str]) -> list[_Picture]:
    found = []
    for label, name in enumerate(classes):
        files = sorted((path / name).rglob("*"))
        files = [file for file in files if _is_picture(file)]
        if not files:
            raise EdlError(f"folder {path / name}: expected pictures in it, {', '.join(SUFFIXES)}")
        found += [_Picture(file, label) for file in files]
    return found


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")  # some systems keep a file of their own beside each
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _is_grey(path: Path) -> bool:
    with _opened(path) as picture:
        if picture.mode[0] in "IF":
            raise EdlError(f"{path}: more than 8 bits a channel: expected 8")
        return picture.mode in ("1", "L")


def _streamed(
    pictures: Sequence[_Picture], read: Callable[[_Picture], np.ndarray], shape: tuple[int, ...]
) -> Streamed:
    def read_some(numbers: np.ndarray) -> np.ndarray:
        images = np.empty((len(numbers), *shape), np.uint8)
        for i, number in enumerate(numbers):
            image = read(pictures[number])
            _require_size(pictures[number].path, image.shape, shape)
            images[i] = image
        return images

    return Streamed(read_some, len(pictures), shape)


def _read_all(
    pictures: Sequence[_Picture], read: Callable[[_Picture], np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    images = np.empty((len(pictures), *shape), np.uint8)
    bar = progress_bar("pictures/s") if len(pictures) >= _SHOWN_FROM else None
    with bar or nullcontext(), ThreadPoolExecutor() as pool:
        task = None if bar is None else bar.add_task("reading pictures", total=len(pictures))
        for start in range(0, len(pictures), _READ_AT_ONCE):
            part = pictures[start : start + _READ_AT_ONCE]
            for i, image in enumerate(pool.map(read, part), start):
                _require_size(pictures[i].path, image.shape, shape)
                images[i] = image
            if bar is not None and task is not None:
                bar.advance(task, len(part))
    return images


def _require_size(path: Path, found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if found != shape:
        sizes = " and ".join(f"{size[1]} x {size[0]}" for size in (shape, found))
        raise EdlError(
            f"{path}: pictures of {sizes} pixels: expected all of one size, or --image-size"
        )


def _read(picture: _Picture, image_size: int | None, mode: str) -> np.ndarray:
    try:
        with _opened(picture.path) as opened:
            found = ImageOps.exif_transpose(opened).convert(mode)
            if image_size is not None:
                found = ImageOps.fit(found, (image_size, image_size), Image.Resampling.BICUBIC)
            array = np.asarray(found)
    except EdlError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EdlError(f"{picture.path}: damaged picture ({one_line(error)})") from None
    return array if array.ndim == 3 else array[..., None]


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EdlError(f"{path}: no picture that can be read ({one_line(error)})") from None
