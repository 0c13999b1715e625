"""Which loss trains better: evolved and hand-made ones, on clean and noisy labels, tuned alike.

For each loss the learning rate is chosen from one grid on held-out training images, then fresh
seeds are measured on the test images. Two protocols: *aware* chooses for each noise level, on
held-out images with the same noise; *unaware* chooses on clean labels and uses that rate at every
noise level. Losses are paired by seed: same images, noise, initial weights and batches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results_file import RESULTS, ResultsFile
from benchmarks.common.side_by_side import run_side_by_side
from benchmarks.transfer_losses.summary import PROBLEM
from edl_jax import cli
from edl_jax.errors import OptionError, require, require_one_of

PROG = "python -m benchmarks.transfer_losses"
LEARNING_RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
TUNING_SEED = 1000
HOLDOUT_SIZE = 5000
KEY = (*PROBLEM, "protocol", "loss", "learning_rate", "seed")
LOSSES = (
    "cross_entropy",
    "edl-base",
    "edl-robust",
    "gce",
    "symmetric_ce",
    "nce_rce",
    "bi_tempered",
    "brier",
    "focal",
    "label_smoothing",
    "poly1",
    "one_minus_p",
    "baikal",
    "taylor-base",
    "taylor-robust",
    "random-network",
    "best-random-network",
)


@dataclass(frozen=True)
class Setting:
    """A training problem without its label noise.

    Attributes:
      whole_grid: run every learning rate; or climb from 0.1 to the best one, which costs three or
        four runs where the whole grid costs seven.
    """

    dataset: str
    model: str
    train_size: int
    epochs: int
    width: int
    learning_rates: tuple[float, ...] = LEARNING_RATES
    whole_grid: bool = False
    augment: str = "auto"
    weight_decay: float = 5e-4

    def problem(self, noise: float, kind: str) -> dict[str, Any]:
        """The fields of a row that say what was trained on which labels."""
        own = {name: getattr(self, name) for name in PROBLEM[:5]}
        return {**own, "label_noise": noise, "noise_kind": kind}


_MLP: Any = {"augment": "none", "weight_decay": 0.0, "whole_grid": True}
_RESNET_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SETTINGS = {
    "fashion-mlp": Setting("fashion_mnist", "mlp", 10_000, 60, width=512, **_MLP),
    "fashion-resnet8": Setting("fashion_mnist", "resnet8", 10_000, 10, 8, _RESNET_RATES),
    # Too few epochs to learn the noise by heart; and so many on few images, always the same, that
    # cross-entropy at its usual rate knows every wrong label in the end.
    "cifar-resnet8": Setting("cifar10", "resnet8", 20_000, 6, 8, _RESNET_RATES),
    "cifar-resnet8-long": Setting("cifar10", "resnet8", 1_000, 60, 8, _RESNET_RATES, False, "none"),
    "cifar-resnet20": Setting("cifar10", "resnet20", 20_000, 6, 8, _RESNET_RATES),
}
QUICK = Setting("fashion_mnist", "mlp", 2_000, 5, 64, (0.01, 0.1), **_MLP)


@dataclass(frozen=True)
class TransferLossesConfig:
    """Train with each loss at its own best learning rate, on clean and on noisy labels."""

    setting: str = "fashion-mlp"
    """Training problem: fashion-mlp, fashion-resnet8, cifar-resnet8, cifar-resnet8-long or
    cifar-resnet20."""
    losses: tuple[str, ...] = LOSSES
    """Losses to compare, by name or path; the first one is the reference. taylor-base,
    taylor-robust, random-network and best-random-network are evolved or drawn on the spot."""
    noise: tuple[str, ...] = ("0", "0.2", "0.4", "0.6", "0.4a")
    """Label noise levels: a rate, or a rate followed by a for asymmetric (0.4a). Clean labels come
    first in any case: the unaware protocol needs them."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds that are measured; the learning rate is chosen with another one."""
    jobs: int = 1
    """Losses that are trained with at the same time, each on its share of the processors."""
    data_dir: Path | None = None
    """Directory of prepared tfds data sets; tfds' own default."""
    output: Path | None = None
    """Results file; benchmarks/results/transfer_losses.json, or with --quick one in runs/."""
    quick: bool = False
    """A small MLP, few images, two learning rates, two seeds, six losses: under 5 minutes."""

    def __post_init__(self) -> None:
        require_one_of("setting", self.setting, SETTINGS)
        for level in self.noise:
            try:
                rate, _ = parse_noise(level)
            except ValueError:
                rate = -1.0
            require(0 <= rate <= 1, "noise", level, "a rate from 0 to 1, or one followed by a")
        require(len(self.losses) > 0, "losses", "", "at least one loss")
        require(len(self.seeds) > 0, "seeds", "", "at least one seed")
        require(1 <= self.jobs <= 1024, "jobs", self.jobs, "a whole number from 1 to 1,024")
        if TUNING_SEED in self.seeds:
            raise OptionError("seeds", TUNING_SEED, "other seeds than the one used for tuning")

    @property
    def levels(self) -> list[tuple[float, str]]:
        """Noise levels as (rate, kind), clean labels first."""
        noisy = [level for level in map(parse_noise, self.noise) if level[0] > 0]
        return [(0.0, "symmetric"), *noisy]


def parse_noise(level: str) -> tuple[float, str]:
    """``"0.4a"`` is (0.4, "asymmetric"), ``"0.4"`` (0.4, "symmetric")."""
    kind = "asymmetric" if level.endswith("a") else "symmetric"
    return float(level.removesuffix("a")), kind


def rates_to_try(
    setting: Setting, accuracy: Callable[[float], float | None], start: float = 0.1
) -> Iterator[float]:
    """The learning rates that tuning runs, each after ``accuracy`` of the last one is known.

    Where the grid is not run whole, the search climbs: it starts at ``start`` and ends where
    neither neighbour on the grid is better.
    """
    rates = setting.learning_rates
    if setting.whole_grid:
        yield from rates
        return
    tried: dict[int, float] = {}
    place, best = -1, rates.index(start)
    while place != best:
        place = best
        for i in (place, place - 1, place + 1):
            if 0 <= i < len(rates) and i not in tried:
                yield rates[i]
                tried[i] = accuracy(rates[i]) or 0.0
        best = max(tried, key=lambda i: tried[i])


def cells(
    setting: Setting, config: TransferLossesConfig, loss: str, tuned: Callable[..., dict]
) -> Iterator[dict[str, Any]]:
    """All runs of one loss in the order in which they are needed: tuning before what it decides.

    ``tuned(problem, loss)`` gives the held-out accuracy of each learning rate that was tried.
    """

    def best(problem: dict[str, Any]) -> float:
        accuracies = tuned(problem, loss)
        return max(accuracies, key=lambda rate: accuracies[rate])

    clean = setting.problem(0.0, "symmetric")
    for noise, kind in config.levels:
        problem = setting.problem(noise, kind)
        cell = {**problem, "loss": loss}

        def accuracy(rate: float, problem: dict[str, Any] = problem) -> float | None:
            return tuned(problem, loss).get(rate)

        for rate in rates_to_try(setting, accuracy):
            yield {**cell, "protocol": "tuning", "learning_rate": rate, "seed": TUNING_SEED}
        for seed in config.seeds:
            yield {**cell, "protocol": "unaware", "learning_rate": best(clean), "seed": seed}
            yield {**cell, "protocol": "aware", "learning_rate": best(problem), "seed": seed}


def with_noisy_holdout(dataset: Any, noise: float, kind: str) -> Any:
    """The same noise on the held-out labels: whoever tunes with noisy data has no other."""
    import jax

    from edl_jax.training.subsets import NOISES

    if noise == 0:
        return dataset
    key = jax.random.key(TUNING_SEED + 1)
    labels = NOISES[kind](key, dataset.test_labels, noise, dataset.num_classes)
    return replace(dataset, test_labels=np.asarray(labels))


def tuned_rates(results: ResultsFile, problem: dict[str, Any], loss: str) -> dict[float, float]:
    """Held-out accuracy by learning rate, of the tuning runs in ``results``."""
    wanted = {**problem, "loss": loss, "protocol": "tuning"}
    return {
        row["learning_rate"]: row["test_accuracy"]
        for row in results.rows
        if wanted.items() <= row.items()
    }


def run_loss(setting: Setting, config: TransferLossesConfig, loss: str, output: Path) -> None:
    """Run what is still missing of one loss, adding each cell to the results file ``output``."""
    from benchmarks.transfer_losses.peers import resolve
    from edl_jax.training.config import TrainConfig
    from edl_jax.training.data import load
    from edl_jax.training.loop import train
    from edl_jax.training.subsets import for_seed

    results = ResultsFile(output, KEY)
    dataset: Any = None
    function: Any = None

    def run(cell: dict[str, Any]) -> dict[str, Any]:
        tuning = cell["protocol"] == "tuning"
        data = for_seed(
            dataset,
            cell["seed"],
            train_size=setting.train_size,
            holdout_size=HOLDOUT_SIZE if tuning else 0,
            label_noise=cell["label_noise"],
            noise_kind=cell["noise_kind"],
        )
        if tuning:
            data = with_noisy_holdout(data, cell["label_noise"], cell["noise_kind"])
        train_config = TrainConfig(
            model=setting.model,  # type: ignore[arg-type]
            width=setting.width,
            epochs=setting.epochs,
            learning_rate=cell["learning_rate"],
            weight_decay=setting.weight_decay,
            augment=setting.augment,  # type: ignore[arg-type]
            eval_every=0 if tuning else max(1, setting.epochs // 12),
        )
        result = train(data, function, train_config, cell["seed"])
        measured = [row["test_accuracy"] for row in result.history if "test_accuracy" in row]
        return {
            "test_accuracy": result.test_accuracy,
            "best_accuracy": max(measured),
            "nll": result.nll,
            "ece": result.ece,
            "train_accuracy": result.history[-1]["train_accuracy"],
        }

    for cell in cells(setting, config, loss, lambda *of: tuned_rates(results, *of)):
        if results.find(cell) is not None:
            continue
        if dataset is None:
            dataset, function = load(setting.dataset, config.data_dir), resolve(loss)
        # On one rate the two protocols are one run.
        twin = {"aware": "unaware", "unaware": "aware"}.get(cell["protocol"])
        same = results.find({**cell, "protocol": twin}) if twin else None
        results.add({**(same or run(cell)), **cell})


def run_all(setting: Setting, config: TransferLossesConfig, output: Path) -> None:
    """Run all losses, ``config.jobs`` at a time, and show how many cells are done."""
    results = ResultsFile(output, KEY)

    def done() -> int:
        results.read()
        wanted = [setting.problem(*level) for level in config.levels]
        return sum(
            row["loss"] in config.losses and {f: row[f] for f in PROBLEM} in wanted
            for row in results.rows
        )

    rates = len(setting.learning_rates) if setting.whole_grid else 4
    runs = rates + 2 * len(config.seeds)
    total = len(config.levels) * len(config.losses) * runs
    parts = [partial(run_loss, setting, config, loss, output) for loss in config.losses]
    note = "about, if tuning climbs" if rates == 4 else ""
    run_side_by_side(config.jobs, parts, done, total, "runs", note)


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TransferLossesConfig, args, prog=PROG)
    setting, output = SETTINGS[config.setting], config.output
    if config.quick:
        setting = QUICK
        config = replace(config, seeds=config.seeds[:2], losses=config.losses[:6])
        output = output or Path("runs/transfer_losses_quick.json")
    output = output or RESULTS / "transfer_losses.json"

    from benchmarks.transfer_losses.peers import PEERS
    from benchmarks.transfer_losses.table import print_table
    from edl_jax.losses.learned import resolve_loss
    from edl_jax.training.data import load

    for name in config.losses:  # what cannot be run shall say so before anything is
        if name not in PEERS:
            resolve_loss(name)
    load(setting.dataset, config.data_dir)
    run_all(setting, config, output)
    print_table(output)


if __name__ == "__main__":
    cli.main(command)
