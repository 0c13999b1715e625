"""Every algorithm of evosax by its name: it searches, and its options are its own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evosax.algorithms import algorithms

from edl_jax import config
from edl_jax.config import EvolutionConfig
from edl_jax.errors import OptionError
from edl_jax.strategies.registry import make_strategy, matrix_size

NUM_DIMS, POPULATION = 20, 8
SOLUTION = jnp.zeros(NUM_DIMS)
# PGPE's own optimizer calls it.
pytestmark = pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated")
QUADRATIC = {"ASEBO", "CMA_ES", "DiffusionEvolution", "MA_ES", "SV_CMA_ES", "iAMaLGaM_Full", "xNES"}


def describe(name, *options, population_size=POPULATION):
    return EvolutionConfig(
        strategy=name,
        strategy_options=options,
        population_size=population_size,
        num_generations=4,
        step_size=0.3,
    )


def evaluate(candidates):
    return jnp.sum(jnp.square(candidates), axis=-1)


def test_the_names_are_those_of_evosaxs_registry():
    ours = {"ES", "ChaoticEvolution", "gradient"}
    assert config.STRATEGIES.keys() == algorithms.keys() | ours


@pytest.mark.parametrize("name", algorithms)
def test_two_generations_move_a_search(name):
    """Operation by operation, which takes less time than compiling would.

    In the first some candidates fail, and a third fails as a whole.
    """
    start = 1 + 0.1 * jax.random.normal(jax.random.key(0), (POPULATION, NUM_DIMS))
    with jax.disable_jit():
        strategy = make_strategy(describe(name), SOLUTION)
        state = strategy.init(jax.random.key(1), start, evaluate)
        for i, (ask_key, tell_key) in enumerate(jax.random.split(jax.random.key(2), (2, 2))):
            candidates, state = strategy.ask(ask_key, state)
            fitness = evaluate(candidates)
            fitness = fitness if i else fitness.at[2].set(jnp.inf)
            state = strategy.tell(tell_key, candidates, fitness, state)
        if name != "DifferentialEvolution":  # it keeps fitness, and so failures until the next one
            failed = jnp.full(POPULATION, jnp.inf)
            state = strategy.tell(jax.random.key(3), candidates, failed, state)
    found = strategy.incumbent(state)

    assert candidates.shape == start.shape
    assert found.shape == (NUM_DIMS,)
    assert np.isfinite(candidates).all()
    assert np.isfinite(found).all()
    assert not np.array_equal(candidates, start)


@pytest.mark.parametrize("name", ["SV_CMA_ES", "SV_Open_ES"])
def test_several_populations_have_numbers_of_32_bits_and_can_start_again(name):
    described = dataclasses.replace(describe(name), restart_after=1)
    with jax.enable_x64(True):
        start = jnp.ones((POPULATION, NUM_DIMS), jnp.float32)
        strategy = make_strategy(described, jnp.zeros(NUM_DIMS, jnp.float32))

        def generation(key):
            state = strategy.init(key, start, evaluate)
            candidates, state = strategy.ask(key, state)
            return strategy.tell(key, candidates, evaluate(candidates), state)

        state = jax.eval_shape(generation, jax.random.key(0))
    assert not [leaf.dtype for leaf in jax.tree.leaves(state) if "64" in str(leaf.dtype)]


@pytest.mark.parametrize("name", algorithms)
def test_a_strategy_that_keeps_a_matrix_is_said_to(name):
    assert matrix_size(describe(name), SOLUTION) == (NUM_DIMS if name in QUADRATIC else 0)


def test_an_option_changes_the_search():
    def candidates(*options):
        strategy = make_strategy(describe("SimpleGA", *options), SOLUTION)
        start = jax.random.normal(jax.random.key(0), (POPULATION, NUM_DIMS))
        state = strategy.init(jax.random.key(1), start, evaluate)
        return strategy.ask(jax.random.key(2), state)[0]

    np.testing.assert_array_equal(candidates(), candidates())
    assert not np.array_equal(candidates(), candidates("crossover_rate=1.0"))


def test_an_option_may_set_the_step_size_in_place_of_the_searchs():
    def std(*options):
        strategy = make_strategy(describe("CMA_ES", *options), SOLUTION)
        return float(strategy.init(jax.random.key(0), jnp.ones((8, NUM_DIMS)), evaluate).std)

    assert std() == pytest.approx(0.3)
    assert std("std_init=0.05") == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("PSO", ("inertia=1",), "strategy_options inertia: expected one of inertia_coeff, cogn"),
        ("PSO", ("inertia_coeff=much",), "strategy_options inertia_coeff=much: expected NAME=N"),
        ("PSO", ("inertia_coeff=1", "inertia_coeff=2"), "inertia_coeff=2: expected each name on"),
        ("ASEBO", ("subspace_dims=1.5",), "strategy_options subspace_dims=1.5: expected a value"),
        ("PersistentES", ("T=1.5",), "strategy_options T=1.5: expected a whole number"),
        ("Open_ES", ("std=1",), "strategy_options std: expected none, Open_ES has"),
        ("ES", ("std_init=1",), "strategy_options std_init=1: expected none with strategy ES"),
    ],
)
def test_a_wrong_option_is_refused_by_name(name, options, line):
    with pytest.raises(OptionError) as error:
        make_strategy(describe(name, *options), SOLUTION)
    assert line in str(error.value)


def test_options_with_which_an_algorithm_cannot_run_are_refused_before_it_runs():
    with pytest.raises(OptionError, match="strategy_options num_groups=0: expected values with"):
        matrix_size(describe("GESMR_GA", "num_groups=0"), SOLUTION)


@pytest.mark.parametrize(
    ("name", "size"), [("Open_ES", 9), ("PGPE", 9), ("SV_Open_ES", 9), ("SV_CMA_ES", 9)]
)
def test_a_population_that_does_not_suit_is_refused(name, size):
    with pytest.raises(OptionError, match=f"population_size {size}: expected"):
        make_strategy(describe(name, population_size=size), SOLUTION)
