"""The subject of a report: finished runs, read from their directories and checked on the way."""

import itertools
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeGuard

from edl_jax import cli, pretrain, transfer
from edl_jax.errors import EdlError, cannot
from edl_jax.files import Json, distinct_names, path_exists, read_json
from edl_jax.runs.directory import (
    CONFIG,
    FRONT,
    METRICS,
    SOURCES,
    SUMMARY,
    SUSPECTS,
    SUSPECTS_SHEET,
    WORKING_DIR,
)
from edl_jax.runs.history import Row, thinned
from edl_jax.search.presets import PRESETS, PretrainConfig
from edl_jax.transfer import TransferConfig

_MOST_BYTES, _MOST_SUMMARY_BYTES = 2**20, 64 * 2**20
_FIGURES = ("held_out_discordance", "held_out_tau", "scale", "wall_time_s")
_MEASURED = ("learning_rate", "test_accuracy", "nll", "ece")


@dataclass(frozen=True)
class _Finished:
    """A finished run.

    Attributes:
      path: its directory.
      name: what the report calls it: the directory's name, and where two have the same also those
        above it that tell them apart.
      history: rows of ``metrics.jsonl``, those of a long search thinned; a number that is not
        finite is ``None``.
      summary: what ``summary.json`` holds.
    """

    path: Path
    name: str
    history: tuple[Row, ...]
    summary: Json


@dataclass(frozen=True)
class PretrainRun(_Finished):
    """A finished search, its configuration, and the gains of the losses on its front."""

    command: ClassVar[str] = "pretrain"
    config: PretrainConfig
    front: tuple[dict[str, float], ...] = ()

    @property
    def defaults(self) -> Json:
        """The options that its preset alone would have recorded."""
        return PRESETS[self.config.preset].recorded()


@dataclass(frozen=True)
class SuspectLabels:
    """The result of ``python -m edl_jax.suspects`` on a run.

    Attributes:
      figures: what ``suspects.json`` holds.
      sheet: the contact sheet, a PNG file; empty where there is none.
    """

    figures: Json
    sheet: bytes


@dataclass(frozen=True)
class TransferRun(_Finished):
    """A finished comparison of losses, its configuration, and its suspect labels, if ranked."""

    command: ClassVar[str] = "transfer"
    config: TransferConfig
    suspects: SuspectLabels | None = None

    @property
    def defaults(self) -> Json:
        """The options that it would have recorded by default."""
        return TransferConfig().recorded()


Run = PretrainRun | TransferRun


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
    names = distinct_names(resolved)
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _read(path: Path) -> Run:
    if not path_exists(path / CONFIG):
        raise EdlError(f"{path}: expected a run directory of pretrain or transfer, with {CONFIG}")
    content = read_json(path / CONFIG, _MOST_BYTES)
    for name in (WORKING_DIR, SOURCES):
        content.pop(name, None)
    command = content.pop("command", None)
    if command == "pretrain":
        return _read_search(path, content)
    if command == "transfer":
        return _read_comparison(path, content)
    raise EdlError(f"{path / CONFIG}: expected a run of pretrain or transfer")


def _read_search(path: Path, content: Json) -> PretrainRun:
    config = cli.recorded_config(PretrainConfig, content, pretrain.PROG, path / CONFIG)
    summary = _read_summary(path, _FIGURES)
    fitness = ("best_fitness", "mean_fitness")
    rows = _rows(path / METRICS, "generation", config.num_generations, fitness)
    history = _whole(path / METRICS, thinned(rows, config.num_generations))
    return PretrainRun(path, path.name, history, summary, config, _front(path / FRONT, config))


def _front(path: Path, config: PretrainConfig) -> tuple[dict[str, float], ...]:
    if not path_exists(path):
        return ()
    found = []
    regimes = config.rehearsal.regimes
    for row in read_json(path, _MOST_BYTES).get("losses", ()):
        gains = row.get("gains") if isinstance(row, dict) else None
        if not isinstance(gains, dict) or not all(_is_finite(gains.get(name)) for name in regimes):
            raise EdlError(f"{path}: damaged, a loss lacks its gain in some regime")
        found.append({name: float(gains[name]) for name in regimes})
    return tuple(found)


def _read_comparison(path: Path, content: Json) -> TransferRun:
    config = cli.recorded_config(TransferConfig, content, transfer.PROG, path / CONFIG)
    summary = _read_summary(path, ("wall_time_s",))
    _check_results(path / SUMMARY, summary.get("rows"), config)
    known = {"loss": config.loss, "seed": config.seeds}
    present = ("train_accuracy",)
    rows = _rows(path / METRICS, "epoch", config.epochs, present, known, "tuning_rate")
    history = _whole(path / METRICS, rows)
    return TransferRun(path, path.name, history, summary, config, _suspects(path))


def _suspects(path: Path) -> SuspectLabels | None:
    if not path_exists(path / SUSPECTS):
        return None
    figures = read_json(path / SUSPECTS, _MOST_BYTES)
    for name in ("num_examples", "num_suspects", "noise_rate"):
        if not _is_number(figures.get(name)):
            raise EdlError(f"{path / SUSPECTS}: expected a number {name}")
    sheet = path / SUSPECTS_SHEET
    if not path_exists(sheet):
        return SuspectLabels(figures, b"")
    try:
        with open(sheet, "rb") as file:
            content = file.read(_MOST_SUMMARY_BYTES)
    except OSError as error:
        raise cannot("read", sheet, error) from None
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise EdlError(f"{sheet}: damaged, not a PNG file")
    return SuspectLabels(figures, content)


# --- the summary -------------------------------------------------------------------------------


def _read_summary(directory: Path, figures: Iterable[str]) -> Json:
    path = directory / SUMMARY
    if not path_exists(path):
        raise EdlError(f"{directory}: expected a finished run, with {SUMMARY}")
    summary = read_json(path, _MOST_SUMMARY_BYTES)
    for name in figures:
        if not _is_number(summary.get(name)):
            raise EdlError(f"{path}: expected a number {name}")
    if not isinstance(summary.get("environment"), dict):
        raise EdlError(f"{path}: expected the environment")
    return summary


def _check_results(path: Path, rows: object, config: TransferConfig) -> None:
    rows = rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []
    done = [(row.get("loss"), row.get("seed")) for row in rows]
    if done != list(itertools.product(config.loss, config.seeds)):
        raise EdlError(f"{path}: expected a row for each loss and seed")
    for row in rows:
        for name in _MEASURED:
            if not (row.get(name, "") is None or _is_number(row.get(name))):
                raise EdlError(f"{path}: expected a number or null {name} in each row")


# --- the history -------------------------------------------------------------------------------


def _whole(path: Path, rows: Iterable[Row]) -> tuple[Row, ...]:
    if not path.is_file():
        raise EdlError(f"{path}: missing; expected the metrics of the run")
    try:
        history = tuple(rows)
    except OSError as error:
        raise cannot("read", path, error) from None
    if not history:
        raise EdlError(f"{path}: expected a line at least")
    return history


def _rows(
    path: Path,
    count: str,
    most: int,
    present: Sequence[str],
    known: Mapping[str, Collection[object]] | None = None,
    passed_over: str | None = None,
) -> Iterator[Row]:
    """The lines of ``metrics.jsonl``, checked.

    Args:
      path: the file.
      count: name of the number that counts the lines of a run, from 1 to ``most``.
      most: its largest value.
      present: names that each line has.
      known: the values that a name can have, e.g. the losses and seeds of the run.
      passed_over: a name; lines that have it are of another kind.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise EdlError(f"{where}: damaged, not JSON") from None
            if not isinstance(row, dict):
                raise EdlError(f"{where}: not a JSON object")
            if passed_over in row:
                continue
            if not (type(row.get(count)) is int and 1 <= row[count] <= most):
                raise EdlError(f"{where}: expected {count}, a whole number from 1 to {most}")
            if any(row.get(name) not in values for name, values in (known or {}).items()):
                raise EdlError(f"{where}: expected a loss and a seed of the run")
            for name in present:
                if name not in row:
                    raise EdlError(f"{where}: expected {name}")
            yield {name: _checked(name, value, where) for name, value in row.items()}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: object) -> TypeGuard[float]:
    return _is_number(value) and math.isfinite(value)


def _checked(name: str, value: object, where: str) -> object:
    """The value of a row: a finite number, or None for one that is not finite."""
    if value is None or name in ("loss", "generation", "epoch", "seed"):
        return value
    if not _is_number(value):
        raise EdlError(f"{where}: expected a number or null for {name}")
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
