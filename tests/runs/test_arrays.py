"""The arrays of a checkpoint: damaged or tampered with, they are refused before they are opened."""

import contextlib
import json
import os
import pickle
import shutil

import jax.numpy as jnp
import pytest

from edl_jax.errors import EdlError
from edl_jax.runs import checkpoint
from tests.runs.examples import STATE, ZEROS, arrays, assert_same, read, refuse, vouch

# --- damage ------------------------------------------------------------------------------------


def test_no_flipped_byte_gives_another_state(saved):
    for path in sorted(saved.rglob("*")):
        if not path.is_file():
            continue
        sound = path.read_bytes()
        for i in range(0, len(sound), 7 if len(sound) < 300 else 97):
            path.write_bytes(sound[:i] + bytes([sound[i] ^ 0xFF]) + sound[i + 1 :])
            refuse(saved)
        path.write_bytes(sound)
    assert_same(read(saved), STATE)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_that_is_cut_short_is_refused(saved, size):
    for path in [saved / "checkpoint.json", *arrays(saved).rglob("*")]:
        if path.is_file() and path.stat().st_size > size:
            sound = path.read_bytes()
            path.write_bytes(sound[:size])
            refuse(saved)
            path.write_bytes(sound)


@pytest.mark.parametrize(
    "like",
    [
        ZEROS | {"mean": jnp.zeros((3, 1))},
        ZEROS | {"mean": jnp.zeros((1, 3), jnp.int32)},
        ZEROS | {"mean": jnp.zeros((10**6, 3))},
        ZEROS | {"more": jnp.zeros(1)},
        {"mean": ZEROS["mean"]},
        {},
    ],
    ids=str,
)
def test_the_state_of_another_configuration_is_refused(saved, like):
    refuse(saved, "", like)


def test_arrays_that_are_gone_are_missed(saved):
    shutil.rmtree(arrays(saved))
    refuse(saved)


# --- malice: the manifest vouches for what it should not ---------------------------------------


def link_outside(root):
    target = root.parent / "outside"
    target.write_bytes((root / "leaf0" / "0").read_bytes())
    (root / "leaf0" / "0").unlink()
    (root / "leaf0" / "0").symlink_to(target)


def link_directory(root):
    root.rename(root.parent / "elsewhere")
    root.symlink_to(root.parent / "elsewhere")


def pipe(root):
    (root / "leaf0" / "0").unlink()
    os.mkfifo(root / "leaf0" / "0")


def edit_json(name, **changes):
    def change(root):
        path = root / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


MALICE = {
    "link to a file": (link_outside, "neither a file nor a directory"),
    "link to a directory": (link_directory, "not a directory"),
    "pipe": (pipe, "neither a file nor a directory"),
    "compressed": (edit_json("leaf4/.zarray", compressor={"id": "zlib"}), "leaf4"),
    "filtered": (edit_json("leaf4/.zarray", filters=[{"id": "pickle"}]), "leaf4"),
    "huge": (edit_json("leaf4/.zarray", shape=[10**6, 10**6]), "leaf4"),
    "one chunk of many": (edit_json("leaf4/.zarray", chunks=[1, 1]), "leaf4"),
    "objects": (edit_json("leaf4/.zarray", dtype="|O"), "leaf4"),
    "another type": (edit_json("leaf4/.zarray", dtype="<i4"), "leaf4"),
    "in a database": (edit_json("_METADATA", use_ocdbt=True), "_METADATA"),
    "deep": (lambda root: (root / "_METADATA").write_text("[" * 200_000), "_METADATA"),
    "too many bytes": (lambda root: (root / "leaf4" / "0").write_bytes(bytes(2**20)), "leaf4"),
    "bloated": (lambda root: (root / "more").write_bytes(bytes(2**21)), "larger"),
}


@pytest.mark.parametrize(("change", "because"), MALICE.values(), ids=MALICE)
def test_files_that_are_not_plain_arrays_are_refused_before_orbax_opens_them(
    saved, monkeypatch, change, because
):
    monkeypatch.setattr(checkpoint, "read_arrays", lambda *_: pytest.fail("opened"))
    change(arrays(saved))
    with contextlib.suppress(EdlError):  # links cannot be vouched for either
        vouch(saved)
    refuse(saved, because)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_nothing_is_ever_unpickled(saved):
    trap = saved / "executed"
    for path in [*arrays(saved).rglob("*"), saved / "checkpoint.json"]:
        if path.is_file():
            sound = path.read_bytes()
            path.write_bytes(pickle.dumps(Payload(trap)))
            if path.name != "checkpoint.json":
                vouch(saved)
            if path.name in ("commit_success.txt", "_CHECKPOINT_METADATA"):  # of no consequence
                assert_same(read(saved), STATE)
            else:
                refuse(saved)
            path.write_bytes(sound)
    assert not trap.exists()
