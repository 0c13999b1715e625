"""One pretraining problem in several implementations, each written as its users would write it.

Each proposes candidates by its own strategy: ``edl_jax`` by its default ES, ``evosax_loop`` by
evosax's Open_ES, ``evotorch`` by EvoTorch's SNES, ``numpy`` by an ES.
"""

from collections.abc import Callable
from importlib.util import find_spec

from benchmarks.throughput import jax_searches, numpy_search
from benchmarks.throughput.problem import Search
from edl_jax.config import EvolutionConfig


def _with_evotorch(config: EvolutionConfig) -> Search:
    # torch need not be there
    from benchmarks.throughput.evotorch_search import make_search  # noqa: PLC0415

    return make_search(config)


# Names as in the results file.
SEARCHES: dict[str, Callable[[EvolutionConfig], Search]] = {
    "edl_jax": jax_searches.engine,
    "evosax_loop": jax_searches.evosax_loop,
    "evosax_loop_tuned": jax_searches.evosax_loop_tuned,
    "evotorch": _with_evotorch,
    "numpy": numpy_search.make_search,
}


def missing(name: str) -> str | None:
    """The package without which this implementation cannot be run, or None."""
    needed = ("torch", "evotorch") if name == "evotorch" else ()
    return next((package for package in needed if find_spec(package) is None), None)
