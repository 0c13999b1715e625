"""Run directories: one run each, one writer each, and a log from which a run can be resumed."""

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol, Self

from edl_jax.errors import EdlError, OptionError, cannot, not_writable, require
from edl_jax.files import Json, path_exists, read_json, write_json

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
MANIFEST, TENSORBOARD, REPORT = "checkpoint.json", "tensorboard", "report.html"
FRONT, CLASSIFIERS = "front.json", "classifiers"
SUSPECTS, SUSPECTS_TABLE, SUSPECTS_SHEET = "suspects.json", "suspects.csv", "suspects.png"
_PICTURES = ("convergence.png", "loss_shape.png", "learning_curves.png")
RESULTS = ("loss.npz", FRONT, REPORT, *_PICTURES, SUSPECTS, SUSPECTS_TABLE, SUSPECTS_SHEET)
WORKING_DIR, SOURCES = "working_dir", "sources"
_COMMANDS = ("pretrain", "transfer")
_NEW = "a directory that does not hold a run yet"
_OURS = "a directory that is empty, or holds a run of this program"
_RANDOM = "?" * 8  # how the names of temporary files end
_MAX_CONFIG_BYTES, _READ_AT_ONCE = 2**20, 2**20


def _remove_front(path: Path) -> None:
    """Remove the losses of a front, and what is empty then."""
    for loss in path.glob("front/*/loss.npz"):
        loss.unlink()
        with contextlib.suppress(OSError):
            loss.parent.rmdir()
    with contextlib.suppress(OSError):
        (path / "front").rmdir()


def stored_config(path: Path, command: str) -> Json:
    """The configuration that the run in directory ``path`` was started with.

    Raises:
      OptionError: there is no run of ``command`` in it.
      EdlError: its configuration cannot be read.
    """
    expected = f"a directory that holds a run of {command}"
    if not path_exists(path / CONFIG):
        raise OptionError("output_dir", path, expected)
    content = read_json(path / CONFIG, _MAX_CONFIG_BYTES)
    for name in (WORKING_DIR, SOURCES):
        content.pop(name, None)
    if content.pop("command", None) != command:
        raise OptionError("output_dir", path, expected)
    return content


def working_dir(path: Path) -> Path:
    """The directory in which the run in ``path`` was started: its relative paths begin there.

    The current one where the run does not say.

    Raises:
      EdlError: the run's configuration cannot be read.
    """
    said = read_json(path / CONFIG, _MAX_CONFIG_BYTES).get(WORKING_DIR)
    return Path(said) if isinstance(said, str) else Path()


def require_same_sources(path: Path, sources: Mapping[str, str]) -> None:
    """Raise :class:`OptionError` if a file of the user's has changed since the run began.

    Args:
      path: the run's directory.
      sources: digests now, by ``option FILE.py:NAME``.

    Raises:
      EdlError: the run's configuration cannot be read.
    """
    then = read_json(path / CONFIG, _MAX_CONFIG_BYTES).get(SOURCES)
    for name, digest in sources.items():
        option, _, reference = name.partition(" ")
        began = then.get(name) if isinstance(then, dict) else None
        expected = f"the file as it was when the run began, of SHA-256 {str(began)[:12]}…"
        require(digest == began, option, reference, expected)


class Listener(Protocol):
    """A listener, which is told of each row that a run logs."""

    def log(self, row: Mapping[str, object], /) -> None:
        """Take ``row``, the last of the run's log."""

    def close(self) -> None:
        """Finish with what was taken; a second call does nothing."""


class RunDirectory:
    """A directory that holds one run: ``config.json``, ``metrics.jsonl``, ``summary.json``.

    As long as it is open no other process can write the run. Leaving its ``with`` block closes it,
    and if an error ends the block before the first line of metrics, takes a new run away again.

    Args:
      path: where; created with its parents. ``None`` chooses ``runs/COMMAND-DATE-TIME``.
      command: short name of the command, e.g. ``"pretrain"``.
      config: the run's configuration, JSON-serialisable.
      resume: resume the run that the directory holds; see :meth:`rewind`.
      overwrite: a run that the directory holds is removed, files of other names stay.
      sources: digests of the user's own files that take part, see :func:`require_same_sources`.

    A directory that holds anything but a run of this program is refused, whatever the flags.

    Attributes:
      resumed: whether the directory's run is resumed.
      listeners: who else is told what is logged.

    Raises:
      OptionError: the directory cannot be written, is being written by another process, holds
        a run and neither flag is set, or holds something else.
      EdlError: the disk is full.
    """

    def __init__(
        self,
        path: str | Path | None,
        command: str,
        config: Mapping[str, object],
        *,
        resume: bool = False,
        overwrite: bool = False,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.path = (
            Path(path) if path else Path("runs") / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}"
        )
        self.resumed, self._command = resume, command
        self.listeners: list[Listener] = []
        self._start = time.perf_counter()
        self._size, self._digest = 0, hashlib.sha256()
        self._new = not _is_run(self.path)
        if self._new and not _is_empty(self.path):
            raise OptionError("output_dir", self.path, _OURS)
        if not self._new and not (resume or overwrite):
            raise OptionError("output_dir", self.path, f"{_NEW}, or --resume, or --overwrite")
        self._made = [p for p in (self.path, *self.path.parents) if not path_exists(p)]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._metrics = open(self.path / METRICS, "a+b", buffering=0)  # noqa: SIM115
            self._lock()
            self._sweep()
            if not resume:
                self._begin({**({SOURCES: dict(sources)} if sources else {}), **config}, overwrite)
        except OSError as error:
            self._leave_nothing()
            raise not_writable("output_dir", self.path, error) from error
        except EdlError:
            self._leave_nothing()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._metrics, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._new = False
            expected = "a directory into which no other process is writing a run"
            raise OptionError("output_dir", self.path, expected) from None

    def _sweep(self) -> None:
        """Remove what a writer that was killed could not."""
        for name in (CONFIG, MANIFEST, SUMMARY, *RESULTS):
            for path in self.path.glob(f".{name}.{_RANDOM}"):
                path.unlink()

    def _begin(self, config: Mapping[str, object], overwrite: bool) -> None:
        if path_exists(self.path / CONFIG) and not overwrite:  # made since it was looked for
            self._new = False
            raise OptionError("output_dir", self.path, _NEW)
        # The configuration goes last: what is left of a run that lacks its results can be resumed.
        for name in (MANIFEST, SUMMARY, *RESULTS):
            (self.path / name).unlink(missing_ok=True)
        for name in (TENSORBOARD, CLASSIFIERS):
            shutil.rmtree(self.path / name, ignore_errors=True)
        _remove_front(self.path)
        self._metrics.truncate(0)
        started = {"command": self._command, WORKING_DIR: os.getcwd()}
        write_json(self.path / CONFIG, {**started, **config})

    def _leave_nothing(self) -> None:
        """Close, and take away what was made for a new run."""
        with contextlib.suppress(OSError, AttributeError):
            self._metrics.close()
        if self._new:
            for name in (CONFIG, METRICS):
                with contextlib.suppress(OSError):
                    (self.path / name).unlink()
            for directory in self._made:
                with contextlib.suppress(OSError):
                    directory.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for listener in self.listeners:
            with contextlib.suppress(EdlError):  # finish() would have said so
                listener.close()
        begun = self._size > 0 or path_exists(self.path / MANIFEST)
        if kind is None or begun:
            self._metrics.close()
        else:
            self._leave_nothing()

    def log(self, **metrics: object) -> None:
        """Append one line to ``metrics.jsonl`` and flush it.

        Raises:
          EdlError: it cannot be written; the lines before it are whole.
        """
        line = (json.dumps(metrics) + "\n").encode()
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._metrics.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._metrics.truncate(self._size)
            raise self.cannot_write(self.path / METRICS, error) from error
        self._size += len(line)
        self._digest.update(line)
        for listener in self.listeners:
            listener.log(metrics)

    def cannot_write(self, path: Path, error: OSError) -> EdlError:
        """That ``path``, a file of this run, cannot be written, and how to resume the run then."""
        reason = cannot("write", path, error)
        return EdlError(f"{reason}; once there is room, resume with: {self.resume_command}")

    def history(self) -> Iterator[Json]:
        """The rows that were logged, a dictionary a line, read from the file."""
        with open(self.path / METRICS, "rb") as file:
            yield from map(json.loads, file)

    def position(self) -> Json:
        """Where the run stands, for :meth:`rewind`; what was logged so far is then on the disk."""
        os.fsync(self._metrics.fileno())
        return {
            "metrics_size": self._size,
            "metrics_sha256": self._digest.hexdigest(),
            "elapsed_s": self.elapsed,
        }

    def rewind(
        self, metrics_size: int = 0, metrics_sha256: str | None = None, elapsed_s: float = 0.0
    ) -> None:
        """Set a resumed run back to a :meth:`position`; to its beginning by default.

        Raises:
          EdlError: ``metrics.jsonl`` is not as it was there.
        """
        path, digest, missing = self.path / METRICS, hashlib.sha256(), metrics_size
        self._metrics.seek(0)
        while missing > 0:
            content = self._metrics.read(min(missing, _READ_AT_ONCE))
            if not content:
                raise EdlError(f"{path}: shorter than at its checkpoint")
            digest.update(content)
            missing -= len(content)
        if metrics_size and digest.hexdigest() != metrics_sha256:
            raise EdlError(f"{path}: checksum does not match that of its checkpoint")
        self._metrics.truncate(metrics_size)
        self._size, self._digest = metrics_size, digest
        self._start = time.perf_counter() - elapsed_s

    def finish(self, environment: Mapping[str, object], /, **summary: object) -> Json:
        """Write ``summary.json`` with the wall time, and return it.

        Args:
          environment: what the run was made with, see :mod:`edl_jax.runs.environment`.
          summary: the run's results, JSON-serialisable.

        Raises:
          EdlError: it cannot be written, or a listener cannot finish.
        """
        for listener in self.listeners:
            listener.close()
        content = {**summary, "wall_time_s": self.elapsed, "environment": dict(environment)}
        write_json(self.path / SUMMARY, content)
        self._metrics.close()
        return content

    @property
    def elapsed(self) -> float:
        """Seconds of work on the run, up to the checkpoint that it was resumed from and since."""
        return time.perf_counter() - self._start

    @property
    def resume_command(self) -> str:
        """The command line that resumes the run."""
        path = shlex.quote(str(self.path))
        return f"python -m edl_jax.{self._command} --resume --output-dir {path}"

    @property
    def report_command(self) -> str:
        """The command line that makes a page about the finished run."""
        return f"python -m edl_jax.report {shlex.quote(str(self.path))}"


def _is_run(path: Path) -> bool:
    try:
        return read_json(path / CONFIG, _MAX_CONFIG_BYTES).get("command") in _COMMANDS
    except EdlError:
        return False


def _is_empty(path: Path) -> bool:
    """Whether nothing is in the directory ``path`` but what a run killed as it began may leave."""
    try:
        names = [found.name for found in path.iterdir() if found.name != METRICS or _size(found)]
    except PermissionError:
        return False
    except OSError:  # there is none, or what is there will not be written either
        return True
    return all(fnmatch(name, f".{CONFIG}.{_RANDOM}") for name in names)


def _size(path: Path) -> int:
    return path.lstat().st_size


def is_finished(path: Path) -> bool:
    """Whether the directory ``path`` holds a run that has come to its end."""
    return path_exists(path / CONFIG) and path_exists(path / SUMMARY)
