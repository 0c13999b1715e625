"""Checkpoints of a run: arrays that orbax writes, and a manifest that vouches for them.

A run directory holds ``checkpoint.json``, the manifest, and the directory ``checkpoint-N`` that it
names. The manifest is replaced after the arrays are on the disk and before the older ones go, so a
kill at any moment leaves the older checkpoint or the newer one whole.

Reading trusts nothing: arrays are stored uncompressed, one file each, and every file's name, kind,
size and SHA-256 are held against the manifest, and those of arrays against the state that the
run's configuration calls for, before orbax opens any of them.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edl_jax.errors import EdlError
from edl_jax.files import quiet_logs, read_json, write_json
from edl_jax.runs.interrupts import StopRequest
from edl_jax.runs.directory import MANIFEST, RunDirectory

FORMAT, FORMAT_VERSION = "edl_jax-checkpoint", 1
_ARRAYS = re.compile(r"checkpoint-(\d+)(\.orbax-checkpoint-tmp.*)?")
_MAX_MANIFEST_BYTES = 16 * 2**20
# What orbax writes beside the arrays: a few files for all, one for each.
_MAX_EXTRA_BYTES, _MAX_EXTRA_BYTES_AN_ARRAY = 2**20, 2**12


class Checkpoints:
    """The checkpoints of one run: written on a schedule, and when the run is asked to stop.

    A checkpoint belongs to a line of ``metrics.jsonl``; whoever goes on from it goes on from there.
    A run that is taken up again is set back to its checkpoint's line, or to its beginning.

    Args:
      run: the run's directory.
      every: seconds between checkpoints.
      stop: whether the run shall end.

    Raises:
      EdlError: the checkpoint or the metrics of a run that is taken up again are damaged.
    """

    def __init__(self, run: RunDirectory, every: float, stop: StopRequest) -> None:
        self._run, self._every, self._stop = run, every, stop
        self._last = time.monotonic()
        self._found = read_manifest(run.path) if run.resumed else None
        if run.resumed:
            run.rewind(**(self._found["run"] if self._found else {}))

    def restore(self, like: Any) -> Any | None:
        """What :meth:`offer` was given last, once; None where there is nothing or it was nothing.

        Args:
          like: a pytree of arrays of the structure, shapes and dtypes that are expected.
        """
        found, self._found = self._found, None
        return restore(self._run.path, found, like) if found and found["files"] else None

    def offer(self, state: Any) -> None:
        """Write ``state`` if a checkpoint is due; a run that was asked to stop ends with it.

        Raises:
          Stopped: the run was asked to stop, and can go on from here.
        """
        if self._stop.signal is not None:
            self.write(state)
            self._stop.end(f"go on with: {self._run.resume_command}")
        if time.monotonic() - self._last >= self._every:
            self.write(state)

    def write(self, state: Any) -> None:
        """Write ``state``; None says that the metrics so far are all there is to keep.

        A state with a NaN in it is on its way to the end of its run: the one before it stays.
        """
        if not _has_nan(state):
            save(self._run.path, state, self._run.position())
        self._last = time.monotonic()


def save(directory: Path, state: Any, run: Mapping[str, Any]) -> None:
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
        leaves = {name: _to_numpy(leaf) for name, leaf in _named(state).items()}
        if leaves:
            _write_arrays(root, leaves)
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, "number": number}
        content |= {"run": dict(run), "files": dict(_describe(root)) if leaves else {}}
        write_json(directory / MANIFEST, {**content, "sha256": _digest(content)})
    except Exception as error:  # orbax reports a full disk by more than one type
        shutil.rmtree(root, ignore_errors=True)
        if isinstance(error, EdlError):
            raise
        raise EdlError(f"cannot write checkpoint {root}: {_brief(error)}") from error
    _remove_arrays(directory, keep=root.name)


def remove(directory: Path) -> None:
    """Remove the checkpoint in ``directory``, manifest first."""
    (directory / MANIFEST).unlink(missing_ok=True)
    _remove_arrays(directory, keep=None)


def read_manifest(directory: Path) -> dict[str, Any] | None:
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
    if content.pop("sha256", None) != _digest(content):
        raise EdlError(f"{path}: checksum does not match: the file is damaged")
    number, files = content.get("number"), content.get("files")
    sound = type(number) is int and isinstance(files, dict) and isinstance(content.get("run"), dict)
    if not sound:
        raise EdlError(f"{path}: lacks or garbles an entry")
    return content


def restore(directory: Path, manifest: Mapping[str, Any], like: Any) -> Any:
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
    import jax
    import jax.numpy as jnp

    root = directory / f"checkpoint-{manifest['number']}"
    expected = _named(like)
    try:
        with quiet_logs():
            data = {name: _abstract(leaf) for name, leaf in expected.items()}
            _check_files(root, manifest["files"], data)
            found = _read_arrays(root, data)
    except EdlError:
        raise
    except Exception as error:  # JSON, orbax and TensorStore raise many kinds for a damaged file
        raise EdlError(f"{root}: damaged, or not a checkpoint ({_brief(error)})") from None
    leaves = []
    for name, leaf in expected.items():
        array = jnp.array(found[name])  # a copy: what is donated must not be orbax's memory
        if (array.shape, array.dtype) != (data[name].shape, data[name].dtype):
            raise EdlError(f"{root}: array {name} is not of the shape and type it should be")
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        impl = jax.random.key_impl(leaf) if key else None
        leaves.append(jax.random.wrap_key_data(array, impl=impl) if key else array)
    if _has_nan(leaves):
        raise EdlError(f"{root}: holds a NaN")
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


# --- arrays ------------------------------------------------------------------------------------


def _named(state: Any) -> dict[str, Any]:
    import jax

    return {f"leaf{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}


def _to_numpy(leaf: Any) -> Any:
    import jax
    import numpy as np

    key = jax.numpy.issubdtype(jax.numpy.asarray(leaf).dtype, jax.dtypes.prng_key)
    return np.array(jax.random.key_data(leaf) if key else leaf)


def _abstract(leaf: Any) -> Any:
    import jax

    key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.eval_shape(jax.random.key_data if key else lambda leaf: leaf, leaf)


def _has_nan(state: Any) -> bool:
    import numpy as np

    arrays = map(_to_numpy, _named(state).values())
    return any(np.isnan(array).any() for array in arrays if array.dtype.kind == "f")


def _checkpointer() -> Any:
    import orbax.checkpoint as ocp

    # Without OCDBT and compression a file is as long as its array and holds nothing else.
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=False, use_compression=False)
    return contextlib.closing(ocp.Checkpointer(handler))


def _write_arrays(root: Path, leaves: dict[str, Any]) -> None:
    import orbax.checkpoint as ocp

    with quiet_logs(), _checkpointer() as checkpointer:
        checkpointer.save(root.absolute(), args=ocp.args.PyTreeSave(leaves))


def _read_arrays(root: Path, data: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import orbax.checkpoint as ocp

    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in data}
    args = ocp.args.PyTreeRestore(item=data, restore_args=as_numpy)
    with _checkpointer() as checkpointer:
        return checkpointer.restore(root.absolute(), args=args)


def _array_directories(directory: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in directory.iterdir():
        match = _ARRAYS.fullmatch(path.name)
        if match:
            yield path, match


def _remove_arrays(directory: Path, keep: str | None) -> None:
    for path, _ in _array_directories(directory):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)


# --- files -------------------------------------------------------------------------------------


def _describe(root: Path) -> Iterator[tuple[str, list[Any]]]:
    """Name, and size and SHA-256, of each file."""
    for name, size in _files(root):
        with open(root / name, "rb") as file:
            yield name, [size, hashlib.file_digest(file, "sha256").hexdigest()]


def _files(root: Path) -> Iterator[tuple[str, int]]:
    """Name relative to ``root``, and size, of each file; a link or a device is refused."""
    if not stat.S_ISDIR(root.lstat().st_mode):
        raise EdlError(f"{root}: not a directory")
    for parent, directories, names in os.walk(root):
        for path in (Path(parent, name) for name in (*directories, *names)):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(root).as_posix(), status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                raise EdlError(f"{path}: neither a file nor a directory")


def _check_files(root: Path, described: dict[str, Any], data: dict[str, Any]) -> None:
    found = dict(_files(root))
    if found.keys() != described.keys():
        name = min(found.keys() ^ described.keys())
        raise EdlError(f"{root / name}: {'unexpected' if name in found else 'missing'}")
    nbytes = {name: leaf.size * leaf.dtype.itemsize for name, leaf in data.items()}
    most = sum(nbytes.values()) + _MAX_EXTRA_BYTES + _MAX_EXTRA_BYTES_AN_ARRAY * len(data)
    if sum(found.values()) > most:
        raise EdlError(f"{root}: larger than a checkpoint of this run can be")
    for name, description in _describe(root):
        if description != described[name]:
            raise EdlError(f"{root / name}: checksum does not match: the file is damaged")
    if read_json(root / "_METADATA", most).get("use_ocdbt") is not False:
        raise EdlError(f"{root / '_METADATA'}: says that the arrays are compressed")
    for name, leaf in data.items():
        # Nothing but this: no other file, filter, compression or shape can be asked for.
        shape = list(leaf.shape)
        plain = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": leaf.dtype.str}
        plain |= {"order": "C", "dimension_separator": "."}
        plain |= {"compressor": None, "filters": None, "fill_value": None}
        header = read_json(root / name / ".zarray", _MAX_EXTRA_BYTES)
        content = f"{name}/{'.'.join('0' * leaf.ndim) or '0'}"
        if header != plain or found.get(content) != nbytes[name]:
            raise EdlError(f"{root / name}: not the array that this run's configuration calls for")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
