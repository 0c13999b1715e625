"""Runs one after another, of which those that were finished before a stop are not made again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax

from edl_jax.losses.base import Loss
from edl_jax.training.config import TrainConfig
from edl_jax.training.data import Dataset
from edl_jax.training.loop import EpochRow, Midway, TrainResult, train
from edl_jax.training.network import Model

Name: TypeAlias = Mapping[str, Any]
"""The name of a run, e.g. its loss and its seed; part of each of its rows."""


class Session:
    """Runs one after another.

    Args:
      history: rows that an earlier session had when it was stopped. Those of a run that was not
        finished belong to ``restore``; without it they are dropped, and that run starts again.
      on_start: called with a run's name before it is trained.
      on_progress: called with a run's name and what ``on_progress`` of
        :func:`edl_jax.training.loop.train` is called with.
      restore, on_midway, devices, model: of each run, as for :func:`edl_jax.training.loop.train`.

    Attributes:
      history: a row an epoch, each with the name of its run.
    """

    def __init__(
        self,
        history: Sequence[Mapping[str, Any]] = (),
        *,
        on_start: Callable[[Name], None] | None = None,
        on_progress: Callable[[Name, int, EpochRow | None], None] | None = None,
        restore: Callable[[Midway], Midway | None] | None = None,
        on_midway: Callable[[Midway], None] | None = None,
        devices: Sequence[jax.Device] | None = None,
        model: Model | None = None,
    ) -> None:
        self.history: list[Any] = list(history)
        self._on_start, self._on_progress = on_start, on_progress
        self._restore, self._on_midway = restore, on_midway
        self._devices, self._model = devices, model

    def last(self, name: Name) -> EpochRow | None:
        """The last row of a run, if there is one."""
        own = (row for row in reversed(self.history) if name.items() <= row.items())
        return next(own, None)

    def is_done(self, name: Name, epochs: int) -> bool:
        """Whether a run of so many epochs is finished, or has diverged."""
        row = self.last(name)
        return row is not None and (row["epoch"] == epochs or row["train_loss"] is None)

    def train(
        self, name: Name, dataset: Dataset, loss: Loss, config: TrainConfig, seed: int
    ) -> TrainResult | None:
        """Make a run that is not done yet; None for one that is.

        Args:
          name: of the run.
          dataset, loss, config, seed: as for :func:`edl_jax.training.loop.train`.
        """
        if self.is_done(name, config.epochs):
            return None
        if self._restore is None:
            self.history = [row for row in self.history if not name.items() <= row.items()]

        def take(images: int, row: EpochRow | None) -> None:
            if row is not None:
                self.history.append({**name, **row})
            if self._on_progress is not None:
                self._on_progress(name, images, row)

        if self._on_start is not None:
            self._on_start(name)
        return train(
            dataset,
            loss,
            config,
            seed,
            take,
            restore=self._restore or (lambda start: None),
            on_midway=self._on_midway,
            devices=self._devices,
            model=self._model,
        )
