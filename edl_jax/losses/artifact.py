"""Where a learned loss is kept, and how: an .npz of float32 arrays with a JSON spec inside.

The file is a zip archive with ``spec.json`` and one ``params/NAME.npy`` for each array. Nothing in
it is executed or unpickled, and nothing is read before its size is known to be right. Nothing here
imports JAX.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edl_jax.errors import EdlError, cannot, one_line
from edl_jax.files import Json, atomic_write, path_exists, user_path

ARTIFACT = "loss.npz"
SHIPPED = ("edl-base", "edl-robust")
EARLIER = ("edl-base-1", "edl-robust-1")  # the first generation
NAMES = (*SHIPPED, *EARLIER)
FORMAT, FORMAT_VERSION = "edl_jax-loss", 1
MAX_FILE_BYTES = 64 * 2**20
_SPEC, _PREFIX, _SUFFIX = "spec.json", "params/", ".npy"
_MAX_SPEC_BYTES = 2**20
_SHIPPED = Path(__file__).with_name("shipped")
# A fixed time stamp: the same loss gives the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def locate(source: str | Path) -> Path:
    """The file of a learned loss.

    Args:
      source: a shipped loss's name, the file's path, or a run directory of pretrain.

    Raises:
      EdlError: there is no such loss.

    >>> locate("edl-base").name
    'edl-base.npz'
    """
    if str(source) in NAMES:
        return _SHIPPED / f"{source}.npz"
    path = user_path(source)
    if not path_exists(path):
        raise EdlError(
            f"{source}: no such loss; give one of {', '.join(NAMES)}, the path of an artifact, "
            "or a run directory of pretrain"
        )
    if path.is_dir() and not (path / ARTIFACT).exists():
        raise EdlError(f"{source}: this directory holds no {ARTIFACT}; is the run finished?")
    return path / ARTIFACT if path.is_dir() else path


def checksum(params: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and bytes of the arrays, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        array = np.ascontiguousarray(params[name], "<f4")
        digest.update(f"{name}:{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write(path: str | Path, params: Mapping[str, np.ndarray], spec: Mapping[str, object]) -> None:
    """Write ``params`` and ``spec`` to ``path``, atomically.

    Args:
      path: the file; its directory must exist.
      params: float32 arrays by name.
      spec: JSON-serialisable; format, version and checksum are added.

    Raises:
      EdlError: the file cannot be written.
    """
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": checksum(params)}
    members = {_SPEC: json.dumps({**header, **spec}, indent=1, allow_nan=False).encode()}
    for name, array in sorted(params.items()):
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
        members[f"{_PREFIX}{name}{_SUFFIX}"] = buffer.getvalue()
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def read(path: str | Path) -> tuple[dict[str, np.ndarray], Json]:
    """Read what :func:`write` wrote: ``(params, spec)``.

    Raises:
      EdlError: the file is missing, is not a learned loss, is damaged, or is too large.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise EdlError(f"{path}: not a file")
        if size > MAX_FILE_BYTES:
            raise EdlError(f"{path}: {size:,} bytes, more than a learned loss can have")
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive)
    except EdlError as error:
        raise EdlError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except OSError as error:
        raise cannot("read", path, error) from None
    except Exception as error:  # zipfile and zlib raise many kinds for a damaged file
        raise EdlError(f"{path}: not a learned loss, or damaged ({one_line(error)})") from None


def _read_archive(archive: zipfile.ZipFile) -> tuple[dict[str, np.ndarray], Json]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise EdlError("a name occurs twice in the archive")
    if sum(info.file_size for info in members.values()) > MAX_FILE_BYTES:
        raise EdlError("unpacks to more than a learned loss can have")
    if _SPEC not in members:
        raise EdlError("not a learned loss: no spec.json in it")
    if members[_SPEC].file_size > _MAX_SPEC_BYTES:
        raise EdlError("its spec.json is too large")
    spec = json.loads(archive.read(_SPEC))
    if not isinstance(spec, dict) or spec.get("format") != FORMAT:
        raise EdlError("not a learned loss: spec.json has another format")
    version = spec.get("format_version")
    if version != FORMAT_VERSION:
        raise EdlError(f"format version {version}: this edl_jax reads version {FORMAT_VERSION}")
    params = {}
    for name in members.keys() - {_SPEC}:
        if not (name.startswith(_PREFIX) and name.endswith(_SUFFIX)):
            raise EdlError(f"unexpected entry {name!r} in the archive")
        params[name[len(_PREFIX) : -len(_SUFFIX)]] = _parse_npy(archive.read(name), name)
    if checksum(params) != spec.get("sha256"):
        raise EdlError("checksum does not match: the file is damaged")
    return params, spec


def _parse_npy(content: bytes, name: str) -> np.ndarray:
    """Parse a little-endian float32 .npy, allocating no more than ``content`` holds."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise EdlError(f"entry {name!r} has an unknown .npy version")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    data = content[stream.tell() :]
    if dtype != np.dtype("<f4") or fortran_order or len(data) != 4 * math.prod(shape):
        raise EdlError(f"entry {name!r} is not a plain float32 array of its size")
    return np.frombuffer(data, "<f4").reshape(shape)
