"""How many generations a second: this engine, other ways to write the same search, and the floor.

    python -m benchmarks.throughput

runs one pretraining problem in several implementations (see :mod:`benchmarks.throughput.searches`), which take
turns in every repeat, so that what disturbs the machine disturbs all of them. Each has a process of
its own: ``edl_jax`` one as its command line settles it, with a device of each processor, and
``edl_jax_one_device``, like the others, one left as JAX settles it. It then measures the
least time that a generation's arithmetic takes (:mod:`benchmarks.throughput.floor`) and how time and memory
of ``edl_jax`` grow (:mod:`benchmarks.throughput.scaling`).
"""

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edl_jax import cli
from edl_jax.errors import require, require_one_of
from edl_jax.startup import split_processors

PROG = "python -m benchmarks.throughput"
NAMES = ("edl_jax", "edl_jax_one_device", "evosax_loop", "evosax_loop_tuned", "evotorch", "numpy")


@dataclass(frozen=True)
class ThroughputConfig:
    """Measure generations a second of the same search in several implementations."""

    implementations: tuple[str, ...] = NAMES
    """What is compared; evotorch is left out, with a line that says so, where it is not there."""
    population_sizes: tuple[int, ...] = (64, 512)
    """Candidates in a generation, one measurement each."""
    repeats: int = 5
    """How often each implementation has its turn."""
    seconds: float = 2.0
    """Length of a turn, about."""
    output: Path | None = None
    """Results file; benchmarks/results/throughput.json, or with --quick one in runs/."""
    quick: bool = False
    """One small population, three short turns, few sizes: under 60 seconds."""

    def __post_init__(self) -> None:
        for name in self.implementations:
            require_one_of("implementations", name, NAMES)
        require(len(self.implementations) > 0, "implementations", "", "at least one name")
        for size in self.population_sizes:
            ok = 4 <= size <= 1_000_000 and size % 2 == 0
            require(ok, "population_sizes", size, "even numbers from 4 to 1,000,000")
        require(len(self.population_sizes) > 0, "population_sizes", "", "at least one size")
        require(1 <= self.repeats <= 10_000, "repeats", self.repeats, "from 1 to 10,000")
        ok = 0 < self.seconds <= 3600
        require(ok, "seconds", self.seconds, "a number above 0, at most 3,600")


# What this process measures, by implementation: a search, and the generations of a turn.
_measured: dict[str, tuple[Any, int]] = {}


def begin(name: str, config: Any, target: float) -> tuple[str, int, int]:
    """Make this process one that measures: a search in turns of about ``target`` seconds.

    Returns:
      The strategy, the generations of a turn, and the devices that share the population.
    """
    if name == "edl_jax":
        split_processors()  # as its command line does

    import jax

    from benchmarks.common.timing import calls_for
    from benchmarks.throughput.searches import SEARCHES

    search = SEARCHES[name.removesuffix("_one_device")](config)
    generations = search.chunk * calls_for(partial(search.run, search.chunk), target)
    _measured[name] = search, generations
    return search.strategy, generations, jax.device_count()


def take_turn(name: str) -> float:
    """Seconds of one turn."""
    from benchmarks.common.timing import seconds

    search, generations = _measured[name]
    return seconds(partial(search.run, generations))


def rates(
    problem: Any, population_size: int, names: list[str], repeats: int, target: float
) -> Iterator[dict[str, Any]]:
    """A row for each turn of each implementation, which has a process of its own."""
    from benchmarks.common.timing import SETTLE, turns

    config = replace(problem, population_size=population_size)
    spawn: Any = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for name in names
        }
        begun = {
            name: pool.submit(begin, name, config, target).result() for name, pool in pools.items()
        }
        for repeat in range(repeats):
            for name in turns(names, repeat):
                time.sleep(SETTLE)
                took = pools[name].submit(take_turn, name).result()
                strategy, number, num_devices = begun[name]
                yield {
                    "implementation": name,
                    "strategy": strategy,
                    "network": config.network,
                    "population_size": population_size,
                    "batch_size": config.batch_size,
                    "width": config.width,
                    "num_classes": config.num_classes,
                    "num_devices": num_devices,
                    "generations": number,
                    "generations_per_second": number / took,
                    "repeat": repeat,
                }


def shares(floor: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, float]:
    """By implementation, the floor's share of the time that was measured (the median)."""
    here = [row for row in rows if row["population_size"] == floor["population_size"]]
    found = {}
    for name in dict.fromkeys(row["implementation"] for row in here):
        own = [row["generations_per_second"] for row in here if row["implementation"] == name]
        found[name] = float(floor["seconds"] * np.median(own))
    return found


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(ThroughputConfig, args, prog=PROG)
    output = config.output

    from benchmarks.common.results_file import RESULTS, meta, write_rows
    from benchmarks.common.speed_table import throughput_text
    from benchmarks.common.timing import hardware
    from benchmarks.throughput import floor, scaling
    from benchmarks.throughput.searches import PROBLEM, missing

    problem, axes, repeats, target = PROBLEM, scaling.AXES, scaling.REPEATS, scaling.TARGET
    if config.quick:
        problem, axes, repeats, target = replace(PROBLEM, batch_size=256), scaling.QUICK_AXES, 2, 0
        config = replace(config, population_sizes=(32,), repeats=3, seconds=0.2)
        output = output or Path("runs/throughput_quick.json")
    output = output or RESULTS / "throughput.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    names = []
    for name in config.implementations:
        if missing(name):
            print(f'{name} is left out: it needs {missing(name)}, pip install "edl_jax[bench]"')
        else:
            names.append(name)
    require(len(names) > 0, "implementations", " ".join(config.implementations), "one that is here")

    rows: list[dict[str, Any]] = []
    for size in config.population_sizes:
        for row in rates(problem, size, names, config.repeats, config.seconds):
            rows.append(row)
            rate = row["generations_per_second"]
            print(f"population {size}, {row['implementation']}: {rate:,.1f} generations/s")
    peak = floor.matmul_peak((512,) if config.quick else (1024, 2048))
    floors = []
    for size in config.population_sizes:
        found = floor.measure(replace(problem, population_size=size), peak)
        floors.append({**found, "share_reached": shares(found, rows)})
    grown = []
    for row in scaling.measure_all(problem, axes, repeats, target):
        grown.append(row)
        axis = row["axis"]
        print(f"{axis} {row[axis]:,}: {1e3 * row['seconds']:.2f} ms a generation")
    lists: Any = {"floor": floors, "scaling": grown, "slopes": scaling.slopes(grown)}
    about = meta() | hardware("torch", "evotorch")
    write_rows(output, about, rows, **lists)
    print(throughput_text({"meta": about, "rows": rows, **lists}))


if __name__ == "__main__":
    cli.main(command)
