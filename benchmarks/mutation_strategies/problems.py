"""What ``mutation_strategies`` searches: losses in four representations, and BBOB functions."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from evosax.problems import BBOBProblem

from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.losses.networks import make_network
from edl_jax.objective.fitness import make_objective
from edl_jax.objective.ranking import held_out


class Problem(NamedTuple):
    """A search problem with noisy fitness and a score that no search ever sees.

    Attributes:
      population_size: candidates in a generation.
      num_generations: length of a search.
      step_sizes: grid from which each operator's step size is chosen.
      init: ``key -> candidate``, a pytree.
      sample: ``key -> instance``, what the candidates of one generation are judged on.
      evaluate: ``(candidate, instance) -> fitness``, lower is better.
      score: ``(candidate, key) -> float`` on ``num_pairs`` fresh pairs, lower is better; the
        discordance of a loss, the distance to the minimal value of a function.
    """

    population_size: int
    num_generations: int
    step_sizes: tuple[float, ...]
    init: Callable[[jax.Array], Any]
    sample: Callable[[jax.Array], Any]
    evaluate: Callable[[Any, Any], jax.Array]
    score: Callable[[Any, jax.Array, int], jax.Array]


def pretraining(network: str, width: int, num_generations: int, batch_size: int = 256) -> Problem:
    """The evolution of a loss under the paper's objective: ranking under certain labels."""
    config = EvolutionConfig(
        network=network,
        width=width,
        batch_size=batch_size,
        objective=ObjectiveConfig(proper_ranking=0.0, margin=0.1),
    )
    loss_network = make_network(config.network, config.width, config.num_classes)
    objective = make_objective(config)

    def evaluate(params: Any, instance: Any) -> jax.Array:
        return objective.evaluate(partial(loss_network.apply, params), instance)[0]

    def score(params: Any, key: jax.Array, num_pairs: int) -> jax.Array:
        loss = partial(loss_network.apply, params)
        return held_out(loss, key, config, num_pairs).discordance

    step_sizes = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
    return Problem(
        32, num_generations, step_sizes, loss_network.init, objective.sample, evaluate, score
    )


def bbob(function: str, noisy: bool, num_dims: int = 20, num_generations: int = 300) -> Problem:
    """A BBOB function as evosax has it, its minimum away from 0 and its axes rotated.

    Noisy: the value is multiplied by a log-normal factor, BBOB's Gaussian noise model
    (Finck et al., INRIA report 2009/21).
    """
    names = {"noise_model_name": "noiseless", "use_stabilization": True}
    true = BBOBProblem(function, num_dims, noise_config=names)
    strength = 1.0 if noisy else 0.0

    def error(x: jax.Array) -> jax.Array:
        state = true._state
        values, _, _ = true.eval(jax.random.key(0), x[None], state)
        return values[0] - true.f_opt

    def evaluate(x: jax.Array, key: jax.Array) -> jax.Array:
        # Every candidate its own noise: the sum of its bits, folded into the generation's key.
        own = jax.random.fold_in(key, jnp.sum(jax.lax.bitcast_convert_type(x, jnp.uint32)))
        return error(x) * jnp.exp(strength * jax.random.normal(own))

    return Problem(
        population_size=32,
        num_generations=num_generations,
        step_sizes=(0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
        init=lambda key: jax.random.uniform(key, (num_dims,), minval=-4.0, maxval=4.0),
        sample=lambda key: key,
        evaluate=evaluate,
        score=lambda x, key, num_pairs: error(x),
    )


PRETRAINING = {
    # 53 parameters: in few dimensions a sum of mutations is not yet Gaussian.
    "symmetric-small": partial(pretraining, "symmetric", 4, 200),
    "symmetric": partial(pretraining, "symmetric", 8, 200),
    "deepset": partial(pretraining, "deepset", 4, 200, 128),
    "concat": partial(pretraining, "concat", 16, 400),
}
FUNCTIONS = ("sphere", "rosenbrock", "rastrigin", "ellipsoidal")
PROBLEMS: dict[str, Callable[[], Problem]] = {
    **PRETRAINING,
    **{f"{f}{'-noisy' * n}": partial(bbob, f, bool(n)) for f in FUNCTIONS for n in (0, 1)},
}
