"""The pretraining problem of :mod:`benchmarks.throughput.problem` with this engine and with evosax.

``evosax_loop`` uses the layers as one writes them first. ``evosax_loop_tuned`` is the same loop
with this project's layers in their place: what is left of the difference is the engine.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from evosax.algorithms import Open_ES

from benchmarks.throughput.problem import STEP_SIZE, Search
from edl_jax.config import EvolutionConfig
from edl_jax.losses.features import label_features, log_probs
from edl_jax.losses.networks import activation, make_network
from edl_jax.objective.fitness import Generation, make_objective
from edl_jax.objective.synthetic import Pairs
from edl_jax.objective.terms import Problem
from edl_jax.search.engine import make_evolution


def ordinary_network(params: Any, logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The network as one writes it first: an example a row, ``x @ weights + biases``."""
    x = label_features(log_probs(logits), labels).T
    for i in range(2):
        x = activation(x @ params[f"mlp/{i}/weights"] + params[f"mlp/{i}/biases"])
    return jax.nn.softplus(x @ params["mlp/2/weights"] + params["mlp/2/biases"])[:, 0]


def _jax_fitness(
    config: EvolutionConfig, apply: Callable[..., jax.Array]
) -> Callable[..., jax.Array]:
    objective = make_objective(config)

    def fitness(population: Any, problem: Any) -> jax.Array:
        def of_candidate(candidate: Any) -> jax.Array:
            return objective.evaluate(partial(apply, candidate), problem)[0]

        return jax.vmap(of_candidate)(population)

    return fitness


def _on_pairs(
    config: EvolutionConfig, apply: Callable[..., jax.Array]
) -> Callable[..., np.ndarray]:
    fitness = jax.jit(_jax_fitness(config, apply))

    def on_pairs(population: Any, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        nothing: Any = None
        pairs = Pairs(jnp.asarray(logits), jnp.asarray(labels))
        problem = Problem(pairs, nothing, nothing, nothing)
        drawn = Generation((problem,))
        return np.asarray(fitness(jax.tree.map(jnp.asarray, population), drawn))

    return on_pairs


def engine(config: EvolutionConfig) -> Search:
    """This project's engine, in chunks of as many generations as ``edl_jax.pretrain`` takes."""
    evolution = make_evolution(config)
    state = evolution.init(jax.random.key(0))
    chunk = 50

    def run(generations: int) -> None:
        nonlocal state
        for _ in range(generations // chunk):
            state, _ = evolution.run(state, chunk)
        jax.block_until_ready(state)

    return Search(config.strategy, run, chunk, _on_pairs(config, evolution.network.apply))


def evosax_loop(config: EvolutionConfig, apply: Callable[..., jax.Array] | None = None) -> Search:
    """The loop of evosax's README: ask, evaluate and tell, each a compiled call, in Python."""
    apply = apply or ordinary_network
    network = make_network(config.network, config.width, config.num_classes)
    objective, fitness_of = make_objective(config), _jax_fitness(config, apply)

    @jax.jit
    def evaluate(key: jax.Array, population: Any) -> jax.Array:
        return fitness_of(population, objective.sample(key))

    key = jax.random.key(0)
    solution = jax.jit(network.init)(key)
    strategy = Open_ES(
        config.population_size,
        solution,
        optimizer=optax.adam(0.01),
        std_schedule=optax.constant_schedule(STEP_SIZE),
    )
    params = strategy.default_params
    state = strategy.init(key, solution, params)

    def run(generations: int) -> None:
        nonlocal key, state
        for _ in range(generations):
            key, key_ask, key_eval, key_tell = jax.random.split(key, 4)
            population, state = strategy.ask(key_ask, state, params)
            fitness = evaluate(key_eval, population)
            state, _ = strategy.tell(key_tell, population, fitness, state, params)
        jax.block_until_ready(state)

    return Search("Open_ES", run, 1, _on_pairs(config, apply))


def evosax_loop_tuned(config: EvolutionConfig) -> Search:
    """The same loop with the layers of :mod:`edl_jax.losses.networks`."""
    network = make_network(config.network, config.width, config.num_classes)
    return evosax_loop(config, network.apply)
