"""The command lines' manners: presets, one-line errors with status 2, and no traceback."""

import contextlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from edl_jax import cli
from edl_jax.errors import EdlError, OptionError, require


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    """A rate."""

    def __post_init__(self):
        require(0 <= self.rate <= 1, "inner.rate", self.rate, "a number from 0 to 1")


@dataclass(frozen=True)
class Config:
    """What this command does."""

    preset: Literal["base", "large"] = "base"
    """Which defaults."""
    size: int = 1
    """How many."""
    quiet: bool = False
    """Say less."""
    inner: Inner = field(default_factory=Inner)
    """Settings."""


PRESETS = {"base": Config(), "large": Config("large", size=100, inner=Inner(0.25))}


def parse(*args):
    return cli.parse(Config, args, prog="python -m command", presets=PRESETS)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), PRESETS["base"]),
        (("--preset", "large"), PRESETS["large"]),
        (("--preset=large", "--size", "7"), Config("large", 7, inner=Inner(0.25))),
        (("--size", "7", "--preset", "large"), Config("large", 7, inner=Inner(0.25))),
        (("--inner.rate", "1", "--quiet"), Config(quiet=True, inner=Inner(1.0))),
    ],
)
def test_a_preset_gives_the_defaults_of_all_other_options(args, expected):
    assert parse(*args) == expected


def test_a_command_without_presets_reads_the_programs_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["command", "--size", "3"])

    assert cli.parse(Config, prog="python -m command") == Config(size=3)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--preset", "huge"), ["preset huge: expected one of base, large"]),
        (("--preset",), ["--preset"]),
        (("--size", "many"), ["--size", "many", "(see python -m command --help)"]),
        (("--size",), ["--size"]),
        (("--inner.rate", "2"), ["inner.rate 2.0: expected a number from 0 to 1"]),
        (("--nonsense", "1"), ["--nonsense", "(see python -m command --help)"]),
        (("stray",), ["stray"]),
    ],
)
def test_arguments_that_do_not_parse_are_one_plain_line(args, said, encoding):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with (
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
        pytest.raises(EdlError) as caught,
    ):
        parse(*args)

    message = str(caught.value)
    assert all(text in message for text in said)
    # Nothing of the frame that the parser draws, or of its own advice.
    assert not any(mark in message for mark in ("\n", "│", "╭", "─", "---", "full helptext"))


def test_help_says_what_options_do_and_their_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--preset", "large", "--help")
    out = capsys.readouterr().out

    assert stop.value.code == 0
    assert "python -m command" in out
    assert "What this command does." in out
    assert "How many. (default: 100)" in out
    assert "(default: 0.25)" in out


@pytest.mark.parametrize("columns", [None, "60"])
def test_parsing_leaves_the_environment_as_it_was(monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    parse("--size", "2")
    with pytest.raises(EdlError):
        parse("--size", "x")

    assert os.environ.get("COLUMNS") == columns


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (EdlError("cannot read\n  the   file"), "error: cannot read the file\n", 2),
        (OptionError("RUN_DIR", "not given", "one"), "error: RUN_DIR not given: expected one\n", 2),
        (OptionError("train_size", -1, "more"), "error: --train-size -1: expected more\n", 2),
        (KeyboardInterrupt(), "interrupted\n", 130),
    ],
)
def test_what_a_user_can_cause_is_one_line_on_stderr(capsys, error, line, status):
    def command():
        raise error

    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    assert stop.value.code == status
    assert capsys.readouterr() == ("", line)


def test_a_defect_of_the_program_keeps_its_traceback():
    def command():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.main(command)
    cli.main(lambda: None)


# --- paths -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paths:
    one: Path = Path("x")
    """A path."""
    other: Path | None = None
    """A path or none."""
    many: tuple[Path, ...] = ()
    """Some."""


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--one=~/x"], Paths(Path("/home/me/x"))),
        (["--one", "~"], Paths(Path("/home/me"))),
        (["--other=~/x"], Paths(other=Path("/home/me/x"))),
        (["--many", "~/x", "y~"], Paths(many=(Path("/home/me/x"), Path("y~")))),
        (["--one=~no-such-user/x", "--other=None"], Paths(Path("~no-such-user/x"))),
    ],
)
def test_a_tilde_is_the_home_in_every_path(monkeypatch, args, expected):
    monkeypatch.setenv("HOME", "/home/me")

    assert cli.parse(Paths, args, prog="python -m command") == expected


@pytest.mark.parametrize("args", [["--one="], ["--one", ""], ["--other="], ["--other", ""]])
def test_a_path_is_not_empty(args):
    with pytest.raises(OptionError, match="'': expected a path"):
        cli.parse(Paths, args, prog="python -m command")
