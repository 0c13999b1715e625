"""The one family of errors that a user's input can cause."""

from importlib.util import find_spec
from typing import Any


class EdlError(Exception):
    """What was given cannot be used; the message is one line that says what would be right."""


class OptionError(EdlError):
    """A configuration field has a value outside its range.

    Args:
      field: name of the configuration field, e.g. ``"population_size"``.
      value: the value that was given.
      expected: what would be right, e.g. ``"a whole number of at least 2"``.

    >>> str(OptionError("population_size", 0, "a whole number of at least 2"))
    'population_size 0: expected a whole number of at least 2'
    """

    def __init__(self, field: str, value: Any, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        super().__init__(f"{field} {value}: expected {expected}")

    @property
    def as_option(self) -> str:
        """The same line with the field named as the command line names it."""
        return f"--{self.field.replace('_', '-')} {self.value}: expected {self.expected}"


def require(condition: bool, field: str, value: Any, expected: str) -> None:
    """Raise :class:`OptionError` unless ``condition`` holds."""
    if not condition:
        raise OptionError(field, value, expected)


def require_one_of(field: str, value: str, known: Any) -> None:
    """Raise :class:`OptionError` unless ``value`` is one of the names ``known``."""
    require(value in known, field, value, "one of " + ", ".join(known))


def require_package(option: str, package: str, extra: str) -> None:
    """Raise :class:`EdlError` unless the optional ``package`` that ``option`` needs is there."""
    if find_spec(package) is None:
        raise EdlError(f'{option} needs the package {package}: pip install "edl_jax[{extra}]"')
