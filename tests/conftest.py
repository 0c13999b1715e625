"""The tests run on the CPU, so that they say the same on every machine."""

import atexit
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
# A command makes devices of the processors, and so rounds otherwise; what it does is compared bit
# for bit with what this process does.
os.environ["JAX_NUM_CPU_DEVICES"] = "1"
# What one test process has compiled, the others need not; the first of them makes the cache.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compilations = tempfile.mkdtemp(prefix="edl_jax-compilations-")
    atexit.register(shutil.rmtree, _compilations, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compilations
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import pytest


@pytest.fixture(scope="session")
def toy_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that holds ``toy_colours``, prepared as array_record without TensorFlow.

    The cache of decoded arrays is one of the session's own.
    """
    from benchmarks.common import toy_data

    directory = tmp_path_factory.mktemp("tfds")
    toy_data.prepare(directory, tmp_path_factory.mktemp("pictures"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield directory


@pytest.fixture
def read_events() -> Callable[[Path], list[Any]]:
    """Reads TensorBoard's event files: rows ``(subdirectory, step, {tag: value})`` as written."""

    def read(directory: Path) -> list[Any]:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c

        rows = []
        for path in sorted(directory.rglob("events.out.tfevents.*")):
            content = path.read_bytes()
            while content:
                (size,) = struct.unpack("<Q", content[:8])
                data, rest = content[12 : 12 + size], content[12 + size :]
                assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
                assert struct.unpack("<I", rest[:4]) == (masked_crc32c(data),)
                event, content = Event.FromString(data), rest[4:]
                if event.HasField("summary"):
                    values = {value.tag: value.simple_value for value in event.summary.value}
                    rows.append((str(path.parent.relative_to(directory)), event.step, values))
        return rows

    return read
