"""Data sets: labelled examples in memory, checked once, here."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from edl_jax.errors import EdlError
from edl_jax.training.streamed import Streamed

Kind = Literal["images", "features"]
Inputs: TypeAlias = np.ndarray | Streamed
"""Examples ``[N, ...]``: an array, or images that are read when they are needed."""

PARTS = ("train", "test")
TEST_SHARE = 0.2
_CHANNELS = (1, 2, 3, 4)
_INT32 = np.iinfo(np.int32)
_MOST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples: images, or features of any shape.

    Images are uint8, or float from 0 to 1, with the channels last. Features are any finite numbers.
    Whole numbers are kept as uint8 or int32, all others as float32. They are arrays in memory, or
    :class:`edl_jax.training.streamed.Streamed` images.

    Attributes:
      name: of the set, e.g. ``"cifar10"``.
      num_classes: number of classes K.
      train_images: ``[N, height, width, channels]``, or features ``[N, ...]``.
      train_labels: int32 ``[N]``, from 0 to K - 1.
      test_images: ``[M, ...]``, of the shape and type of the training ones.
      test_labels: int32 ``[M]``.
      kind: ``"images"`` or ``"features"``; by default rows of numbers ``[N, F]`` are features, and
        all else is images.
      class_names: of the K classes; may be empty.
      train_names: what each training example is called, e.g. its file; may be empty.

    Raises:
      EdlError: the arrays are not those of such a set; one line says which, and what would be
        right.

    >>> labels = np.arange(8) % 2
    >>> images = np.zeros((8, 5, 5, 1), np.uint8)
    >>> Dataset("squares", 2, images, labels, images[:2], labels[:2]).input_shape
    (5, 5, 1)
    >>> Dataset("squares", 2, images, labels + 1, images[:2], labels[:2])
    Traceback (most recent call last):
    edl_jax.errors.EdlError: dataset squares: train labels run from 1 to 2: expected 0 to 1, for 2 \
classes
    """

    name: str
    num_classes: int
    train_images: Inputs
    train_labels: np.ndarray
    test_images: Inputs
    test_labels: np.ndarray
    _: KW_ONLY
    kind: Kind | None = None
    class_names: tuple[str, ...] = ()
    train_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        def settle(field: str, value: object) -> None:
            object.__setattr__(self, field, value)

        if self.kind is None:
            settle("kind", "features" if np.ndim(self.train_images) == 2 else "images")
        try:
            if self.num_classes < 2:
                raise EdlError(f"{self.num_classes} classes: expected two or more")
            if self.class_names and len(self.class_names) != self.num_classes:
                raise EdlError(
                    f"{len(self.class_names)} class names for {self.num_classes} classes"
                )
            for part in PARTS:
                given = getattr(self, f"{part}_images")
                inputs = read_inputs(part, self.kind or "images", given)
                labels = np.asarray(getattr(self, f"{part}_labels"))
                settle(f"{part}_images", inputs)
                settle(f"{part}_labels", _read_labels(part, labels, len(inputs), self.num_classes))
            train, test = self.train_images, self.test_images
            if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
                raise EdlError(
                    f"test {self.kind} are {_described(test)}: expected those of the "
                    f"training ones, {_described(train)}"
                )
            if len(self.train_names) not in (0, len(train)):
                raise EdlError(f"{len(self.train_names)} names for {len(train)} training examples")
        except EdlError as error:
            raise EdlError(f"dataset {self.name}: {error}") from None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of an example: height, width and channels of an image."""
        return self.train_images.shape[1:]

    @classmethod
    def from_arrays(
        cls,
        inputs: ArrayLike | Streamed,
        labels: ArrayLike,
        test_inputs: ArrayLike | Streamed | None = None,
        test_labels: ArrayLike | None = None,
        *,
        name: str = "arrays",
        num_classes: int | None = None,
        kind: Kind | None = None,
        class_names: Sequence[str] = (),
        names: Sequence[str] = (),
        seed: int = 0,
    ) -> "Dataset":
        """A data set of arrays; without a test part, a fifth of the examples is drawn for it.

        Args:
          inputs: examples ``[N, ...]``, as for :class:`Dataset`.
          labels: whole numbers ``[N]`` from 0.
          test_inputs, test_labels: the test part, both or neither.
          name: of the set.
          num_classes: number of classes; by default that of ``class_names``, or of the labels.
          kind, class_names: as for :class:`Dataset`.
          names: what each of ``inputs`` is called; may be empty.
          seed: of the test part that is drawn.

        Raises:
          EdlError: as for :class:`Dataset`.

        >>> dataset = Dataset.from_arrays(np.random.rand(100, 7), np.arange(100) % 3)
        >>> dataset.kind, len(dataset.train_labels), len(dataset.test_labels), dataset.num_classes
        ('features', 80, 20, 3)
        """
        inputs, labels = _as_inputs(inputs), np.asarray(labels)
        if (test_inputs is None) != (test_labels is None):
            raise EdlError(f"dataset {name}: a test part has both its examples and its labels")
        if num_classes is None:
            num_classes = len(class_names) or _count_classes(name, labels, test_labels)
        if test_inputs is None or test_labels is None:
            try:
                _require_counts("train", inputs, labels)
            except EdlError as error:
                raise EdlError(f"dataset {name}: {error}") from None
            order = np.random.default_rng(seed).permutation(len(labels))
            number = int(np.ceil(TEST_SHARE * len(labels)))
            test, train = np.sort(order[:number]), np.sort(order[number:])
            test_inputs, test_labels = inputs[test], labels[test]
            inputs, labels = inputs[train], labels[train]
            names = [names[i] for i in train] if names else names
        parts = inputs, labels, _as_inputs(test_inputs), np.asarray(test_labels)
        return cls(
            name,
            num_classes,
            *parts,
            kind=kind,
            class_names=tuple(class_names),
            train_names=tuple(names),
        )


# --- what an array may be ----------------------------------------------------------------------


def read_inputs(part: str, kind: Kind, inputs: ArrayLike | Streamed) -> Inputs:
    """Examples as a :class:`Dataset` holds them: uint8, int32 or float32.

    Args:
      part: what errors call them, e.g. ``"train"``.
      kind: whether they are images or features.
      inputs: ``[N, ...]``.

    Raises:
      EdlError: they are not of that kind.
    """
    if isinstance(inputs, Streamed):
        return inputs  # whoever reads them sees to it that they are images
    read = _read_images if kind == "images" else _read_features
    return read(part, np.asarray(inputs))


def _as_inputs(inputs: ArrayLike | Streamed) -> Inputs:
    return inputs if isinstance(inputs, Streamed) else np.asarray(inputs)


def _count_classes(name: str, labels: np.ndarray, test_labels: ArrayLike | None) -> int:
    whole = labels.dtype.kind in "iu" and labels.size
    if not whole:
        return 2  # Dataset says what is wrong
    if labels.min() > 0:
        raise EdlError(
            f"dataset {name}: train labels run from {labels.min()} to {labels.max()}: expected to "
            "begin at 0; num_classes or class_names say how many classes there are"
        )
    test = np.asarray(labels if test_labels is None else test_labels)
    return max(2, int(max(labels.max(), test.max(initial=0))) + 1)


def _described(array: Inputs) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _require_counts(part: str, inputs: Inputs, labels: np.ndarray) -> None:
    if inputs.ndim == 0 or labels.ndim != 1:
        raise EdlError(
            f"{part} labels are {_described(labels)}: expected [N], the class of each "
            "example; labels.argmax(-1) makes it of one-hot labels"
        )
    if len(inputs) != len(labels):
        raise EdlError(
            f"{part} part: {len(inputs)} examples and {len(labels)} labels: expected as "
            "many of both"
        )


def _read_labels(part: str, labels: np.ndarray, number: int, num_classes: int) -> np.ndarray:
    _require_counts(part, np.empty(number), labels)
    if labels.dtype.kind not in "iu":
        raise EdlError(f"{part} labels are {labels.dtype}: expected whole numbers, int32 or alike")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= num_classes:
        raise EdlError(
            f"{part} labels run from {low} to {high}: expected 0 to {num_classes - 1}, "
            f"for {num_classes} classes"
        )
    return labels.astype(np.int32, copy=False)


def _read_images(part: str, images: np.ndarray) -> np.ndarray:
    shape = list(images.shape)
    channels = shape[-1] if shape else 0
    if images.ndim == 3:
        raise EdlError(
            f"{part} images of shape {shape}: expected [N, height, width, channels]; "
            "images[..., None] gives greyscale ones their channel, and what is no image "
            'is kind="features"'
        )
    if images.ndim != 4:
        raise EdlError(f"{part} images of shape {shape}: expected [N, height, width, channels]")
    if channels not in _CHANNELS:
        meant = "; np.moveaxis(images, 1, -1) puts them there" if shape[1] in _CHANNELS else ""
        raise EdlError(
            f"{part} images of shape {shape}: expected [N, height, width, channels], "
            f"with 1 to 4 channels last{meant}"
        )
    low, high = _range(part, "images", images)
    if images.dtype.kind == "f":
        if low < 0 or high > 1:
            raise EdlError(
                f"{part} images are {images.dtype} from {low:g} to {high:g}: expected "
                '0 to 1, or uint8; what is no brightness is kind="features"'
            )
        return images.astype(np.float32, copy=False)
    if low < 0 or high > 255 or images.dtype == bool:
        raise EdlError(
            f"{part} images are {images.dtype} from {low} to {high}: expected uint8, or "
            "float from 0 to 1"
        )
    return images.astype(np.uint8, copy=False)


def _read_features(part: str, features: np.ndarray) -> np.ndarray:
    if features.ndim < 2:
        raise EdlError(
            f"{part} features of shape {list(features.shape)}: expected [N, F]; "
            "features[:, None] makes rows of single numbers"
        )
    low, high = _range(part, "features", features)
    if features.dtype.kind == "f":
        return features.astype(np.float32, copy=False)
    if features.dtype in (np.uint8, bool):
        return features.astype(np.uint8, copy=False)
    whole = _INT32.min <= low and high <= _INT32.max
    return features.astype(np.int32 if whole else np.float32, copy=False)


def _range(part: str, kind: Kind, inputs: np.ndarray) -> tuple[float, float]:
    if inputs.dtype.kind not in "buif":
        raise EdlError(f"{part} {kind} are {inputs.dtype}: expected numbers")
    if inputs.size == 0:
        raise EdlError(f"{part} {kind} of shape {list(inputs.shape)}: expected one at the least")
    low, high = inputs.min().item(), inputs.max().item()
    if not -_MOST <= low <= high <= _MOST:
        raise EdlError(f"{part} {kind} run from {low:g} to {high:g}: expected finite float32")
    return low, high
