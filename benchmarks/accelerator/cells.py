"""The measurements in the order of their worth, and the loop that measures until the time is up."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax

from benchmarks.accelerator import search
from benchmarks.accelerator.config import LABEL_NOISE, AcceleratorConfig, Sizes
from benchmarks.accelerator.measure import Budget, Peaks, peaks
from benchmarks.accelerator.training import Training, loss_row, read_data
from benchmarks.common.results_file import ResultsFile, Row
from edl_jax.errors import EdlError

KEY = ("device", "kind", "case")
# What a cell of each kind is printed with.
FIGURES = {
    "device": "bfloat16",
    "search": "generations_per_second",
    "evosax": "generations_per_second",
    "step": "milliseconds",
    "loss": "milliseconds",
    "rehearsal": "seconds",
    "training": "test_accuracy",
}
STEP_LOSSES = ("cross_entropy", "edl-base", "edl-robust")
# Of the time, what is kept for whole training runs while everything else is measured.
TRAINING_SHARE = 0.5
# Runs on clean labels are planned for only if all runs then have at least so many epochs.
MIN_EPOCHS = 12
# Seconds that the runs take beside their epochs: what they compile, and what each one repeats.
COMPILE_SECONDS, RUN_SECONDS = 40.0, 3.0
# Of a CPU's matrix products larger ones would tell no more, and take minutes.
CPU_SIDE = 1024


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
      kind, case: what it is called.
      seconds: what it takes, if none of its kind has been measured yet.
      run: measures it.
    """

    kind: str
    case: str
    seconds: float
    run: Callable[[], Row]


def planned_epochs(seconds_left: float, epoch_seconds: float, losses: int, most: int) -> int:
    """Epochs of each run, so that a run of each loss on noisy labels fits, on clean ones too if
    that leaves enough.

    >>> planned_epochs(280.0, 1.0, 4, 30), planned_epochs(280.0, 2.5, 4, 30)
    (27, 22)
    """

    def fit(runs: int) -> int:
        return int((seconds_left - COMPILE_SECONDS - runs * RUN_SECONDS) / (runs * epoch_seconds))

    both = fit(2 * losses)
    return max(1, min(most, both if both >= MIN_EPOCHS else fit(losses)))


class Measurements:
    """All cells, and what the later ones take from the earlier ones."""

    def __init__(self, config: AcceleratorConfig, sizes: Sizes, budget: Budget) -> None:
        self.config, self.sizes, self.budget = config, sizes, budget
        self.peaks: Peaks | None = None
        self.without_data = ""  # why there is none
        dataset = None
        if not config.quick and {"step", "training"} & set(config.kinds):
            try:
                dataset = read_data(config.data_dir)
            except (EdlError, ImportError) as error:
                self.without_data = str(error)
        self.training = Training(sizes, dataset)
        self._planned = False
        self._taken: dict[str, float] = {}

    def device(self) -> Row:
        """The peaks of the device, which are kept."""
        on_cpu = jax.default_backend() == "cpu"
        side = min(self.sizes.matrices, CPU_SIDE) if on_cpu else self.sizes.matrices
        self.peaks = peaks(side)
        return search.device_row(self.peaks, side)

    def search(self, population_size: int) -> Row:
        """A search with this engine."""
        peak = None if self.peaks is None else self.peaks.float32
        return search.search_row(population_size, self.sizes, peak)

    def step(self, loss: str, dtype: str) -> Row:
        """A training step."""
        peak = None if self.peaks is None else getattr(self.peaks, dtype)
        return self.training.step_row(loss, dtype, peak)

    def run(self, loss: str, noise: float, seed: int) -> Row:
        """A training run; the first one settles the epochs of all."""
        if not self._planned:
            if self.training.epoch_seconds is None:
                self.step(loss, "bfloat16")
            self.training.epochs = planned_epochs(
                self.budget.seconds_left,
                self.training.epoch_seconds or 1.0,
                len(self.sizes.losses),
                self.sizes.train.epochs,
            )
            self._planned = True
        return self.training.run_row(loss, noise, seed, self.budget)

    def cells(self) -> Iterator[Cell]:
        """All of them, the most worthwhile first."""
        sizes = self.sizes
        small = [size for size in sizes.populations if size <= max(sizes.evosax)]
        large = [size for size in sizes.populations if size not in small]
        yield Cell("device", "peaks", 10, self.device)
        for size in small:
            yield Cell("search", f"population {size}", 15, partial(self.search, size))
        for size in sizes.evosax:
            run = partial(search.evosax_row, size, sizes)
            yield Cell("evosax", f"population {size}", 15, run)
        for number in sizes.candidates:
            run = partial(search.rehearsal_row, number, sizes.turns)
            yield Cell("rehearsal", f"{number} candidates", 15, run)
        for classes in sizes.classes:
            for batch in sizes.batches:
                for loss in STEP_LOSSES:
                    case = f"{classes} classes, batch {batch}, {loss}"
                    run = partial(loss_row, loss, classes, batch, sizes)
                    yield Cell("loss", case, 3, run)
        for loss in STEP_LOSSES:
            yield Cell("step", f"bfloat16, {loss}", 60, partial(self.step, loss, "bfloat16"))
        for size in large:
            yield Cell("search", f"population {size}", 15, partial(self.search, size))
        for loss in STEP_LOSSES:
            yield Cell("step", f"float32, {loss}", 60, partial(self.step, loss, "float32"))
        for seed in sizes.seeds:
            for noise in (LABEL_NOISE, 0.0):
                for loss in sizes.losses:
                    case = f"{noise:.0%} noise, {loss}, seed {seed}"
                    yield Cell("training", case, 30, partial(self.run, loss, noise, seed))

    def _expected_seconds(self, cell: Cell) -> float:
        if cell.kind == "training" and self._planned:
            return self.training.epochs * (self.training.epoch_seconds or 0.0) + RUN_SECONDS
        return self._taken.get(cell.kind, cell.seconds)

    def _reason_against(self, cell: Cell) -> str:
        """Why a cell is not measured; empty if it is."""
        kept = 0.0
        if cell.kind == "training":
            if self.without_data:
                return self.without_data
        elif "training" in self.config.kinds and not self.without_data:
            kept = TRAINING_SHARE * 60 * self.config.minutes
        spare = self.budget.seconds_left - self._expected_seconds(cell)
        return "for want of time" if spare < kept else ""

    def measure_all(self, results: ResultsFile) -> None:
        """Measure what the time allows, and write each row when it is there.

        What cannot be measured gets a row that says why, unless an earlier one is there.
        """
        device = jax.devices()[0].device_kind
        for cell in self.cells():
            if cell.kind not in self.config.kinds:
                continue
            reason = self._reason_against(cell)
            if reason:
                print(f"{cell.kind}, {cell.case}: left out, {reason}", flush=True)
                if cell.kind == "training":  # nor could those to come be measured
                    break
                continue
            began = time.perf_counter()
            key = {"device": device, "kind": cell.kind, "case": cell.case}
            try:
                row = cell.run()
            # One that fails, for whatever reason, must not take the others with it.
            except Exception as error:
                line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                row, text = {"failed": line}, line
            else:
                text = f"{FIGURES[cell.kind]} {row[FIGURES[cell.kind]]:.4g}"
            seconds = time.perf_counter() - began
            self._taken[cell.kind] = max(seconds, self._taken.get(cell.kind, 0.0))
            print(
                f"{cell.kind}, {cell.case}: {text} ({seconds:.0f} s; "
                f"{self.budget.seconds_left:.0f} s left)",
                flush=True,
            )
            if "failed" not in row or "failed" in (results.find(key) or {"failed": ""}):
                results.add({**key, **row})
