"""Other representations of a loss, for comparison with the evolved networks on equal terms.

TaylorGLO's polynomial is evolved by the same engine on the same objectives with the same number of
candidates as the first shipped losses, which knew nothing of rehearsal. Random networks show what
the representation gives away for nothing: one as drawn, and the best of as many as that search
looks at. The shipped ``edl-robust`` with its gate shut, open, or made by hand shows what its parts
are worth. All are made where they are needed.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from scipy.special import logit

from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.errors import EdlError
from edl_jax.losses.learned import LearnedLoss, make_learned_loss
from edl_jax.losses.loading import load_learned_loss, resolve_loss
from edl_jax.losses.networks import NetworkSpec, make_network
from edl_jax.objective.fitness import make_objective
from edl_jax.search.pipeline import evolve

# A random network points the wrong way as often as not. Which seed gives the first one that
# descends at all is part of drawing it.
MAX_DRAWS = 64

# The searches of edl-base-1 and edl-robust-1; the second had eight of them side by side.
BASE = EvolutionConfig()
ROBUST = EvolutionConfig(
    population_size=32,
    num_generations=300,
    objective=ObjectiveConfig(noisy_ranking=8.0, trainability=1.0, label_noise=0.8, margin=0.002),
)
NUM_SEARCHES = 8


def taylor(config: EvolutionConfig, num_searches: int = 1) -> LearnedLoss:
    """TaylorGLO's polynomial, evolved as ``config`` evolves its network."""
    return evolve(replace(config, network="taylor"), num_searches=num_searches).loss


def random_network() -> LearnedLoss:
    """The first of the networks drawn from seeds 0, 1, ... that descends as far as cross-entropy.

    Raises:
      EdlError: none of the first ones does.
    """
    spec = NetworkSpec(ROBUST.network, ROBUST.width, ROBUST.num_classes)
    for seed in range(MAX_DRAWS):
        params = spec.build().init(jax.random.key(seed))
        try:
            return make_learned_loss(spec, params, {"random_network_seed": seed})
        except EdlError:
            continue
    raise EdlError(f"none of {MAX_DRAWS} random networks descends as far as cross-entropy")


def best_random_network() -> LearnedLoss:
    """The fittest of as many random networks as that search evaluates, on one problem."""
    network = make_network(ROBUST.network, ROBUST.width, ROBUST.num_classes)
    objective = make_objective(ROBUST)
    problem_key, network_key = jax.random.split(jax.random.key(0))
    problem = objective.sample(problem_key)

    def evaluate(key: jax.Array) -> jax.Array:
        fitness, _ = objective.evaluate(partial(network.apply, network.init(key)), problem)
        return jnp.where(jnp.isfinite(fitness), fitness, jnp.inf)

    number = ROBUST.population_size * ROBUST.num_generations * NUM_SEARCHES
    keys = jax.random.split(network_key, number)
    fitness = jax.jit(lambda keys: jax.lax.map(evaluate, keys, batch_size=ROBUST.population_size))
    best = network.init(keys[jnp.argmin(fitness(keys))])
    spec = NetworkSpec(ROBUST.network, ROBUST.width, ROBUST.num_classes)
    return make_learned_loss(spec, best, {"random_networks": number})


def with_gate(threshold: float) -> LearnedLoss:
    """``edl-robust`` with another gate, which opens where the confidence passes ``threshold``.

    No confidence passes 1, so that only the shape before the gate is left; and nearly every one
    passes 0.001, which leaves the shape behind it. 0.35 is the gate made by hand.
    """
    loss = load_learned_loss("edl-robust")
    opens = float(threshold < 1)
    gate = {
        "gate/weights": jnp.array([opens, 0.0, 0.0], jnp.float32),
        "gate/threshold": jnp.array([opens * logit(min(threshold, 0.999))], jnp.float32),
    }
    return make_learned_loss(loss.spec, {**loss.params, **gate}, {"gate_opens_at": threshold})


PEERS: dict[str, Callable[[], LearnedLoss]] = {
    "taylor-base": partial(taylor, BASE),
    "taylor-robust": partial(taylor, ROBUST, NUM_SEARCHES),
    "random-network": random_network,
    "best-random-network": best_random_network,
    "robust-gate-shut": partial(with_gate, 1.0),
    "robust-gate-open": partial(with_gate, 0.001),
    "robust-hand-gate": partial(with_gate, 0.35),
}


def resolve(name: str) -> Any:
    """A peer by its name in :data:`PEERS`, or any loss that :func:`resolve_loss` knows."""
    return PEERS[name]() if name in PEERS else resolve_loss(name)
