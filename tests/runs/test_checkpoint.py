"""Checkpoints: they come back bit for bit, survive any kill, and are not believed when damaged."""

import contextlib
import json
import os
import pickle
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.runs import checkpoint
from edl_jax.errors import EdlError
from edl_jax.runs.interrupts import Stopped, StopRequest
from edl_jax.runs.directory import RunDirectory

STATE = {
    "mean": jnp.array([[0.1, -2.0, 1e-30]]),
    "key": jax.random.key(7),
    "fast_key": jax.random.key(7, impl="unsafe_rbg"),
    "generation": jnp.int32(3),
    "best": jnp.float32(jnp.inf),
    "flags": jnp.array([True, False]),
}
ZEROS = {
    "mean": jnp.zeros((1, 3)),
    "key": jax.random.key(0),
    "fast_key": jax.random.key(0, impl="unsafe_rbg"),
    "generation": jnp.int32(0),
    "best": jnp.float32(0),
    "flags": jnp.array([False, False]),
}


def read(directory, like=None):
    manifest = checkpoint.read_manifest(directory)
    return checkpoint.restore(directory, manifest, ZEROS if like is None else like)


def plain(state):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(state)
    ]


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(plain(found), plain(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def snapshot(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def saved(tmp_path):
    checkpoint.save(tmp_path, STATE, {"line": 5})
    return tmp_path


def arrays(directory):
    (root,) = directory.glob("checkpoint-*")
    return root


def edit_manifest(directory, change):
    """As someone would who knows the format: the checksum is made anew."""
    path = directory / "checkpoint.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    content["sha256"] = checkpoint._digest(content)
    path.write_text(json.dumps(content))


def vouch(directory):
    """Let the manifest describe the files as they are now."""
    described = dict(checkpoint._describe(arrays(directory)))
    edit_manifest(directory, lambda content: content.update(files=described))


# --- what was written comes back ---------------------------------------------------------------


def test_a_state_comes_back_bit_for_bit_with_its_keys(saved):
    found = read(saved)

    assert_same(found, STATE)
    assert checkpoint.read_manifest(saved)["run"] == {"line": 5}
    # A key of the same implementation, so that it draws the same.
    for name in ("key", "fast_key"):
        drawn = jax.random.uniform(found[name]), jax.random.uniform(STATE[name])
        assert float(drawn[0]) == float(drawn[1])


def test_the_next_checkpoint_replaces_the_one_before(saved):
    checkpoint.save(saved, ZEROS, {"line": 6})

    assert_same(read(saved), ZEROS)
    assert sorted(path.name for path in saved.iterdir()) == ["checkpoint-2", "checkpoint.json"]


def test_a_checkpoint_without_arrays_says_only_where_the_run_stands(saved):
    checkpoint.save(saved, None, {"line": 9})

    assert [path.name for path in saved.iterdir()] == ["checkpoint.json"]
    assert checkpoint.read_manifest(saved)["run"] == {"line": 9}


def test_removing_leaves_what_is_not_of_the_checkpoint(saved):
    for name in ("checkpoint-old", "checkpoints"):
        (saved / name).mkdir()
    checkpoint.remove(saved)
    checkpoint.remove(saved)

    assert sorted(path.name for path in saved.iterdir()) == ["checkpoint-old", "checkpoints"]


# --- a kill at any moment ----------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["_write_arrays", "write_json", "_remove_arrays"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_saving_leaves_one_whole_checkpoint(saved, monkeypatch, moment, when):
    class Killed(BaseException):
        """Nothing cleans up after it."""

    step = getattr(checkpoint, moment)

    def killed(*args, **options):
        if when == "after":
            step(*args, **options)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint, moment, killed)
        checkpoint.save(saved, ZEROS, {"line": 6})

    renewed = moment == "_remove_arrays" or (moment, when) == ("write_json", "after")
    assert_same(read(saved), ZEROS if renewed else STATE)
    # What it left behind does not stand in the way of the next one, and is then cleared up.
    checkpoint.save(saved, STATE, {"line": 7})
    assert_same(read(saved), STATE)
    assert len(list(saved.iterdir())) == 2


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_leaves_the_one_before(
    saved, monkeypatch
):
    before = snapshot(saved)

    def full(root, leaves):
        root.mkdir()
        (root / "leaf0").touch()
        raise ValueError("RESOURCE_EXHAUSTED:\n  no space left")

    monkeypatch.setattr(checkpoint, "_write_arrays", full)
    with pytest.raises(EdlError, match=r"^cannot write checkpoint .*checkpoint-2: .*no space"):
        checkpoint.save(saved, ZEROS, {})
    assert snapshot(saved) == before


# --- damage ------------------------------------------------------------------------------------


def refuse(directory, because="", like=None):
    with pytest.raises(EdlError) as caught:
        read(directory, like)
    message = str(caught.value)
    assert str(directory) in message
    assert "\n" not in message
    assert because in message


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


def test_a_state_with_nan_is_refused_although_its_checksum_fits(tmp_path):
    checkpoint.save(tmp_path, STATE | {"best": jnp.float32(jnp.nan)}, {})
    refuse(tmp_path, "NaN")


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


# --- malice: the manifest vouches for what it should not ----------------------------------------


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
    monkeypatch.setattr(checkpoint, "_read_arrays", lambda *_: pytest.fail("opened"))
    change(arrays(saved))
    with contextlib.suppress(EdlError):  # links cannot be vouched for either
        vouch(saved)
    refuse(saved, because)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format="other"),
        lambda content: content.update(format_version=2),
        lambda content: content.update(number="../../etc"),
        lambda content: content.update(number=True),
        lambda content: content.update(number=10**6),
        lambda content: content.update(files=[]),
        lambda content: content.update(run=None),
        lambda content: content["files"].update({"../../outside": [1, "0"]}),
        lambda content: content.clear(),
    ],
)
def test_a_manifest_that_is_not_one_is_refused(saved, change):
    edit_manifest(saved, change)
    refuse(saved)


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


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "huge"])
def test_a_manifest_that_is_no_plain_file_is_refused(saved, kind):
    path = saved / "checkpoint.json"
    content = path.read_bytes()
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        (saved / "outside").write_bytes(content)
        path.symlink_to(saved / "outside")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with open(path, "wb") as file:
            file.truncate(2**40)  # sparse
    refuse(saved, "checkpoint.json")


def test_arrays_that_are_gone_are_missed(saved):
    shutil.rmtree(arrays(saved))
    refuse(saved)


# --- the checkpoints of a run ------------------------------------------------------------------


def started(path, every=0.0, **options):
    run = RunDirectory(path, "pretrain", {}, **options)
    stop = StopRequest()
    return run, stop, checkpoint.Checkpoints(run, every, stop)


def test_a_resumed_run_has_the_state_once_and_the_metrics_up_to_it(tmp_path):
    run, _, checkpoints = started(tmp_path / "run")
    with run:
        run.log(generation=1)
        checkpoints.offer(STATE)
        run.log(generation=2)
    run, _, checkpoints = started(tmp_path / "run", resume=True)
    with run:
        assert [row["generation"] for row in run.history()] == [1]
        assert_same(checkpoints.restore(ZEROS), STATE)
        assert checkpoints.restore(ZEROS) is None
        run.log(generation=3)
        assert [row["generation"] for row in run.history()] == [1, 3]


def test_checkpoints_keep_to_their_schedule(tmp_path, monkeypatch):
    clock, written = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoint, "save", lambda *_: written.append(clock[0]))
    run, _, checkpoints = started(tmp_path / "run", every=25.0)
    with run:
        for clock[0] in (10.0, 24.0, 25.0, 30.0, 49.0, 70.0, 80.0):
            checkpoints.offer(STATE)
    assert written == [25.0, 70.0]


def test_a_run_that_is_asked_to_stop_ends_with_a_checkpoint_and_says_how_to_go_on(tmp_path):
    run, stop, checkpoints = started(tmp_path / "a run", every=1e9)
    with pytest.raises(Stopped) as caught, run:
        checkpoints.offer(ZEROS)
        assert checkpoint.read_manifest(run.path) is None
        stop._note(15, None)
        checkpoints.offer(STATE)

    assert_same(read(run.path), STATE)
    assert caught.value.signal == 15
    command = f"python -m edl_jax.pretrain --resume --output-dir '{run.path}'"
    assert str(caught.value) == f"stopped by SIGTERM; go on with: {command}"


def test_a_state_on_its_way_to_divergence_does_not_replace_a_sound_one(tmp_path):
    run, _, checkpoints = started(tmp_path / "run")
    with run:
        checkpoints.offer(STATE)
        checkpoints.offer(STATE | {"mean": jnp.full((1, 3), jnp.nan)})
    assert_same(read(tmp_path / "run"), STATE)
