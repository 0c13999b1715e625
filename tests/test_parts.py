"""Parts by name: where they are looked for, how errors put it, and what is run and what is not."""

import py_compile
from dataclasses import dataclass

import pytest

from edl_jax import parts
from edl_jax.errors import EdlError, OptionError


@dataclass(frozen=True)
class Thing:
    size: int


KNOWN = {"small": Thing(1)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, with a file of two parts in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import math\nfrom pathlib import Path\nthing = 3\n"
        "def make(size):\n    return size\n\n_hidden = 1\n"
    )
    return tmp_path


def test_a_part_is_one_of_the_registry_or_of_a_file_or_itself(here):
    assert parts.find("thing", "small", KNOWN) == Thing(1)
    assert parts.find("thing", "mine.py:thing", KNOWN) == 3
    assert parts.find("thing", f"{here}/mine.py:thing", KNOWN) == 3
    assert parts.find("thing", Thing(4), KNOWN) == Thing(4)


def test_a_part_stays_the_same_object_until_its_file_changes(here):
    first = parts.load("thing", "mine.py:make")

    assert parts.load("thing", "mine.py:make") is first
    (here / "mine.py").write_text("def make(size):\n    return 2 * size\n")
    assert parts.load("thing", "mine.py:make")(1) == 2


def test_what_is_run_is_what_was_read_whatever_python_has_kept_of_the_file(here):
    (here / "mine.py").write_text("thing = 'kept'\n")
    py_compile.compile("mine.py", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    (here / "mine.py").write_text("thing = 'read'\n")

    assert parts.load("thing", "mine.py:thing") == "read"
    # Of the same size and in the same second, so that Python's own cache would not notice.
    (here / "mine.py").write_text("thing = 'more'\n")
    assert parts.load("thing", "mine.py:thing") == "more"


def test_a_file_that_is_edited_meanwhile_changes_nothing_of_what_is_pinned(here):
    digest = parts.digest("mine.py:thing", "thing")

    with parts.pinned({"mine.py:thing": digest}):
        assert parts.load("thing", "mine.py:thing") == 3
        (here / "mine.py").unlink()
        assert parts.load("thing", "mine.py:thing") == 3
        assert parts.source("mine.py:thing").sha256 == digest
    (here / "mine.py").write_text("thing = 4")
    with parts.pinned({"mine.py:thing": "0" * 64}), pytest.raises(OptionError, match="has changed"):
        parts.load("thing", "mine.py:thing")


def test_a_relative_path_begins_where_it_is_told_to(here, monkeypatch):
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")

    with parts.relative_to(here):
        assert parts.load("thing", "mine.py:thing") == 3
    with pytest.raises(OptionError, match="No such file"):
        parts.load("thing", "mine.py:thing")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("thing = (", "a file that runs (SyntaxError: '(' was never closed (mine.py, line 1), li"),
        (
            "import no_such_module",
            "(ModuleNotFoundError: No module named 'no_such_module', line 1)",
        ),
        ("x = 1\nraise ValueError('no\\n  good')", "(ValueError: no good, line 2)"),
        (
            "thin = 1\nimport os\n_thing = 2",
            "a name in mine.py, which has thin; did you mean thin?",
        ),
        ("", "a name in mine.py, which has none"),
        ("import sys\nsys.exit(0)", "a file that runs (SystemExit: 0, line 2)"),
    ],
)
def test_a_file_that_does_not_serve_is_one_line_that_says_why(here, content, said):
    (here / "mine.py").write_text(content)

    with pytest.raises(OptionError) as refusal:
        parts.load("thing", "mine.py:thing")

    assert str(refusal.value).startswith("thing mine.py:thing: expected a")
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_directory_or_a_file_of_any_size_is_not_read(here):
    (here / "folder.py").mkdir()
    (here / "large.py").write_bytes(b" " * (2**20 + 1))

    with pytest.raises(OptionError, match="can be read"):
        parts.load("thing", "folder.py:thing")
    with pytest.raises(OptionError, match="at most 1,048,576 bytes"):
        parts.load("thing", "large.py:thing")


@pytest.mark.parametrize("reference", ["a\0.py:thing", f"{'a' * 300}.py:thing"])
def test_a_name_that_no_file_can_have_is_one_line(here, reference):
    with pytest.raises(OptionError, match="a Python file that can be read"):
        parts.load("thing", reference)
    with pytest.raises(EdlError, match="not part of edl_jax"):
        parts.recorded("thing", reference, "0" * 64)


def test_what_is_found_is_a_part_or_makes_one_of_its_kind(here):
    assert parts.finished("thing", "x", Thing(1), Thing) == Thing(1)
    assert parts.finished("thing", "x", Thing, Thing, 2) == Thing(2)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (3, "one Thing, or a function that makes one, not int"),
        (lambda size: size, "one Thing, or a function that makes one; it made int"),
        (lambda: None, "one Thing, or a function that makes one (.* takes 0 positional"),
    ],
)
def test_what_is_neither_is_one_line(here, found, said):
    with pytest.raises(OptionError, match=said.replace("(", r"\(", 1)):
        parts.finished("thing", "mine.py:make", found, Thing, 5)


def test_an_error_in_a_part_given_as_an_object_keeps_its_traceback():
    def make(size):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        parts.finished("thing", make, make, Thing, 5)


# --- what is recorded --------------------------------------------------------------------------


def test_a_source_names_the_file_or_the_object(here):
    of_file = parts.source("mine.py:thing")
    assert of_file is not None and of_file.name == "mine.py:thing"
    assert of_file.sha256 == parts.digest("mine.py:make", "thing") and len(of_file.sha256) == 64
    assert parts.source("small") is None
    assert parts.source(Thing).name == f"{__name__}:Thing"
    assert (
        parts.source(Thing).sha256
        == parts.source(test_a_source_names_the_file_or_the_object).sha256
    )


def test_what_was_recorded_is_run_only_from_here_and_only_unchanged(here, monkeypatch):
    digest = parts.digest("mine.py:thing", "thing")
    assert parts.recorded("thing", "mine.py:thing", digest) == 3
    # Of a file that was elsewhere, only the name counts.
    assert parts.recorded("thing", "/nowhere/mine.py:thing", digest) == 3
    assert parts.recorded("thing", "../mine.py:thing", digest) == 3
    for name in ("Path", "math", "_hidden"):
        with pytest.raises(OptionError, match=r"a part that mine.py itself defines"):
            parts.recorded("thing", f"mine.py:{name}", digest)

    (here / "other.py").write_text("raise AssertionError('was run')")
    with pytest.raises(OptionError, match="as it was then; it has changed"):
        parts.recorded("thing", "other.py:thing", digest)


@pytest.mark.parametrize(
    "reference", ["{}/mine.py:thing", "../above/mine.py:thing", "~/mine.py:thing", "link/mine.py:x"]
)
def test_a_file_that_is_not_below_here_is_not_run(tmp_path, monkeypatch, reference):
    above, below = tmp_path / "above", tmp_path / "below"
    for directory in (above, below):
        directory.mkdir()
    (above / "mine.py").write_text("thing = 3")
    (below / "link").symlink_to(above)
    monkeypatch.setenv("HOME", str(above))
    monkeypatch.chdir(above)
    digest = parts.digest("mine.py:thing", "thing")
    monkeypatch.chdir(below)

    with (
        parts.relative_to(above),
        pytest.raises(EdlError, match=r"not part of edl_jax: expected mine.py in the current"),
    ):
        parts.recorded("thing", reference.format(above), digest)
