"""Run directories and atomic files: nothing half-written, nothing overwritten."""

import json
import os
import re

import pytest

from edl_jax.errors import EdlError, OptionError
from edl_jax.files import atomic_write, write_json
from edl_jax.runs import RunDirectory, environment


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
