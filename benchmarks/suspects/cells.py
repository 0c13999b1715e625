"""The cells of ``suspects``: an MLP is trained on noisy labels, and both methods judge them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues

from benchmarks.common.results_file import ResultsFile, Row
from benchmarks.suspects.config import NOISE, RATES, SuspectsBenchmarkConfig
from edl_jax.losses.loading import load_loss
from edl_jax.runs.output import progress_bar
from edl_jax.suspects.ranking import rank_suspects
from edl_jax.training.config import TrainConfig
from edl_jax.training.data import Dataset
from edl_jax.training.loop import train
from edl_jax.training.sources import load
from edl_jax.training.subsets import for_seed

KEY = ("dataset", "train_size", "epochs", "loss", "noise", "seed")
TRAIN_SIZE, EPOCHS = 10_000, 60


def cells(config: SuspectsBenchmarkConfig) -> Iterator[Row]:
    """All that is asked for, in the order in which it is run."""
    common = {"dataset": "fashion_mnist", "train_size": TRAIN_SIZE, "epochs": EPOCHS}
    if config.quick:
        common = {"dataset": "synthetic", "train_size": 4000, "epochs": 10}
    for loss in config.losses:
        for noise in config.noise:
            for seed in config.seeds:
                yield {**common, "loss": loss, "noise": noise, "seed": seed}


def measure(cell: Row, dataset: Dataset) -> Row:
    """Precision and recall of both methods, on one network's predictions."""
    rate, kind = NOISE[cell["noise"]]
    sizes = {"train_size": cell["train_size"]}
    clean = for_seed(dataset, cell["seed"], **sizes)
    noisy = for_seed(dataset, cell["seed"], **sizes, label_noise=rate, noise_kind=kind)
    wrong = clean.train_labels != noisy.train_labels
    config = TrainConfig(
        model="mlp",
        epochs=cell["epochs"],
        learning_rate=RATES[cell["loss"]],
        augment="none",
        eval_every=0,
    )
    trained = train(noisy, load_loss(cell["loss"]), config, cell["seed"])
    probs = trained.classifier.predict_probs(noisy.train_images).astype(float)
    probs /= probs.sum(-1, keepdims=True)
    ours = rank_suspects(probs, noisy.train_labels)
    issues = find_label_issues(noisy.train_labels, probs, n_jobs=1)
    as_many = np.zeros(len(wrong), bool)
    as_many[ours.order[: issues.sum()]] = True
    suspect = np.isin(np.arange(len(wrong)), ours.indices)
    return {
        "test_accuracy": trained.test_accuracy,
        "wrong": float(wrong.mean()),
        "edl_jax": _scores(suspect, wrong),
        "cleanlab": _scores(issues, wrong),
        "edl_jax_as_many": _scores(as_many, wrong),
    }


def _scores(suspect: np.ndarray, wrong: np.ndarray) -> dict[str, float | None]:
    """Share that is suspect, precision, recall and their harmonic mean; None is undefined."""
    found = float((suspect & wrong).sum())
    precision = found / suspect.sum() if suspect.any() else None
    recall = found / wrong.sum() if wrong.any() else None
    total = float(suspect.sum() + wrong.sum())
    f1 = 2 * found / total if wrong.any() and total else None
    return {"suspect": float(suspect.mean()), "precision": precision, "recall": recall, "f1": f1}


def run(config: SuspectsBenchmarkConfig, output: Path) -> list[Row]:
    """Measure what is missing in the file ``output``, and return all its rows."""
    results = ResultsFile(output, KEY)
    missing = [cell for cell in cells(config) if results.find(cell) is None]
    if missing:
        dataset = load(missing[0]["dataset"], config.data_dir)
        with progress_bar("cells/s") as progress:
            for cell in progress.track(missing, description="suspects"):
                results.add({**cell, **measure(cell, dataset)})
    return results.rows
