"""The learning rate of each loss, chosen on held-out training examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypedDict

import jax

from edl_jax.errors import require
from edl_jax.losses.base import Loss
from edl_jax.training.config import TrainConfig, TrainOptions
from edl_jax.training.data import Dataset
from edl_jax.training.loop import EpochRow, Midway
from edl_jax.training.network import Model
from edl_jax.training.noise import Noise
from edl_jax.training.session import Name, Session
from edl_jax.training.subsets import for_seed, with_noisy_holdout

TUNING_SEED = 1000
HOLDOUT_SIZE, HOLDOUT_SHARE = 5000, 5


class Trial(TypedDict):
    """A learning rate that was tried: the accuracy on the held-out examples, and its loss."""

    loss: str
    learning_rate: float
    held_out_accuracy: float
    diverged: bool


class Tuning(NamedTuple):
    """The result of :func:`tune`, all of it ready for JSON.

    Attributes:
      history: a row an epoch, in the order of training.
      trials: in the order of the losses, each with all its rates.
      learning_rates: the best rate of each loss.
    """

    history: list[dict[str, object]]
    trials: list[Trial]
    learning_rates: dict[str, float]


def tuning_sizes(total: int, train_size: int | None) -> tuple[int, int]:
    """How many examples are trained on and held out, of ``total``, where ``train_size`` is wanted.

    At most 5,000 are held out; more than a fifth only of those that are not trained on anyway.

    >>> tuning_sizes(60_000, 10_000), tuning_sizes(60_000, None), tuning_sizes(600, 600)
    ((10000, 5000), (55000, 5000), (480, 120))
    """
    wanted = total if train_size is None else train_size
    held_out = min(HOLDOUT_SIZE, max(total - wanted, total // HOLDOUT_SHARE))
    return min(wanted, total - held_out), held_out


def require_room(dataset: Dataset, config: TrainOptions, train_size: int | None) -> tuple[int, int]:
    """:func:`tuning_sizes` for ``dataset``.

    Raises:
      OptionError: fewer examples than a batch are left to train on.
    """
    num_train, held_out = tuning_sizes(len(dataset.train_labels), train_size)
    expected = f"at most {num_train}, the training examples left where {held_out} are held out"
    require(config.batch_size <= num_train, "batch_size", config.batch_size, expected)
    return num_train, held_out


def tune(
    dataset: Dataset,
    losses: Mapping[str, Loss],
    config: TrainConfig,
    learning_rates: Sequence[float],
    *,
    train_size: int | None = None,
    label_noise: float = 0.0,
    noise_kind: Noise = "symmetric",
    history: Sequence[Mapping[str, object]] = (),
    on_start: Callable[[Name], None] | None = None,
    on_progress: Callable[[Name, int, EpochRow | None], None] | None = None,
    restore: Callable[[Midway], Midway | None] | None = None,
    on_midway: Callable[[Midway], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
    model: Model | None = None,
) -> Tuning:
    """Train with each loss at each learning rate, and choose by accuracy on held-out examples.

    The held-out examples are training examples, with the same label noise; the test examples are
    not looked at. All runs have the seed 1,000.

    Args:
      dataset: the whole, clean set.
      losses: by name.
      config: how every run trains, but for its learning rate.
      learning_rates: those tried; of several that are equally good the first is chosen.
      train_size, label_noise, noise_kind: as for :func:`edl_jax.training.comparison.compare`, which
        then measures; fewer examples are trained on where some must be held out.
      history, on_start, on_progress, restore, on_midway, devices, model: as for
        :class:`edl_jax.training.session.Session`. A run's name has ``loss`` and ``tuning_rate``.

    Raises:
      OptionError: fewer examples than a batch are left to train on.

    >>> from edl_jax.losses import LOSSES
    >>> from edl_jax.training.made import synthetic
    >>> config = TrainConfig(model="mlp", width=32, epochs=1)
    >>> losses = {"cross_entropy": LOSSES["cross_entropy"]}
    >>> tune(synthetic(), losses, config, [0.0001, 0.1], train_size=1000).learning_rates
    {'cross_entropy': 0.1}
    """
    num_train, held_out = require_room(dataset, config, train_size)
    data = for_seed(
        dataset,
        TUNING_SEED,
        train_size=num_train,
        holdout_size=held_out,
        label_noise=label_noise,
        noise_kind=noise_kind,
    )
    data = with_noisy_holdout(data, TUNING_SEED + 1, label_noise, noise_kind)
    session = Session(
        history,
        on_start=on_start,
        on_progress=on_progress,
        restore=restore,
        on_midway=on_midway,
        devices=devices,
        model=model,
    )
    trials: list[Trial] = []
    for name, loss in losses.items():
        for rate in learning_rates:
            of = {"loss": name, "tuning_rate": rate}
            at_rate = replace(config, learning_rate=rate, eval_every=0)
            session.train(of, data, loss, at_rate, TUNING_SEED)
            row = session.last(of)
            assert row is not None
            trials.append(
                {
                    "loss": name,
                    "learning_rate": rate,
                    "held_out_accuracy": row["test_accuracy"],
                    "diverged": row["train_loss"] is None,
                }
            )
    return Tuning(session.history, trials, {name: _best(trials, name) for name in losses})


def _best(trials: Sequence[Trial], loss: str) -> float:
    own = [trial for trial in trials if trial["loss"] == loss]
    best = max(own, key=lambda trial: (not trial["diverged"], trial["held_out_accuracy"]))
    return best["learning_rate"]
