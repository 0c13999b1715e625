"""Tools of the benchmarks of speed: a stopwatch, fair turns, and what machine it was."""

import importlib.metadata
import math
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from edl_jax.startup import num_processors

SETTLE = 0.3  # seconds after which the threads of the one before no longer spin


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes, JAX arrays that it returns included."""
    began = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - began


def best_seconds(function: Callable[[], object], repeats: int = 10) -> float:
    """The shortest of several calls, after one that compiles."""
    seconds(function)
    return min(seconds(function) for _ in range(repeats))


def calls_for(function: Callable[[], object], target: float) -> int:
    """How many calls take about ``target`` seconds, at least one.

    The first call compiles, and so may the second: the state that a search continues from need not
    have quite the types that it began with.
    """
    seconds(function)
    seconds(function)
    return max(1, math.ceil(target / seconds(function)))


def turns(names: Sequence[str], repeat: int) -> list[str]:
    """The order of a repeat, drawn for each: nothing always comes after the same one.

    >>> sorted(turns(["a", "b", "c"], 1))
    ['a', 'b', 'c']
    """
    order = np.random.default_rng(repeat).permutation(len(names))
    return [names[i] for i in order]


def log_log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent b of ``y = a x**b``, by least squares of the logarithms.

    >>> round(log_log_slope([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def hardware(*packages: str) -> dict[str, Any]:
    """The processor, and the versions of those of ``packages`` that are installed."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "num_processors": num_processors(),
        **{name: version for name in packages if (version := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
