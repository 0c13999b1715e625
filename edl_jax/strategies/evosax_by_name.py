"""Every algorithm of evosax by its name, set up as a configuration says.

What an algorithm takes is read off itself: its constructor and its parameters. A step size goes to
the schedule or to the first standard deviation that it has; all else is its own default, or what
``strategy_options`` says.
"""

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from evosax.algorithms import algorithms
from evosax.algorithms.base import EvolutionaryAlgorithm, Params
from evosax.algorithms.distribution_based.sv.base import SV_ES

from edl_jax.chaos.maps import State
from edl_jax.config import STRATEGIES, EvolutionConfig
from edl_jax.errors import OptionError, require, require_one_of
from edl_jax.strategies.base import Evaluate, Strategy, keep_state
from edl_jax.strategies.evosax import (
    by_its_own_rules,
    default_params,
    from_evosax,
    mutated,
    without_failures,
)
from edl_jax.strategies.ingredients import Ingredients
from edl_jax.strategies.step_size import Sizes, make_schedule

Setting = bool | int | float
# Populations of a Stein variational strategy, where no option says how many.
_POPULATIONS = 2


def evosax_strategy(name: str, ingredients: Ingredients) -> Strategy:
    """The algorithm called ``name`` on vectors, its options and step size in it.

    Args:
      name: one in evosax's registry.
      ingredients: the search, with :attr:`~edl_jax.config.EvolutionConfig.strategy_options`, and
        the mutation for those that draw from an operator.

    Raises:
      OptionError: an option is none of the algorithm's, or it cannot have this population.

    >>> from edl_jax.strategies.ingredients import make_ingredients
    >>> config = EvolutionConfig(strategy="PSO", strategy_options=("inertia_coeff=0.5",))
    >>> strategy = evosax_strategy("PSO", make_ingredients(config, 3))
    """
    config, num_dims = ingredients.config, ingredients.num_dims
    algorithm, params = _configured(name, config, num_dims)
    if isinstance(algorithm, SV_ES):
        return _side_by_side(algorithm, params)
    if STRATEGIES[name].takes_mutation:
        return mutated(algorithm, ingredients.mutation, params, mirrored=name == "Open_ES")
    return from_evosax(algorithm, params, keeps_fitness=name == "DifferentialEvolution")


def _configured(
    name: str, config: EvolutionConfig, num_dims: int
) -> tuple[EvolutionaryAlgorithm, Params]:
    made, takes = algorithms[name], inspect.signature(algorithms[name]).parameters
    options = _read(config.strategy_options)
    settings: dict[str, Any] = {
        key: parameter.default
        for key, parameter in takes.items()
        if isinstance(parameter.default, Setting) and not STRATEGIES[name].takes_mutation
    }
    arguments: dict[str, Any] = {}
    population_size = config.population_size
    if "std_schedule" in takes:
        arguments["std_schedule"] = make_schedule(
            config.schedule,
            Sizes(config.step_size, config.final_step_size, config.num_generations),
        )
        if "optimizer" in takes:
            arguments["optimizer"] = optax.adam(config.step_size)
    if "sampling_fn" in takes:
        shape = (num_dims,)
        arguments["sampling_fn"] = lambda key: config.step_size * jax.random.normal(key, shape)
    if "num_populations" in takes:
        settings["num_populations"] = _POPULATIONS
        parts = options.get("num_populations", _POPULATIONS)
        fits = isinstance(parts, int) and parts > 0 and population_size % parts == 0
        expected = f"a multiple of its number of populations, {parts}"
        require(fits, "population_size", population_size, expected)
        population_size //= int(parts)
    for key, value in settings.items():
        given, kind = options.get(key, value), type(value)
        expected = f"a value like {value}, of type {kind.__name__}"
        require(type(given) is kind, "strategy_options", f"{key}={given}", expected)
        arguments[key] = given
    try:
        algorithm = made(population_size=population_size, solution=jnp.zeros(num_dims), **arguments)
        params = default_params(algorithm)
    except AssertionError as error:
        expected = f"one that {name} takes: {error}"
        raise OptionError("population_size", config.population_size, expected) from None
    numbers = {
        key: value
        for key, value in vars(params).items()
        if isinstance(value, Setting | jax.Array) and jnp.ndim(value) == 0
    }
    known = [*settings, *numbers]
    for key, given in options.items():
        require(bool(known), "strategy_options", key, f"none, {name} has no parameters to set")
        require_one_of("strategy_options", key, known)
        if key in numbers:
            whole = jnp.issubdtype(jnp.result_type(numbers[key]), jnp.integer)
            fits = isinstance(given, int) or not whole
            require(fits, "strategy_options", f"{key}={given}", "a whole number")
            numbers[key] = given
    if "std_init" in numbers and "std_init" not in options:
        numbers["std_init"] = config.step_size
    changed = {
        key: jnp.asarray(value, jnp.result_type(getattr(params, key)))
        for key, value in numbers.items()
        if value is not getattr(params, key)
    }
    return algorithm, params.replace(**changed)


def _read(options: tuple[str, ...]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for text in options:
        name, _, value = text.partition("=")
        require(name not in found, "strategy_options", text, "each name once")
        found[name] = _number(text, value)
    return found


def _number(text: str, value: str) -> Setting:
    if value in ("True", "False"):
        return value == "True"
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    expected = "NAME=NUMBER, a finite number, True or False"
    require(math.isfinite(number), "strategy_options", text, expected)
    return int(value) if value.lstrip("+-").isdecimal() else number


def _side_by_side(algorithm: SV_ES, params: Params) -> Strategy:
    """Several populations that keep away from each other (Braun et al., arXiv 2410.10390).

    They start from the first candidates, one each; the search stands for the mean of the one whose
    last generation was fittest on average.
    """
    parts = algorithm.num_populations
    init, ask, tell = map(by_its_own_rules, (algorithm.init, algorithm.ask, algorithm.tell))

    def start(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> State:
        del evaluate
        means = population[jnp.arange(parts) % len(population)]
        blank = {"best_solution": means, "best_fitness": jnp.full(parts, jnp.inf, jnp.float32)}
        return init(key, means, params).replace(**blank), jnp.zeros(parts, jnp.float32)

    def asked(key: jax.Array, state: State) -> tuple[jax.Array, State]:
        population, inner = ask(key, state[0], params)
        return population, (inner, state[1])

    def told(key: jax.Array, population: jax.Array, fitness: jax.Array, state: State) -> State:
        inner, _ = tell(key, population.reshape(parts, -1, population.shape[-1]), fitness,
                        state[0], params)  # fmt: skip
        known = {"best_solution": state[0].best_solution, "best_fitness": state[0].best_fitness}
        return inner.replace(**known), jnp.mean(fitness.reshape(parts, -1), axis=1)

    def incumbent(state: State) -> jax.Array:
        return state[0].mean[jnp.argmin(state[1])]

    return Strategy(start, asked, without_failures(told), keep_state, incumbent)
