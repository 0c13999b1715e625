"""The arrays of a checkpoint: orbax writes and reads them, and no file is opened on trust.

They are stored uncompressed, one file each. Every file's name, kind, size and SHA-256 are held
against the manifest, and those of arrays against the state that the run's configuration calls for,
before orbax opens any of them.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from edl_jax.errors import EdlError
from edl_jax.files import quiet_logs, read_json

FileRecord = list[int | str]
"""Size in bytes, and SHA-256, of a file."""

# What orbax writes beside the arrays: a few files for all, one for each.
_MAX_EXTRA_BYTES, _MAX_EXTRA_BYTES_AN_ARRAY = 2**20, 2**12


# --- leaves of a state -------------------------------------------------------------------------


def named_leaves(state: object) -> dict[str, jax.Array]:
    """The leaves of a pytree of arrays by the names of their files.

    >>> list(named_leaves({"a": 1.0, "b": (2.0, None)}))
    ['leaf0', 'leaf1']
    """
    return {f"leaf{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}


def to_numpy(leaf: jax.Array) -> np.ndarray:
    """A copy of an array on the host; of a PRNG key its data."""
    is_key = jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key)
    return np.array(jax.random.key_data(leaf) if is_key else leaf)


def stored_form(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Shape and dtype of what :func:`to_numpy` makes of ``leaf``."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.eval_shape(jax.random.key_data if is_key else lambda leaf: leaf, leaf)


def from_numpy(array: np.ndarray, like: jax.Array) -> jax.Array:
    """A new array, or a PRNG key of the implementation of ``like`` where that is one."""
    copied = jnp.array(array)  # what is donated must not be orbax's memory
    if not jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return copied
    return jax.random.wrap_key_data(copied, impl=jax.random.key_impl(like))


def has_nan(state: object) -> bool:
    """Whether an array of the pytree ``state`` holds a NaN."""
    arrays = map(to_numpy, named_leaves(state).values())
    return any(np.isnan(array).any() for array in arrays if array.dtype.kind == "f")


# --- writing and reading -----------------------------------------------------------------------


def _checkpointer() -> contextlib.closing[ocp.Checkpointer]:
    # Without OCDBT and compression a file is as long as its array and holds nothing else.
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=False, use_compression=False)
    return contextlib.closing(ocp.Checkpointer(handler))


def write_arrays(root: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` by name into the new directory ``root``."""
    with quiet_logs(), _checkpointer() as checkpointer:
        checkpointer.save(root.absolute(), args=ocp.args.PyTreeSave(dict(arrays)))


def read_arrays(root: Path, forms: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """Read the arrays of the given names, shapes and dtypes from ``root``."""
    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in forms}
    args = ocp.args.PyTreeRestore(item=dict(forms), restore_args=as_numpy)
    with _checkpointer() as checkpointer:
        return checkpointer.restore(root.absolute(), args=args)


# --- files -------------------------------------------------------------------------------------


def describe_files(root: Path) -> Iterator[tuple[str, FileRecord]]:
    """Name relative to ``root``, and record, of each file.

    Raises:
      EdlError: there is something else than plain files and directories.
    """
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


def check_files(
    root: Path, described: Mapping[str, FileRecord], forms: Mapping[str, jax.ShapeDtypeStruct]
) -> None:
    """Refuse what :func:`read_arrays` should not open.

    Args:
      root: the directory.
      described: what :func:`describe_files` gave when it was written.
      forms: the arrays that are expected in it.

    Raises:
      EdlError: a file is missing, added, damaged, too large, or not a plain array as expected.
    """
    found = dict(_files(root))
    if found.keys() != described.keys():
        name = min(found.keys() ^ described.keys())
        raise EdlError(f"{root / name}: {'unexpected' if name in found else 'missing'}")
    nbytes = {name: form.size * form.dtype.itemsize for name, form in forms.items()}
    most = sum(nbytes.values()) + _MAX_EXTRA_BYTES + _MAX_EXTRA_BYTES_AN_ARRAY * len(forms)
    if sum(found.values()) > most:
        raise EdlError(f"{root}: larger than a checkpoint of this run can be")
    for name, record in describe_files(root):
        if record != described[name]:
            raise EdlError(f"{root / name}: checksum does not match: the file is damaged")
    if read_json(root / "_METADATA", most).get("use_ocdbt") is not False:
        raise EdlError(f"{root / '_METADATA'}: says that the arrays are compressed")
    for name, form in forms.items():
        # Nothing but this: no other file, filter, compression or shape can be asked for.
        shape = list(form.shape)
        plain = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": form.dtype.str}
        plain |= {"order": "C", "dimension_separator": "."}
        plain |= {"compressor": None, "filters": None, "fill_value": None}
        header = read_json(root / name / ".zarray", _MAX_EXTRA_BYTES)
        content = f"{name}/{'.'.join('0' * form.ndim) or '0'}"
        if header != plain or found.get(content) != nbytes[name]:
            raise EdlError(f"{root / name}: not the array that this run's configuration calls for")
