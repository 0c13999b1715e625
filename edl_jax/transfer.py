"""Train image classifiers with frozen losses, paired by seed, and compare them.

The run directory then holds config.json, metrics.jsonl (a line an epoch), summary.json and
learning_curves.png.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from edl_jax import cli
from edl_jax.errors import require, require_number
from edl_jax.runs.directory import RunDirectory, is_finished
from edl_jax.runs.interrupts import StopRequest
from edl_jax.runs.options import RunOptions
from edl_jax.startup import split_processors
from edl_jax.training.config import TrainConfig

PROG = "python -m edl_jax.transfer"


@dataclass(frozen=True)
class TransferConfig(RunOptions, TrainConfig):
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

    def __post_init__(self) -> None:
        RunOptions.__post_init__(self)
        TrainConfig.__post_init__(self)
        distinct = bool(self.loss) and len(set(self.loss)) == len(self.loss)
        require(distinct, "loss", " ".join(self.loss), "one or more losses, each once")
        if self.train_size is not None:
            expected = f"a whole number of at least the batch size, {self.batch_size}"
            require(self.train_size >= self.batch_size, "train_size", self.train_size, expected)
        require_number("label_noise", self.label_noise, 0.0, 1.0)
        distinct = bool(self.seeds) and len(set(self.seeds)) == len(self.seeds)
        in_range = distinct and all(0 <= seed < 2**31 for seed in self.seeds)
        expected = "one or more whole numbers from 0 to 2**31 - 1, each once"
        require(in_range, "seeds", " ".join(map(str, self.seeds)), expected)


def _check_classes(loss: Any, num_classes: int) -> None:
    """Let a loss that is made for another number of classes say so before anything is written."""
    import jax
    import jax.numpy as jnp

    logits = jax.ShapeDtypeStruct((1, num_classes), jnp.float32)
    jax.eval_shape(loss, logits, jax.ShapeDtypeStruct((1,), jnp.int32))


def settle(model: str) -> None:
    """Before JAX starts, make devices of the processors where ``model`` gains by it.

    A multilayer perceptron's step is a few large products, which XLA shares out itself; what its
    devices would exchange are more weights than examples.
    """
    if model != "mlp":
        split_processors()


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TransferConfig, args, prog=PROG)
    if config.resume and config.output_dir and is_finished(config.output_dir):
        print(f"{config.output_dir}: this run is finished, there is nothing to go on with")
        return
    settle(config.model)

    from edl_jax.losses.learned import resolve_loss
    from edl_jax.training.data import load

    losses = {name: resolve_loss(name) for name in config.loss}
    dataset = load(config.dataset, config.data_dir)
    total = len(dataset.train_labels)
    num_train = total if config.train_size is None else config.train_size
    require(num_train <= total, "train_size", num_train, f"at most {total}, all there are")
    expected = f"at most the number of training images, {num_train}"
    require(config.batch_size <= num_train, "batch_size", config.batch_size, expected)

    for loss in losses.values():
        _check_classes(loss, dataset.num_classes)

    with (
        RunDirectory(
            config.output_dir,
            "transfer",
            config.recorded(),
            resume=config.resume,
            overwrite=config.overwrite,
        ) as run,
        StopRequest() as stop,
    ):
        _run(config, losses, dataset, num_train, run, stop)


def _run(
    config: TransferConfig,
    losses: Mapping[str, Any],
    dataset: Any,
    num_train: int,
    run: RunDirectory,
    stop: StopRequest,
) -> None:
    from rich.console import Console

    from edl_jax.runs import checkpoint, tensorboard
    from edl_jax.training import comparison
    from edl_jax.training.loop import train
    from edl_jax.training.subsets import for_seed

    console = Console()
    console.print(
        f"Training [bold]{config.model}[/] on {num_train:,} images of {config.dataset} "
        f"into {run.path}"
    )
    checkpoints = checkpoint.Checkpoints(run, config.checkpoint_every, stop)
    tensorboard.attach(run, config.tensorboard, step="epoch", series=("loss", "seed"))
    # What is logged says which runs are done; a checkpoint is of the first that is not.
    history = list(run.history())
    last = {(row["loss"], row["seed"]): row for row in history}
    train_config = TrainConfig(**{f.name: getattr(config, f.name) for f in fields(TrainConfig)})
    seen_an_epoch = num_train // config.batch_size * config.batch_size
    seen_a_run = config.epochs * seen_an_epoch
    with cli.progress("images/s") as progress:
        task = progress.add_task("starting", total=len(losses) * len(config.seeds) * seen_a_run)
        for i, seed in enumerate(config.seeds):
            data = for_seed(
                dataset,
                seed,
                train_size=config.train_size,
                label_noise=config.label_noise,
                noise_kind=config.noise_kind,
            )
            for j, (name, loss) in enumerate(losses.items()):
                progress.update(task, completed=(i * len(losses) + j) * seen_a_run)
                if _is_done(last.get((name, seed)), config):
                    continue

                def on_progress(
                    images: int, row: dict[str, Any] | None, name: str = name, seed: int = seed
                ) -> None:
                    text = f"{name}, seed {seed}"
                    if row is not None:
                        history.append({"loss": name, "seed": seed, **row})
                        last[name, seed] = history[-1]
                        run.log(**history[-1])
                        text += f", epoch {row['epoch']}"
                    progress.update(task, advance=images, description=text)

                train(
                    data,
                    loss,
                    train_config,
                    seed,
                    on_progress,
                    restore=checkpoints.restore,
                    on_midway=checkpoints.offer,
                )
                checkpoints.write(None)
        progress.update(task, completed=len(last) * seen_a_run)

    runs = [last[name, seed] for name in config.loss for seed in config.seeds]
    rows = [_result(config, num_train, row) for row in runs]
    first, *others = config.loss
    metrics = ("test_accuracy", "nll", "ece")
    differences = [
        comparison.paired_difference(rows, name, first, metric)
        for name in others
        for metric in metrics
    ]
    comparison.learning_curves(history, run.path / "learning_curves.png")
    run.finish(rows=rows, paired_differences=differences, seeds=config.seeds)
    checkpoint.remove(run.path)
    console.print(comparison.table(rows))
    if others:
        interval = "with a 95 % bootstrap interval over the seeds"
        if len(config.seeds) < comparison.MIN_SEEDS:
            interval = f"without an interval: that takes {comparison.MIN_SEEDS} seeds or more"
        console.print(f"Differences are in points, paired by seed, {interval}.")
    print(f"See it: {run.report_command}")


def _is_done(last: Mapping[str, Any] | None, config: TransferConfig) -> bool:
    """Whether the run whose last epoch is given has ended; None is no epoch."""
    return last is not None and (last["epoch"] == config.epochs or last["train_loss"] is None)


def _result(config: TransferConfig, num_train: int, last: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run, from its last epoch."""
    return {
        "dataset": config.dataset,
        "model": config.model,
        "train_size": num_train,
        "epochs": config.epochs,
        "label_noise": config.label_noise,
        "noise_kind": config.noise_kind,
        "loss": last["loss"],
        "learning_rate": config.learning_rate,
        "seed": last["seed"],
        "test_accuracy": last["test_accuracy"],
        "nll": last["nll"],
        "ece": last["ece"],
        "diverged": last["train_loss"] is None,
    }


if __name__ == "__main__":
    cli.main(command)
