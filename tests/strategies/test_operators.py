"""Every strategy with every operator and every schedule: it evolves a loss, or says why not."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax import config
from edl_jax.config import ChaosConfig, EvolutionConfig, ObjectiveConfig
from edl_jax.errors import OptionError
from edl_jax.search.engine import make_evolution
from tests.strategies import KNOWN

SMALL = {
    "network": "taylor",
    "population_size": 8,
    "batch_size": 16,
    "num_classes": 3,
    "num_generations": 4,
    "objective": ObjectiveConfig(proper_ranking=0.0),
}
OPERATORS = {
    "gaussian": {},
    **{place: {"acts_on": (place,)} for place in config.ACTS_ON},
    "all": {"acts_on": ("switch", "step_size", "gene_step_size")},
    "shuffled": {"dynamics": "shuffled", "marginal": "normal"},
    "iid": {"dynamics": "iid", "marginal": "uniform"},
    "sequence": {"orbits": "sequence"},
}
PLAIN = ("constant", "exponential", "cosine")
COMBINATIONS = list(itertools.product(KNOWN, OPERATORS, config.SCHEDULES))


def describe(strategy, operator, schedule):
    mutation = "gaussian" if operator == "gaussian" else "chaotic"
    chaos = ChaosConfig(**OPERATORS[operator])
    return {"strategy": strategy, "schedule": schedule, "mutation": mutation, "chaos": chaos}


def possible(strategy, operator, schedule):
    if strategy == "ES":
        return True
    mutable = operator == "gaussian" or strategy in ("Open_ES", "SNES")
    return mutable and operator != "recombination" and schedule in PLAIN


def distinct(strategy, operator, schedule):
    """Strategies that adapt their own step sizes do the same whatever the schedule is."""
    return strategy in ("ES", "Open_ES", "SimpleGA") or schedule == "exponential"


SEARCHES = [c for c in COMBINATIONS if possible(*c) and distinct(*c)]
# Of the many combinations of "ES": each operator, and each schedule.
COVERING = list(zip(OPERATORS, itertools.cycle(config.SCHEDULES), strict=False))


def searching(strategy, operator, schedule):
    evolution = make_evolution(EvolutionConfig(**SMALL, **describe(strategy, operator, schedule)))

    def search(key):
        start = evolution.init(key)
        state, info = evolution.run(start, 2)
        return state, evolution.params(start), evolution.params(state), info

    return search


def key():
    """This generator compiles in a fraction of the time of the default one."""
    return jax.random.key(2, impl="unsafe_rbg")


def check(before, after, info):
    for name, leaf in after.items():
        assert leaf.shape == before[name].shape
        assert np.isfinite(leaf).all()
    assert any(not np.array_equal(after[name], before[name]) for name in after)
    assert np.isfinite(info.best_fitness).all()
    assert int(jnp.sum(info.num_failed)) == 0


@pytest.mark.parametrize(("strategy", "operator", "schedule"), SEARCHES)
def test_two_generations_move_a_search_and_no_number_on_the_way_is_nan(
    strategy, operator, schedule
):
    """Operation by operation, which takes a tenth of the time that compiling would."""
    with jax.disable_jit(), jax.debug_nans(True):
        _, *found = searching(strategy, operator, schedule)(key())
    check(*found)


@pytest.mark.parametrize(("operator", "schedule"), COVERING)
def test_every_operator_and_every_schedule_is_part_of_one_program(operator, schedule):
    _, *found = jax.jit(searching("ES", operator, schedule))(key())
    check(*found)


def wide(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path) for path, leaf in leaves if str(leaf.dtype).endswith("64")]


@pytest.mark.parametrize("strategy", KNOWN)
def test_a_search_passes_the_strict_modes_and_under_x64_all_its_numbers_have_32_bits(strategy):
    """Under x64 the strict modes refuse all that they refuse without, and more."""
    ranks, dtypes = jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict")
    with jax.enable_x64(True), ranks, dtypes:
        for combination in SEARCHES:
            if combination[0] == strategy:
                traced = jax.eval_shape(searching(*combination), jax.random.key(0))
                assert not wide(traced), combination


@pytest.mark.parametrize("strategy", KNOWN)
def test_every_strategy_runs_as_one_program_under_x64(strategy):
    with jax.enable_x64(True):
        _, *found = jax.jit(searching(strategy, "gaussian", "exponential"))(key())
        check(*found)


def test_what_does_not_go_together_is_refused_by_name():
    for combination in COMBINATIONS:
        described = describe(*combination)
        if possible(*combination):
            EvolutionConfig(**SMALL, **described)
            continue
        with pytest.raises(OptionError) as error:
            EvolutionConfig(**SMALL, **described)
        option = str(error.value).split()[0]
        assert option in ("mutation", "acts_on", "schedule")
        assert combination[0] in str(error.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"acts_on": ()}, "acts_on"),
        ({"acts_on": ("direction", "direction")}, "acts_on"),
        ({"acts_on": ("direction", "switch")}, "acts_on"),
        ({"acts_on": ("everywhere",)}, "acts_on"),
        ({"marginal": "cauchy"}, "marginal"),
        ({"dynamics": "random"}, "dynamics"),
        ({"orbits": "many"}, "orbits"),
        ({"schedule": "linear"}, "schedule"),
        ({"restart_after": -1}, "restart_after"),
        ({"restart_after": 5, "strategy": "SimpleGA"}, "restart_after"),
    ],
)
def test_a_bad_option_is_named(options, named):
    with pytest.raises(OptionError, match=f"^{named} "):
        chaotic = {f.name for f in dataclasses.fields(ChaosConfig)} & options.keys()
        rest = {name: value for name, value in options.items() if name not in chaotic}
        EvolutionConfig(chaos=ChaosConfig(**{name: options[name] for name in chaotic}), **rest)


@pytest.mark.parametrize("strategy", ["ES", "SNES", "CMA_ES"])
def test_a_search_that_restarts_runs_in_the_engine(strategy):
    described = EvolutionConfig(
        **SMALL,
        strategy=strategy,
        mutation="gaussian" if strategy == "CMA_ES" else "chaotic",
        restart_after=2,
    )
    evolution = make_evolution(described)
    state = evolution.init(jax.random.key(0))
    starts = np.asarray(state.strategy.starts)
    state, info = evolution.run(state, 40)

    assert len(np.unique(starts, axis=0)) == 8
    assert int(state.strategy.restarts) > 0
    assert np.isfinite(info.best_fitness).all()
