"""The searches of ``mutation_strategies``: many at once, on the same draws and held-out pairs.

What does not depend on the operator is compiled once a problem, the search itself once an operator.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.mutation_strategies.variants import Variant
from edl_jax.chaos.streams import make_stream
from edl_jax.strategies.mutation import make_mutation
from edl_jax.strategies.registry import incumbent, init_strategy, make_strategy, reevaluate

FINAL_SHARE = 0.1  # where schedules that fall end, as a share of where they start
CHECKS = 50  # how often a search is scored on its way
MONITOR_PAIRS, FINAL_PAIRS = 512, 2048


class Curve(NamedTuple):
    """What searches reached.

    Attributes:
      scores: ``(runs, checks)``, the incumbent's score at equal distances, the end included.
      final: ``(runs,)``, its score at the end on more pairs.
    """

    scores: np.ndarray
    final: np.ndarray


class Shared(NamedTuple):
    """What all operators share on a problem: compiled once, and the same for each seed.

    Attributes:
      draw: ``keys -> instances``, what each search is judged on in each generation; leaves lead
        with ``(runs, num_generations)``.
      score: ``(found, keys) -> (scores, final)``, the fields of :class:`Curve`; the leaves of
        ``found`` lead with ``(runs, checks)``.
    """

    draw: Callable[[Any], Any]
    score: Callable[[Any, Any], tuple[Any, Any]]


def check_every(num_generations: int) -> int:
    """Generations between two scores."""
    return -(-num_generations // CHECKS)


def keys_of(key: Any) -> dict[str, Any]:
    """The keys of a search, from that of its seed."""
    names = ("start", "first", "strategy", "score", "run")
    return dict(zip(names, jax.random.split(key, 5), strict=True))


def make_shared(problem: Any) -> Shared:
    """What is drawn and how it is scored, on ``problem``."""
    generations = CHECKS * check_every(problem.num_generations)

    def draw(key: jax.Array) -> Any:
        def instance(number: jax.Array) -> Any:
            keys = jax.random.split(jax.random.fold_in(keys_of(key)["run"], number), 3)
            return problem.sample(keys[0])

        return jax.lax.map(instance, jnp.arange(generations))

    def score(found: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = keys_of(key)["score"]
        scores = jax.lax.map(lambda x: problem.score(x, key, MONITOR_PAIRS), found)
        last = jax.tree.map(lambda leaf: leaf[-1], found)
        return scores, problem.score(last, jax.random.fold_in(key, 1), FINAL_PAIRS)

    return Shared(jax.jit(jax.vmap(draw)), jax.jit(jax.vmap(score)))


def make_searches(problem: Any, variant: Variant) -> Callable[[Any, Any, Any], Any]:
    """``(step_sizes, keys, instances) -> found``, one search for each, compiled once.

    ``found`` is what each search stands for at each check, its leaves leading with
    ``(runs, checks)``.
    """
    chaos = (variant.map, variant.dynamics, variant.orbits)
    size = problem.population_size
    example = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(problem.init, jax.random.key(0))
    )
    strategy, params = make_strategy(
        variant.strategy,
        size,
        example,
        step_size=1.0,
        final_step_size=FINAL_SHARE,
        num_generations=problem.num_generations,
        schedule=variant.schedule,
        mutation=make_mutation(
            variant.operator, chaos[0], variant.marginal, *chaos[1:], variant.acts_on
        ),
        stream=make_stream(*chaos),
        acts_on=variant.acts_on if variant.operator == "chaotic" else (),
    )
    moves = variant.strategy != "ChaoticEvolution"

    def search(step_size: jax.Array, key: jax.Array, instances: Any) -> Any:
        keys = keys_of(key)
        starts = jax.vmap(problem.init)(jax.random.split(keys["start"], size))

        def candidate(relative: Any) -> Any:
            # A distribution is moved in units of the step size about its start, so that one
            # compiled program serves the whole grid.
            if not moves:
                return relative
            return jax.tree.map(lambda start, x: start[0] + step_size * x, starts, relative)

        def evaluate(population: Any, instance: Any) -> jax.Array:
            def one(relative: Any) -> jax.Array:
                return problem.evaluate(candidate(relative), instance)

            return jax.vmap(one)(population)

        def generation(state: Any, drawn: Any) -> tuple[Any, None]:
            number, instance = drawn
            run_keys = jax.random.split(jax.random.fold_in(keys["run"], number), 3)
            state = reevaluate(strategy, state, lambda known: evaluate(known, instance))
            population, state = strategy.ask(run_keys[1], state, params)
            fitness = evaluate(population, instance)
            return strategy.tell(run_keys[2], population, fitness, state, params)[0], None

        def stretch(state: Any, drawn: Any) -> tuple[Any, Any]:
            state, _ = jax.lax.scan(generation, state, drawn)
            return state, candidate(incumbent(strategy, state))

        def first_fitness(population: Any) -> jax.Array:
            return evaluate(population, problem.sample(keys["first"]))

        first = jax.tree.map(lambda x: 0 * x, starts) if moves else starts
        state = init_strategy(strategy, params, keys["strategy"], first, first_fitness)
        every = check_every(problem.num_generations)
        drawn = jax.tree.map(
            lambda leaf: leaf.reshape(CHECKS, every, *leaf.shape[1:]),
            (jnp.arange(CHECKS * every), instances),
        )
        return jax.lax.scan(stretch, state, drawn)[1]

    return jax.jit(jax.vmap(search))
