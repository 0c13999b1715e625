"""Checkpoints: they come back bit for bit, and survive any kill."""

import os
import time

import jax
import jax.numpy as jnp
import pytest

from edl_jax.errors import EdlError
from edl_jax.runs import checkpoint
from edl_jax.runs.directory import RunDirectory
from edl_jax.runs.interrupts import Stopped, StopRequest
from tests.runs.examples import STATE, ZEROS, assert_same, edit_manifest, read, refuse


def snapshot(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


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


@pytest.mark.parametrize("moment", ["write_arrays", "write_json", "_remove_arrays"])
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

    monkeypatch.setattr(checkpoint, "write_arrays", full)
    with pytest.raises(EdlError, match=r"^cannot write checkpoint .*checkpoint-2: .*no space"):
        checkpoint.save(saved, ZEROS, {})
    assert snapshot(saved) == before


# --- what is not believed ----------------------------------------------------------------------


def test_a_state_with_nan_is_refused_although_its_checksum_fits(tmp_path):
    checkpoint.save(tmp_path, STATE | {"best": jnp.float32(jnp.nan)}, {})
    refuse(tmp_path, "NaN")


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
    assert str(caught.value) == f"stopped by SIGTERM; resume with: {command}"


def test_a_state_on_its_way_to_divergence_does_not_replace_a_sound_one(tmp_path):
    run, _, checkpoints = started(tmp_path / "run")
    with run:
        checkpoints.offer(STATE)
        checkpoints.offer(STATE | {"mean": jnp.full((1, 3), jnp.nan)})
    assert_same(read(tmp_path / "run"), STATE)
