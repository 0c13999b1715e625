"""The least time that a generation's arithmetic takes: what :mod:`benchmarks.throughput` aims at.

Only the matrix products, the transcendental functions of the formulas and the normal numbers are
counted, at the best rates that XLA or NumPy reach here; sums, comparisons and memory are for free.
Functions are timed on one processor, and taken to be shared among all of them without loss.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common.results_file import Row
from benchmarks.common.timing import best_seconds
from benchmarks.throughput import numpy_search
from benchmarks.throughput.problem import layout
from edl_jax.config import EvolutionConfig
from edl_jax.losses.networks import activation
from edl_jax.objective.synthetic import component_sizes
from edl_jax.startup import num_processors


def _normal(x: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(x.size, np.float32)


# Each as XLA and as NumPy compute it; the better one counts.
FUNCTIONS: dict[
    str, tuple[Callable[[jax.Array], jax.Array], Callable[[np.ndarray], np.ndarray]]
] = {
    "activation": (activation, numpy_search.activation),
    "softplus": (jax.nn.softplus, numpy_search.softplus),
    "exp": (jnp.exp, np.exp),
    "log": (jnp.log, np.log),
    "normal": (jax.lax.erf_inv, _normal),
}
# Elements: half a MB, so that the time is not that of the memory, and enough to share out.
CACHED, LARGE = 2**17, 2**22


def counts(config: EvolutionConfig) -> dict[str, int]:
    """How often each of :data:`FUNCTIONS` is evaluated in one generation of ``edl_jax``.

    >>> from benchmarks.throughput.problem import PROBLEM
    >>> counts(PROBLEM)["activation"] == 64 * 2048 * 2 * 32
    True
    """
    pairs, classes = config.batch_size, config.num_classes
    losses = config.population_size * pairs
    sizes = component_sizes(config.mixture, pairs)
    dirichlet = sizes["flat_dirichlet"]
    dimensions = sum(int(np.prod(shape)) for shape in layout(config).values())
    return {
        "activation": losses * 2 * config.width,
        "softplus": losses,
        # The softmax, p from log p, and p_y and the largest other p.
        "exp": pairs * (2 * classes + 2),
        "log": pairs + 2 * dirichlet * classes,
        # Normal numbers: the logits of all other components, a gap each, and the mutations.
        "normal": (pairs - dirichlet) * classes
        + sizes["ambiguous"]
        + config.population_size * dimensions,
    }


def matmul_flops(config: EvolutionConfig) -> int:
    """Floating-point operations of the loss networks' matrix products in one generation."""
    weights = sum(int(np.prod(shape)) for shape in layout(config).values() if len(shape) > 1)
    return 2 * weights * config.population_size * config.batch_size


def matmul_peak(sizes: tuple[int, ...] = (1024, 2048)) -> float:
    """The most float32 operations a second in square matrix products, of XLA or NumPy."""
    rates = []
    product = jax.jit(jnp.matmul)
    for size in sizes:
        a = np.random.default_rng(0).standard_normal((size, size), np.float32)
        b = jnp.asarray(a)
        for multiply in (partial(product, b, b), partial(np.matmul, a, a)):
            rates.append(2 * size**3 / best_seconds(multiply))
    return max(rates)


def matmul_rate(config: EvolutionConfig) -> float:
    """Operations a second in the hidden layer's products alone, at their own size."""
    shape = (config.population_size, config.width, config.width)
    x = jnp.ones((config.population_size, config.batch_size, config.width))
    product = jax.jit(jnp.matmul)
    weights = jnp.ones(shape)
    return 2 * x.size * config.width / best_seconds(lambda: product(x, weights))


def on_one_processor() -> None:
    """Keep this process, in which JAX has not begun, and the threads it will have to one."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def nanoseconds(name: str, count: int) -> float:
    """Time of one of ``count`` evaluations: the best of XLA and NumPy, on a small array and a large
    one."""
    in_xla, in_numpy = jax.jit(FUNCTIONS[name][0]), FUNCTIONS[name][1]
    times = []
    for size in sorted({min(count, CACHED), min(count, LARGE)}):
        x = np.linspace(0.01, 0.99, size, dtype=np.float32)
        on_device = jnp.asarray(x)
        times.append(best_seconds(partial(in_xla, on_device)) / size)
        times.append(best_seconds(partial(in_numpy, x)) / size)
    return 1e9 * min(times)


def measure(config: EvolutionConfig, peak: float) -> Row:
    """The floor of one generation of ``config``, a row of the results file.

    Args:
      config: the problem.
      peak: of matrix products, from :func:`matmul_peak`.

    Returns:
      ``seconds``, the sum of ``matmul_seconds`` and ``transcendental_seconds``, and all that they
      come from.
    """
    flops, called = matmul_flops(config), counts(config)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, on_one_processor) as pool:
        alone = {name: pool.submit(nanoseconds, name, count) for name, count in called.items()}
        times = {name: future.result() / num_processors() for name, future in alone.items()}
    products = flops / peak
    functions = sum(1e-9 * times[name] * count for name, count in called.items())
    return {
        "network": config.network,
        "population_size": config.population_size,
        "batch_size": config.batch_size,
        "width": config.width,
        "num_classes": config.num_classes,
        "matmul_flops": flops,
        "matmul_peak": peak,
        "matmul_rate_at_this_width": matmul_rate(config),
        "matmul_seconds": products,
        "counts": called,
        "nanoseconds": times,
        "transcendental_seconds": functions,
        "seconds": products + functions,
    }
