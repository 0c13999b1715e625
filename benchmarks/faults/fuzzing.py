"""Mutated artifacts and checkpoints: each must be refused, or load to what its bytes say.

Half of the mutations are accidents, applied to the bytes; the other half are the work of someone
who knows the format and makes the checksums anew.
"""

import contextlib
import dataclasses
import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.errors import EdlError
from edl_jax.losses import artifact
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.loading import load_learned_loss
from edl_jax.runs import arrays, checkpoint

Arrays = dict[str, np.ndarray]
Members = dict[str, bytes]


class Payload:
    """The code that a malicious pickle would run: it makes a directory, the trap."""

    def __init__(self, trap: Path) -> None:
        self.trap = str(trap)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.trap,)


# --- accidents: bytes to bytes -----------------------------------------------------------------


def truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def flip_bit(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def lengthen(rng: random.Random, content: bytes) -> bytes:
    at = rng.choice([0, rng.randrange(len(content)), len(content)])
    return content[:at] + rng.randbytes(rng.randrange(1, 4096)) + content[at:]


def zero_block(rng: random.Random, content: bytes) -> bytes:
    at, size = rng.randrange(len(content)), rng.randrange(1, 512)
    return content[:at] + bytes(len(content[at : at + size])) + content[at + size :]


def drop_block(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.randrange(1, 512) :]


ACCIDENTS = (truncate, flip_bit, lengthen, zero_block, drop_block)


# --- artifacts ---------------------------------------------------------------------------------


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def pack(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unpack(content: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def vouched(members: Members) -> Members:
    """The members with a checksum that fits their arrays, where they are arrays."""
    params = {
        name[len("params/") : -len(".npy")]: np.load(io.BytesIO(content))
        for name, content in members.items()
        if name.endswith(".npy")
    }
    spec = json.loads(members["spec.json"]) | {"sha256": artifact.checksum(params)}
    return {**members, "spec.json": json.dumps(spec).encode()}


def with_array(rng: random.Random, members: Members, change: Callable[[np.ndarray], Any]) -> bytes:
    name = rng.choice(sorted(name for name in members if name.endswith(".npy")))
    array = np.load(io.BytesIO(members[name])).copy()
    return pack(vouched({**members, name: npy(np.ascontiguousarray(change(array)))}))


def not_finite(rng: random.Random, members: Members, trap: Path) -> bytes:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[rng.randrange(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
        return array

    return with_array(rng, members, change)


def reshaped(rng: random.Random, members: Members, trap: Path) -> bytes:
    changes = (lambda a: a[None], lambda a: a.ravel()[:-1], lambda a: np.append(a, a), np.ravel)
    changed = with_array(rng, members, rng.choice(changes))
    return changed


def retyped(rng: random.Random, members: Members, trap: Path) -> bytes:
    return with_array(rng, members, lambda a: a.astype(rng.choice([">f4", "f8", "i4", "f2", "?"])))


def renamed(rng: random.Random, members: Members, trap: Path) -> bytes:
    old = rng.choice(sorted(members))
    new = rng.choice(
        [f"../{trap.name}", str(trap), f"params/../../{trap.name}.npy", "params/..npy", "x", "a\0b"]
    )
    return pack({new if name == old else name: content for name, content in members.items()})


def bomb(rng: random.Random, members: Members, trap: Path) -> bytes:
    name = rng.choice(sorted(members))
    content = pack({**members, name: bytes(artifact.MAX_FILE_BYTES + 1)}, zipfile.ZIP_DEFLATED)
    if rng.random() < 0.5:  # and lie about the size
        true = len(unpack(content)[name]).to_bytes(4, "little")
        content = content.replace(true, (8).to_bytes(4, "little"))
    return content


def pickled(rng: random.Random, members: Members, trap: Path) -> bytes:
    payload = pickle.dumps(Payload(trap), rng.randrange(6))
    objects = npy(np.array([Payload(trap)], object), allow_pickle=True)
    name = rng.choice(sorted(members))
    return rng.choice([payload, pack({**members, name: payload}), pack({**members, name: objects})])


def boastful(rng: random.Random, members: Members, trap: Path) -> bytes:
    """An array whose header claims more than there is."""
    name = rng.choice(sorted(name for name in members if name.endswith(".npy")))
    huge = rng.choice([b"(99999999,)", b"(9999999999, 9999999)", b"(-1,)", b"(1,)" * 20])
    header = npy(np.zeros((10, 10), np.float32)).replace(b"(10, 10)", huge)
    return pack({**members, name: header})


def respecified(rng: random.Random, members: Members, trap: Path) -> bytes:
    spec = json.loads(members["spec.json"])
    place: dict[str, Any] = rng.choice([spec, spec["network"]])
    key = rng.choice(sorted(place))
    odd: list[Any] = [None, -1, 0, 2**70, 1.5, "x", [], {}, True, float("nan"), "concat", 10**6]
    place[key] = rng.choice([value for value in odd if value != place[key]])
    return pack({**members, "spec.json": json.dumps(spec).encode()})


MALICE = (not_finite, reshaped, retyped, renamed, bomb, pickled, boastful, respecified)


def artifacts(sound: Path, work: Path, number: int, seed: int = 0) -> Counter[str]:
    """Mutate the artifact ``sound`` ``number`` times and load each; what became of them."""
    jax.config.update("jax_platforms", "cpu")
    rng, counts = random.Random(seed), Counter[str]()
    content = sound.read_bytes()
    path, trap = work / "mutated.npz", work / "trap"
    for i in range(number):
        mutate: Any = ACCIDENTS[i // 2 % len(ACCIDENTS)] if i % 2 else MALICE[i // 2 % len(MALICE)]
        mutated = mutate(rng, content) if i % 2 else mutate(rng, unpack(content), trap)
        path.write_bytes(mutated)
        try:
            found = load_learned_loss(path)
        except EdlError as error:
            counts["refused" if str(path) in str(error) else "refused without its name"] += 1
        except Exception as error:
            counts[f"crashed: {mutate.__name__}, {type(error).__name__}"] += 1
        else:
            right = _says(unpack(mutated), found)
            counts["loaded, right" if right else f"loaded, wrong: {mutate.__name__}"] += 1
        counts["executed code"] += trap.exists()
    counts["peak MiB"] = _peak_mib()
    return counts


def _peak_mib() -> int:
    """Peak resident memory of this process; ``ru_maxrss`` would count what its parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _says(members: Members, found: LearnedLoss) -> bool:
    """Whether an artifact's members say what was loaded from it."""
    spec = json.loads(members["spec.json"])
    same = dataclasses.asdict(found.spec) == spec["network"]
    same &= float(found.scale) == np.float32(spec["scale"])
    return same and all(
        np.array_equal(np.load(io.BytesIO(members[f"params/{name}.npy"])), array)
        for name, array in found.params.items()
    )


# --- checkpoints -------------------------------------------------------------------------------


def vouch(directory: Path) -> None:
    """Let the manifest describe the files as they are now."""
    path = directory / "checkpoint.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    root = directory / f"checkpoint-{content['number']}"
    content["files"] = dict(arrays.describe_files(root))
    path.write_text(json.dumps({**content, "sha256": checkpoint.digest(content)}))


def respecify(rng: random.Random, directory: Path, path: Path, trap: Path) -> None:
    path = directory / "checkpoint.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    key = rng.choice(sorted(content))
    odd: list[Any] = [None, -1, 0, 2**70, 1.5, "x", "../../x", [], {"../x": [1, "0"]}]
    content[key] = rng.choice([value for value in odd if value != content[key]])
    path.write_text(json.dumps({**content, "sha256": checkpoint.digest(content)}))


def rename_file(rng: random.Random, directory: Path, path: Path, trap: Path) -> None:
    path.rename(path.parent / rng.choice(["0.0.0", "manifest.ocdbt", "zarr.json", ".zarray"]))


def link_file(rng: random.Random, directory: Path, path: Path, trap: Path) -> None:
    path.unlink()
    path.symlink_to(rng.choice(["/etc/hostname", "/dev/zero", "../../outside", "."]))


def inflate_file(rng: random.Random, directory: Path, path: Path, trap: Path) -> None:
    with open(path, "ab") as file:
        file.truncate(rng.choice([2**21, 2**31, 2**40]))  # sparse


def pickle_file(rng: random.Random, directory: Path, path: Path, trap: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(trap), rng.randrange(6)))


def edit_header(rng: random.Random, directory: Path, path: Path, trap: Path) -> None:
    header = path.parent / ".zarray"
    path = header if header.exists() else directory / "checkpoint-1" / "_METADATA"
    content = json.loads(path.read_text())
    odd = [None, "|O", ">f8", [10**7, 10**7], [-1], {"id": "zlib"}, [{"id": "pickle"}], True, "../"]
    content[rng.choice(sorted(content))] = rng.choice(odd)
    path.write_text(json.dumps(content))


DEEDS = (respecify, rename_file, link_file, inflate_file, pickle_file, edit_header)


def checkpoints(work: Path, number: int, seed: int = 0) -> Counter[str]:
    """Mutate a checkpoint ``number`` times and restore each; what became of them."""
    jax.config.update("jax_platforms", "cpu")
    rng, counts = random.Random(seed), Counter[str]()
    state = {"weights": jnp.linspace(-1, 1, 300).reshape(20, 15), "key": jax.random.key(3)}
    state |= {"step": jnp.int32(7), "best": jnp.float32(jnp.inf)}
    sound, directory, trap = work / "sound", work / "mutated", work / "trap"
    sound.mkdir()
    checkpoint.save(sound, state, {})
    for i in range(number):
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(sound, directory)
        path = rng.choice(sorted(p for p in directory.rglob("*") if p.is_file()))
        mutate: Any = ACCIDENTS[i // 2 % len(ACCIDENTS)] if i % 2 else DEEDS[i // 2 % len(DEEDS)]
        if mutate in ACCIDENTS:
            path.write_bytes(mutate(rng, path.read_bytes()))
        else:
            mutate(rng, directory, path, trap)
        # Digests of terabytes are not made; a manifest that is damaged vouches for nothing.
        vouches = mutate not in (respecify, inflate_file) and path.name != "checkpoint.json"
        if vouches and rng.random() < 0.6:
            with contextlib.suppress(EdlError, OSError):
                vouch(directory)
        counts[_restored(directory, state, mutate.__name__)] += 1
        counts["executed code"] += trap.exists()
    counts["peak MiB"] = _peak_mib()
    return counts


def _restored(directory: Path, state: Any, mutation: str) -> str:
    try:
        manifest = checkpoint.read_manifest(directory)
        if manifest is None or not manifest["files"]:
            return "no arrays"  # the run begins anew
        found = checkpoint.restore(directory, manifest, state)
    except EdlError as error:
        return "refused" if str(directory) in str(error) else "refused without its name"
    except Exception as error:
        return f"crashed: {mutation}, {type(error).__name__}"
    root = directory / f"checkpoint-{manifest['number']}"
    for name, leaf in arrays.named_leaves(found).items():
        array = arrays.to_numpy(leaf)
        content = root / name / (".".join("0" * array.ndim) or "0")
        if array.tobytes() != content.read_bytes():
            return f"loaded, wrong: {mutation}"
    return "loaded, right"
