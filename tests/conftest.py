"""The tests run on the CPU, so that they say the same on every machine."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

TOY_SIZES = {"train": 120, "test": 50}


def toy_example(split: str, i: int) -> tuple[np.ndarray, int]:
    """A noisy 8x8 picture in one of three colours, and which."""
    label = i % 3
    rng = np.random.default_rng([split == "train", i])
    image = rng.integers(0, 100, (8, 8, 3), np.uint8)
    image[..., label] += 100
    return image, label


@pytest.fixture(scope="session")
def toy_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that holds ``toy_colours``, prepared as array_record without TensorFlow.

    Its images are given to tfds as paths of PNG files; arrays it would encode with TensorFlow.
    The cache of decoded arrays is one of the session's own.
    """
    pictures = tmp_path_factory.mktemp("pictures")

    class ToyColours(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> tfds.core.DatasetInfo:
            image = tfds.features.Image(shape=(8, 8, 3))
            label = tfds.features.ClassLabel(num_classes=3)
            features = tfds.features.FeaturesDict({"image": image, "label": label})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _: object) -> dict[str, Iterator[tuple[int, dict]]]:
            return {split: self._generate_examples(split) for split in TOY_SIZES}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
            for i in range(TOY_SIZES[split]):
                image, label = toy_example(split, i)
                path = pictures / f"{split}-{i}.png"
                Image.fromarray(image).save(path)
                yield i, {"image": str(path), "label": label}

    directory = tmp_path_factory.mktemp("tfds")
    ToyColours(data_dir=directory, file_format="array_record").download_and_prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield directory
