"""Run directories: one run each, one writer each, nothing half-written, nothing overwritten."""

import json
import os
import re
import subprocess
import sys

import pytest

from edl_jax.errors import EdlError, OptionError
from edl_jax.runs.directory import RunDirectory


def contents(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_run_directory_holds_configuration_metrics_and_summary(tmp_path):
    run = RunDirectory(tmp_path / "a" / "run", "pretrain", {"seed": 3})
    run.log(generation=1, fitness=0.5)
    # Flushed, so that a run can be followed and an interrupted one read.
    assert (run.path / "metrics.jsonl").read_text() == '{"generation": 1, "fitness": 0.5}\n'
    run.log(generation=2, fitness=None)
    summary = run.finish({"device": "cpu"}, discordance=0.1)

    assert contents(run.path) == ["config.json", "metrics.jsonl", "summary.json"]
    config = json.loads((run.path / "config.json").read_text())
    assert config == {"command": "pretrain", "working_dir": os.getcwd(), "seed": 3}
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["generation"] for line in lines] == [1, 2]
    assert json.loads((run.path / "summary.json").read_text()) == summary
    assert summary["discordance"] == 0.1
    assert summary["wall_time_s"] >= 0
    assert summary["environment"] == {"device": "cpu"}


def test_a_directory_that_holds_a_run_is_refused_and_left_as_it_is(tmp_path):
    RunDirectory(tmp_path, "pretrain", {"seed": 3}).finish({})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OptionError, match=r"^output_dir .*does not hold a run yet"):
        RunDirectory(tmp_path, "pretrain", {"seed": 4})

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


FOREIGN = {
    "notes": {"notes.txt": "mine"},
    "training": {"checkpoint-500/model": "mine", "tensorboard/events": "mine"},
    "log": {"metrics.jsonl": "{}\n", "report.html": "mine", "summary.json": "{}"},
    "model": {"config.json": '{"model_type": "bert"}', "loss.npz": "mine"},
    "command": {"config.json": '{"command": "node"}'},
    "damaged": {"config.json": "{", "checkpoint.json": "{}"},
    "hidden": {".config.json.swp": "mine"},
    "folder": {"metrics.jsonl/part": "mine"},
}


def everything(directory):
    return {p: p.read_bytes() if p.is_file() else None for p in directory.rglob("*")}


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_directory_that_holds_something_else_is_refused_and_left_as_it_is(tmp_path, files, flags):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    before = everything(tmp_path)
    with pytest.raises(OptionError, match=r"^output_dir .*is empty, or holds a run of this"):
        RunDirectory(tmp_path, "pretrain", {}, **flags)

    assert everything(tmp_path) == before


def test_what_a_run_leaves_that_is_killed_as_it_begins_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / ".config.json.abcd_123").write_text("{")
    RunDirectory(tmp_path, "pretrain", {}).finish({})

    assert contents(tmp_path) == ["config.json", "metrics.jsonl", "summary.json"]


def test_a_failed_run_leaves_a_directory_that_it_did_not_make(tmp_path):
    with pytest.raises(ZeroDivisionError), RunDirectory(tmp_path, "pretrain", {}):
        raise ZeroDivisionError

    assert tmp_path.is_dir() and contents(tmp_path) == []


def test_overwriting_removes_only_what_a_run_writes(tmp_path):
    RunDirectory(tmp_path, "pretrain", {}).finish({})
    mine = [".config.json.swp", "notes.txt", "loss.npz.bak", "summary.json.orig"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    for name in ("loss.npz", "report.html", "checkpoint.json"):
        (tmp_path / name).write_text("of the run before")
    with RunDirectory(tmp_path, "pretrain", {}, overwrite=True):
        assert contents(tmp_path) == sorted([*mine, "config.json", "metrics.jsonl"])


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
    run.finish({})

    assert re.fullmatch(r"runs[/\\]pretrain-\d{8}-\d{6}", os.fspath(run.path))
    assert run.path.is_dir()


# --- one writer, one run, and how it is resumed ------------------------------------------------


def test_a_second_writer_is_refused_and_changes_nothing(tmp_path):
    with RunDirectory(tmp_path / "run", "pretrain", {"seed": 3}) as run:
        run.log(generation=1)
        before = {path.name: path.read_bytes() for path in run.path.iterdir()}
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OptionError, match="no other process is writing"):
                RunDirectory(tmp_path / "run", "pretrain", {"seed": 4}, **options)
        assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    RunDirectory(tmp_path / "run", "pretrain", {}, resume=True).finish({})


def test_a_run_goes_on_from_a_position_and_keeps_its_time(tmp_path):
    with RunDirectory(tmp_path, "pretrain", {}) as run:
        run.log(generation=1)
        position = run.position() | {"elapsed_s": 100.0}
        run.log(generation=2)
    (tmp_path / ".loss.npz.abc_4567").touch()  # of a writer that was killed
    with RunDirectory(tmp_path, "pretrain", {}, resume=True) as run:
        run.rewind(**position)
        run.log(generation=3)
        assert [row["generation"] for row in run.history()] == [1, 3]
        assert run.elapsed >= 100
        assert run.finish({})["wall_time_s"] >= 100
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
        assert "resume with: python -m edl_jax.pretrain --resume" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_read_only_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OptionError, match="a directory that can be written"):
        RunDirectory(tmp_path / "run", "pretrain", {})
    tmp_path.chmod(0o700)
