"""The one family of errors that a user's input can cause, and how their lines are made."""

import math
from collections.abc import Collection
from dataclasses import fields
from difflib import get_close_matches
from importlib.util import find_spec
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class EdlError(Exception):
    """An input that cannot be used; the message is one line that says what would be right."""


class OptionError(EdlError):
    """A configuration field has a value outside its range.

    Args:
      field: name of the configuration field, e.g. ``"population_size"``; in capitals the name of a
        positional argument.
      value: the value that was given.
      expected: what would be right, e.g. ``"a whole number of at least 2"``.

    >>> str(OptionError("population_size", 0, "a whole number of at least 2"))
    'population_size 0: expected a whole number of at least 2'
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        super().__init__(f"{field} {value}: expected {expected}")

    @property
    def as_option(self) -> str:
        """The same line with the field named as the command line names it."""
        if self.field.isupper():  # a positional argument, as the usage names it
            return str(self)
        return f"--{self.field.replace('_', '-')} {self.value}: expected {self.expected}"


# --- lines -------------------------------------------------------------------------------------


def one_line(error: BaseException) -> str:
    """The message of ``error`` in a line of at most 200 characters, or its type if there is none.

    >>> one_line(ValueError("no space\\n  left"))
    'no space left'
    """
    return " ".join(str(error).split())[:200] or type(error).__name__


def cannot(do: Literal["read", "write"], path: object, error: OSError) -> EdlError:
    """That ``path`` cannot be read or written, and what the system says of it.

    >>> str(cannot("read", "loss.npz", PermissionError(13, "Permission denied")))
    'cannot read loss.npz: Permission denied'
    """
    return EdlError(f"cannot {do} {path}: {error.strerror or error}")


def not_writable(field: str, directory: object, error: OSError) -> OptionError:
    """That the option ``field`` names a ``directory`` into which nothing can be written.

    >>> str(not_writable("output_dir", "runs", NotADirectoryError(20, "Not a directory")))
    'output_dir runs: expected a directory that can be written (Not a directory)'
    """
    return OptionError(field, directory, f"a directory that can be written ({error.strerror})")


# --- requirements ------------------------------------------------------------------------------


def require(condition: bool, field: str, value: object, expected: str) -> None:
    """Raise :class:`OptionError` unless ``condition`` holds."""
    if not condition:
        raise OptionError(field, value, expected)


def require_one_of(field: str, value: str, known: Collection[str]) -> None:
    """Raise :class:`OptionError` unless ``value`` is one of the names ``known``.

    >>> require_one_of("map", "logistics", ["tent", "logistic"])
    Traceback (most recent call last):
    edl_jax.errors.OptionError: map logistics: expected one of tent, logistic; \
did you mean logistic?
    """
    require(value in known, field, value, f"one of {', '.join(known)}{did_you_mean(value, known)}")


def did_you_mean(typed: str, known: Collection[str]) -> str:
    """The end of an error that suggests the nearest of the names ``known``, if one is near.

    >>> did_you_mean("fashion-mnist", ["mnist", "fashion_mnist"]), did_you_mean("x", ["mnist"])
    ('; did you mean fashion_mnist?', '')
    """
    near = get_close_matches(typed, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def plain_numbers(config: "DataclassInstance") -> None:
    """Make Python's numbers of other libraries' in the fields of ``config``, a frozen dataclass.

    So that they can be compared, and written as JSON. All else stays as it is.
    """
    for f in fields(config):
        object.__setattr__(config, f.name, _plain(getattr(config, f.name)))


def _plain(value: Any) -> Any:
    if type(value) is tuple:
        return tuple(map(_plain, value))
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def require_int(field: str, value: object, low: int, high: int | None = None) -> None:
    """Raise :class:`OptionError` unless ``value`` is a whole number from ``low`` to ``high``.

    >>> require_int("epochs", 0, 1)
    Traceback (most recent call last):
    edl_jax.errors.OptionError: epochs 0: expected a whole number of at least 1
    """
    bounds = f"of at least {low:,}" if high is None else f"from {low:,} to {high:,}"
    number = _plain(value)
    whole = isinstance(number, int) and not isinstance(number, bool)
    inside = whole and low <= number and (high is None or number <= high)
    require(inside, field, value, f"a whole number {bounds}")


def require_number(
    field: str, value: object, low: float, high: float = math.inf, *, ends: str = "[]"
) -> None:
    """Raise :class:`OptionError` unless ``value`` is a finite number between ``low`` and ``high``.

    Args:
      field: name of the configuration field.
      value: what was given.
      low: lower bound.
      high: upper bound.
      ends: which bounds belong to the range, as intervals are written: ``"[]"`` both, ``"[)"`` the
        lower one, ``"(]"`` the upper one.

    >>> require_number("momentum", 1, 0, 1, ends="[)")
    Traceback (most recent call last):
    edl_jax.errors.OptionError: momentum 1: expected a number of at least 0 and below 1
    """
    lower = f"above {low:g}" if ends[0] == "(" else f"of at least {low:g}"
    upper = f"below {high:g}" if ends[1] == ")" else f"at most {high:g}"
    bounds = lower if math.isinf(high) else f"{lower} and {upper}"
    bounds = f"from {low:g} to {high:g}" if ends == "[]" and math.isfinite(high) else bounds
    number = _plain(value)
    sound = isinstance(number, int | float) and not isinstance(number, bool)
    inside = sound and math.isfinite(number) and low <= number <= high
    at_open_end = (ends[0] == "(" and value == low) or (ends[1] == ")" and value == high)
    require(inside and not at_open_end, field, value, f"a number {bounds}")


def require_package(option: str, package: str, extra: str) -> None:
    """Raise :class:`EdlError` unless the optional ``package`` that ``option`` needs is there."""
    if find_spec(package) is None:
        raise EdlError(f'{option} needs the package {package}: pip install "edl_jax[{extra}]"')
