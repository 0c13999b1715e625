"""Train image classifiers with frozen losses, paired by seed, and compare them.

The run directory then holds config.json, metrics.jsonl (a line an epoch), summary.json and
learning_curves.png.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edl_jax import cli
from edl_jax.errors import require, require_number
from edl_jax.files import path_exists, user_path
from edl_jax.parts import digest, is_own, pinned, relative_to
from edl_jax.runs.directory import (
    RunDirectory,
    is_finished,
    require_same_sources,
    working_dir,
)
from edl_jax.runs.interrupts import StopRequest
from edl_jax.runs.options import RunOptions
from edl_jax.runs.output import progress_bar, show
from edl_jax.startup import split_processors
from edl_jax.training.config import NoiseKind, TrainConfig, require_seeds

if TYPE_CHECKING:
    from edl_jax.losses.base import Loss
    from edl_jax.training.data import Dataset
    from edl_jax.training.loop import EpochRow

PROG = "python -m edl_jax.transfer"


@dataclass(frozen=True)
class TransferConfig(RunOptions, TrainConfig):
    """Train image classifiers with frozen losses and compare them on the test images.

    All losses meet the same initial weights, batches, augmentation and label noise: these depend
    on the seed alone.
    """

    loss: tuple[str, ...] = ("cross_entropy", "edl-base")
    """Losses: names of hand-made or shipped ones, hand-made ones with other
    constants (gce:q=0.3), paths of learned ones, or run directories of
    pretrain, or functions of your own (FILE.py:NAME); each is compared with
    the first."""
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
    noise_kind: NoiseKind = "symmetric"
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
            enough = type(self.train_size) is int and self.train_size >= self.batch_size
            require(enough, "train_size", self.train_size, expected)
        require_number("label_noise", self.label_noise, 0.0, 1.0)
        require_seeds(self.seeds)


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
        from edl_jax.runs import checkpoint

        checkpoint.remove(config.output_dir)  # a kill may have hit between result and tidying up
        print(f"{config.output_dir}: this run is finished, there is nothing to go on with")
        return
    settle(config.model)

    from edl_jax.losses.handmade import LOSSES
    from edl_jax.losses.learned import NAMES, resolve_loss
    from edl_jax.training.comparison import require_fit
    from edl_jax.training.prepared import load

    # Paths mean what they meant where the run was started, if there is still something there.
    start = working_dir(config.output_dir) if config.resume and config.output_dir else Path()

    def located(path: str | Path) -> Path:
        there = start / user_path(path)
        return there if path_exists(there) else Path(path)

    def named(loss: str) -> bool:
        return loss in NAMES or loss.partition(":")[0] in LOSSES

    with relative_to(start):
        sources = {f"loss {name}": digest(name, "loss") for name in config.loss if is_own(name)}
        if config.resume and config.output_dir:
            require_same_sources(config.output_dir, sources)
        with pinned({name.partition(" ")[2]: sha256 for name, sha256 in sources.items()}):
            losses = {
                name: resolve_loss(name if named(name) or is_own(name) else located(name))
                for name in config.loss
            }
    dataset = load(config.dataset, config.data_dir and located(config.data_dir))
    num_train = require_fit(dataset, losses, config, train_size=config.train_size)
    with (
        RunDirectory(
            config.output_dir,
            "transfer",
            config.recorded(),
            resume=config.resume,
            overwrite=config.overwrite,
            sources=sources,
        ) as run,
        StopRequest() as stop,
    ):
        _run(config, losses, dataset, num_train, run, stop)


def _run(
    config: TransferConfig,
    losses: Mapping[str, "Loss"],
    dataset: "Dataset",
    num_train: int,
    run: RunDirectory,
    stop: StopRequest,
) -> None:
    from edl_jax import plots
    from edl_jax.runs import checkpoint, tensorboard
    from edl_jax.runs.environment import environment
    from edl_jax.training.comparison import compare, interval_note
    from edl_jax.training.table import table

    what = f"{config.model} on {num_train:,} images of {config.dataset}"
    print(f"Training {what} into {run.path}", flush=True)
    checkpoints = checkpoint.Checkpoints(run, config.checkpoint_every, stop)
    tensorboard.attach(run, config.tensorboard, step="epoch", series=("loss", "seed"))
    history: list[Any] = list(run.history())
    runs = [(name, seed) for seed in config.seeds for name in losses]
    images_a_run = config.epochs * (num_train // config.batch_size * config.batch_size)
    with progress_bar("images/s") as progress:
        task = progress.add_task("starting", total=len(runs) * images_a_run)

        def on_start(name: str, seed: int) -> None:
            progress.update(task, completed=runs.index((name, seed)) * images_a_run)

        def on_progress(name: str, seed: int, images: int, row: "EpochRow | None") -> None:
            text = f"{name}, seed {seed}"
            if row is not None:
                run.log(loss=name, seed=seed, **row)
                text += f", epoch {row['epoch']}"
            progress.update(task, advance=images, description=text)

        # What is logged says which runs are done; a checkpoint is of the first that is not.
        result = compare(
            dataset,
            losses,
            config,
            config.seeds,
            train_size=config.train_size,
            label_noise=config.label_noise,
            noise_kind=config.noise_kind,
            history=history,
            on_start=on_start,
            on_progress=on_progress,
            on_run=lambda row, trained: checkpoints.write(None),
            restore=checkpoints.restore,
            on_midway=checkpoints.offer,
        )
        progress.update(task, completed=len(runs) * images_a_run)

    plots.learning_curves(result.history, run.path / "learning_curves.png")
    run.finish(
        environment(),
        rows=result.rows,
        paired_differences=result.paired_differences,
        seeds=config.seeds,
    )
    checkpoint.remove(run.path)
    show(table(result.rows))
    if len(losses) > 1:
        note = interval_note(len(config.seeds))
        print(f"Differences are in points, paired by seed, {note}.")
    print(f"See it: {run.report_command}")


if __name__ == "__main__":
    cli.main(command)
