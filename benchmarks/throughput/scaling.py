"""How time and memory of ``edl_jax`` grow with the population, the batch, the width, the classes.

Each size is measured in a process of its own, whose peak memory is then that of this size.
"""

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.common.results_file import Row
from benchmarks.common.timing import log_log_slope, seconds
from edl_jax.config import EvolutionConfig
from edl_jax.objective.fitness import make_objective
from edl_jax.search.engine import make_evolution
from edl_jax.startup import split_processors

AXES: dict[str, tuple[int, ...]] = {
    "population_size": (32, 64, 128, 256, 512),
    "batch_size": (512, 1024, 2048, 4096, 8192),
    "width": (8, 16, 32, 64, 128),
    "num_classes": (10, 32, 100, 320, 1000),
}
QUICK_AXES: dict[str, tuple[int, ...]] = {"population_size": (16, 64), "num_classes": (10, 100)}
CHUNK, REPEATS = 10, 5
TARGET = 1.0  # seconds of a repeat, about
QUANTITIES = ("seconds", "peak_bytes", "sampling_seconds")


def resident(field: str) -> int | None:
    """``VmRSS`` or ``VmHWM``, its peak, of this process in bytes; None where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def forget_peak() -> None:
    """Let ``VmHWM`` begin again at what is resident now (proc(5), clear_refs)."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def measure(config: EvolutionConfig, repeats: int, target: float) -> Row:
    """Time and memory of one generation of ``config``, in this process.

    Returns:
      ``seconds`` and ``sampling_seconds``: medians, of a whole generation and of drawing its pairs
      alone. ``buffer_bytes``: what the compiled search plans to hold. ``peak_bytes``: by how much
      its first call raised the process's resident memory.
    """
    evolution, objective = make_evolution(config), make_objective(config)
    state = jax.block_until_ready(evolution.init(jax.random.key(0)))

    run = jax.jit(lambda state: evolution.run(state, CHUNK)[0]).lower(state).compile()
    memory: Any = run.memory_analysis()
    forget_peak()
    before = resident("VmRSS")
    seconds(lambda: run(state))
    after = resident("VmHWM")
    calls = max(1, round(target / seconds(lambda: run(state))))
    whole = [seconds(lambda: [run(state) for _ in range(calls)]) for _ in range(repeats)]
    sample = jax.jit(lambda key: objective.sample(key).problems[0].pairs)
    key = jax.random.key(0)
    seconds(lambda: sample(key))
    drawing = [seconds(lambda: sample(key)) for _ in range(50)]
    return {
        "seconds": float(np.median(whole)) / (calls * CHUNK),
        "sampling_seconds": float(np.median(drawing)),
        "buffer_bytes": memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes,
        "peak_bytes": None if before is None or after is None else after - before,
    }


def measure_all(
    problem: EvolutionConfig,
    axes: Mapping[str, tuple[int, ...]],
    repeats: int = REPEATS,
    target: float = TARGET,
) -> Iterator[Row]:
    """A row for each size along each axis, the other sizes being those of ``problem``."""
    spawn = multiprocessing.get_context("spawn")
    known: dict[EvolutionConfig, Row] = {}
    with ProcessPoolExecutor(1, spawn, split_processors, max_tasks_per_child=1) as pool:
        for axis, sizes in axes.items():
            for size in sizes:
                config = replace(problem, **{axis: size})  # type: ignore[arg-type]
                if config not in known:
                    known[config] = pool.submit(measure, config, repeats, target).result()
                of_axes = {name: getattr(config, name) for name in AXES}
                yield {"axis": axis, "network": config.network, **of_axes, **known[config]}


def slopes(rows: list[Row]) -> list[Row]:
    """Log-log slope of each quantity along each axis: over all sizes, and of the last step."""
    found = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        members = [row for row in rows if row["axis"] == axis]
        sizes = [row[axis] for row in members]
        for quantity in QUANTITIES:
            values = [row[quantity] for row in members]
            if len(values) < 2 or None in values or min(values) <= 0:
                continue
            whole, last = log_log_slope(sizes, values), log_log_slope(sizes[-2:], values[-2:])
            found.append({"axis": axis, "quantity": quantity, "slope": whole, "last": last})
    return found
