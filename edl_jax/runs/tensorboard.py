"""TensorBoard event files of a run, written without TensorFlow.

They say what ``metrics.jsonl`` says, no more and no less: a run that is taken up again has them
written anew from its log, so that no step is missing or there twice.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edl_jax.errors import EdlError, require_package
from edl_jax.runs.directory import TENSORBOARD, RunDirectory

FLUSH_EVERY_S = 5.0


def attach(run: RunDirectory, wanted: bool, step: str, series: tuple[str, ...] = ()) -> None:
    """Let ``run`` write event files into its directory ``tensorboard``.

    Args:
      run: the run; one that is taken up again and has event files goes on with them, whatever
        ``wanted``.
      wanted: whether to write any.
      step: which entry of a logged row counts the steps; its other numbers become scalars.
      series: entries that tell one curve from another; each combination of their values is a run
        of its own in TensorBoard.

    Raises:
      EdlError: tensorboardX is not installed.
    """
    if wanted or (run.resumed and (run.path / TENSORBOARD).exists()):
        require_package("--tensorboard", "tensorboardX", "tensorboard")
        run.listeners.append(EventFiles(run, step, series))


class EventFiles:
    """What :func:`attach` attaches: see there.

    Events are written where they are logged: a thread, which tensorboardX's ``SummaryWriter`` has
    for it, could not end the run in one line when the disk is full.
    """

    def __init__(self, run: RunDirectory, step: str, series: tuple[str, ...]) -> None:
        self._run, self._step, self._series = run, step, series
        self._root = run.path / TENSORBOARD
        self._writers: dict[Path, Any] = {}
        self._flushed: float | None = None

    def log(self, row: Mapping[str, Any]) -> None:
        """Write ``row``, which is the last of the run's log.

        Raises:
          EdlError: a file cannot be written.
        """
        try:
            if self._flushed is None:
                shutil.rmtree(self._root, ignore_errors=True)
                for logged in self._run.history():
                    self._write(logged)
                self._flushed = 0.0
            else:
                self._write(row)
            if time.monotonic() - self._flushed > FLUSH_EVERY_S:
                for writer in self._writers.values():
                    writer.flush()
                self._flushed = time.monotonic()
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Close the files, once.

        Raises:
          EdlError: what was logged last cannot be written.
        """
        try:
            while self._writers:
                self._writers.popitem()[1].close()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _write(self, row: Mapping[str, Any]) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        directory = self._root.joinpath(*(quote(f"{n}={row[n]}", "=") for n in self._series))
        if directory not in self._writers:
            directory.mkdir(parents=True)
            self._writers[directory] = EventsWriter(str(directory / "events"))
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name not in (self._step, *self._series) and isinstance(value, int | float)
        ]
        event = Event(wall_time=time.time(), step=row[self._step], summary=Summary(value=values))
        self._writers[directory].write_event(event)

    def _cannot_write(self, error: OSError) -> EdlError:
        return EdlError(
            f"cannot write {self._root}: {error.strerror or error}; once there is room, go on "
            f"with: {self._run.resume_command}"
        )
