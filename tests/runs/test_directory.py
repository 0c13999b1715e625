"""Run directories and atomic files: nothing half-written, nothing overwritten."""

import json
import os
import re
import subprocess
import sys

import pytest

from edl_jax.errors import EdlError, OptionError
from edl_jax.files import atomic_write, read_json, write_json
from edl_jax.runs.directory import RunDirectory, environment


def contents(directory):
    return sorted(path.name for path in directory.iterdir())


def test_an_atomic_write_appears_whole_and_with_the_usual_permissions(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"
    assert contents(tmp_path) == ["file.bin"]
    (tmp_path / "ordinary").touch()
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_write_that_is_interrupted_leaves_everything_as_it_was(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    expected = EdlError if error is OSError else error
    with pytest.raises(expected), atomic_write(path, "w") as file:
        file.write("half")
        raise error("stop")

    assert path.read_text() == "old"
    assert contents(tmp_path) == ["file.txt"]


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    missing = tmp_path / "none" / "file.txt"
    with pytest.raises(EdlError, match=re.escape(f"cannot write {missing}")), atomic_write(missing):
        pass
    (tmp_path / "directory").mkdir()
    with pytest.raises(EdlError, match="cannot write"), atomic_write(tmp_path / "directory"):
        pass
    assert contents(tmp_path) == ["directory"]


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"a": float("nan")})
    assert contents(tmp_path) == []

    write_json(tmp_path / "file.json", {"a": [1, None]})
    assert json.loads((tmp_path / "file.json").read_text()) == {"a": [1, None]}


def test_a_run_directory_holds_configuration_metrics_and_summary(tmp_path):
    run = RunDirectory(tmp_path / "a" / "run", "pretrain", {"seed": 3})
    run.log(generation=1, fitness=0.5)
    # Flushed, so that a run can be followed and an interrupted one read.
    assert (run.path / "metrics.jsonl").read_text() == '{"generation": 1, "fitness": 0.5}\n'
    run.log(generation=2, fitness=None)
    summary = run.finish(discordance=0.1)

    assert contents(run.path) == ["config.json", "metrics.jsonl", "summary.json"]
    assert json.loads((run.path / "config.json").read_text()) == {"command": "pretrain", "seed": 3}
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["generation"] for line in lines] == [1, 2]
    assert json.loads((run.path / "summary.json").read_text()) == summary
    assert summary["discordance"] == 0.1
    assert summary["wall_time_s"] >= 0
    assert summary["environment"] == environment()


def test_a_directory_that_holds_a_run_is_refused_and_left_as_it_is(tmp_path):
    RunDirectory(tmp_path, "pretrain", {"seed": 3}).finish()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OptionError, match=r"^output_dir .*does not hold a run yet"):
        RunDirectory(tmp_path, "pretrain", {"seed": 4})

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_directory_that_holds_something_else_is_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    RunDirectory(tmp_path, "pretrain", {}).finish()

    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["file", "file/run", "long"])
def test_a_directory_that_cannot_be_made_is_refused_and_nothing_is_left(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / place if place != "long" else tmp_path / "a" / ("x" * 300)
    with pytest.raises(OptionError, match=r"^output_dir .*a directory that can be written"):
        RunDirectory(target, "pretrain", {})

    assert contents(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_without_a_path_a_run_is_named_by_command_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory(None, "pretrain", {})
    run.finish()

    assert re.fullmatch(r"runs[/\\]pretrain-\d{8}-\d{6}", os.fspath(run.path))
    assert run.path.is_dir()


def test_the_environment_names_versions_and_device():
    found = environment()

    assert {"python", "edl_jax", "jax", "flax", "optax", "evosax", "numpy"} <= found.keys()
    assert found["platform"] == "cpu"
    assert found["num_devices"] >= 1
    json.dumps(found)


# --- one writer, one run, and how it goes on ----------------------------------------------------


def test_a_second_writer_is_refused_and_changes_nothing(tmp_path):
    with RunDirectory(tmp_path / "run", "pretrain", {"seed": 3}) as run:
        run.log(generation=1)
        before = {path.name: path.read_bytes() for path in run.path.iterdir()}
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OptionError, match="no other process is writing"):
                RunDirectory(tmp_path / "run", "pretrain", {"seed": 4}, **options)
        assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    RunDirectory(tmp_path / "run", "pretrain", {}, resume=True).finish()


def test_a_run_goes_on_from_a_position_and_keeps_its_time(tmp_path):
    with RunDirectory(tmp_path, "pretrain", {}) as run:
        run.log(generation=1)
        position = run.position() | {"elapsed_s": 100.0}
        run.log(generation=2)
    (tmp_path / ".loss.npz.abc").touch()  # of a writer that was killed
    with RunDirectory(tmp_path, "pretrain", {}, resume=True) as run:
        run.rewind(**position)
        run.log(generation=3)
        assert [row["generation"] for row in run.history()] == [1, 3]
        assert run.elapsed >= 100
        assert run.finish()["wall_time_s"] >= 100
    assert contents(tmp_path) == ["config.json", "metrics.jsonl", "summary.json"]


@pytest.mark.parametrize(
    ("log", "because"), [(b"", "shorter"), (b'{"generation": 2}\n', "checksum does not match")]
)
def test_a_log_that_is_not_that_of_the_checkpoint_is_refused(tmp_path, log, because):
    with RunDirectory(tmp_path, "pretrain", {}) as run:
        run.log(generation=1)
        position = run.position()
    (tmp_path / "metrics.jsonl").write_bytes(log)
    with (
        RunDirectory(tmp_path, "pretrain", {}, resume=True) as run,
        pytest.raises(EdlError, match=f"metrics.jsonl: {because}"),
    ):
        run.rewind(**position)


def test_an_error_before_the_first_line_takes_a_new_run_away(tmp_path):
    with pytest.raises(ZeroDivisionError), RunDirectory(tmp_path / "a" / "run", "pretrain", {}):
        raise ZeroDivisionError
    assert contents(tmp_path) == []

    with pytest.raises(ZeroDivisionError), RunDirectory(tmp_path / "run", "pretrain", {}) as run:
        run.log(generation=1)
        raise ZeroDivisionError
    with (
        pytest.raises(ZeroDivisionError),
        RunDirectory(tmp_path / "run", "pretrain", {}, resume=True),
    ):
        raise ZeroDivisionError
    assert contents(tmp_path / "run") == ["config.json", "metrics.jsonl"]


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
from edl_jax import cli
from edl_jax.runs import RunDirectory
def command():
    with RunDirectory(sys.argv[1], "pretrain", {"text": "x" * 20}) as run:
        for i in range(100):
            run.log(generation=i)
cli.main(command)
"""


@pytest.mark.parametrize(("room", "left"), [(10, None), (100, 5)])
def test_a_full_disk_is_one_line_and_leaves_whole_lines_or_nothing(tmp_path, room, left):
    """Simulated by a limit on the size of files."""
    directory = tmp_path / "run"
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(directory), str(room)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: cannot write") and result.stderr.count("\n") == 1
    if left is None:
        assert contents(tmp_path) == []
    else:
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["generation"] for line in lines] == list(range(left))
        assert "go on with: python -m edl_jax.pretrain --resume" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_read_only_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OptionError, match="a directory that can be written"):
        RunDirectory(tmp_path / "run", "pretrain", {})
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 10**5, b"{}" + bytes(99)])
def test_json_that_is_not_an_object_of_a_fair_size_is_refused(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(EdlError, match=re.escape(str(path))):
        read_json(path, most=64)
