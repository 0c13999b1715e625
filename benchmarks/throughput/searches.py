"""One pretraining problem in several implementations, each written as its users would write it.

Every generation of each draws a batch of pairs from the mixture, computes the six features once,
evaluates every candidate's loss network on every pair and ranks the losses: the same network and
the same objective. Each proposes candidates by its own strategy: ``edl_jax`` by its default ES,
``evosax_loop`` by evosax's Open_ES, ``evotorch`` by EvoTorch's SNES, ``numpy`` by an ES.
``evosax_loop_tuned`` is the loop with this project's layers in the place of ordinary ones: what is
left of the difference is the engine.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.losses.networks import activation, label_features, log_probs, make_network
from edl_jax.objective.synthetic import Pairs
from edl_jax.objective.terms import Problem, make_objective
from edl_jax.search.engine import make_evolution

STEP_SIZE = 0.1
# The paper's objective: ranking consistency under the true label, and the guard of the scale.
PROBLEM = EvolutionConfig(
    batch_size=2048,
    width=32,
    step_size=STEP_SIZE,
    objective=ObjectiveConfig(clean_ranking=1.0, proper_ranking=0.0),
)


class Search(NamedTuple):
    """A search under way.

    Attributes:
      strategy: how it proposes candidates.
      run: goes on for so many generations, a multiple of ``chunk``, and returns when they are done.
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


def unflatten(flat: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Flat candidates ``[population_size, num_dims]``, of NumPy or torch, as arrays by name."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        end = start + int(np.prod(shape))
        arrays[name] = flat[:, start:end].reshape(len(flat), *shape)
        start = end
    return arrays


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
        return np.asarray(fitness(jax.tree.map(jnp.asarray, population), problem))

    return on_pairs


def edl_jax(config: EvolutionConfig) -> Search:
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
    from evosax.algorithms import Open_ES

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


def evotorch(config: EvolutionConfig) -> Search:
    """EvoTorch's SNES with a vectorised fitness in torch, on the CPU."""
    from benchmarks.throughput.evotorch_search import make_search

    return Search("SNES", *make_search(config))


def numpy(config: EvolutionConfig) -> Search:
    """Plain NumPy, candidate by candidate: each one's activations then fit into the cache."""
    from benchmarks.throughput.numpy_search import make_search

    return Search("ES", *make_search(config))


SEARCHES: dict[str, Callable[[EvolutionConfig], Search]] = {
    f.__name__: f for f in (edl_jax, evosax_loop, evosax_loop_tuned, evotorch, numpy)
}


def missing(name: str) -> str | None:
    """The package without which this implementation cannot be run, or None."""
    needed = ("torch", "evotorch") if name == "evotorch" else ()
    return next((package for package in needed if find_spec(package) is None), None)
