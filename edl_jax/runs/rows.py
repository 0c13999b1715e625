"""Results of finished runs as tidy rows: a list of dicts, which pandas takes as it is."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edl_jax.errors import EdlError
from edl_jax.files import Json, path_exists, read_json, user_path
from edl_jax.runs.directory import CONFIG, SUMMARY, WORKING_DIR

_MOST_CONFIG_BYTES, _MOST_SUMMARY_BYTES = 2**20, 64 * 2**20
# Of a comparison, what its rows say themselves or what they are made of.
_NOT_OF_A_ROW = ("environment", "rows", "paired_differences", "seeds")


def read_runs(paths: str | Path | Iterable[str | Path]) -> list[Json]:
    """One row for each search, and one for each loss and seed of a comparison.

    A row has ``run`` (the directory), ``command``, every option under its name on the command line
    (``"objective.rehearsal"``), the SHA-256 of each file of the user's own (``"sources.strategy
    mine.py:NAME"``), and what was measured (``"held_out_discordance"``, ``"test_accuracy"``,
    ``"gains.short_noisy"``).

    Args:
      paths: run directories, or directories in which, at any depth, there are some; those of runs
        that are not finished are left out. One path stands for itself.

    Raises:
      EdlError: a path is not a directory, holds no finished run, or a file in it is damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     read_runs(directory)
    Traceback (most recent call last):
    ...
    edl_jax.errors.EdlError: ...: expected a directory that holds finished runs
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found: dict[Path, None] = {}
    for path in map(user_path, given):
        runs = sorted(summary.parent for summary in path.rglob(SUMMARY))
        runs = [run for run in runs if path_exists(run / CONFIG)]
        if not runs:
            raise EdlError(f"{path}: expected a directory that holds finished runs")
        found |= dict.fromkeys(runs)
    return [row for run in found for row in _rows(run)]


def _rows(run: Path) -> Iterator[Json]:
    config = read_json(run / CONFIG, _MOST_CONFIG_BYTES)
    summary = read_json(run / SUMMARY, _MOST_SUMMARY_BYTES)
    config.pop(WORKING_DIR, None)
    common = {"run": str(run), **_flat(config)}
    figures = {name: value for name, value in summary.items() if name not in _NOT_OF_A_ROW}
    rows = summary.get("rows")
    if rows is None:
        yield {**common, **_flat(figures)}
        return
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise EdlError(f"{run / SUMMARY}: damaged, expected a list of rows")
    for name in ("loss", "seeds"):
        common.pop(name, None)
    for row in rows:
        yield {**common, **_flat(figures), **row}


def _flat(content: Json, prefix: str = "") -> Json:
    """Nested options under dotted names; a list becomes a tuple, so that rows can be grouped."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = tuple(value) if isinstance(value, list) else value
    return flat
