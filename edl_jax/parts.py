"""Parts by name: those of a registry, and a user's own, written ``path/to/file.py:NAME``.

Nothing here imports JAX. A user's file is run when one of its parts is first asked for, as Python's
own import would run it; as long as the file stays the same, its parts stay the same objects.
"""

import contextlib
import hashlib
import inspect
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from edl_jax.errors import EdlError, OptionError, did_you_mean, one_line, require

_OWN = ".py:"
_MOST_BYTES = 2**20
_base: ContextVar[Path | None] = ContextVar("base", default=None)
_pins: ContextVar[Mapping[str, str]] = ContextVar("pins", default={})  # noqa: B039, never changed
_modules: dict[tuple[Path, str], ModuleType] = {}

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Source:
    """Where a part that is not the package's comes from.

    Attributes:
      name: ``file.py:NAME`` as it was given, or the qualified name of a Python object.
      sha256: of the file's bytes, in hexadecimal; empty where there is no file.
    """

    name: str
    sha256: str


def is_own(named: object) -> bool:
    """Whether ``named`` is written as a part of a user's own file.

    >>> is_own("parts/mine.py:MyES"), is_own("CMA_ES")
    (True, False)
    """
    return isinstance(named, str) and _OWN in named


def require_part(field: str, value: str, known: Collection[str]) -> None:
    """Raise :class:`OptionError` unless ``value`` is one of ``known``, or written as a user's own.

    >>> require_part("map", "logistics", ["tent", "logistic"])
    Traceback (most recent call last):
    edl_jax.errors.OptionError: map logistics: expected one of tent, logistic, or FILE.py:NAME of \
your own; did you mean logistic?
    """
    expected = f"one of {', '.join(known)}, or FILE.py:NAME of your own"
    require(value in known or is_own(value), field, value, expected + did_you_mean(value, known))


def find(field: str, named: Any, known: Mapping[str, Any]) -> Any:
    """The part that ``named`` stands for: one of ``known``, one of a user's file, or itself.

    Args:
      field: the option, for errors.
      named: a name in ``known``, ``path/to/file.py:NAME``, or the part.
      known: the registry.

    Raises:
      OptionError: there is no such part.
      EdlError: the file cannot be read or run.
    """
    if not isinstance(named, str):
        return named
    if is_own(named):
        return load(field, named)
    require_part(field, named, known)
    return known[named]


def finished(field: str, named: object, found: Any, kind: type[PartT], *args: object) -> PartT:
    """``found`` if it is of ``kind``; else what it makes of ``args``.

    Args:
      field: the option, for errors.
      named: what was given for it, for errors.
      found: a part, or a function that makes one.
      kind: what the part is an instance of.
      args: what the function is given.

    Raises:
      OptionError: it is neither, or the function of a user's file fails, or makes something else.
    """
    expected = f"one {kind.__name__}, or a function that makes one"
    if isinstance(found, kind):
        return found
    require(callable(found), field, shown(named), f"{expected}, not {type(found).__name__}")
    try:
        made = found(*args)
    except EdlError:
        raise
    except Exception as error:
        if not is_own(named):
            raise
        raise OptionError(field, shown(named), f"{expected} ({one_line(error)})") from error
    wrong = f"{expected}; it made {type(made).__name__}"
    require(isinstance(made, kind), field, shown(named), wrong)
    return made


def shown(named: object) -> str:
    """How an error or a record calls a part: by the name given, or the object's own."""
    if isinstance(named, str):
        return named
    found = source(named)
    return str(named) if found is None else found.name


# --- files -------------------------------------------------------------------------------------


@contextlib.contextmanager
def relative_to(directory: Path) -> Iterator[None]:
    """Within the block, a relative path to a user's file begins at ``directory``."""
    token = _base.set(directory)
    try:
        yield
    finally:
        _base.reset(token)


@contextlib.contextmanager
def pinned(digests: Mapping[str, str]) -> Iterator[None]:
    """Within the block, each ``file.py:NAME`` is that of a file with this SHA-256, or refused.

    What has been run once is not read again: a file that is edited meanwhile changes nothing.
    """
    token = _pins.set(dict(digests))
    try:
        yield
    finally:
        _pins.reset(token)


def load(field: str, reference: str) -> Any:
    """Load the part NAME of a user's file.

    Args:
      field: the option, for errors.
      reference: ``path/to/file.py:NAME``.

    Raises:
      OptionError: the file is not there, has no such name, or running it fails.
    """
    path, name = _split(reference)
    pin = _pins.get().get(reference)
    module = _modules.get((path, pin)) if pin else None
    return _part(field, reference, name, module or _module(field, reference, path, pin))


def recorded(field: str, reference: str, sha256: str, reader: str = "load_loss") -> Any:
    """The part that an artifact names; what is loaded does not say what is run.

    Its file is run only if it is in the current directory or below it, links followed, and is byte
    for byte the one that was recorded; and only what the file itself defines is taken.

    Raises:
      EdlError: the file is not there, or has changed.
    """
    text, _, name = reference.rpartition(":")
    here = Path.cwd()
    for place in (text, Path(text).name) if is_own(reference) else ():
        try:
            path = (here / place).resolve()
            found = path.is_relative_to(here.resolve()) and path.is_file()
        except (OSError, ValueError):  # a name that no file could have
            continue
        if found:
            module = _modules.get((path, sha256)) or _module(field, reference, path, sha256)
            part = _part(field, reference, name, module)
            own = _is_part(name, part, module)
            require(own, field, reference, f"a part that {path.name} itself defines")
            return part
    where = f"{Path(text).name} in the current directory, or " if is_own(reference) else ""
    raise EdlError(
        f"its {field} is {reference[:200]}, which is not part of edl_jax: "
        f"expected {where}{reader}(..., {field}=...) with it"
    )


def _split(reference: str) -> tuple[Path, str]:
    text, _, name = reference.rpartition(":")
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # no such home: the name stays as it is
        path = path.expanduser()
    return (_base.get() or Path()).joinpath(path).absolute(), name


def _read(field: str, reference: str, path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        expected = f"a Python file that can be read ({reason})"
        raise OptionError(field, reference, expected) from None
    expected = f"a file of at most {_MOST_BYTES:,} bytes"
    require(len(content) <= _MOST_BYTES, field, reference, expected)
    return content


def _module(field: str, reference: str, path: Path, sha256: str | None) -> ModuleType:
    """The file, run; of the digest ``sha256``, or any."""
    content = _read(field, reference, path)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None:
        expected = f"the file with SHA-256 {sha256[:12]}…, as it was then; it has changed"
        require(digest == sha256, field, reference, expected)
    if (path, digest) not in _modules:
        _modules[path, digest] = _run(field, reference, path, content, digest)
    return _modules[path, digest]


def _run(field: str, reference: str, path: Path, content: bytes, digest: str) -> ModuleType:
    # Dataclasses and pickles look a module up by its name.
    module = ModuleType(f"{path.stem}_{digest[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        # What was read is run, and never what Python may have kept of the file in __pycache__.
        exec(compile(content, str(path), "exec"), module.__dict__)
    except BaseException as error:
        del sys.modules[module.__name__]
        if isinstance(error, EdlError) or not isinstance(error, Exception | SystemExit):
            raise
        line = line_in_file(error, reference)
        what = f"{type(error).__name__}: {one_line(error)}"
        raise OptionError(field, reference, f"a file that runs ({what}{line})") from error
    return module


def _part(field: str, reference: str, name: str, module: ModuleType) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        public = [key for key, value in vars(module).items() if _is_part(key, value, module)]
        meant = did_you_mean(name, public)
        file = Path(str(module.__file__)).name
        expected = f"a name in {file}, which has {', '.join(public) or 'none'}{meant}"
        raise OptionError(field, reference, expected) from None


def line_in_file(error: BaseException, named: object) -> str:
    """Where ``error`` came up in the user's file of ``named``, as the end of a message."""
    if not is_own(named):
        return ""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    path = str(_split(str(named))[0])
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f", line {lines[-1]}" if lines else ""


def _is_part(name: str, value: object, module: ModuleType) -> bool:
    """Whether ``value`` may be a part: the file itself has made it, and it is not private."""
    imported = hasattr(value, "__name__") and getattr(value, "__module__", "") != module.__name__
    return not (name.startswith("_") or imported)


# --- what is recorded --------------------------------------------------------------------------


def digest(named: str, field: str) -> str:
    """SHA-256 of the file of a user's own part; empty for any other name."""
    found = source(named, field)
    return "" if found is None else found.sha256


def source(named: object, field: str = "file") -> Source | None:
    """Where a part comes from; None for one that the package knows by name.

    Args:
      named: a name, ``path/to/file.py:NAME``, or the part itself.
      field: the option, for errors.

    >>> source("CMA_ES") is None, source(is_own).name
    (True, 'edl_jax.parts:is_own')
    """
    if isinstance(named, str):
        if not is_own(named):
            return None
        pin = _pins.get().get(named)
        content = b"" if pin else _read(field, named, _split(named)[0])
        return Source(named, pin or hashlib.sha256(content).hexdigest())
    function: Any = named
    if not inspect.isroutine(named) and not isinstance(named, type | partial):
        # A part is a tuple or dataclass of functions: the first of them speaks for it.
        fields = list(named) if isinstance(named, tuple) else list(vars(named).values())
        function = next(filter(callable, fields), type(named))
    while isinstance(function, partial):
        function = function.func
    try:
        content = Path(inspect.getfile(function)).read_bytes()
    except (TypeError, OSError):  # of a notebook, or built in
        content = b""
    name = f"{function.__module__}:{function.__qualname__}"
    return Source(name, hashlib.sha256(content).hexdigest() if content else "")
