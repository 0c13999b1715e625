"""Files: written so that nothing half-written is left, read so that nothing is taken on trust."""

import contextlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from edl_jax.errors import EdlError, cannot

Json = dict[str, Any]
"""A JSON object as it is read."""


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` and move it into place when the block ends well.

    Raises:
      EdlError: the file cannot be written; ``path`` is then as it was.
    """
    path = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise cannot("write", path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def user_path(text: str | Path) -> Path:
    """The path that a user means by ``text``: ``~`` and ``~name`` stand for home directories.

    Where there is no such home it stays as it is, as in a shell.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def distinct_names(paths: Sequence[str | Path]) -> list[str]:
    """Names for paths side by side: as many of their last parts as tell each from the others.

    >>> distinct_names(["runs/a/seed0", "runs/b/seed0", "runs/edl", "./gce", "gce"])
    ['a/seed0', 'b/seed0', 'edl', './gce', 'gce']
    """
    parts = [Path(path).parts for path in paths]

    def name(path: str | Path, own: tuple[str, ...]) -> str:
        for length in range(1, len(own) + 1):
            tail = own[-length:]
            if sum(other[-length:] == tail for other in parts) == 1:
                return str(Path(*tail))
        return str(path)

    return [name(path, own) for path, own in zip(paths, parts, strict=True)]


def path_exists(path: Path) -> bool:
    """Whether there is a file or directory ``path``; False for a name that none could have."""
    try:
        return path.exists()
    except OSError:
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, content: object) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


def read_json(path: Path, most: int) -> Json:
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
        raise cannot("read", path, error) from None
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
