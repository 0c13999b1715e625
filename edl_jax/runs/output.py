"""Output of the commands: to streams that cannot end a run, and all of it as it is.

Lines are printed as they are; tables and progress bars come from here, so that rich reads nothing
that a user named as its markup, and cuts no figure.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from edl_jax.errors import one_line

_ANY_WIDTH = 100_000


def _console() -> Console:
    """Where rich prints: nothing is read as markup, and no line is cut where nobody looks on."""
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _ANY_WIDTH
    return console


def show(table: Table) -> None:
    """Print ``table``, all of every cell: folded in a terminal, else as wide as it is."""
    for column in table.columns:
        column.overflow = "fold"
    _console().print(table)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> str:
        rate = task.finished_speed or task.speed
        return "" if rate is None else f"{rate:,.0f} {self._unit}"


def progress_bar(unit: str) -> Progress:
    """A rich progress bar with a description, a rate in ``unit``, and the time left.

    It takes one line: where that is too short, the description is.
    """
    columns = (BarColumn(10), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn())
    shortened = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    text = TextColumn("{task.description}", markup=False, table_column=shortened)
    return Progress(*columns, text, console=_console())


# --- streams -----------------------------------------------------------------------------------


class _Steady:
    """A stream whose writer need not know that nobody reads it, or in which encoding.

    Attributes:
      error: why nothing can be written any more, or None.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = io.StringIO() if stream is None else stream  # None is one that was closed
        self.error: OSError | None = None
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write ``text``, or drop it."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what is held back, or drop it."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _try(self, do: Callable[[], object]) -> None:
        if self.error is not None:
            return
        try:
            do()
        except OSError as error:
            self.error = error
            # What is still held back must go somewhere when Python ends.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), self._stream.fileno())


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Let nothing that is printed in the block end it: closed pipes and streams, any encoding.

    What cannot be encoded is written with backslashes.

    Raises:
      SystemExit: stdout is a pipe that was closed; the status is 141, as of a program that SIGPIPE
        ends. Or it could not be written for another reason, which one line on stderr says; then
        it is 2.
    """
    # A file of ours must not get the number of a standard stream that was closed.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    out, err = _Steady(sys.stdout), _Steady(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        except SystemExit as stop:
            if stop.code:
                raise
        finally:
            out.flush()
        if isinstance(out.error, BrokenPipeError):
            sys.exit(128 + signal.SIGPIPE)
        if out.error is not None:
            print(f"error: cannot write to stdout: {one_line(out.error)}", file=err)
            sys.exit(2)
