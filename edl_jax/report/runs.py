"""What a report is about: finished runs, read from their directories and checked on the way."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edl_jax import cli, pretrain, transfer
from edl_jax.errors import EdlError
from edl_jax.files import path_exists, read_json
from edl_jax.runs.directory import CONFIG, METRICS, SUMMARY

Row = dict[str, Any]
_MOST_BYTES, _MOST_SUMMARY_BYTES = 2**20, 64 * 2**20
_FIGURES = ("held_out_discordance", "held_out_tau", "scale", "wall_time_s")
_MEASURED = ("test_accuracy", "nll", "ece")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      path: its directory.
      name: what the report calls it: the directory's name, or the path where two have the same.
      command: ``"pretrain"`` or ``"transfer"``.
      config: its :class:`edl_jax.search.presets.PretrainConfig` or
        :class:`edl_jax.transfer.TransferConfig`.
      history: rows of ``metrics.jsonl``, those of a long search thinned; a number that is not
        finite is ``None``.
      summary: what ``summary.json`` holds.
    """

    path: Path
    name: str
    command: str
    config: Any
    history: tuple[Row, ...]
    summary: Mapping[str, Any]

    @property
    def defaults(self) -> dict[str, Any]:
        """What the run would have recorded without an option, but for its preset."""
        if self.command == "pretrain":
            return pretrain.PRESETS[self.config.preset].recorded()
        return transfer.TransferConfig().recorded()


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read finished runs of ``pretrain`` and ``transfer``.

    Raises:
      EdlError: a directory is given twice or holds no finished run, or a file in it is damaged.
    """
    runs = [_read(path) for path in paths]
    resolved = [run.path.resolve() for run in runs]
    for path, where in zip(paths, resolved, strict=True):
        if resolved.count(where) > 1:
            raise EdlError(f"{path}: expected each run directory once")
    names = [where.name for where in resolved]
    return [
        Run(
            run.path,
            name if name and names.count(name) == 1 else str(run.path),
            run.command,
            run.config,
            run.history,
            run.summary,
        )
        for run, name in zip(runs, names, strict=True)
    ]


def _read(path: Path) -> Run:
    if not path_exists(path / CONFIG):
        raise EdlError(f"{path}: expected a run directory of pretrain or transfer, with {CONFIG}")
    content = read_json(path / CONFIG, _MOST_BYTES)
    command = content.pop("command", None)
    kind: Any
    if command == "pretrain":
        kind, prog = pretrain.PretrainConfig, pretrain.PROG
    elif command == "transfer":
        kind, prog = transfer.TransferConfig, transfer.PROG
    else:
        raise EdlError(f"{path / CONFIG}: expected a run of pretrain or transfer")
    config = cli.recorded_config(kind, content, prog, path / CONFIG)
    if not path_exists(path / SUMMARY):
        raise EdlError(f"{path}: expected a finished run, with {SUMMARY}")
    summary = read_json(path / SUMMARY, _MOST_SUMMARY_BYTES)
    _check_summary(path / SUMMARY, summary, config)
    return Run(path, "", command, config, _history(path / METRICS, config), summary)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_summary(path: Path, summary: Row, config: Any) -> None:
    """Check what the report takes from a summary."""
    search = isinstance(config, pretrain.PretrainConfig)
    for name in _FIGURES if search else ("wall_time_s",):
        if not _is_number(summary.get(name)):
            raise EdlError(f"{path}: expected a number {name}")
    if not isinstance(summary.get("environment"), dict):
        raise EdlError(f"{path}: expected the environment")
    if search:
        return
    rows = summary.get("rows")
    rows = rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []
    done = [(row.get("loss"), row.get("seed")) for row in rows]
    if done != list(itertools.product(config.loss, config.seeds)):
        raise EdlError(f"{path}: expected a row for each loss and seed")
    for row in rows:
        for name in _MEASURED:
            if not (row.get(name, "") is None or _is_number(row.get(name))):
                raise EdlError(f"{path}: expected a number or null {name} in each row")


def _history(path: Path, config: Any) -> tuple[Row, ...]:
    if not path.is_file():
        raise EdlError(f"{path}: missing; expected the metrics of the run")
    rows = _rows(path, config)
    if isinstance(config, pretrain.PretrainConfig):
        rows = pretrain.thinned(rows, config.num_generations)
    try:
        history = tuple(rows)
    except OSError as error:
        raise EdlError(f"cannot read {path}: {error.strerror or error}") from None
    if not history:
        raise EdlError(f"{path}: expected a line at least")
    return history


def _rows(path: Path, config: Any) -> Iterator[Row]:
    search = isinstance(config, pretrain.PretrainConfig)
    count, most = ("generation", config.num_generations) if search else ("epoch", config.epochs)
    present = ("best_fitness", "mean_fitness") if search else ("train_accuracy",)
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise EdlError(f"{where}: damaged, not JSON") from None
            if not isinstance(row, dict):
                raise EdlError(f"{where}: not a JSON object")
            if not (type(row.get(count)) is int and 1 <= row[count] <= most):
                raise EdlError(f"{where}: expected {count}, a whole number from 1 to {most}")
            if not search and not (
                row.get("loss") in config.loss and row.get("seed") in config.seeds
            ):
                raise EdlError(f"{where}: expected a loss and a seed of the run")
            for name in present:
                if name not in row:
                    raise EdlError(f"{where}: expected {name}")
            yield {name: _checked(name, value, where) for name, value in row.items()}


def _checked(name: str, value: Any, where: str) -> Any:
    """The value of a row: a finite number, or None for one that is not finite."""
    if value is None or name in ("loss", "generation", "epoch", "seed"):
        return value
    if not _is_number(value):
        raise EdlError(f"{where}: expected a number or null for {name}")
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
