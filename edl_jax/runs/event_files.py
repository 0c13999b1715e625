"""TensorBoard event files of a run, written without TensorFlow.

They say what ``metrics.jsonl`` says, no more and no less: a resumed run has them written again from
its log, so that no step is missing or there twice.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from edl_jax.runs.directory import TENSORBOARD, RunDirectory

FLUSH_EVERY_S = 5.0


class EventFiles:
    """A listener of ``run``, attached by :func:`edl_jax.runs.tensorboard.attach`: see there.

    Events are written where they are logged: a thread, which tensorboardX's ``SummaryWriter`` has
    for it, could not end the run in one line when the disk is full.
    """

    def __init__(self, run: RunDirectory, step: str, series: tuple[str, ...]) -> None:
        self._run, self._step, self._series = run, step, series
        self._root = run.path / TENSORBOARD
        self._writers: dict[Path, EventsWriter] = {}
        self._flushed: float | None = None

    def log(self, row: Mapping[str, object]) -> None:
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
            raise self._run.cannot_write(self._root, error) from error

    def close(self) -> None:
        """Close the files, once.

        Raises:
          EdlError: what was logged last cannot be written.
        """
        try:
            while self._writers:
                self._writers.popitem()[1].close()
        except OSError as error:
            raise self._run.cannot_write(self._root, error) from error

    def _write(self, row: Mapping[str, object]) -> None:
        curve = (quote(f"{name}={row[name]}", "=") for name in self._series if name in row)
        directory = self._root.joinpath(*curve)
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
