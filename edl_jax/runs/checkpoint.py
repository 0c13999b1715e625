"""Checkpoints of a run: arrays, and a manifest that vouches for them.

A run directory holds ``checkpoint.json``, the manifest, and the directory ``checkpoint-N`` that it
names. The manifest is replaced after the arrays are on the disk and before the older ones go, so a
kill at any moment leaves the older checkpoint or the newer one whole.

Reading trusts nothing, see :mod:`edl_jax.runs.arrays`.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict, TypeVar, cast

import jax

from edl_jax.errors import EdlError, one_line
from edl_jax.files import Json, quiet_logs, read_json, write_json
from edl_jax.runs.arrays import (
    FileRecord,
    check_files,
    describe_files,
    from_numpy,
    has_nan,
    named_leaves,
    read_arrays,
    stored_form,
    to_numpy,
    write_arrays,
)
from edl_jax.runs.directory import MANIFEST, RunDirectory
from edl_jax.runs.interrupts import StopRequest

FORMAT, FORMAT_VERSION = "edl_jax-checkpoint", 1
_ARRAYS = re.compile(r"checkpoint-(\d+)(\.orbax-checkpoint-tmp.*)?")
_MAX_MANIFEST_BYTES = 16 * 2**20

StateT = TypeVar("StateT")


class Manifest(TypedDict):
    """The content of ``checkpoint.json`` beside its format and checksum.

    Attributes:
      number: of the directory of the arrays.
      run: where the run stands beside its arrays.
      files: name and record of each file in that directory; empty where there are no arrays.
    """

    number: int
    run: Json
    files: dict[str, FileRecord]


class Checkpoints:
    """The checkpoints of one run: written on a schedule, and when the run is asked to stop.

    A checkpoint belongs to a line of ``metrics.jsonl``: a resumed run is set back to its
    checkpoint's line, or to its beginning.

    Args:
      run: the run's directory.
      every: seconds between checkpoints.
      stop: whether the run shall end.

    Raises:
      EdlError: the checkpoint or the metrics of a resumed run are damaged.
    """

    def __init__(self, run: RunDirectory, every: float, stop: StopRequest) -> None:
        self._run, self._every, self._stop = run, every, stop
        self._last = time.monotonic()
        self._found = read_manifest(run.path) if run.resumed else None
        if run.resumed:
            run.rewind(**(self._found["run"] if self._found else {}))

    def restore(self, like: StateT) -> StateT | None:
        """The last state given to :meth:`offer`, once; None where there is none.

        Args:
          like: a pytree of arrays of the structure, shapes and dtypes that are expected.
        """
        found, self._found = self._found, None
        return restore(self._run.path, found, like) if found and found["files"] else None

    def offer(self, state: object) -> None:
        """Write ``state`` if a checkpoint is due; a run that was asked to stop ends with it.

        Args:
          state: a pytree of arrays or PRNG keys.

        Raises:
          Stopped: the run was asked to stop, and can be resumed from here.
        """
        if self._stop.signal is not None:
            self.write(state)
            self._stop.end(f"resume with: {self._run.resume_command}")
        if time.monotonic() - self._last >= self._every:
            self.write(state)

    def write(self, state: object) -> None:
        """Write ``state``; None says that the metrics so far are all there is to keep.

        A state with a NaN in it is on its way to the end of its run: the one before it stays.
        """
        if not has_nan(state):
            save(self._run.path, state, self._run.position())
        self._last = time.monotonic()


def save(directory: Path, state: object, run: Mapping[str, object]) -> None:
    """Put a checkpoint into ``directory`` in place of the one that is there.

    Args:
      directory: the run directory.
      state: a pytree of arrays or PRNG keys; None has no arrays.
      run: where the run stands beside its arrays, JSON-serialisable.

    Raises:
      EdlError: it cannot be written; the one before is then left as it was.
    """
    number = 1 + max((int(found[1]) for _, found in _array_directories(directory)), default=0)
    root = directory / f"checkpoint-{number}"
    try:
        arrays = {name: to_numpy(leaf) for name, leaf in named_leaves(state).items()}
        if arrays:
            write_arrays(root, arrays)
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, "number": number}
        content |= {"run": dict(run), "files": dict(describe_files(root)) if arrays else {}}
        write_json(directory / MANIFEST, {**content, "sha256": digest(content)})
    except Exception as error:  # orbax reports a full disk by more than one type
        shutil.rmtree(root, ignore_errors=True)
        if isinstance(error, EdlError):
            raise
        raise EdlError(f"cannot write checkpoint {root}: {one_line(error)}") from error
    _remove_arrays(directory, keep=root.name)


def remove(directory: Path) -> None:
    """Remove the checkpoint in ``directory``, manifest first."""
    (directory / MANIFEST).unlink(missing_ok=True)
    _remove_arrays(directory, keep=None)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest in ``directory``, or None where there is none.

    Raises:
      EdlError: it is damaged, or of another format.
    """
    path = directory / MANIFEST
    if not os.path.lexists(path):
        return None
    content = read_json(path, _MAX_MANIFEST_BYTES)
    if content.get("format") != FORMAT:
        raise EdlError(f"{path}: not a checkpoint of edl_jax")
    if content.get("format_version") != FORMAT_VERSION:
        version = content.get("format_version")
        raise EdlError(f"{path}: format version {version}: expected {FORMAT_VERSION}")
    if content.pop("sha256", None) != digest(content):
        raise EdlError(f"{path}: checksum does not match: the file is damaged")
    number, files = content.get("number"), content.get("files")
    sound = type(number) is int and isinstance(files, dict) and isinstance(content.get("run"), dict)
    if not sound:
        raise EdlError(f"{path}: lacks or garbles an entry")
    return cast(Manifest, content)


def restore(directory: Path, manifest: Manifest, like: StateT) -> StateT:
    """The state that belongs to a manifest.

    Args:
      directory: the run directory.
      manifest: what :func:`read_manifest` returned.
      like: a pytree of arrays with the structure, shapes and dtypes that are expected.

    Returns:
      A pytree like ``like``, of new arrays.

    Raises:
      EdlError: the arrays are damaged, are not those of such a state, or one holds a NaN.
    """
    root = directory / f"checkpoint-{manifest['number']}"
    expected = named_leaves(like)
    try:
        with quiet_logs():
            forms = {name: stored_form(leaf) for name, leaf in expected.items()}
            check_files(root, manifest["files"], forms)
            found = read_arrays(root, forms)
    except EdlError:
        raise
    except Exception as error:  # JSON, orbax and TensorStore raise many kinds for a damaged file
        raise EdlError(f"{root}: damaged, or not a checkpoint ({one_line(error)})") from None
    for name, form in forms.items():
        if (found[name].shape, found[name].dtype) != (form.shape, form.dtype):
            raise EdlError(f"{root}: array {name} is not of the shape and type it should be")
    leaves = [from_numpy(found[name], leaf) for name, leaf in expected.items()]
    if has_nan(leaves):
        raise EdlError(f"{root}: holds a NaN")
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def digest(content: Mapping[str, object]) -> str:
    """The checksum of a manifest's content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _array_directories(directory: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in directory.iterdir():
        match = _ARRAYS.fullmatch(path.name)
        if match:
            yield path, match


def _remove_arrays(directory: Path, keep: str | None) -> None:
    for path, _ in _array_directories(directory):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
