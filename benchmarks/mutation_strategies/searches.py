"""The searches of ``mutation_strategies``: many at once, on the same draws and held-out pairs.

What does not depend on the operator is compiled once a problem, the search itself once an operator.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.mutation_strategies.problems import Problem
from benchmarks.mutation_strategies.scores import CHECKS, check_every
from benchmarks.mutation_strategies.variants import Variant
from edl_jax.config import STRATEGIES, ChaosConfig, EvolutionConfig
from edl_jax.strategies.base import on_pytrees
from edl_jax.strategies.gradient import gradient
from edl_jax.strategies.registry import make_strategy
from edl_jax.strategies.step_size import Sizes, make_schedule

FINAL_SHARE = 0.1  # where schedules that fall end, as a share of where they start
MONITOR_PAIRS, FINAL_PAIRS = 512, 2048


class Shared(NamedTuple):
    """Functions that all operators share on a problem: compiled once, and the same for each seed.

    Attributes:
      draw: ``keys -> instances``, what each search is judged on in each generation; leaves lead
        with ``(runs, num_generations)``.
      score: ``(found, keys) -> (scores, final)``, those of a
        :class:`benchmarks.mutation_strategies.scores.Curve`; the leaves of
        ``found`` lead with ``(runs, checks)``.
    """

    draw: Callable[[Any], Any]
    score: Callable[[Any, Any], tuple[Any, Any]]


def keys_of(key: Any) -> dict[str, Any]:
    """The keys of a search, from that of its seed."""
    names = ("start", "first", "strategy", "score", "run")
    return dict(zip(names, jax.random.split(key, 5), strict=True))


def make_shared(problem: Problem) -> Shared:
    """The draws and the scores of ``problem``."""
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


def make_searches(problem: Problem, variant: Variant) -> Callable[[Any, Any, Any], Any]:
    """``(step_sizes, keys, instances) -> found``, one search for each, compiled once.

    ``found`` is what each search stands for at each check, its leaves leading with
    ``(runs, checks)``.
    """
    can = STRATEGIES[variant.strategy]
    # A descent's gradient and evaluation cost four evaluations.
    size = problem.population_size // (4 if can.follows_gradient else 1)
    judge = (can.follows_gradient and problem.smooth) or problem.evaluate
    example = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(problem.init, jax.random.key(0))
    )
    config = EvolutionConfig(
        strategy=variant.strategy,
        population_size=size,
        num_generations=problem.num_generations,
        mutation="chaotic" if variant.operator == "chaotic" and can.takes_mutation else "gaussian",
        chaos=ChaosConfig(
            variant.map, variant.marginal, variant.dynamics, variant.orbits, variant.acts_on
        ),
        schedule=variant.schedule,
        step_size=1.0,
        final_step_size=FINAL_SHARE,
    )
    made = make_strategy(config, example)
    moves = can.has_mean
    rate = make_schedule("exponential", Sizes(1.0, FINAL_SHARE, problem.num_generations))

    def search(step_size: jax.Array, key: jax.Array, instances: Any) -> Any:
        strategy = made
        if can.follows_gradient:
            descent = gradient(lambda count: step_size * rate(count))
            strategy = on_pytrees(descent, example)
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
                return judge(candidate(relative), instance)

            return jax.vmap(one)(population)

        def generation(state: Any, drawn: Any) -> tuple[Any, None]:
            number, instance = drawn
            run_keys = jax.random.split(jax.random.fold_in(keys["run"], number), 3)
            state = strategy.reevaluate(state, lambda known: evaluate(known, instance))
            population, state = strategy.ask(run_keys[1], state)
            fitness = evaluate(population, instance)
            return strategy.tell(run_keys[2], population, fitness, state), None

        def stretch(state: Any, drawn: Any) -> tuple[Any, Any]:
            state, _ = jax.lax.scan(generation, state, drawn)
            return state, candidate(strategy.incumbent(state))

        def first_fitness(population: Any) -> jax.Array:
            return evaluate(population, problem.sample(keys["first"]))

        first = jax.tree.map(lambda x: 0 * x, starts) if moves else starts
        state = strategy.init(keys["strategy"], first, first_fitness)
        every = check_every(problem.num_generations)
        drawn = jax.tree.map(
            lambda leaf: leaf.reshape(CHECKS, every, *leaf.shape[1:]),
            (jnp.arange(CHECKS * every), instances),
        )
        return jax.lax.scan(stretch, state, drawn)[1]

    return jax.jit(jax.vmap(search))
