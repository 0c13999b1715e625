"""Train classifiers with frozen losses, paired by seed, and compare them.

The run directory then holds config.json, metrics.jsonl (a line an epoch), summary.json and
learning_curves.png, and with ``--save-model`` the trained networks.
"""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edl_jax import cli
from edl_jax.errors import require, require_number
from edl_jax.files import path_exists, user_path
from edl_jax.parts import digest, is_own, pinned, relative_to
from edl_jax.runs.directory import (
    CLASSIFIERS,
    RunDirectory,
    is_finished,
    require_same_sources,
    working_dir,
)
from edl_jax.runs.interrupts import StopRequest
from edl_jax.runs.options import RunOptions
from edl_jax.runs.output import progress_bar, show
from edl_jax.startup import split_processors
from edl_jax.training.config import (
    NOISE_KINDS,
    TrainConfig,
    TrainOptions,
    is_matrix,
    require_seeds,
)

if TYPE_CHECKING:
    from edl_jax.losses.base import Loss
    from edl_jax.training.comparison import Row as ComparisonRow
    from edl_jax.training.data import Dataset
    from edl_jax.training.loop import EpochRow, TrainResult
    from edl_jax.training.noise import Noise
    from edl_jax.training.session import Name

PROG = "python -m edl_jax.transfer"


@dataclass(frozen=True)
class TransferConfig(RunOptions, TrainOptions):
    """Train classifiers with frozen losses and compare them on the test examples.

    All losses meet the same initial weights, batches, augmentation and label noise: these depend
    on the seed alone.
    """

    loss: tuple[str, ...] = ("cross_entropy", "edl-base")
    """Losses: names of hand-made or shipped ones, hand-made ones with other
    constants (gce:q=0.3), paths of learned ones, or run directories of
    pretrain, or functions of your own (FILE.py:NAME); each is compared with
    the first."""
    dataset: str = "cifar10"
    """Your own arrays (PATH.npz) or pictures (folder:PATH, a folder a class);
    synthetic, which is made on the spot; or a prepared set of TensorFlow
    Datasets: cifar10, cifar100, mnist, fashion_mnist, svhn_cropped, or any
    with labelled images of one size."""
    image_size: int | None = None
    """Pixels, to which the pictures of a folder are scaled; without it all
    have one size."""
    labels: str | None = None
    """Which labels of a prepared set to train on, e.g. worse_label of
    cifar10_n, which people gave; None is its own, which are tested on in
    any case."""
    stream: bool = False
    """Read pictures as they are needed, for a set that is larger than memory;
    the results are the same."""
    learning_rate: tuple[float, ...] = (0.1,)
    """Peak learning rate; AdamW wants about a hundredth of what suits sgd. Of
    several each loss gets the one that is best for it on held-out training
    examples."""
    data_dir: Path | None = None
    """Directory of the prepared sets; None is $TFDS_DATA_DIR, or
    ~/tensorflow_datasets."""
    train_size: int | None = None
    """Number of training examples, chosen at random for each seed; None is
    all."""
    label_noise: float = 0.0
    """Probability that a training label is replaced, from 0 to 1."""
    noise_kind: str = "symmetric"
    """What replaces a label: any class at random (symmetric), the class after
    it (asymmetric), the class that a poor labeller takes the example for
    (instance), or one drawn from a matrix of probabilities, whose rows are
    the classes that are replaced (PATH.csv or PATH.npy)."""
    seeds: tuple[int, ...] = (0,)
    """Seeds, one run of every loss for each; three or more give an
    interval."""
    save_model: bool = False
    """Keep the trained networks; edl_jax.load_classifier reads them."""

    def __post_init__(self) -> None:
        RunOptions.__post_init__(self)
        TrainOptions.__post_init__(self)
        distinct = bool(self.loss) and len(set(self.loss)) == len(self.loss)
        require(distinct, "loss", " ".join(self.loss), "one or more losses, each once")
        if self.train_size is not None:
            expected = f"a whole number of at least the batch size, {self.batch_size}"
            enough = type(self.train_size) is int and self.train_size >= self.batch_size
            require(enough, "train_size", self.train_size, expected)
        require_number("label_noise", self.label_noise, 0.0, 1.0)
        known = self.noise_kind in NOISE_KINDS or is_matrix(self.noise_kind)
        require(known, "noise_kind", self.noise_kind, f"{', '.join(NOISE_KINDS)}, or PATH.csv")
        require_seeds(self.seeds)
        rates = self.learning_rate
        distinct = 0 < len(rates) == len(set(rates))
        require(distinct, "learning_rate", " ".join(map(str, rates)), "one or more, each once")
        for rate in rates:
            self.at(rate)

    def at(self, learning_rate: float) -> TrainConfig:
        """How a run with one of the learning rates trains."""
        own = {f.name: getattr(self, f.name) for f in fields(TrainOptions)}
        return TrainConfig(**own, learning_rate=learning_rate)


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
        print(f"{config.output_dir}: this run is finished, there is nothing to resume")
        return
    settle(config.model)

    from edl_jax.losses.artifact import NAMES
    from edl_jax.losses.handmade import LOSSES
    from edl_jax.losses.loading import resolve_loss
    from edl_jax.training.comparison import require_fit
    from edl_jax.training.tuning import require_room

    # Paths mean what they meant where the run was started, if there is still something there.
    start = working_dir(config.output_dir) if config.resume and config.output_dir else Path()

    def named(loss: str) -> bool:
        return loss in NAMES or loss.partition(":")[0] in LOSSES

    with contextlib.ExitStack() as stack:
        stack.enter_context(relative_to(start))
        own = [("loss", name) for name in config.loss] + [("model", config.model)]
        sources = {f"{kind} {name}": digest(name, kind) for kind, name in own if is_own(name)}
        if config.resume and config.output_dir:
            require_same_sources(config.output_dir, sources)
        pins = {name.partition(" ")[2]: sha256 for name, sha256 in sources.items()}
        stack.enter_context(pinned(pins))
        losses = {
            name: resolve_loss(name if named(name) or is_own(name) else _located(start, name))
            for name in config.loss
        }
        dataset = read_dataset(config, start)
        noise = read_noise(config, start, dataset.num_classes)
        num_train = require_fit(dataset, losses, config, train_size=config.train_size)
        if len(config.learning_rate) > 1:
            require_room(dataset, config, config.train_size)
        run = RunDirectory(
            config.output_dir,
            "transfer",
            config.recorded(),
            resume=config.resume,
            overwrite=config.overwrite,
            sources=sources,
        )
        stack.enter_context(run)
        stop = stack.enter_context(StopRequest())
        _run(config, losses, dataset, noise, num_train, run, stop)


def read_dataset(config: TransferConfig, start: Path) -> "Dataset":
    """The data set of a run that was started in the directory ``start``.

    Raises:
      EdlError: it is not there, or cannot be used.
    """
    from edl_jax.training.sources import FOLDER, is_path, load

    name = config.dataset
    if is_path(name):
        kind = FOLDER if name.startswith(FOLDER) else ""
        name = f"{kind}{_located(start, name.removeprefix(kind))}"
    data_dir = config.data_dir and _located(start, config.data_dir)
    return load(
        name,
        data_dir,
        image_size=config.image_size,
        labels=config.labels,
        stream=config.stream,
    )


def read_noise(config: TransferConfig, start: Path, num_classes: int) -> "Noise":
    """The noise of a run that was started in the directory ``start``.

    Raises:
      EdlError: the file is not there, or holds no matrix for so many classes.
    """
    from edl_jax.training.noise import read_matrix, require_kind

    if not is_matrix(config.noise_kind):
        return config.noise_kind
    matrix = read_matrix(_located(start, config.noise_kind))
    require_kind(matrix, num_classes)
    return matrix


def _located(start: Path, path: str | Path) -> Path:
    there = start / user_path(path)
    return there if path_exists(there) else Path(path)


def _run(
    config: TransferConfig,
    losses: Mapping[str, "Loss"],
    dataset: "Dataset",
    noise: "Noise",
    num_train: int,
    run: RunDirectory,
    stop: StopRequest,
) -> None:
    from edl_jax import plots
    from edl_jax.runs import checkpoint, tensorboard
    from edl_jax.runs.environment import environment
    from edl_jax.training.comparison import compare, interval_note
    from edl_jax.training.table import table
    from edl_jax.training.tuning import tune, tuning_sizes

    what = f"{config.model} on {num_train:,} {dataset.kind} of {config.dataset}"
    print(f"Training {what} into {run.path}", flush=True)
    checkpoints = checkpoint.Checkpoints(run, config.checkpoint_every, stop)
    tensorboard.attach(
        run, config.tensorboard, step="epoch", series=("loss", "tuning_rate", "seed")
    )
    logged: list[Any] = list(run.history())
    rates = config.learning_rate if len(config.learning_rate) > 1 else None
    runs = [{"loss": name, "tuning_rate": rate} for name in losses for rate in rates or ()]
    runs += [{"loss": name, "seed": seed} for seed in config.seeds for name in losses]
    smaller, _ = tuning_sizes(len(dataset.train_labels), config.train_size)
    sizes = [smaller if "tuning_rate" in of else num_train for of in runs]
    examples = [config.epochs * (size // config.batch_size * config.batch_size) for size in sizes]
    with progress_bar("examples/s") as progress:
        task = progress.add_task("starting", total=sum(examples))

        def on_start(of: "Name") -> None:
            progress.update(task, completed=sum(examples[: runs.index(dict(of))]))

        def on_progress(of: "Name", number: int, row: "EpochRow | None") -> None:
            text = ", ".join(f"{name} {value}" for name, value in of.items())
            text = text.removeprefix("loss ").replace("_", " ")
            if row is not None:
                run.log(**of, **row)
                text += f", epoch {row['epoch']}"
            progress.update(task, advance=number, description=text)

        def on_run(row: "ComparisonRow", trained: "TrainResult") -> None:
            if config.save_model and not trained.diverged:
                number = config.loss.index(row["loss"])
                _keep(trained, run.path / CLASSIFIERS / f"{number}-seed{row['seed']}", row)
            checkpoints.write(None)

        # What is logged says which runs are done; a checkpoint is of the first that is not.
        shared: Any = {
            "train_size": config.train_size,
            "label_noise": config.label_noise,
            "noise_kind": noise,
            "restore": checkpoints.restore,
            "on_midway": checkpoints.offer,
        }
        tuned = rates and tune(
            dataset,
            losses,
            config.at(rates[0]),
            rates,
            history=[row for row in logged if "tuning_rate" in row],
            on_start=on_start,
            on_progress=on_progress,
            **shared,
        )
        result = compare(
            dataset,
            losses,
            config.at(config.learning_rate[0]),
            config.seeds,
            history=[row for row in logged if "seed" in row],
            on_start=lambda name, seed: on_start({"loss": name, "seed": seed}),
            on_progress=lambda name, seed, *done: on_progress({"loss": name, "seed": seed}, *done),
            on_run=on_run,
            learning_rates=tuned.learning_rates if tuned else None,
            **shared,
        )
        progress.update(task, completed=sum(examples))

    plots.learning_curves(result.history, run.path / "learning_curves.png")
    run.finish(
        environment(),
        rows=result.rows,
        paired_differences=result.paired_differences,
        seeds=config.seeds,
        **({"tuning": tuned.trials} if tuned else {}),
    )
    checkpoint.remove(run.path)
    show(table(result.rows))
    if tuned:
        print("Each loss has the learning rate that was best for it on held-out training examples.")
    if len(losses) > 1:
        note = interval_note(len(config.seeds))
        print(f"Differences are in points, paired by seed, {note}.")
    print(f"See it: {run.report_command}")


def _keep(trained: "TrainResult", place: Path, row: "ComparisonRow") -> None:
    from edl_jax.training.saved import save_classifier

    # A kill may have hit between this and the checkpoint that says it is done.
    shutil.rmtree(place, ignore_errors=True)
    save_classifier(trained.classifier, place, row)


if __name__ == "__main__":
    cli.main(command)
