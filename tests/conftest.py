"""The tests run on the CPU, so that they say the same on every machine."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import pytest

from benchmarks import toy_data


@pytest.fixture(scope="session")
def toy_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that holds ``toy_colours``, prepared as array_record without TensorFlow.

    The cache of decoded arrays is one of the session's own.
    """
    directory = tmp_path_factory.mktemp("tfds")
    toy_data.prepare(directory, tmp_path_factory.mktemp("pictures"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield directory
