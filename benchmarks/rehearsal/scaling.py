"""The cost of a generation of a rehearsing search, and that it is linear in all it is made of."""

import time
from collections.abc import Iterator

import jax
import numpy as np

from benchmarks.common.results_file import Row
from edl_jax.config import EvolutionConfig, ObjectiveConfig, RehearsalConfig
from edl_jax.objective.tasks import REGIMES
from edl_jax.search.engine import make_evolution

FOUR = ("short_clean", "short_noisy", "middle_clean", "long_noisy")
# Candidates, tasks, rates, regimes: all of it, and half of each.
SIZES = [
    (18, 6, (0.3, 1.0), FOUR),
    (9, 6, (0.3, 1.0), FOUR),
    (18, 3, (0.3, 1.0), FOUR),
    (18, 6, (1.0,), FOUR),
    (18, 6, (0.3, 1.0), FOUR[:3]),
]
GENERATIONS = 3


def name(size: tuple[int, int, tuple[float, ...], tuple[str, ...]]) -> str:
    """The name of a size in a row."""
    candidates, tasks, rates, regimes = size
    return f"{candidates} x {tasks} x {len(rates)} x {len(regimes)}"


def rows() -> Iterator[Row]:
    """Seconds of a generation at each size, the median of some."""
    for candidates, tasks, rates, regimes in SIZES:
        config = EvolutionConfig(
            network="monotone",
            width=3,
            population_size=candidates,
            batch_size=256,
            objective=ObjectiveConfig(rehearsal=10.0, proper_ranking=0.0),
            rehearsal=RehearsalConfig(regimes, tasks, rates),
        )
        evolution = make_evolution(config)
        state, _ = evolution.run(evolution.init(jax.random.key(0)), 1)
        seconds = []
        for _ in range(GENERATIONS):
            jax.block_until_ready(state)
            begun = time.perf_counter()
            state, _ = evolution.run(state, 1)
            jax.block_until_ready(state)
            seconds.append(time.perf_counter() - begun)
        steps = sum(REGIMES[regime].num_steps for regime in regimes)
        yield {
            "regime": name((candidates, tasks, rates, regimes)),
            "seconds": float(np.median(seconds)),
            "student_steps": (candidates + 1) * tasks * len(rates) * steps,
            "num_devices": jax.device_count(),
        }
