"""The cells of ``transfer_losses``: tuning and measuring of each loss, cell by cell."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.common.results_file import ResultsFile, Row
from benchmarks.common.side_by_side import run_side_by_side
from benchmarks.transfer_losses.config import TUNING_SEED, TransferLossesConfig
from benchmarks.transfer_losses.datasets import load_set
from benchmarks.transfer_losses.peers import resolve
from benchmarks.transfer_losses.settings import PROBLEM, Setting
from edl_jax.losses.base import Loss
from edl_jax.training.config import TrainConfig
from edl_jax.training.data import Dataset
from edl_jax.training.loop import train
from edl_jax.training.subsets import for_seed, with_noisy_holdout

HOLDOUT_SIZE = 5000
KEY = (*PROBLEM, "protocol", "loss", "learning_rate", "seed")


def rates_to_try(setting: Setting, accuracy: Callable[[float], float | None]) -> Iterator[float]:
    """The learning rates that tuning runs, each after ``accuracy`` of the last one is known.

    Where the grid is not run whole, the search climbs: it starts at ``setting.first_rate`` and ends
    where neither neighbour on the grid is better.
    """
    rates = setting.learning_rates
    if setting.whole_grid:
        yield from rates
        return
    tried: dict[int, float] = {}
    place, best = -1, rates.index(setting.first_rate)
    while place != best:
        place = best
        for i in (place, place - 1, place + 1):
            if 0 <= i < len(rates) and i not in tried:
                yield rates[i]
                tried[i] = accuracy(rates[i]) or 0.0
        best = max(tried, key=lambda i: tried[i])


def cells(
    setting: Setting,
    config: TransferLossesConfig,
    loss: str,
    tuned: Callable[[Row, str], dict[float, float]],
) -> Iterator[Row]:
    """All runs of one loss in the order in which they are needed: tuning before what it decides.

    ``tuned(problem, loss)`` gives the held-out accuracy of each learning rate that was tried.
    """

    def best(problem: Row) -> float:
        accuracies = tuned(problem, loss)
        return max(accuracies, key=lambda rate: accuracies[rate])

    clean = setting.problem(0.0, "symmetric")
    for noise, kind in config.levels:
        problem = setting.problem(noise, kind)
        cell = {**problem, "loss": loss}

        def accuracy(rate: float, problem: Row = problem) -> float | None:
            return tuned(problem, loss).get(rate)

        for rate in rates_to_try(setting, accuracy):
            yield {**cell, "protocol": "tuning", "learning_rate": rate, "seed": TUNING_SEED}
        for seed in config.seeds:
            yield {**cell, "protocol": "unaware", "learning_rate": best(clean), "seed": seed}
            yield {**cell, "protocol": "aware", "learning_rate": best(problem), "seed": seed}


def tuned_rates(results: ResultsFile, problem: Row, loss: str) -> dict[float, float]:
    """Held-out accuracy by learning rate, of the tuning runs in ``results``."""
    wanted = {**problem, "loss": loss, "protocol": "tuning"}
    return {
        row["learning_rate"]: row["test_accuracy"]
        for row in results.rows
        if wanted.items() <= row.items()
    }


def run_loss(setting: Setting, config: TransferLossesConfig, loss: str, output: Path) -> None:
    """Run what is still missing of one loss, adding each cell to the results file ``output``."""
    results = ResultsFile(output, KEY)
    loaded: tuple[Dataset, Loss] | None = None

    def run(cell: Row) -> Row:
        nonlocal loaded
        loaded = loaded or (load_set(setting.dataset, config.data_dir), resolve(loss))
        dataset, function = loaded
        tuning = cell["protocol"] == "tuning"
        spare = len(dataset.train_labels) - setting.train_size
        data = for_seed(
            dataset,
            cell["seed"],
            train_size=setting.train_size,
            holdout_size=min(HOLDOUT_SIZE, spare) if tuning else 0,
            label_noise=cell["label_noise"],
            noise_kind=cell["noise_kind"],
        )
        if tuning:
            data = with_noisy_holdout(
                data, TUNING_SEED + 1, cell["label_noise"], cell["noise_kind"]
            )
        train_config = TrainConfig(
            model=setting.model,
            width=setting.width,
            epochs=setting.epochs,
            learning_rate=cell["learning_rate"],
            weight_decay=setting.weight_decay,
            batch_size=setting.batch_size,
            optimizer=setting.optimizer,
            augment=setting.augment,
            eval_every=0,
        )
        result = train(data, function, train_config, cell["seed"])
        return {
            "test_accuracy": result.test_accuracy,
            "nll": result.nll,
            "ece": result.ece,
            "train_accuracy": result.history[-1]["train_accuracy"],
        }

    for cell in cells(setting, config, loss, lambda *of: tuned_rates(results, *of)):
        if results.find(cell) is not None:
            continue
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
