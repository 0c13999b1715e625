"""Losses compared by what they train: runs paired by seed, and their paired differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypedDict, get_args

import jax

from edl_jax import statistics
from edl_jax.errors import require, require_int
from edl_jax.losses.base import Loss
from edl_jax.losses.loading import require_loss
from edl_jax.training.config import TrainConfig, TrainOptions, require_seeds
from edl_jax.training.data import Dataset
from edl_jax.training.loop import EpochRow, Midway, TrainResult
from edl_jax.training.network import Model, name_of, network
from edl_jax.training.noise import Noise, name_of_noise, require_kind
from edl_jax.training.pixels import resolve_augmentation
from edl_jax.training.session import Session
from edl_jax.training.subsets import for_seed

Metric = Literal["test_accuracy", "nll", "ece"]
METRICS: tuple[Metric, ...] = get_args(Metric)
MIN_SEEDS = statistics.MIN_PAIRS


class RunEpoch(EpochRow):
    """An epoch of one of several runs."""

    loss: str
    seed: int


class Row(TypedDict):
    """One run: its setting, and its figures on the test examples; ``None`` is not finite."""

    dataset: str
    model: str
    train_size: int
    epochs: int
    label_noise: float
    noise_kind: str
    loss: str
    learning_rate: float
    seed: int
    test_accuracy: float
    nll: float | None
    ece: float | None
    diverged: bool


class Difference(TypedDict):
    """How far a loss is from the reference: see :func:`paired_difference`."""

    loss: str
    reference: str
    metric: Metric
    mean: float | None
    interval: tuple[float, float] | None
    num_seeds: int


class Comparison(NamedTuple):
    """The result of :func:`compare`, all of it ready for JSON.

    Attributes:
      history: a row an epoch, in the order of training: all losses of a seed, then the next seed.
      rows: a row a run, in the order of the losses, each with all its seeds.
      paired_differences: of every other loss to the first one, in each of :data:`METRICS`.
    """

    history: list[RunEpoch]
    rows: list[Row]
    paired_differences: list[Difference]


def compare(
    dataset: Dataset,
    losses: Mapping[str, Loss],
    config: TrainConfig,
    seeds: Sequence[int],
    *,
    train_size: int | None = None,
    holdout_size: int = 0,
    label_noise: float = 0.0,
    noise_kind: Noise = "symmetric",
    history: Sequence[RunEpoch] = (),
    on_start: Callable[[str, int], None] | None = None,
    on_progress: Callable[[str, int, int, EpochRow | None], None] | None = None,
    on_run: Callable[[Row, TrainResult], None] | None = None,
    restore: Callable[[Midway], Midway | None] | None = None,
    on_midway: Callable[[Midway], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
    learning_rates: Mapping[str, float] | None = None,
    model: Model | None = None,
) -> Comparison:
    """Train with each loss once for each seed, and compare the losses seed by seed.

    Runs of one seed share images, label noise, initial weights, batches and augmentation.

    Args:
      dataset: the whole, clean set.
      losses: by the name that its rows get; the first one is the reference.
      config: how every run trains.
      seeds: from 0 to 2**31 - 1; three or more give an interval.
      train_size, holdout_size, label_noise, noise_kind: what the runs of a seed train on and are
        measured on; see :func:`edl_jax.training.subsets.for_seed`.
      history: rows that an earlier call had in its history when it was stopped. The runs that are
        complete in them are not trained again. Those of a run that is not belong to ``restore``;
        without it they are dropped, and that run starts again.
      on_start: called with loss and seed before each run that is trained.
      on_progress: called with loss and seed and what ``on_progress`` of
        :func:`edl_jax.training.loop.train` is called with.
      on_run: called after each run with its row and all that came out of it.
      restore, on_midway, devices, model: of each run, as for :func:`edl_jax.training.loop.train`.
      learning_rates: of each loss, where it is not that of ``config``; see
        :func:`edl_jax.training.tuning.tune`.

    Raises:
      OptionError: an argument is out of its range.
      EdlError: a loss or the network is made for another number of classes, or does not give one
        value each.

    >>> import numpy as np
    >>> from edl_jax.losses import LOSSES
    >>> labels = np.arange(64) % 2
    >>> images = np.where(labels, 200, 50).astype(np.uint8)[:, None, None, None]
    >>> dataset = Dataset("bright or dark", 2, images, labels, images, labels)
    >>> config = TrainConfig(model="mlp", width=4, epochs=1, batch_size=16)
    >>> losses = {name: LOSSES[name] for name in ("cross_entropy", "brier")}
    >>> result = compare(dataset, losses, config, seeds=[0, 1])
    >>> [(row["loss"], row["seed"]) for row in result.rows]
    [('cross_entropy', 0), ('cross_entropy', 1), ('brier', 0), ('brier', 1)]
    >>> [(found["loss"], found["metric"]) for found in result.paired_differences]
    [('brier', 'test_accuracy'), ('brier', 'nll'), ('brier', 'ece')]
    """
    require_seeds(seeds)
    num_train = require_fit(
        dataset, losses, config, train_size=train_size, holdout_size=holdout_size, model=model
    )
    require_kind(noise_kind, dataset.num_classes)
    rates = dict.fromkeys(losses, config.learning_rate) | dict(learning_rates or {})
    session = Session(
        history,
        on_start=on_start and (lambda of: on_start(of["loss"], of["seed"])),
        on_progress=on_progress and (lambda of, *done: on_progress(of["loss"], of["seed"], *done)),
        restore=restore,
        on_midway=on_midway,
        devices=devices,
        model=model,
    )

    def outcome(name: str, seed: int) -> Row:
        row = session.last({"loss": name, "seed": seed})
        assert row is not None
        return {
            "dataset": dataset.name,
            "model": name_of(config, model),
            "train_size": num_train,
            "epochs": config.epochs,
            "label_noise": label_noise,
            "noise_kind": name_of_noise(noise_kind),
            "loss": name,
            "learning_rate": rates[name],
            "seed": seed,
            "test_accuracy": row["test_accuracy"],
            "nll": row["nll"],
            "ece": row["ece"],
            "diverged": row["train_loss"] is None,
        }

    for seed in seeds:
        data = for_seed(
            dataset,
            seed,
            train_size=train_size,
            holdout_size=holdout_size,
            label_noise=label_noise,
            noise_kind=noise_kind,
        )
        for name, loss in losses.items():
            at_rate = replace(config, learning_rate=rates[name])
            result = session.train({"loss": name, "seed": seed}, data, loss, at_rate, seed)
            if result is not None and on_run is not None:
                on_run(outcome(name, seed), result)

    rows = [outcome(name, seed) for name in losses for seed in seeds]
    first, *others = losses
    differences = [
        paired_difference(rows, name, first, metric) for name in others for metric in METRICS
    ]
    return Comparison(session.history, rows, differences)


def require_fit(
    dataset: Dataset,
    losses: Mapping[str, Loss],
    config: TrainOptions,
    *,
    train_size: int | None = None,
    holdout_size: int = 0,
    model: Model | None = None,
) -> int:
    """Raise what :func:`compare` would, given the same, before it trains.

    Returns:
      The number of training examples.

    Raises:
      OptionError: there are no losses, not that many examples, or augmentation for no images.
      EdlError: a loss or the network is made for another number of classes, or other examples.
    """
    require(bool(losses), "losses", "", "one or more")
    total = len(dataset.train_labels)
    require_int("holdout_size", holdout_size, 0, total - 1)
    most = total - holdout_size
    num_train = most if train_size is None else train_size
    require(num_train <= most, "train_size", num_train, f"at most {most}, all there are")
    resolve_augmentation(config.augment, dataset)
    expected = f"at most the number of training examples, {num_train}"
    require(config.batch_size <= num_train, "batch_size", config.batch_size, expected)
    for name, loss in losses.items():
        require_loss(name, loss, dataset.num_classes)
    network(config, model, dataset.input_shape, dataset.num_classes)
    return num_train


def paired_difference(
    rows: Sequence[Row], loss: str, reference: str, metric: Metric = "test_accuracy"
) -> Difference:
    """Mean over seeds of a loss's metric minus that of the reference with the same seed.

    Args:
      rows: the runs of both losses, over the same seeds.
      loss: the loss that is compared.
      reference: the loss that it is compared with.
      metric: which figure.

    Returns:
      ``loss``, ``reference``, ``metric``, ``mean``, ``num_seeds`` and ``interval``, the 95 %
      bootstrap interval from :data:`MIN_SEEDS` seeds on, else ``None``. ``mean`` too is ``None``
      if a run's figure is.

    >>> rows = [
    ...     {"loss": "a", "seed": 0, "nll": 1.0},
    ...     {"loss": "b", "seed": 0, "nll": 1.5},
    ... ]
    >>> paired_difference(rows, "b", "a", "nll")["mean"]
    0.5
    """
    ours, theirs = ([row for row in rows if row["loss"] == name] for name in (loss, reference))
    measured = all(row[metric] is not None for row in (*ours, *theirs))
    found = statistics.compare(ours, theirs, metric) if measured else None
    return {
        "loss": loss,
        "reference": reference,
        "metric": metric,
        "mean": found and found.mean,
        "interval": found and found.interval,
        "num_seeds": len(ours),
    }


def interval_note(num_seeds: int) -> str:
    """How a sentence about paired differences ends.

    >>> interval_note(2)
    'without an interval: that takes 3 seeds or more'
    """
    if num_seeds < MIN_SEEDS:
        return f"without an interval: that takes {MIN_SEEDS} seeds or more"
    return "with a 95 % bootstrap interval over the seeds"
