"""Rank the training labels of a run of transfer by how wrong they look.

The run's directory then holds suspects.csv, suspects.json and, of pictures, suspects.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from edl_jax import cli
from edl_jax.errors import EdlError, OptionError, plain_numbers, require, require_int
from edl_jax.files import Json, write_json
from edl_jax.runs.directory import (
    CONFIG,
    SUSPECTS,
    SUSPECTS_SHEET,
    SUSPECTS_TABLE,
    is_finished,
    stored_config,
    working_dir,
)
from edl_jax.transfer import PROG as TRANSFER
from edl_jax.transfer import TransferConfig, read_dataset, read_noise

if TYPE_CHECKING:
    import numpy as np

    from edl_jax.training.data import Dataset

PROG = "python -m edl_jax.suspects"
_AGREES = 0.005


@dataclass(frozen=True)
class SuspectsConfig:
    """Rank the training labels of a finished run of transfer --save-model by how wrong they look.

    A label is suspect where the trained network finds another class more probable. The network
    must not have learned wrong labels by heart: train it with a robust loss, as edl-robust.
    """

    run_dir: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN_DIR")]]
    """Directory of the run."""
    loss: str | None = None
    """Which of the run's losses; may be left out where there is one."""
    seed: int | None = None
    """Which of the run's seeds. By default the mean over all of them, where all were trained on
    the same labels, else the first."""
    pictures: int = 60
    """Pictures on the contact sheet, at the most."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        require_int("pictures", self.pictures, 1, 1000)


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(SuspectsConfig, args, prog=PROG)
    path = config.run_dir
    run = _recorded(path)
    loss, seeds = _chosen(config, run)
    start = working_dir(path)

    from edl_jax.statistics import finite_or_none
    from edl_jax.suspects.sheet import draw_sheet, write_csv

    dataset, wrong = _training_set(run, start, seeds[0])
    probs = _mean_probs(path, loss, seeds, dataset)

    from edl_jax.suspects.ranking import rank_suspects

    suspects = rank_suspects(probs, dataset.train_labels)
    write_csv(suspects, dataset.train_names, dataset.class_names, path / SUSPECTS_TABLE)
    content: Json = {
        "loss": loss,
        "seeds": list(seeds),
        "num_examples": len(suspects.order),
        "num_suspects": suspects.number,
        "noise_rate": suspects.noise_rate,
    }
    if wrong.any():
        precision, recall = map(finite_or_none, suspects.precision_and_recall(wrong))
        content |= {"wrong": float(wrong.mean()), "precision": precision, "recall": recall}
    write_json(path / SUSPECTS, content)
    (path / SUSPECTS_SHEET).unlink(missing_ok=True)
    if dataset.kind == "images" and suspects.number:
        sheet = path / SUSPECTS_SHEET
        draw_sheet(suspects, dataset.train_images, dataset.class_names, sheet, config.pictures)
    _say(content, path)


def _say(content: Json, path: Path) -> None:
    print(
        f"{content['num_suspects']:,} of {content['num_examples']:,} labels are suspect: "
        f"estimated noise rate {content['noise_rate']:.1%}"
    )
    if content["noise_rate"] < _AGREES:
        print("The network agrees with nearly all labels: they may be right, or it may have")
        print("learned wrong ones by heart; fewer epochs or a lower learning rate tell.")
    if content.get("precision") is not None:
        print(
            f"Of the labels, {content['wrong']:.1%} are known to be wrong: precision "
            f"{content['precision']:.1%}, recall {content['recall']:.1%}"
        )
    print(f"Written: {path / SUSPECTS_TABLE}, the most suspect first")
    print(f"See it: python -m edl_jax.report {path}")


def _recorded(path: Path) -> TransferConfig:
    """The configuration of the run in ``path``."""
    try:
        content = stored_config(path, "transfer")
    except OptionError as error:
        raise EdlError(f"{path}: expected {error.expected}") from None
    run = cli.recorded_config(TransferConfig, content, TRANSFER, path / CONFIG)
    if not (is_finished(path) and run.save_model):
        raise EdlError(f"{path}: expected a finished run of transfer --save-model")
    return run


def _chosen(config: SuspectsConfig, run: TransferConfig) -> tuple[str, tuple[int, ...]]:
    """The loss, and the seeds, whose classifiers judge."""
    loss = config.loss or run.loss[0]
    sure = loss in run.loss and (config.loss is not None or len(run.loss) == 1)
    require(sure, "loss", config.loss or "not given", f"one of the run's, {', '.join(run.loss)}")
    if config.seed is not None:
        expected = f"one of the run's, {', '.join(map(str, run.seeds))}"
        require(config.seed in run.seeds, "seed", config.seed, expected)
        return loss, (config.seed,)
    alike = run.train_size is None and run.label_noise == 0
    return loss, run.seeds if alike else run.seeds[:1]


def _training_set(run: TransferConfig, start: Path, seed: int) -> "tuple[Dataset, np.ndarray]":
    """The training set of a seed, its examples named, and which of its labels are wrong."""
    from edl_jax.training.subsets import for_seed

    dataset = read_dataset(run, start)
    if not dataset.train_names:
        numbers = map(str, range(len(dataset.train_labels)))
        dataset = replace(dataset, train_names=tuple(numbers))
    sound = dataset if run.labels is None else read_dataset(replace(run, labels=None), start)
    clean = for_seed(sound, seed, train_size=run.train_size)
    noisy = for_seed(
        dataset,
        seed,
        train_size=run.train_size,
        label_noise=run.label_noise,
        noise_kind=read_noise(run, start, dataset.num_classes),
    )
    return noisy, noisy.train_labels != clean.train_labels


def _mean_probs(path: Path, loss: str, seeds: tuple[int, ...], dataset: "Dataset") -> "np.ndarray":
    import numpy as np

    from edl_jax.training.saved import load_classifier

    classifiers = (load_classifier(path, loss, seed) for seed in seeds)
    return np.mean([one.predict_probs(dataset.train_images) for one in classifiers], axis=0)


if __name__ == "__main__":
    cli.main(command)
