"""The least time that a generation's arithmetic takes: what :mod:`benchmarks.throughput` aims at.

Only the matrix products and the transcendental functions of the formulas are counted, at the best
rates that this machine shows; drawing random bits, sums, comparisons and memory are for free.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.searches import layout
from benchmarks.timing import best_seconds
from edl_jax.config import EvolutionConfig
from edl_jax.networks import activation
from edl_jax.synthetic import component_sizes

FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "activation": activation,
    "softplus": jax.nn.softplus,
    "exp": jnp.exp,
    "log": jnp.log,
    "erf_inv": jax.lax.erf_inv,
}
CACHED = 2**17  # elements: half a MB, so that the time is not that of the memory


def counts(config: EvolutionConfig) -> dict[str, int]:
    """How often each of :data:`FUNCTIONS` is evaluated in one generation of ``edl_jax``.

    >>> from benchmarks.searches import PROBLEM
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
        "erf_inv": (pairs - dirichlet) * classes
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
        for multiply in (lambda b=b: product(b, b), lambda a=a: a @ a):
            rates.append(2 * size**3 / best_seconds(multiply))
    return max(rates)


def matmul_rate(config: EvolutionConfig) -> float:
    """Operations a second in the hidden layer's products alone, at their own size."""
    shape = (config.population_size, config.width, config.width)
    x = jnp.ones((config.population_size, config.batch_size, config.width))
    product = jax.jit(jnp.matmul)
    weights = jnp.ones(shape)
    return 2 * x.size * config.width / best_seconds(lambda: product(x, weights))


def nanoseconds(name: str, count: int) -> float:
    """Time of one evaluation, the best of arrays that fit into the cache and one of ``count``."""
    function = jax.jit(FUNCTIONS[name])
    times = []
    for size in sorted({min(count, CACHED), count}):
        x = jnp.linspace(0.01, 0.99, size)
        times.append(best_seconds(lambda x=x: function(x)) / size)
    return 1e9 * min(times)


def measure(config: EvolutionConfig, peak: float) -> dict[str, Any]:
    """The floor of one generation of ``config``, a row of the results file.

    Args:
      config: the problem.
      peak: of matrix products, from :func:`matmul_peak`.

    Returns:
      ``seconds``, the sum of ``matmul_seconds`` and ``transcendental_seconds``, and all that they
      come from.
    """
    flops, called = matmul_flops(config), counts(config)
    times = {name: nanoseconds(name, count) for name, count in called.items()}
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
