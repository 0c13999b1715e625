"""Other representations of a loss, for comparison with the evolved networks on equal terms.

TaylorGLO's polynomial is evolved by the same engine on the same objective with the same number of
candidates. Random networks show what the representation gives away for nothing: one as drawn, and
the best of as many as the search looks at. All are made anew where they are needed.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from edl_jax.errors import EdlError
from edl_jax.losses.learned import LearnedLoss, make_learned_loss, resolve_loss
from edl_jax.losses.networks import NetworkSpec, make_network
from edl_jax.objective.fitness import make_objective
from edl_jax.search.pipeline import evolve
from edl_jax.search.presets import PRESETS, evolution_config

# A random network points the wrong way as often as not. Which seed gives the first one that
# descends at all is part of drawing it.
MAX_DRAWS = 64


def taylor(preset: str) -> LearnedLoss:
    """TaylorGLO's polynomial, evolved as ``preset`` evolves its network."""
    options = PRESETS[preset]
    config = replace(evolution_config(options), network="taylor")
    return evolve(config, num_searches=options.num_restarts).loss


def random_network() -> LearnedLoss:
    """The first of the networks drawn from seeds 0, 1, ... that descends as far as cross-entropy.

    Raises:
      EdlError: none of the first ones does.
    """
    config = evolution_config(PRESETS["robust"])
    spec = NetworkSpec(config.network, config.width, config.num_classes)
    for seed in range(MAX_DRAWS):
        params = spec.build().init(jax.random.key(seed))
        try:
            return make_learned_loss(spec, params, {"random_network_seed": seed})
        except EdlError:
            continue
    raise EdlError(f"none of {MAX_DRAWS} random networks descends as far as cross-entropy")


def best_random_network() -> LearnedLoss:
    """The fittest of as many random networks as ``--preset robust`` evaluates, on one problem."""
    config = evolution_config(PRESETS["robust"])
    network = make_network(config.network, config.width, config.num_classes)
    objective = make_objective(config)
    problem_key, network_key = jax.random.split(jax.random.key(0))
    problem = objective.sample(problem_key)

    def evaluate(key: jax.Array) -> jax.Array:
        fitness, _ = objective.evaluate(partial(network.apply, network.init(key)), problem)
        return jnp.where(jnp.isfinite(fitness), fitness, jnp.inf)

    number = config.population_size * config.num_generations * PRESETS["robust"].num_restarts
    keys = jax.random.split(network_key, number)
    fitness = jax.jit(lambda keys: jax.lax.map(evaluate, keys, batch_size=config.population_size))
    best = network.init(keys[jnp.argmin(fitness(keys))])
    spec = NetworkSpec(config.network, config.width, config.num_classes)
    return make_learned_loss(spec, best, {"random_networks": number})


PEERS: dict[str, Callable[[], LearnedLoss]] = {
    "taylor-base": partial(taylor, "base"),
    "taylor-robust": partial(taylor, "robust"),
    "random-network": random_network,
    "best-random-network": best_random_network,
}


def resolve(name: str) -> Any:
    """A peer by its name in :data:`PEERS`, or any loss that :func:`resolve_loss` knows."""
    return PEERS[name]() if name in PEERS else resolve_loss(name)
