"""The engine: one scan on the device, resumable, and not stopped by candidates that fail."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import edl_jax
from edl_jax.config import EvolutionConfig, ObjectiveConfig, RehearsalConfig
from edl_jax.objective import gains
from edl_jax.objective.fitness import Objective
from edl_jax.objective.ranking import held_out
from edl_jax.objective.tasks import Regime
from edl_jax.search.engine import make_evolution, parallel_searches
from edl_jax.strategies.base import Strategy, keep_state
from tests.strategies import KNOWN

TINY = {"population_size": 8, "batch_size": 32, "num_classes": 3, "width": 4}
POINT = jnp.array([[1.0, 0.0, -1.0]])


def value(loss):
    """The loss at one point."""
    return loss(POINT, jnp.array([0]))[0]


def value_of(evolution, state):
    return float(value(partial(evolution.network.apply, evolution.params(state))))


# An objective that compiles quickly: minimise that value, under noise that a generation shares.
PLAIN = Objective(
    jax.random.uniform, lambda loss, u: ((1 + u) * value(loss), {"value": value(loss)})
)
SEARCH = EvolutionConfig(mutation="chaotic", **TINY)


@pytest.fixture(scope="module")
def tiny():
    return make_evolution(SEARCH, PLAIN)


@pytest.fixture(scope="module")
def start(tiny):
    return tiny.init(jax.random.key(0))


@pytest.fixture(scope="module")
def five(tiny, start):
    return tiny.run(start, 5)


def fast_key(seed):
    """A key whose generator compiles in a fraction of the time of the default one's."""
    return jax.random.key(seed, impl="unsafe_rbg")


def leaves(tree):
    """Leaves as NumPy, keys as their words."""
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in map(jnp.asarray, jax.tree.leaves(tree))
    ]


# --- what is compiled --------------------------------------------------------------------------


def equations(jaxpr, inside_scan=False):
    """Every equation of a jaxpr and of those nested in it, and whether a scan is around it."""
    for equation in jaxpr.eqns:
        yield equation, inside_scan
        inside = inside_scan or equation.primitive.name == "scan"
        for value in equation.params.values():
            for item in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    yield from equations(inner, inside)


@pytest.fixture(scope="module")
def default_equations():
    config = EvolutionConfig()
    config = dataclasses.replace(config, candidates_at_once=config.population_size)
    evolution = make_evolution(config)
    state = jax.eval_shape(evolution.init, jax.random.key(0))
    jaxpr = jax.make_jaxpr(lambda s: evolution.run(s, 50))(state)
    return config, list(equations(jaxpr.jaxpr))


def test_a_chunk_of_generations_is_one_scan_with_the_evaluation_inside(default_equations):
    config, found = default_equations
    scans = [e for e, _ in found if e.primitive.name == "scan"]
    products = [(e, inside) for e, inside in found if e.primitive.name == "dot_general"]

    assert len(scans) == 1
    assert scans[0].params["length"] == 50
    assert not any(e.primitive.name == "while" for e, _ in found)
    assert all(inside for _, inside in products)
    # The hidden layers of the whole population at once.
    shapes = [v.aval.shape for e, _ in products for v in e.outvars]
    assert any(
        {config.population_size, config.batch_size, config.width} <= set(shape) for shape in shapes
    )


def test_a_chunk_of_generations_never_returns_to_the_host(default_equations):
    _, found = default_equations
    names = {e.primitive.name for e, _ in found}

    assert not [n for n in names if "callback" in n or n in ("infeed", "outfeed", "device_put")]


def test_the_features_are_shared_by_the_population(default_equations):
    """No logarithm or exponential of the whole batch is taken once for each candidate."""
    config, found = default_equations
    shapes = [
        v.aval.shape
        for e, _ in found
        if e.primitive.name in ("exp", "log1p")
        for v in e.invars
        if hasattr(v, "aval")
    ]
    whole = {config.population_size, config.batch_size, config.num_classes}
    assert any({config.batch_size, config.num_classes} <= set(shape) for shape in shapes)
    assert not any(whole <= set(shape) for shape in shapes)


# --- rehearsal ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rehearsing():
    with pytest.MonkeyPatch.context() as patch:
        regimes = {name: Regime(5, 0.4, num_train=64) for name in ("short_noisy", "long_noisy")}
        patch.setattr(gains, "REGIMES", regimes)
        config = EvolutionConfig(
            network="monotone",
            population_size=4,
            batch_size=32,
            width=2,
            objective=ObjectiveConfig(proper_ranking=0.0, rehearsal=1.0),
            rehearsal=RehearsalConfig(tuple(regimes), num_tasks=2, rates=(1.0, 3.0)),
        )
        evolution = make_evolution(config)
        start = evolution.init(jax.random.key(0))
        jaxpr = jax.make_jaxpr(lambda s: evolution.run(s, 2))(start)
        yield evolution, start, jaxpr, evolution.run(start, 2)


def test_whole_training_runs_are_loops_within_the_one_scan_of_generations(rehearsing):
    _, _, jaxpr, _ = rehearsing
    found = [(e.primitive.name, e.params.get("length"), inside)
             for e, inside in equations(jaxpr.jaxpr)]  # fmt: skip

    assert [length for name, length, inside in found if name == "scan" and not inside] == [2]
    # Both regimes are one program: a student of cross-entropy, and one of every candidate.
    assert [length for name, length, inside in found if name == "scan" and inside] == [2, 2]
    assert [inside for name, _, inside in found if name == "while"] == [True, True]
    assert not any("callback" in name for name, *_ in found)


def test_a_rehearsing_search_that_is_resumed_goes_on_bit_for_bit(rehearsing):
    evolution, start, _, (state, info) = rehearsing
    whole = evolution.run(state, 2)
    kept = jax.tree.map(
        lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.asarray(np.asarray(x)),
        evolution.run(start, 2)[0],
    )

    for one, other in zip(leaves(evolution.run(kept, 2)), leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {"gain_short_noisy", "gain_long_noisy", "rehearsal"} <= info.terms.keys()
    assert np.abs(info.terms["gain_short_noisy"]).max() > 0


# --- runs --------------------------------------------------------------------------------------


def test_a_run_reports_every_generation(five, start):
    state, info = five

    assert int(start.generation) == 0
    assert int(state.generation) == 5
    for values in (info.best_fitness, info.mean_fitness, info.num_failed, *info.terms.values()):
        assert values.shape == (5,)
        assert np.isfinite(values).all()
    assert np.all(info.best_fitness <= info.mean_fitness)
    assert np.all(info.num_failed == 0)
    assert info.num_failed.dtype == jnp.int32


def test_three_generations_and_two_more_are_five(tiny, start, five):
    state, first = tiny.run(start, 3)
    state, second = tiny.run(state, 2)

    for one, other in zip(leaves(state), leaves(five[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    joined = np.concatenate([first.best_fitness, second.best_fitness])
    np.testing.assert_allclose(joined, five[1].best_fitness, rtol=1e-5)
    assert len(np.unique(joined)) == 5


def test_the_same_key_gives_the_same_search_from_a_new_engine(five):
    evolution = make_evolution(SEARCH, PLAIN)
    again = evolution.run(evolution.init(jax.random.key(0)), 5)

    for one, other in zip(leaves(again), leaves(five), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_vmap_over_seeds_is_a_loop_over_seeds(tiny, five):
    keys = jnp.stack([jax.random.key(0), jax.random.key(9)])
    states, infos = jax.vmap(lambda key: tiny.run(tiny.init(key), 5))(keys)
    other_state, other_info = tiny.run(tiny.init(keys[1]), 5)

    for i, (state, info) in enumerate([five, (other_state, other_info)]):
        np.testing.assert_allclose(infos.best_fitness[i], info.best_fitness, rtol=1e-3)
        np.testing.assert_allclose(
            states.strategy.mean[i], state.strategy.mean, rtol=1e-3, atol=1e-4
        )
    assert not np.allclose(infos.best_fitness[0], infos.best_fitness[1])


def test_a_short_search_lowers_the_held_out_discordance():
    config = EvolutionConfig(
        population_size=16, batch_size=128, num_classes=5, width=8, num_generations=60
    )
    evolution = edl_jax.make_evolution(config)

    @jax.jit
    def discordance(params):
        loss = partial(evolution.network.apply, params)
        return held_out(loss, fast_key(99), config, num_pairs=512).discordance

    state = evolution.init(fast_key(5))
    before = float(discordance(evolution.params(state)))
    state, _ = evolution.run(state, 60)
    after = float(discordance(evolution.params(state)))

    assert before > 0.5
    assert after < 0.1


# --- a strategy of one's own -------------------------------------------------------------------


class Walk(NamedTuple):
    """What the strategy below carries: where it stands, and how far it last jumped."""

    best: dict[str, jax.Array]
    reach: jax.Array


def random_walk(population_size):
    """Jumps about the best candidate of the last generation: known to this file alone."""

    def init(key, candidates, evaluate):
        fittest = jnp.argmin(evaluate(candidates))
        return Walk(jax.tree.map(lambda leaf: leaf[fittest], candidates), jnp.float32(0.3))

    def ask(key, walk):
        leaves, form = jax.tree.flatten(walk.best)
        keys = jax.random.split(key, len(leaves))
        jumps = [
            leaf[None] + walk.reach * jax.random.normal(k, (population_size, *leaf.shape))
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        return form.unflatten(jumps), walk

    def tell(key, candidates, fitness, walk):
        fittest = jnp.argmin(fitness)
        return Walk(jax.tree.map(lambda leaf: leaf[fittest], candidates), 0.9 * walk.reach)

    return Strategy(init, ask, tell, keep_state, lambda walk: walk.best)


def test_a_strategy_that_no_file_of_the_package_knows_runs_and_resumes():
    evolution = make_evolution(EvolutionConfig(**TINY), PLAIN, random_walk(8))
    start = evolution.init(fast_key(0))
    whole, info = evolution.run(start, 6)
    half, _ = evolution.run(evolution.init(fast_key(0)), 3)
    resumed, _ = evolution.run(half, 3)

    assert value_of(evolution, whole) < value_of(evolution, start)
    assert info.best_fitness.shape == (6,)
    for one, other in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


# --- objectives of one's own, and candidates that fail -----------------------------------------


def failing(is_failure):
    """Minimise that value; where ``is_failure(value, problem)`` the fitness is NaN.

    A problem is a uniform number.
    """

    def evaluate(loss, problem):
        fitness = value(loss)
        return jnp.where(is_failure(fitness, problem), jnp.nan, fitness), {"value": fitness}

    return Objective(jax.random.uniform, evaluate)


@pytest.mark.parametrize(
    ("strategy", "mutation"), [("ES", "chaotic"), *((name, "gaussian") for name in KNOWN)]
)
def test_every_strategy_and_mutation_survives_generations_that_fail(strategy, mutation):
    """Half of the generations fail as a whole, and in the others the candidates above 0.6."""
    objective = failing(lambda value, u: (u < 0.5) | (value > 0.6))
    config = EvolutionConfig(strategy=strategy, mutation=mutation, step_size=0.3, **TINY)
    evolution = make_evolution(config, objective)
    start = evolution.init(fast_key(0))
    state, info = evolution.run(start, 12)

    failed, best, mean = map(np.asarray, (info.num_failed, info.best_fitness, info.mean_fitness))
    dead = failed == 8
    assert 0 < dead.sum() < 12
    assert np.all(np.isinf(best[dead]) & np.isnan(mean[dead]))
    assert np.all(best[~dead] <= 0.6)
    # The terms are those of the best candidate.
    np.testing.assert_array_equal(info.terms["value"][~dead], best[~dead])
    assert all(np.isfinite(leaf).all() for leaf in evolution.params(state).values())
    assert value_of(evolution, state) < value_of(evolution, start)


def test_candidates_that_fail_are_counted_and_rank_last():
    """The best of all fail, so the search must stay above what makes them fail."""
    objective = failing(lambda value, u: value < 0.5)
    config = EvolutionConfig(step_size=0.3, final_step_size=0.3, **TINY)
    evolution = make_evolution(config, objective)
    state, info = evolution.run(evolution.init(fast_key(2)), 20)

    assert np.all(info.best_fitness >= 0.5)
    assert int(info.num_failed.max()) > 0
    assert int(info.num_failed[-10:].min()) < 8
    assert value_of(evolution, state) == pytest.approx(0.55, abs=0.1)


def test_a_search_of_which_every_candidate_fails_stays_where_it_is():
    objective = failing(lambda value, u: True)
    evolution = make_evolution(EvolutionConfig(**TINY), objective)
    start = evolution.init(fast_key(0))
    state, info = evolution.run(start, 3)

    assert info.num_failed.tolist() == [8, 8, 8]
    before, after = evolution.params(start), evolution.params(state)
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("strategy", ["SimpleGA", "DifferentialEvolution"])
def test_a_survivor_is_judged_on_the_pairs_of_each_generation_anew(strategy):
    """Were a parent's fitness kept, that of the luckiest generation would stay."""
    luck = Objective(jax.random.uniform, lambda loss, u: (u + 0 * value(loss), {}))
    evolution = make_evolution(EvolutionConfig(strategy=strategy, **TINY), luck)
    state, info = evolution.run(evolution.init(fast_key(0)), 10)

    assert info.best_fitness.min() < info.best_fitness[-1]
    np.testing.assert_array_equal(state.strategy.fitness, info.best_fitness[-1])


def test_a_search_starts_from_weights_of_its_network(tiny, start):
    params = tiny.params(start)
    drawn = jax.eval_shape(tiny.network.init, jax.random.key(0))

    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda x: x.shape, drawn)
    assert any(np.abs(leaf).max() > 0.1 for leaf in params.values())


def test_restarts_are_the_searches_of_their_keys_side_by_side(tiny):
    both = parallel_searches(tiny, 2)
    state, info = both.run(both.init(jax.random.key(0)), 3)
    alone = [tiny.run(tiny.init(key), 3) for key in jax.random.split(jax.random.key(0), 2)]

    for i, (own, _) in enumerate(alone):
        for name, leaf in tiny.params(own).items():
            np.testing.assert_allclose(both.params(state)[name][i], leaf, rtol=1e-4, atol=1e-6)
    lowest = np.minimum(*(own.best_fitness for _, own in alone))
    np.testing.assert_allclose(info.best_fitness, lowest, rtol=1e-4)
    assert int(state.generation) == 3
    assert info.num_failed.shape == (3,)


def test_one_restart_is_the_search_itself(tiny):
    assert parallel_searches(tiny, 1) is tiny
