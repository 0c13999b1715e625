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

SMALL = {
    "network": "taylor",
    "population_size": 8,
    "batch_size": 16,
    "num_classes": 3,
    "num_generations": 4,
    "objective": ObjectiveConfig(proper_ranking=0.0),
}
# What compiles fast runs slowly, which two generations do not notice.
FAST_COMPILATION = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
OPERATORS = {
    "gaussian": {},
    **{place: {"acts_on": (place,)} for place in config.ACTS_ON},
    "all": {"acts_on": ("switch", "step_size", "gene_step_size")},
    "shuffled": {"dynamics": "shuffled", "marginal": "normal"},
    "iid": {"dynamics": "iid", "marginal": "uniform"},
    "sequence": {"orbits": "sequence"},
}
PLAIN = ("constant", "exponential", "cosine")
COMBINATIONS = list(itertools.product(config.STRATEGIES, OPERATORS, config.SCHEDULES))


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


def searching(strategy, operator, schedule):
    evolution = make_evolution(EvolutionConfig(**SMALL, **describe(strategy, operator, schedule)))

    def search(key):
        start = evolution.init(key)
        state, info = evolution.run(start, 2)
        return state, evolution.params(start), evolution.params(state), info

    return search


def two_generations(strategy, operator, schedule):
    # This generator compiles in a fraction of the time of the default one.
    key = jax.random.key(0, impl="unsafe_rbg")
    lowered = jax.jit(searching(strategy, operator, schedule)).lower(key)
    return lowered.compile(compiler_options=FAST_COMPILATION)(key)


@pytest.mark.parametrize(
    ("strategy", "operator", "schedule"),
    [c for c in COMBINATIONS if possible(*c) and distinct(*c)],
)
def test_two_generations_move_a_search_that_stays_finite(strategy, operator, schedule):
    _, before, after, info = two_generations(strategy, operator, schedule)

    for name, leaf in after.items():
        assert leaf.shape == before[name].shape
        assert np.isfinite(leaf).all()
    assert any(not np.array_equal(after[name], before[name]) for name in after)
    assert np.isfinite(info.best_fitness).all()
    assert int(jnp.sum(info.num_failed)) == 0


def wide(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path) for path, leaf in leaves if str(leaf.dtype).endswith("64")]


@pytest.mark.parametrize("strategy", config.STRATEGIES)
def test_under_x64_a_search_runs_and_all_its_numbers_have_32_bits(strategy):
    with jax.enable_x64(True):
        for combination in COMBINATIONS:
            if combination[0] == strategy and possible(*combination) and distinct(*combination):
                search = searching(*combination)
                assert not wide(jax.eval_shape(search, jax.random.key(0))), combination
        *_, info = two_generations(strategy, "gaussian", "exponential")

    assert np.isfinite(info.best_fitness).all()


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
