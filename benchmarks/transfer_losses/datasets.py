"""The data sets of ``transfer_losses``: those of tfds, and two more."""

from pathlib import Path

import numpy as np

from edl_jax.errors import EdlError, require
from edl_jax.training.data import Dataset, Inputs
from edl_jax.training.prepared import load

TWO_CLASSES = (2, 4)  # pullovers and coats, which look alike


def load_set(name: str, data_dir: Path | None) -> Dataset:
    """Read a data set by its name.

    Args:
      name: ``"fashion_mnist:2"``, two of its classes; ``"clinc150"``, questions to an assistant as
        counts of words; or any set of tfds.
      data_dir: of tfds, or the directory of ``clinc150.npz``.

    Raises:
      EdlError: the set is not there.
    """
    if name == "clinc150":
        return _clinc(data_dir)
    dataset = load(name.partition(":")[0], data_dir)
    return _two_classes(dataset) if name.endswith(":2") else dataset


def _two_classes(dataset: Dataset) -> Dataset:
    def part(images: Inputs, labels: np.ndarray) -> tuple[Inputs, np.ndarray]:
        kept = np.isin(labels, TWO_CLASSES)
        return images[kept], (labels[kept] == TWO_CLASSES[1]).astype(np.int32)

    train = part(dataset.train_images, dataset.train_labels)
    test = part(dataset.test_images, dataset.test_labels)
    return Dataset(dataset.name, 2, *train, *test)


def _clinc(data_dir: Path | None) -> Dataset:
    """CLINC150 (Larson et al., EMNLP 2019): square roots of counts, each row scaled to one norm."""
    path = (data_dir or Path()) / "clinc150.npz"
    require(path.is_file(), "data_dir", data_dir or ".", "the directory of clinc150.npz")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        parts = {name: arrays[f"{name}_features"] for name in ("train", "validation", "test")}
        labels = {name: arrays[f"{name}_labels"].astype(np.int32) for name in parts}
        num_classes = len(arrays["class_names"])
    except (OSError, ValueError, KeyError) as error:
        raise EdlError(f"{path}: not the arrays of CLINC150: {error}") from error

    def images(features: np.ndarray) -> np.ndarray:
        roots = np.sqrt(features.astype(np.float32))
        rows = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-6)
        return np.round(255 * rows).astype(np.uint8)[:, None, :, None]

    return Dataset(
        "clinc150",
        num_classes,
        np.concatenate([images(parts["train"]), images(parts["validation"])]),
        np.concatenate([labels["train"], labels["validation"]]),
        images(parts["test"]),
        labels["test"],
    )
