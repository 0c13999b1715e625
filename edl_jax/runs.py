"""Run directories: what a command writes, written so that nothing half-written is left."""

import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from edl_jax.errors import EdlError, OptionError

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and move it into place when the block ends well.

    Raises:
      EdlError: the file cannot be written; ``path`` is then as it was.
    """
    path = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise EdlError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def path_exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file could have
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.write("\n")


class RunDirectory:
    """A directory that holds one run: ``config.json``, ``metrics.jsonl``, ``summary.json``.

    Args:
      path: where; created with its parents. ``None`` chooses ``runs/COMMAND-DATE-TIME``.
      command: short name of the command, e.g. ``"pretrain"``.
      config: the run's configuration, JSON-serialisable.

    Raises:
      OptionError: the directory cannot be written or already holds a run.
    """

    def __init__(self, path: str | Path | None, command: str, config: Mapping[str, Any]) -> None:
        self.path = (
            Path(path) if path else Path("runs") / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}"
        )
        self._start = time.perf_counter()
        if path_exists(self.path / CONFIG):
            raise OptionError("output_dir", self.path, "a directory that does not hold a run yet")
        made = [p for p in (self.path, *self.path.parents) if not path_exists(p)]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._metrics = open(self.path / METRICS, "w")  # noqa: SIM115
        except OSError as error:
            for directory in made:
                with contextlib.suppress(OSError):
                    directory.rmdir()
            reason = f"a directory that can be written ({error.strerror})"
            raise OptionError("output_dir", self.path, reason) from error
        write_json(self.path / CONFIG, {"command": command, **config})

    def log(self, **metrics: Any) -> None:
        """Append one line to ``metrics.jsonl`` and flush it."""
        self._metrics.write(json.dumps(metrics) + "\n")
        self._metrics.flush()

    def finish(self, **summary: Any) -> dict[str, Any]:
        """Write ``summary.json`` with the environment and the wall time, and return it."""
        self._metrics.close()
        content = {**summary, "wall_time_s": self.elapsed, "environment": environment()}
        write_json(self.path / SUMMARY, content)
        return content

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._start


def environment() -> dict[str, Any]:
    """Versions and device that a result was made with."""
    import importlib.metadata

    import jax

    names = ("edl_jax", "jax", "jaxlib", "flax", "optax", "evosax", "numpy")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
        "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(),
        "num_devices": jax.device_count(),
    }
