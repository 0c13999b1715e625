"""A results file that grows cell by cell: rows and a ``meta`` block, written atomically."""

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edl_jax.files import atomic_write

RESULTS = Path(__file__).parent.parent / "results"

Row = dict[str, Any]


def results_path(benchmark: str, output: Path | None, quick: bool) -> Path:
    """Where a benchmark writes.

    Args:
      benchmark: its name, e.g. ``"throughput"``.
      output: what the user asked for.
      quick: whether the run is a quick one, which must not replace the committed results.
    """
    default = Path("runs") / f"{benchmark}_quick.json" if quick else RESULTS / f"{benchmark}.json"
    return output or default


def committed(benchmark: str) -> dict[str, Any]:
    """The content of a benchmark's committed results file."""
    return read_results(RESULTS / f"{benchmark}.json")


def read_results(path: Path) -> dict[str, Any]:
    """The content of a results file."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


class ResultsFile:
    """Rows of one benchmark, kept on disk so that a run that was cut off can be resumed.

    Several processes may fill one file: adding a row first takes up what the others have added.
    Each row names the commit of the code that made it; ``meta`` is that of the last run.

    Args:
      path: the JSON file; read if it exists.
      key: fields that identify a cell.
    """

    def __init__(self, path: Path, key: tuple[str, ...]) -> None:
        self.path, self.key = path, key
        self.read()

    def read(self) -> None:
        """Take up what is on disk."""
        self.rows: list[Row] = read_results(self.path)["rows"] if self.path.exists() else []
        self._index = {self._key_of(row): row for row in self.rows}

    def _key_of(self, row: Mapping[str, Any]) -> tuple[object, ...]:
        return tuple(row[field] for field in self.key)

    def find(self, cell: Mapping[str, Any]) -> Row | None:
        """The row of this cell, or None where it has not been run."""
        return self._index.get(self._key_of(cell))

    def add(self, row: Row) -> None:
        """Add the row of a cell and write the file."""
        self.add_all([row])

    def add_all(self, rows: Sequence[Row]) -> None:
        """Add the rows of several cells and write the file once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(self.path.parent):
            self.read()
            for row in rows:
                self._index[self._key_of(row)] = {**row, "commit": COMMIT}
            self.rows = list(self._index.values())
            write_rows(self.path, meta(), self.rows)


def write_rows(
    path: Path, meta: Mapping[str, Any], rows: Sequence[Row], **more: Sequence[Row]
) -> None:
    """Write a results file, a row a line; ``more`` are other lists of rows by their names."""
    text = f'{{"meta": {json.dumps(meta, indent=1)}'
    for name, each in {"rows": rows, **more}.items():
        lines = ",\n".join(json.dumps(row) for row in each)
        text += f',\n"{name}": [\n{lines}\n]'
    with atomic_write(path) as file:
        file.write(f"{text}}}\n".encode())


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Wait until no other process writes results into ``directory``."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _commit() -> str | None:
    try:
        git = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git on this machine
        return None
    return git.stdout.strip() or None


# That of the code that runs, whatever is committed meanwhile.
COMMIT = _commit()


def meta() -> dict[str, Any]:
    """Command, commit, versions and machine of this run."""
    # Workers import this module before they divide the processors, which JAX must not precede.
    from edl_jax.runs.environment import environment  # noqa: PLC0415

    program, args = Path(sys.argv[0]), sys.argv[1:]
    module = program.parent.name if program.stem == "__main__" else program.stem
    for option in ("--data-dir", "--output"):  # where files lie is not part of the result
        if option in args:
            at = args.index(option)
            args = args[:at] + args[at + 2 :]
    return {
        "command": " ".join(["python", "-m", f"benchmarks.{module}", *args]),
        "commit": COMMIT,
        "environment": environment(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
