"""The device itself, the search on it, evosax's loop beside it, and a rehearsal."""

import time
from functools import partial
from typing import Any

import jax

from benchmarks.accelerator.config import Sizes
from benchmarks.accelerator.measure import Peaks, compiled, product_flops, seconds_each
from benchmarks.common.results_file import Row
from edl_jax.config import EvolutionConfig
from edl_jax.losses.networks import make_network
from edl_jax.objective.students import student_accuracy
from edl_jax.objective.tasks import REGIMES, sample_task
from edl_jax.search.engine import make_evolution

REHEARSED = REGIMES["long_noisy"]


def problem(population_size: int, pairs: int) -> EvolutionConfig:
    """The search of the preset ``base`` at another size of population."""
    return EvolutionConfig(population_size=population_size, batch_size=pairs)


def device_row(peaks: Peaks, side: int) -> Row:
    """The device and its peaks."""
    memory = jax.devices()[0].memory_stats() or {}
    return {"memory_bytes": memory.get("bytes_limit"), "side": side, **peaks._asdict()}


def search_row(population_size: int, sizes: Sizes, peak: float | None) -> Row:
    """Generations a second of this engine, many generations being one program.

    Args:
      population_size: candidates.
      sizes: of the rest.
      peak: operations a second of float32 matrix products on this device.
    """
    config = problem(population_size, sizes.pairs)
    generations = sizes.populations[population_size]
    evolution = make_evolution(config)
    state = evolution.init(jax.random.key(0))

    def run(state: Any) -> Any:
        return evolution.run(state, generations)[0]

    program, compile_seconds, buffer_bytes = compiled(run, state)
    seconds = seconds_each(partial(program, state), sizes.turns) / generations
    flops = product_flops(run, state) / generations
    return {
        **_of_search(config),
        "generations": generations,
        "generations_per_second": 1 / seconds,
        "compile_seconds": compile_seconds,
        "buffer_bytes": buffer_bytes,
        "matmul_flops": flops,
        "share_of_peak": None if peak is None else flops / seconds / peak,
    }


def evosax_row(population_size: int, sizes: Sizes) -> Row:
    """Generations a second of the loop of evosax's README, with the same network and objective."""
    # Where evosax is not there, only this cell fails.
    from benchmarks.throughput.jax_searches import evosax_loop  # noqa: PLC0415

    config = problem(population_size, sizes.pairs)
    generations = sizes.populations[population_size]
    began = time.perf_counter()
    search = evosax_loop(config)
    search.run(2)
    compile_seconds = time.perf_counter() - began
    seconds = seconds_each(partial(search.run, generations), sizes.turns) / generations
    return {
        **_of_search(config),
        "strategy": search.strategy,
        "generations": generations,
        "generations_per_second": 1 / seconds,
        "compile_seconds": compile_seconds,
    }


def _of_search(config: EvolutionConfig) -> Row:
    return {
        "strategy": config.strategy,
        "population_size": config.population_size,
        "batch_size": config.batch_size,
        "network": config.network,
        "width": config.width,
    }


def rehearsal_row(candidates: int, turns: int) -> Row:
    """Seconds in which one student of each of many candidate losses is trained, all at once."""
    network = make_network("monotone", width=3, num_classes=10)
    task_key, student_key = jax.random.split(jax.random.key(0))

    @jax.vmap
    def accuracy(candidate: Any) -> jax.Array:
        loss, task = partial(network.apply, candidate), sample_task(task_key, REHEARSED)
        return student_accuracy(loss, REHEARSED, task, REHEARSED.learning_rate, student_key)

    population = jax.vmap(network.init)(jax.random.split(jax.random.key(0), candidates))
    program, compile_seconds, buffer_bytes = compiled(accuracy, population)
    seconds = seconds_each(partial(program, population), turns)
    flops = product_flops(accuracy, population)
    return {
        "candidates": candidates,
        "steps": REHEARSED.num_steps,
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "buffer_bytes": buffer_bytes,
        "matmul_flops": flops,
    }
