"""The cells of ``rehearsal``: a loss in a regime, at one learning rate or several."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.common.results_file import ResultsFile, Row
from benchmarks.rehearsal import scaling
from benchmarks.rehearsal.config import SHOWN, RehearsalBenchmarkConfig
from edl_jax.losses import LOSSES, FullLoss, Loss, load_loss, resolve_loss
from edl_jax.losses.context import batch_context
from edl_jax.objective.students import student_accuracy
from edl_jax.objective.tasks import REGIMES, sample_task
from edl_jax.runs.output import progress_bar
from edl_jax.training.config import TrainConfig
from edl_jax.training.loop import train
from edl_jax.training.prepared import load
from edl_jax.training.subsets import for_seed

RATES = (0.3, 1.0, 3.0)  # multiples of the rate that serves cross-entropy
RATES_BY_WORTH = (1.0, 0.3, 3.0)
KEY = ("kind", "regime", "loss", "rate", "seed")
HOLDOUT_SIZE = 5000
SEED, FRESH_SEED = 1000, 2000  # regimes are chosen with one, and shown with the other


@dataclass(frozen=True)
class Real:
    """A real training problem, measured on held-out training images with true labels."""

    dataset: str
    label_noise: float
    learning_rate: float
    train: TrainConfig
    train_size: int = 10_000


_MLP: Any = TrainConfig(model="mlp", width=256, epochs=60, augment="none", weight_decay=0.0)
_RESNET: Any = TrainConfig(model="resnet8", width=8, epochs=6)
REAL = {
    "mlp_clean": Real("fashion_mnist", 0.0, 0.05, _MLP),
    "mlp_noisy": Real("fashion_mnist", 0.4, 0.05, _MLP),
    "resnet_clean": Real("cifar10", 0.0, 0.3, _RESNET),
    "resnet_noisy": Real("cifar10", 0.4, 0.3, _RESNET),
}


def gated_edl_robust(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The gate of :func:`edl_jax.losses.noise_robust.gate` with edl-robust-1 behind it."""
    opened = jax.nn.sigmoid((batch_context(logits, labels).confidence - 0.35) / 0.03)
    before, after = (
        LOSSES["cross_entropy"](logits, labels),
        load_loss("edl-robust-1")(logits, labels),
    )
    return (1 - opened) * before + opened * after


def resolve(name: str) -> Loss | FullLoss:
    """A loss by its name."""
    return gated_edl_robust if name == "gated-edl-robust-1" else resolve_loss(name)


class Cell(NamedTuple):
    """Rates that are run at once."""

    kind: str
    regime: str
    loss: str
    rates: tuple[float, ...]
    seed: int = SEED

    def key(self, rate: float) -> Row:
        """The key of the row of a rate."""
        return dict(zip(KEY, (*self[:3], rate, self.seed), strict=True))


def rehearsed(config: RehearsalBenchmarkConfig, cell: Cell) -> Iterator[Row]:
    """Mean accuracy of students at each rate."""
    kind = REGIMES[cell.regime]

    @jax.jit
    def accuracies(keys: jax.Array, rates: jax.Array) -> jax.Array:
        def of_task(key: jax.Array) -> jax.Array:
            task_key, student_key = jax.random.split(key)
            task = sample_task(task_key, kind)
            one = partial(student_accuracy, resolve(cell.loss), kind, task, key=student_key)
            return jax.vmap(one)(rates)

        return jax.vmap(of_task)(keys)

    keys = jax.random.split(jax.random.key(cell.seed), config.num_tasks)
    found = accuracies(keys, kind.learning_rate * jnp.array(cell.rates))
    for rate, accuracy in zip(cell.rates, found.mean(axis=0).tolist(), strict=True):
        yield {"rate": rate, "accuracy": accuracy, "num_tasks": config.num_tasks}


def real(config: RehearsalBenchmarkConfig, cell: Cell) -> Iterator[Row]:
    """Held-out accuracy of a classifier at each rate."""
    problem = REAL[cell.regime]
    dataset = for_seed(
        load(problem.dataset, config.data_dir),
        cell.seed,
        train_size=problem.train_size,
        holdout_size=HOLDOUT_SIZE,
        label_noise=problem.label_noise,
    )
    for rate in cell.rates:
        given = {"learning_rate": rate * problem.learning_rate, "eval_every": 0}
        options = TrainConfig(**{**vars(problem.train), **given})
        result = train(dataset, resolve(cell.loss), options, cell.seed)
        yield {"rate": rate, "accuracy": result.test_accuracy}


def _cells(config: RehearsalBenchmarkConfig) -> Iterator[Cell]:
    """All that is to be run, what is worth most first."""
    if "rehearsed" in config.kinds:
        shown = [loss for loss in config.losses if loss in SHOWN]
        for seed, losses in ((SEED, config.losses), (FRESH_SEED, shown)):
            for regime in config.regimes:
                for loss in losses:
                    yield Cell("rehearsed", regime, loss, RATES, seed)
    if "real" in config.kinds:
        for seed, rate in itertools.product((SEED, FRESH_SEED), RATES_BY_WORTH):
            for regime in REAL:
                for loss in config.losses:
                    yield Cell("real", regime, loss, (rate,), seed)


def run(config: RehearsalBenchmarkConfig, results: ResultsFile) -> int:
    """Run the cells that are missing, as many as begin in time; how many are still missing."""
    begun = time.monotonic()
    if "scaling" in config.kinds:
        same = {"kind": "scaling", "loss": "monotone", "rate": 1.0, "seed": SEED}
        results.add_all([{**same, **row} for row in scaling.rows()])
    cells = list(_cells(config))

    missing = [cell for cell in cells if results.find(cell.key(cell.rates[-1])) is None]
    with progress_bar("cells/s") as progress:
        task = progress.add_task("", total=len(missing))
        for done, cell in enumerate(missing):
            if time.monotonic() - begun > 60 * config.minutes:
                return len(missing) - done
            progress.update(task, completed=done, description=" ".join(cell[:3]))
            rows = rehearsed(config, cell) if cell.kind == "rehearsed" else real(config, cell)
            results.add_all([{**cell.key(row["rate"]), **row} for row in rows])
        progress.update(task, completed=len(missing))
    return 0
