"""The pretraining problem that every implementation searches, and what a search of it is.

Every generation of each draws a batch of pairs from the mixture, computes the six features once,
evaluates every candidate's loss network on every pair and ranks the losses: the same network and
the same objective.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.losses.networks import make_network
from edl_jax.objective.synthetic import component_sizes

STEP_SIZE = 0.1
# The paper's objective: ranking consistency under the true label, and the guard of the scale.
PROBLEM = EvolutionConfig(
    batch_size=2048,
    width=32,
    step_size=STEP_SIZE,
    objective=ObjectiveConfig(clean_ranking=1.0, proper_ranking=0.0),
)

# Of NumPy or of PyTorch.
Array = TypeVar("Array", bound=Any)


class Search(NamedTuple):
    """A search under way.

    Attributes:
      strategy: how it proposes candidates.
      run: continues for so many generations, a multiple of ``chunk``, and returns when they are
        done.
      chunk: generations that are one call.
      fitness: ``(population, logits, labels) -> float32 [population_size]``: that of given
        parameters, a dict of arrays as of :mod:`edl_jax.losses.networks` with a leading axis of
        candidates, on given pairs.
    """

    strategy: str
    run: Callable[[int], None]
    chunk: int
    fitness: Callable[[dict[str, np.ndarray], np.ndarray, np.ndarray], np.ndarray]


def layout(config: EvolutionConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of a candidate's arrays, in the order in which a flat candidate has them."""
    network = make_network(config.network, config.width, config.num_classes)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return {name: shapes[name].shape for name in sorted(shapes)}


def unflatten(flat: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Flat candidates ``[population_size, num_dims]`` as arrays by name."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        end = start + int(np.prod(shape))
        arrays[name] = flat[:, start:end].reshape(len(flat), *shape)
        start = end
    return arrays


def component_slices(config: EvolutionConfig) -> Iterator[tuple[str, slice]]:
    """Which rows of a batch each component of the mixture fills, before they are shuffled."""
    start = 0
    for name, size in component_sizes(config.mixture, config.batch_size).items():
        yield name, slice(start, start + size)
        start += size


@cache
def shuffled(batch_size: int) -> np.ndarray:
    """The rows of a batch in mixed order, the same one each generation."""
    return np.random.default_rng(0).permutation(batch_size)


def shape_components(
    config: EvolutionConfig,
    logits: Array,
    rows: Array,
    labels: Array,
    others: Array,
    lead: Array,
    normal: Callable[[int], Array],
    log_exponential: Callable[[tuple[int, int]], Array],
) -> None:
    """Make the mixture's logits of standard normal ones, in place.

    The formulas are those of :mod:`edl_jax.objective.synthetic`, for libraries other than JAX.

    Args:
      config: the problem.
      logits: standard normal numbers ``[batch_size, num_classes]``.
      rows: 0, 1, ..., ``[batch_size]``.
      labels: true classes ``[batch_size]``.
      others: another class each ``[batch_size]``.
      lead: uniform numbers in [0, 1) ``[batch_size]``.
      normal: draws so many standard normal numbers.
      log_exponential: draws logarithms of standard exponential numbers in the given shape.
    """
    for name, part in component_slices(config):
        of_label, of_other = (rows[part], labels[part]), (rows[part], others[part])
        match name:
            case "near_uniform":
                logits[part] *= 0.5 * lead[part, None]
            case "flat_dirichlet":
                logits[part] = log_exponential(tuple(logits[part].shape))
            case "confident_right":
                logits[of_label] += 2 + 12 * lead[part]
            case "confident_wrong":
                logits[of_other] += 2 + 12 * lead[part]
            case "ambiguous":
                shared = 2 + 6 * lead[part]
                logits[of_other] += shared
                logits[of_label] += shared + normal(len(shared))
            case "graded":
                logits[of_label] += 28 * lead[part] - 14
