"""Parsing of command lines into a dataclass, and one-line errors with status 2."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from edl_jax.errors import EdlError, OptionError, did_you_mean, require, require_one_of
from edl_jax.files import Json, user_path
from edl_jax.runs.directory import CONFIG, stored_config
from edl_jax.runs.interrupts import Stopped
from edl_jax.runs.options import RunOptions
from edl_jax.runs.output import steady_streams
from edl_jax.startup import keep_compilations, settle_home

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")
_types = ConstructorRegistry()


@_types.primitive_rule
def _path_rule(found: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """How a path is read: with ~ for the home, which no shell replaces in --option=~/place."""
    if found.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda texts: user_path(texts[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


def parse(
    config_class: type[ConfigT],
    args: Sequence[str] | None = None,
    *,
    prog: str,
    presets: Mapping[str, ConfigT] | None = None,
    default_preset: str = "base",
    default: ConfigT | None = None,
) -> ConfigT:
    """Parse command-line ``args`` into ``config_class``.

    Args:
      config_class: a dataclass whose fields are the options; field docstrings are their help.
      args: the arguments after the program's name; ``sys.argv[1:]`` by default.
      prog: the program's name as the user typed it, e.g. ``"python -m edl_jax.pretrain"``.
      presets: named configurations. ``--preset NAME`` chooses the one whose values are the
        defaults of all other options; the class must then have a field ``preset``.
      default_preset: the preset that is used where none is named.
      default: the values of options that are not given; the class's own by default.

    With ``--resume`` the defaults are the configuration of the run in ``--output-dir``, and an
    option that is given another value is refused.

    Raises:
      EdlError: the arguments do not parse, or the configuration refuses them.
    """
    args = list(sys.argv[1:] if args is None else args)
    resume = "--resume" in args and not {"--help", "-h"} & set(args)
    if resume:
        default = _config_of_run(config_class, args, prog)
    elif presets:
        name = _find_option(args, "preset") or default_preset
        require_one_of("preset", name, presets)
        default = presets[name]
    config = _parse(config_class, args, prog, default)
    if resume and isinstance(default, RunOptions):
        _require_same(asdict(config), default.recorded())
    return config


def _parse(
    config_class: type[ConfigT], args: Sequence[str], prog: str, default: ConfigT | None
) -> ConfigT:
    prog = _as_typed(prog)
    for option in fields(config_class):
        # Path("") is the current directory.
        empty = "Path" in str(option.type) and _find_option(args, option.name) == ""
        require(not empty, option.name, "''", "a path")
    errors = io.StringIO()
    try:
        with _wide_terminal(), contextlib.redirect_stderr(errors):
            return tyro.cli(
                config_class,
                args=list(_with_prefixes(config_class, args)),
                prog=prog,
                registry=_types,
                config=(tyro.conf.FlagCreatePairsOff,),
                default=tyro.MISSING_NONPROP if default is None else default,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise EdlError(_first_paragraph(errors.getvalue(), prog)) from None


def _with_prefixes(config_class: type[ConfigT], args: Sequence[str]) -> Iterator[str]:
    """``args`` with the prefixes of nested options, which may be left out: --map, --chaos.map.

    The name of a group stands for its part that is the user's own: --objective, --objective.own.
    """
    full: dict[str, list[str]] = {}
    for outer in fields(config_class):
        if isinstance(outer.default_factory, type) and is_dataclass(outer.default_factory):
            for inner in fields(outer.default_factory):
                name = outer.name if inner.name == "own" else inner.name
                full.setdefault(name, []).append(f"{outer.name}.{inner.name}")
    short = {f"{name}.own" for name in full}
    plain = {f.name for f in fields(config_class) if full.get(f.name, [""])[0] not in short}
    for arg in args:
        name, equals, value = arg.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        known = full.get(name, [])
        if arg.startswith("--") and len(known) == 1 and name not in plain:
            yield f"--{known[0].replace('_', '-')}{equals}{value}"
        else:
            yield arg


# --- resuming a run ----------------------------------------------------------------------------


def _config_of_run(config_class: type[ConfigT], args: Sequence[str], prog: str) -> ConfigT:
    """The configuration stored in ``--output-dir``, parsed as the command line it stands for."""
    directory = _find_option(args, "output_dir")
    if directory is None:
        raise EdlError("--resume: expected --output-dir, the directory of the run to resume")
    require(directory != "", "output_dir", "''", "a path")
    content = stored_config(user_path(directory), prog.rpartition(".")[2])
    return recorded_config(config_class, content, prog, user_path(directory) / CONFIG)


def recorded_config(config_class: type[ConfigT], content: Json, prog: str, path: Path) -> ConfigT:
    """A run's recorded options, checked as the command line that they stand for.

    Args:
      config_class: the command's configuration.
      content: what ``config.json`` holds, without the command's name.
      prog: as in :func:`parse`.
      path: the file, for the error.

    Raises:
      EdlError: ``content`` is not a configuration of the command.
    """
    known = {f.name for f in fields(config_class)}
    try:
        require(content.keys() <= known, "options", ", ".join(content.keys() - known), "none other")
        with contextlib.redirect_stdout(io.StringIO()):
            return _parse(config_class, list(_as_arguments(content)), prog, None)
    except (EdlError, SystemExit) as error:
        reason = str(error) if isinstance(error, EdlError) else "not a configuration"
        raise EdlError(f"{path}: {reason}") from None


def _as_arguments(content: Json, prefix: str = "--") -> Iterator[str]:
    for name, value in content.items():
        option = prefix + name.replace("_", "-")
        if isinstance(value, dict):
            yield from _as_arguments(value, f"{option}.")
        elif isinstance(value, list):
            yield from (option, *map(str, value))
        elif isinstance(value, bool):
            yield from (option,) if value else ()  # a flag
        else:
            yield f"{option}={value}"


def _require_same(given: Json, stored: Json, prefix: str = "") -> None:
    for name, value in stored.items():
        other = given[name]
        if isinstance(value, dict):
            _require_same(other, value, f"{prefix}{name}.")
            continue
        other = str(other) if isinstance(other, Path) else other
        shown = " ".join(map(str, other)) if isinstance(other, tuple) else other
        expected = f"{value} as in the run that --resume resumes"
        require(other == value, prefix + name, shown, expected)


# --- running a command -------------------------------------------------------------------------


def main(command: Callable[[], None]) -> None:
    """Run ``command`` and turn what a user can cause into one line on stderr and status 2.

    An output that nobody takes any more does not end the command before its results are written:
    see :func:`edl_jax.runs.output.steady_streams`.
    """
    with steady_streams():
        settle_home()
        keep_compilations()
        try:
            command()
        except OptionError as error:
            _stop(error.as_option)
        except EdlError as error:
            _stop(str(error))
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(128 + stopped.signal)
        except (MemoryError, RuntimeError) as error:
            # XLA's error for it is a RuntimeError without a type of its own.
            if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            _stop(f"out of memory: expected a smaller configuration ({str(error)[:100]})")
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)


def _stop(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


def _as_typed(prog: str) -> str:
    """``edl-jax pretrain`` instead of ``python -m edl_jax.pretrain``, if that was started."""
    script = Path(sys.argv[0]).stem
    return f"edl-jax {prog.rpartition('.')[2]}" if script == "edl-jax" else prog


def _find_option(args: Sequence[str], name: str) -> str | None:
    """The value of the option that is the field ``name``, as typed."""
    for i, arg in enumerate(args):
        option, equals, value = arg.partition("=")
        if option.replace("-", "_") == f"__{name}" and (equals or i + 1 < len(args)):
            return value if equals else args[i + 1]
    return None


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Keep tyro from folding an error over several lines; help goes to stdout at full width."""
    before = os.environ.get("COLUMNS")
    if not sys.stdout.isatty():
        os.environ["COLUMNS"] = "100"
    try:
        yield
    finally:
        if not sys.stdout.isatty():
            os.environ.pop("COLUMNS")
            if before is not None:
                os.environ["COLUMNS"] = before


def _first_paragraph(box: str, prog: str) -> str:
    """Take the first paragraph, without its title, out of the box in which tyro prints an error."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        words = line.strip("│╭╮╰╯|+ ")
        if words and set(words) <= {"─", "-"}:
            paragraphs.append([])
        elif words:
            paragraphs[-1].append(words)
    # The title stands in the frame, or, where the terminal has no frames, in a paragraph above.
    filled = [paragraph for paragraph in paragraphs if paragraph]
    body = filled[0][1:] or filled[1]
    said = " ".join(body)
    choice = re.search(r"invalid choice '(.*)' for argument .* one of \((.*)\)", said)
    if choice:
        meant = did_you_mean(choice[1], re.findall(r"'(.*?)'", choice[2]))
        said = said.removesuffix(".") + meant
    return f"{said} (see {prog} --help)"
