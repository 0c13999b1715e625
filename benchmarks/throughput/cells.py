"""The cells of ``throughput``: the implementations in turns, each in a process of its own."""

import contextlib
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from benchmarks.common import timing
from benchmarks.common.results_file import Row
from benchmarks.throughput.problem import Search
from benchmarks.throughput.searches import SEARCHES
from edl_jax.config import EvolutionConfig
from edl_jax.startup import split_processors

# What this process measures, by implementation: a search, and the generations of a turn.
_measured: dict[str, tuple[Search, int]] = {}


def begin(name: str, config: EvolutionConfig, target: float) -> tuple[str, int, int]:
    """Make this process one that measures: a search in turns of about ``target`` seconds.

    Returns:
      The strategy, the generations of a turn, and the devices that share the population.
    """
    search = SEARCHES[name.removesuffix("_one_device")](config)
    generations = search.chunk * timing.calls_for(partial(search.run, search.chunk), target)
    _measured[name] = search, generations
    return search.strategy, generations, jax.device_count()


def take_turn(name: str) -> float:
    """Seconds of one turn."""
    search, generations = _measured[name]
    return timing.seconds(partial(search.run, generations))


def _process_of(name: str) -> ProcessPoolExecutor:
    """A process that is settled as ``name`` asks for before it imports JAX."""
    spawn = multiprocessing.get_context("spawn")
    as_the_command_line_does = split_processors if name == "edl_jax" else None
    return ProcessPoolExecutor(1, spawn, as_the_command_line_does)


def rates(
    problem: EvolutionConfig,
    population_size: int,
    names: Sequence[str],
    repeats: int,
    target: float,
) -> Iterator[Row]:
    """A row for each turn of each implementation, which has a process of its own."""
    config = replace(problem, population_size=population_size)
    with contextlib.ExitStack() as stack:
        pools = {name: stack.enter_context(_process_of(name)) for name in names}
        begun = {
            name: pool.submit(begin, name, config, target).result() for name, pool in pools.items()
        }
        for repeat in range(repeats):
            for name in timing.turns(names, repeat):
                time.sleep(timing.SETTLE)
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


def shares(floor: Row, rows: Sequence[Row]) -> dict[str, float]:
    """By implementation, the floor's share of the time that was measured (the median)."""
    here = [row for row in rows if row["population_size"] == floor["population_size"]]
    found = {}
    for name in dict.fromkeys(row["implementation"] for row in here):
        own = [row["generations_per_second"] for row in here if row["implementation"] == name]
        found[name] = float(floor["seconds"] * np.median(own))
    return found
