"""Train image classifiers with frozen losses, paired by seed, and compare them.

The run directory then holds config.json, metrics.jsonl (a line an epoch), summary.json and
learning_curves.png.
"""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from edl_jax import cli
from edl_jax.errors import require
from edl_jax.runs import RunDirectory
from edl_jax.train_config import TrainConfig

PROG = "python -m edl_jax.transfer"


@dataclass(frozen=True)
class TransferConfig(TrainConfig):
    """Train image classifiers with frozen losses and compare them on the test images.

    All losses meet the same initial weights, batches, augmentation and label noise: these depend
    on the seed alone.
    """

    loss: tuple[str, ...] = ("cross_entropy", "edl-base")
    """Losses: names of hand-made or shipped ones, paths of learned ones, or
    run directories of pretrain; each is compared with the first."""
    dataset: str = "cifar10"
    """Prepared set of TensorFlow Datasets: cifar10, cifar100, mnist,
    fashion_mnist, svhn_cropped, or any with labelled images of one size."""
    data_dir: Path | None = None
    """Directory of the prepared sets; None is $TFDS_DATA_DIR, or
    ~/tensorflow_datasets."""
    train_size: int | None = None
    """Number of training images, chosen at random for each seed; None is
    all."""
    label_noise: float = 0.0
    """Probability that a training label is replaced, from 0 to 1."""
    noise_kind: Literal["symmetric", "asymmetric"] = "symmetric"
    """What replaces a label: any class at random (symmetric), or the class
    after it (asymmetric)."""
    seeds: tuple[int, ...] = (0,)
    """Seeds, one run of every loss for each; three or more give an
    interval."""
    output_dir: Path | None = None
    """Directory of the run; None is runs/transfer-DATE-TIME."""

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct = bool(self.loss) and len(set(self.loss)) == len(self.loss)
        require(distinct, "loss", " ".join(self.loss), "one or more losses, each once")
        if self.train_size is not None:
            expected = f"a whole number of at least the batch size, {self.batch_size}"
            require(self.train_size >= self.batch_size, "train_size", self.train_size, expected)
        probability = math.isfinite(self.label_noise) and 0 <= self.label_noise <= 1
        require(probability, "label_noise", self.label_noise, "a number from 0 to 1")
        distinct = bool(self.seeds) and len(set(self.seeds)) == len(self.seeds)
        in_range = distinct and all(0 <= seed < 2**31 for seed in self.seeds)
        expected = "one or more whole numbers from 0 to 2**31 - 1, each once"
        require(in_range, "seeds", " ".join(map(str, self.seeds)), expected)


def _jsonable(config: TransferConfig) -> dict[str, Any]:
    content = asdict(config)
    content.pop("output_dir")
    return {k: str(v) if isinstance(v, Path) else v for k, v in content.items()}


def _check_classes(loss: Any, num_classes: int) -> None:
    """Let a loss that is made for another number of classes say so before anything is written."""
    import jax
    import jax.numpy as jnp

    logits = jax.ShapeDtypeStruct((1, num_classes), jnp.float32)
    jax.eval_shape(loss, logits, jax.ShapeDtypeStruct((1,), jnp.int32))


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TransferConfig, args, prog=PROG)

    from rich.console import Console

    from edl_jax import comparison
    from edl_jax.data import for_seed, load
    from edl_jax.losses import resolve_loss
    from edl_jax.training import train

    losses = {name: resolve_loss(name) for name in config.loss}
    dataset = load(config.dataset, config.data_dir)
    total = len(dataset.train_labels)
    num_train = total if config.train_size is None else config.train_size
    require(num_train <= total, "train_size", num_train, f"at most {total}, all there are")
    expected = f"at most the number of training images, {num_train}"
    require(config.batch_size <= num_train, "batch_size", config.batch_size, expected)

    for loss in losses.values():
        _check_classes(loss, dataset.num_classes)

    train_config = TrainConfig(**{f.name: getattr(config, f.name) for f in fields(TrainConfig)})
    run = RunDirectory(config.output_dir, "transfer", _jsonable(config))
    console = Console()
    console.print(
        f"Training [bold]{config.model}[/] on {num_train:,} images of {config.dataset} "
        f"into {run.path}"
    )
    rows: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    seen_an_epoch = num_train // config.batch_size * config.batch_size
    seen_a_run = config.epochs * seen_an_epoch
    with cli.progress("images/s") as progress:
        task = progress.add_task("starting", total=len(losses) * len(config.seeds) * seen_a_run)
        for seed in config.seeds:
            data = for_seed(
                dataset,
                seed,
                train_size=config.train_size,
                label_noise=config.label_noise,
                noise_kind=config.noise_kind,
            )
            for name, loss in losses.items():

                def on_progress(
                    images: int, row: dict[str, Any] | None, name: str = name, seed: int = seed
                ) -> None:
                    text = f"{name}, seed {seed}"
                    if row is not None:
                        history.append({"loss": name, "seed": seed, **row})
                        run.log(**history[-1])
                        text += f", epoch {row['epoch']}"
                    progress.update(task, advance=images, description=text)

                result = train(data, loss, train_config, seed, on_progress)
                skipped = config.epochs - len(result.history)
                progress.update(task, advance=skipped * seen_an_epoch)
                rows.append(
                    {
                        "dataset": config.dataset,
                        "model": config.model,
                        "train_size": num_train,
                        "epochs": config.epochs,
                        "label_noise": config.label_noise,
                        "noise_kind": config.noise_kind,
                        "loss": name,
                        "learning_rate": config.learning_rate,
                        "seed": seed,
                        "test_accuracy": result.test_accuracy,
                        "nll": result.nll,
                        "ece": result.ece,
                        "diverged": result.diverged,
                    }
                )

    rows.sort(key=lambda row: (config.loss.index(row["loss"]), config.seeds.index(row["seed"])))
    first, *others = config.loss
    metrics = ("test_accuracy", "nll", "ece")
    differences = [
        comparison.paired_difference(rows, name, first, metric)
        for name in others
        for metric in metrics
    ]
    comparison.learning_curves(history, run.path / "learning_curves.png")
    run.finish(rows=rows, paired_differences=differences, seeds=config.seeds)
    console.print(comparison.table(rows))
    if others:
        interval = "with a 95 % bootstrap interval over the seeds"
        if len(config.seeds) < comparison.MIN_SEEDS:
            interval = f"without an interval: that takes {comparison.MIN_SEEDS} seeds or more"
        console.print(f"Differences are in points, paired by seed, {interval}.")


if __name__ == "__main__":
    cli.main(command)
