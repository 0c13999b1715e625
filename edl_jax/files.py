"""Files: written so that nothing half-written is left, read so that nothing is taken on trust."""

import contextlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edl_jax.errors import EdlError


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


def read_json(path: Path, most: int) -> dict[str, Any]:
    """Read a JSON object from a plain file of at most ``most`` bytes.

    Raises:
      EdlError: the file is missing, a link, too large, or no JSON object.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise EdlError(f"{path}: not a plain file")
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise EdlError(f"cannot read {path}: {error.strerror or error}") from None
    if len(content) > most:
        raise EdlError(f"{path}: more than {most:,} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise EdlError(f"{path}: damaged, not JSON") from None
    if not isinstance(found, dict):
        raise EdlError(f"{path}: not a JSON object")
    return found


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep libraries from logging what is reported in one line."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
