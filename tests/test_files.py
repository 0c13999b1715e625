"""Files: written whole or not at all, and read with suspicion."""

import json
import re
from pathlib import Path

import pytest

from edl_jax.errors import EdlError
from edl_jax.files import atomic_write, distinct_names, read_json, write_json
from edl_jax.losses.loading import load_loss, resolve_loss


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
    with pytest.raises(expected), atomic_write(path) as file:
        file.write(b"half")
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


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 10**5, b"{}" + bytes(99)])
def test_json_that_is_not_an_object_of_a_fair_size_is_refused(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(EdlError, match=re.escape(str(path))):
        read_json(path, most=64)


def test_a_tilde_is_the_home_in_the_path_of_a_loss(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    load_loss("edl-base").save(tmp_path / "my.npz")

    for load in (load_loss, resolve_loss):
        assert load("~/my.npz").provenance == load_loss("edl-base").provenance


def test_paths_side_by_side_get_names_of_their_own():
    assert distinct_names(["a/seed0", "b/seed0"]) == ["a/seed0", "b/seed0"]
    assert distinct_names(["x/a/seed0", "y/a/seed0"]) == ["x/a/seed0", "y/a/seed0"]
    assert distinct_names(["seed0", "a/seed0"]) == ["seed0", "a/seed0"]
    assert distinct_names(["seed0", "./seed0", "."]) == ["seed0", "./seed0", "."]
    assert distinct_names(["/a/seed0", Path("/b/seed1")]) == ["seed0", "seed1"]
