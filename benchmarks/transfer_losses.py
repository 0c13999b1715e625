"""Which loss trains better: evolved and hand-made ones, on clean and noisy labels, tuned alike.

For each loss the learning rate is chosen from one grid on held-out training images, then fresh
seeds are measured on the test images. Two protocols: *aware* chooses for each noise level, on
held-out images with the same noise; *unaware* chooses on clean labels and uses that rate at every
noise level. Losses are paired by seed: same images, noise, initial weights and batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edl_jax import cli
from edl_jax.errors import OptionError, require, require_one_of

PROG = "python -m benchmarks.transfer_losses"
LEARNING_RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
TUNING_SEED = 1000
HOLDOUT_SIZE = 5000
KEY = (
    "dataset",
    "model",
    "train_size",
    "epochs",
    "label_noise",
    "noise_kind",
    "protocol",
    "loss",
    "learning_rate",
    "seed",
)
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
)


@dataclass(frozen=True)
class Setting:
    """A training problem without its label noise."""

    dataset: str
    model: str
    train_size: int
    epochs: int
    width: int | None = None
    learning_rates: tuple[float, ...] = LEARNING_RATES


SETTINGS = {
    "fashion-mlp": Setting("fashion_mnist", "mlp", train_size=10_000, epochs=60),
    "fashion-resnet8": Setting("fashion_mnist", "resnet8", train_size=10_000, epochs=10, width=8),
    "cifar-resnet8": Setting("cifar10", "resnet8", train_size=20_000, epochs=6, width=8),
    "cifar-resnet20": Setting("cifar10", "resnet20", train_size=20_000, epochs=15),
}
QUICK = Setting("fashion_mnist", "mlp", 2_000, 5, width=64, learning_rates=(0.01, 0.1))


@dataclass(frozen=True)
class TransferLossesConfig:
    """Train with each loss at its own best learning rate, on clean and on noisy labels."""

    setting: str = "fashion-mlp"
    """Training problem: fashion-mlp, fashion-resnet8, cifar-resnet8 or cifar-resnet20."""
    losses: tuple[str, ...] = LOSSES
    """Losses to compare, by name or path; the first one is the reference."""
    noise: tuple[str, ...] = ("0", "0.4")
    """Label noise levels: a rate, or a rate followed by a for asymmetric (0.4a). Clean labels come
    first in any case: the unaware protocol needs them."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds that are measured; the learning rate is chosen with another one."""
    data_dir: Path | None = None
    """Directory of prepared tfds data sets; tfds' own default."""
    output: Path | None = None
    """Results file; benchmarks/results/transfer_losses.json, or with --quick one in runs/."""
    quick: bool = False
    """A small MLP, few images, two learning rates, two seeds: under 5 minutes."""

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
        if TUNING_SEED in self.seeds:
            raise OptionError("seeds", TUNING_SEED, "other seeds than the one used for tuning")


def parse_noise(level: str) -> tuple[float, str]:
    """``"0.4a"`` is (0.4, "asymmetric"), ``"0.4"`` (0.4, "symmetric")."""
    kind = "asymmetric" if level.endswith("a") else "symmetric"
    return float(level.removesuffix("a")), kind


def cells(setting: Setting, config: TransferLossesConfig, choose: Any) -> Iterator[dict[str, Any]]:
    """All runs in the order in which they are needed: tuning before what it decides.

    ``choose(noise, kind, loss)`` gives the learning rate that tuning found best.
    """
    common = {
        "dataset": setting.dataset,
        "model": setting.model,
        "train_size": setting.train_size,
        "epochs": setting.epochs,
    }
    levels = [(0.0, "symmetric")]
    levels += [level for level in map(parse_noise, config.noise) if level[0] > 0]
    for noise, kind in levels:
        for loss in config.losses:
            cell = {**common, "label_noise": noise, "noise_kind": kind, "loss": loss}
            for rate in setting.learning_rates:
                yield {**cell, "protocol": "tuning", "learning_rate": rate, "seed": TUNING_SEED}
            for seed in config.seeds:
                aware, unaware = choose(noise, kind, loss), choose(0.0, "symmetric", loss)
                yield {**cell, "protocol": "unaware", "learning_rate": unaware, "seed": seed}
                yield {**cell, "protocol": "aware", "learning_rate": aware, "seed": seed}


def with_noisy_holdout(dataset: Any, noise: float, kind: str) -> Any:
    """The same noise on the held-out labels: whoever tunes with noisy data has no other."""
    import jax

    from edl_jax.data import NOISES

    if noise == 0:
        return dataset
    key = jax.random.key(TUNING_SEED + 1)
    labels = NOISES[kind](key, dataset.test_labels, noise, dataset.num_classes)
    return replace(dataset, test_labels=np.asarray(labels))


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TransferLossesConfig, args, prog=PROG)
    setting, seeds = SETTINGS[config.setting], config.seeds
    if config.quick:
        setting, seeds = QUICK, config.seeds[:2]
    config = replace(config, seeds=seeds)

    from benchmarks.results_file import RESULTS, ResultsFile
    from benchmarks.transfer_table import print_table
    from edl_jax.data import for_seed, load
    from edl_jax.losses import resolve_loss
    from edl_jax.train_config import TrainConfig
    from edl_jax.training import train

    losses = {name: resolve_loss(name) for name in config.losses}
    dataset = load(setting.dataset, config.data_dir)
    default = Path("runs/transfer_losses_quick.json")
    output = config.output or (default if config.quick else RESULTS / "transfer_losses.json")
    results = ResultsFile(output, KEY)

    def choose(noise: float, kind: str, loss: str) -> float:
        tuned = [
            row
            for row in results.rows
            if (row["protocol"], row["label_noise"], row["noise_kind"], row["loss"])
            == ("tuning", noise, kind, loss)
            and (row["dataset"], row["model"], row["train_size"], row["epochs"])
            == (setting.dataset, setting.model, setting.train_size, setting.epochs)
        ]
        best = max(tuned, key=lambda row: row["test_accuracy"])
        return best["learning_rate"]

    def run(cell: dict[str, Any]) -> dict[str, Any]:
        for other in ("aware", "unaware"):  # the same run under the other protocol's name
            same = results.find({**cell, "protocol": other})
            if same is not None and cell["protocol"] != "tuning":
                return {**same, "protocol": cell["protocol"]}
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
            weight_decay=0.0 if setting.model == "mlp" else 5e-4,
            augment="none" if setting.model == "mlp" else "auto",
            eval_every=0 if tuning else max(1, setting.epochs // 12),
        )
        result = train(data, losses[cell["loss"]], train_config, cell["seed"])
        measured = [row["test_accuracy"] for row in result.history if "test_accuracy" in row]
        return {
            **cell,
            "test_accuracy": result.test_accuracy,
            "best_accuracy": max(measured),
            "nll": result.nll,
            "ece": result.ece,
            "train_accuracy": result.history[-1]["train_accuracy"],
        }

    levels = {(0.0, "symmetric"), *map(parse_noise, config.noise)}
    total = len(levels) * len(losses) * (len(setting.learning_rates) + 2 * len(seeds))
    with cli.progress("runs/s") as progress:
        task = progress.add_task("", total=total)
        for cell in cells(setting, config, choose):
            name = f"{cell['loss']} {cell['protocol']}, noise {cell['label_noise']}"
            progress.update(task, description=f"{name}, lr {cell['learning_rate']}")
            if results.find(cell) is None:
                results.add(run(cell))
            progress.advance(task)
    print_table(output)


if __name__ == "__main__":
    cli.main(command)
