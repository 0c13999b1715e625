"""The sections of ``faults``, one after another."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ParamSpec

from benchmarks.common import toy_data
from benchmarks.faults import command_lines, fuzzing, lost_work
from benchmarks.faults.processes import SEARCH, TRAINING, kills, memory

Given = ParamSpec("Given")


@dataclass(frozen=True)
class Amounts:
    """How much of each."""

    kills: int = 30
    mutations: int = 1100
    command_lines: int = 450
    lost_work: int = 100
    generations: int = 100_000
    watched_from: int = 1_000
    search: int = 300
    epochs: int = 10


QUICK = Amounts(
    kills=1,
    mutations=52,
    command_lines=20,
    lost_work=2,
    generations=500,
    watched_from=100,
    search=150,
    epochs=5,
)


def alone(
    function: Callable[Given, Counter[str]], *args: Given.args, **options: Given.kwargs
) -> dict[str, int]:
    """Call a function in a process of its own, whose death is one of its results."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return dict(pool.submit(function, *args, **options).result())
        except BrokenProcessPool:
            return {"crashed: the process died": 1}


def sections(amounts: Amounts, work: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and counts of each kind of fault."""
    for name in ("pictures", "artifacts", "checkpoints", "lines", "lost"):
        (work / name).mkdir()
    toy_data.prepare(work / "data", work / "pictures")
    search = [*SEARCH, "--num-generations", str(amounts.search)]
    training = [*TRAINING, "--data-dir", str(work / "data"), "--epochs", str(amounts.epochs)]
    shipped = Path(str(files("edl_jax.losses") / "shipped" / "edl-base.npz"))
    number = amounts.mutations
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(memory, work, amounts.generations, amounts.watched_from)
        yield "kills of pretrain", kills("pretrain", search, work, amounts.kills)
        yield "kills of transfer", kills("transfer", training, work, amounts.kills)
        found = alone(fuzzing.artifacts, shipped, work / "artifacts", number)
        yield "mutated artifacts", found
        found = alone(fuzzing.checkpoints, work / "checkpoints", number)
        yield "mutated checkpoints", found
        found = alone(command_lines.check, work / "lines", amounts.command_lines)
        yield "command lines", found
        most = amounts.lost_work
        yield "directories of others", dict(lost_work.foreign(SEARCH, work / "lost", most))
        yield "outputs that nobody reads", dict(lost_work.outputs(search, work / "lost", most))
        (work / "lost" / "loss.npz").write_bytes(shipped.read_bytes())
        relative = [*training, "--loss", "cross_entropy", "loss.npz"]
        yield "signals", dict(lost_work.signals(relative, work / "lost", most))
        yield "memory", long.result()
