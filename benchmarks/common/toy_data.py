"""A data set of a few coloured squares, prepared in a second and without TensorFlow."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

NAME = "toy_colours"
TOY_SIZES = {"train": 120, "test": 50}


def toy_example(split: str, i: int) -> tuple[np.ndarray, int]:
    """A noisy 8x8 picture in one of three colours, and which."""
    label = i % 3
    rng = np.random.default_rng([split == "train", i])
    image = rng.integers(0, 100, (8, 8, 3), np.uint8)
    image[..., label] += 100
    return image, label


def toy_worse_label(i: int) -> int:
    """What a careless labeller says of the training example ``i``: a fifth is wrong."""
    return (i + (i % 5 == 0)) % 3


class ToyColours(tfds.core.GeneratorBasedBuilder):
    """The builder, registered with tfds as ``toy_colours``."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # that of a class in a package needs a library that tfds does not bring
    pictures: Path

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(8, 8, 3))
        label = tfds.features.ClassLabel(num_classes=3)
        features = {"image": image, "label": label, "worse_label": label, "number": np.int64}
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, _: object) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(split) for split in TOY_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(TOY_SIZES[split]):
            image, label = toy_example(split, i)
            path = self.pictures / f"{split}-{i}.png"
            Image.fromarray(image).save(path)
            # As in cifar10_n: the labels of people, of the training images alone.
            worse = toy_worse_label(i) if split == "train" else -1
            yield i, {"image": str(path), "label": label, "worse_label": worse, "number": i}


def prepare(directory: Path, pictures: Path) -> None:
    """Prepare ``toy_colours`` as array_record in ``directory``.

    Its images are given to tfds as paths of PNG files, kept in ``pictures``; arrays it would encode
    with TensorFlow.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder = ToyColours(data_dir=directory, file_format="array_record")
        builder.pictures = pictures
        builder.download_and_prepare()
