"""Strategies: evosax's contract for every name, and what is particular to ours."""

import functools

import evosax.algorithms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from evosax.algorithms.base import State as EvosaxState
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.chaos.maps import MAPS
from edl_jax.chaos.streams import make_stream
from edl_jax.config import MAP_NAMES, STRATEGY_NAMES
from edl_jax.strategies.es import ES
from edl_jax.strategies.mutation import chaotic
from edl_jax.strategies.registry import STRATEGIES, incumbent, init_strategy, make_strategy
from edl_jax.strategies.step_size import follow

POPULATION, GENERATIONS = 32, 25
STEP_SIZE, FINAL_STEP_SIZE = 0.3, 0.05
SOLUTION = {"a": jnp.zeros(()), "b": jnp.zeros((4, 2))}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def key(seed):
    """A key whose generator compiles in a fraction of the time of the default one's."""
    return jax.random.key(seed, impl="unsafe_rbg")


def sphere(solution):
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(solution))


evaluate = jax.jit(jax.vmap(sphere))


class Search:
    """One strategy on a sphere; its functions are compiled once for all tests."""

    def __init__(self, name):
        self.strategy, self.params = make_strategy(
            name,
            POPULATION,
            SOLUTION,
            step_size=STEP_SIZE,
            final_step_size=FINAL_STEP_SIZE,
            num_generations=GENERATIONS,
        )
        noise = 0.05 * np.random.default_rng(0).normal(size=(POPULATION, 4, 2))
        self.start = {"a": jnp.ones(POPULATION), "b": jnp.asarray(1 + noise, jnp.float32)}

    def init(self):
        return init_strategy(self.strategy, self.params, key(1), self.start, evaluate)

    def generation(self, state, generation_key):
        ask_key, tell_key = jax.random.split(generation_key)
        population, state = self.strategy.ask(ask_key, state, self.params)
        fitness = evaluate(population)
        state, metrics = self.strategy.tell(tell_key, population, fitness, state, self.params)
        return state, (population, fitness, metrics)

    @functools.cached_property
    def looped(self):
        """States of a Python loop, the first included, and what each generation reports."""
        states, infos = [self.init()], []
        for generation_key in jax.random.split(key(2), GENERATIONS):
            state, info = self.generation(states[-1], generation_key)
            states.append(state)
            infos.append(info)
        return states, infos

    @functools.cached_property
    def scan(self):
        """The same search as one compiled program: key -> final state and reports."""

        @jax.jit
        def scan(seed_key):
            keys = jax.random.split(seed_key, GENERATIONS)
            return jax.lax.scan(self.generation, self.init(), keys)

        return scan

    def value(self, state):
        return float(sphere(incumbent(self.strategy, state)))


@functools.cache
def search(name):
    return Search(name)


# --- the contract that every strategy obeys ----------------------------------------------------


def test_the_names_that_a_configuration_accepts_are_the_registries():
    assert tuple(STRATEGIES) == STRATEGY_NAMES
    assert tuple(MAPS) == MAP_NAMES


@every_strategy
def test_ask_and_tell_give_pytrees_of_the_solutions_form_and_a_state_of_one_type(name):
    states, infos = search(name).looped
    population, fitness, metrics = infos[0]

    for state in states[:2]:
        assert isinstance(state, EvosaxState)
        best = incumbent(search(name).strategy, state)
        assert jax.tree.map(jnp.shape, best) == jax.tree.map(jnp.shape, SOLUTION)
    shapes = {"a": (POPULATION,), "b": (POPULATION, 4, 2)}
    assert jax.tree.map(jnp.shape, population) == shapes
    assert fitness.shape == (POPULATION,)
    assert int(states[0].generation_counter) == 0
    assert int(states[1].generation_counter) == 1
    assert float(metrics["best_fitness_in_generation"]) == pytest.approx(float(fitness.min()))
    # A scan can carry it.
    described = [jax.tree.map(lambda x: (x.shape, x.dtype), s) for s in states[1:3]]
    assert described[0] == described[1]


@every_strategy
def test_a_python_loop_comes_closer_to_the_minimum_of_a_sphere(name):
    states, _ = search(name).looped

    assert search(name).value(states[-1]) < 0.3 * search(name).value(states[0])


@every_strategy
def test_a_compiled_scan_does_what_the_python_loop_does(name):
    states, infos = search(name).looped
    final, (population, _, _) = search(name).scan(key(2))

    looped = np.stack([population["b"] for population, _, _ in infos])
    np.testing.assert_allclose(population["b"][:5], looped[:5], atol=1e-4)
    assert search(name).value(final) < 0.3 * search(name).value(states[0])


@every_strategy
def test_the_key_decides_the_course(name):
    one, again, other = (search(name).scan(key(seed))[1][1] for seed in (2, 2, 3))

    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one[1:], other[1:], rtol=1e-2)


@pytest.mark.parametrize(
    "name", sorted(STRATEGIES.keys() - {"DifferentialEvolution", "ChaoticEvolution"})
)
def test_the_step_size_is_the_spread_of_the_first_mutations(name):
    states, infos = search(name).looped
    population = infos[0][0]["b"]
    parents = states[0].mean[1:].reshape(4, 2) if hasattr(states[0], "mean") else 1.0

    assert np.std(population - parents) == pytest.approx(STEP_SIZE, rel=0.15)


@every_strategy
def test_a_search_starts_from_the_population_it_is_given(name):
    s = search(name)
    state, start = s.looped[0][0], s.start["b"]

    chosen = 0
    if not hasattr(state, "mean"):
        np.testing.assert_array_equal(s.strategy.get_population(state)["b"], start)
        chosen = int(jnp.argmin(evaluate(s.start)))
    np.testing.assert_array_equal(incumbent(s.strategy, state)["b"], start[chosen])


@every_strategy
def test_the_incumbent_is_never_the_luckiest_candidate_of_the_past(name):
    """A fitness that was once -100 by luck must not decide what a search stands for."""
    s = search(name)
    before = s.looped[0][2]
    population, asked = s.strategy.ask(key(7), before, s.params)
    lucky = evaluate(population).at[3].set(-100.0)
    state, _ = s.strategy.tell(key(8), population, lucky, asked, s.params)
    found = np.asarray(incumbent(s.strategy, state)["b"])

    if hasattr(state, "mean"):
        np.testing.assert_array_equal(found.ravel(), state.mean[1:])
        assert not np.allclose(found, population["b"][3])
        assert np.allclose(state.best_solution[1:], population["b"][3].ravel())
    else:
        # Such a strategy keeps its fitness with its population; the incumbent is one of that.
        members = np.asarray(s.strategy.get_population(state)["b"])
        assert (members == found).all(axis=(1, 2)).any()


# --- evosax's, with a mutation operator --------------------------------------------------------


@pytest.mark.parametrize("name", ["Open_ES", "SNES"])
def test_without_an_operator_they_are_evosaxs_to_the_bit(name):
    options = {"population_size": 8, "solution": jnp.ones(3)}
    states = []
    for strategy in (STRATEGIES[name](**options), getattr(evosax.algorithms, name)(**options)):
        params = strategy.default_params
        state = strategy.init(key(0), jnp.ones(3), params)
        for seed in range(3):
            population, state = strategy.ask(key(seed), state, params)
            fitness = jnp.sum(population**2, axis=-1)
            state, _ = strategy.tell(key(seed), population, fitness, state, params)
        states.append(state)

    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.parametrize("name", ["Open_ES", "SNES"])
def test_with_an_operator_they_draw_its_mutations(name):
    operator = chaotic("logistic")
    strategy = STRATEGIES[name](population_size=8, solution=jnp.ones(3), mutation=operator)
    params = strategy.default_params
    state = strategy.init(key(0), jnp.ones(3), params)
    population, asked = strategy.ask(key(1), state, params)
    half = 2 if name == "Open_ES" else 1
    expected_state = operator.init(key(0), (8 // half, 3))
    expected_state, z = operator.sample(key(1), expected_state)

    moved = np.asarray((population - 1) / state.std)
    np.testing.assert_allclose(moved[: 8 // half], z, atol=1e-6)
    if half == 2:
        np.testing.assert_allclose(moved[4:], -z, atol=1e-6)
    np.testing.assert_array_equal(asked.mutation.phase, expected_state.phase)


def test_chaotic_recombination_varies_the_weights_of_the_same_parents():
    def mean(recombination, seed):
        strategy, params = es(recombination=recombination, elite_ratio=0.5)
        state = strategy.init(key(seed), jnp.zeros(3), params)
        population, asked = strategy.ask(key(1), state, params)
        told, _ = strategy.tell(key(2), population, jnp.arange(8.0), asked, params)
        return np.asarray(population, np.float64), np.asarray(told.mean)

    stream = make_stream("logistic")
    means = []
    for seed in range(3):
        population, mean_of_all = mean(stream, seed)
        shares = np.linalg.lstsq(
            np.vstack([population[:4].T, np.ones(4)]), [*mean_of_all, 1.0], rcond=None
        )[0]
        np.testing.assert_allclose(population[:4].T @ shares, mean_of_all, atol=1e-5)
        assert (shares > -1e-4).all()
        means.append(mean_of_all)
    assert not np.allclose(means[0], mean(None, 0)[1], atol=1e-3)
    assert not np.allclose(means[0], means[1], atol=1e-3)


# --- ours: ES ----------------------------------------------------------------------------------


@functools.cache
def es(**options):
    strategy = ES(8, jnp.zeros(3), **options)
    return strategy, strategy.default_params


def tell(fitness, mean=(1.0, 2.0, 3.0), seed=0):
    """One generation with the given fitness: the population as NumPy, and the next state."""
    strategy, params = es()
    state = strategy.init(key(seed), jnp.array(mean), params)
    population, state = strategy.ask(key(seed + 1), state, params)
    fitness = jnp.asarray(fitness, jnp.float32)
    state, _ = strategy.tell(key(0), population, fitness, state, params)
    return np.asarray(population, np.float64), state


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(8)))
def test_the_mean_moves_to_the_weighted_average_of_the_best_quarter(ranks):
    population, state = tell(ranks)
    # mu = 2 of 8, weights log(mu + 1/2) - log(rank), normalised.
    raw = np.log(2.5) - np.log([1, 2])
    best, second = population[np.argsort(ranks)[:2]]

    expected = (raw[0] * best + raw[1] * second) / raw.sum()
    np.testing.assert_allclose(state.mean, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("population_size", "elite_ratio"), [(2, 0.25), (7, 0.25), (64, 0.25), (7, 1.0), (8, 0.5)]
)
def test_recombination_weights_fall_with_the_rank_and_sum_to_1(population_size, elite_ratio):
    strategy = ES(population_size, jnp.zeros(1), elite_ratio=elite_ratio)
    weights = np.asarray(strategy.default_params.weights)
    parents = max(1, int(elite_ratio * population_size))

    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert np.all(weights[:parents] > 0)
    assert np.all(weights[parents:] == 0)
    assert np.all(np.diff(weights[:parents]) < 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_candidate_whose_fitness_is_not_finite_ranks_last(bad):
    population, state = tell([bad, 3, bad, 1, 4, bad, 5, 6])
    best_of_finite, expected = tell([9, 3, 9, 1, 4, 9, 5, 6])

    np.testing.assert_array_equal(population, best_of_finite)
    np.testing.assert_array_equal(state.mean, expected.mean)
    assert np.isfinite(state.mean).all()


def test_a_lone_finite_candidate_takes_all_the_weight():
    population, state = tell([np.nan] * 5 + [7.0] + [np.nan] * 2)

    np.testing.assert_allclose(state.mean, population[5], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_generation_without_any_finite_fitness_leaves_the_mean(bad):
    _, state = tell([bad] * 8)

    np.testing.assert_array_equal(state.mean, [1.0, 2.0, 3.0])


def test_the_step_size_follows_its_schedule():
    states, infos = search("ES").looped
    decay = (FINAL_STEP_SIZE / STEP_SIZE) ** (np.arange(GENERATIONS + 1) / GENERATIONS)

    np.testing.assert_allclose([s.step_size for s in states], STEP_SIZE * decay, rtol=1e-4)
    spread = [
        np.std(population["b"].reshape(POPULATION, -1) - state.mean[1:])
        for state, (population, _, _) in zip(states[:-1], infos, strict=True)
    ]
    np.testing.assert_allclose(spread, STEP_SIZE * decay[:-1], rtol=0.2)


def test_the_chaotic_state_advances_inside_a_scan():
    """Each generation's mutation is the map's image of the last one's."""
    strategy, params = es(
        mutation=chaotic("logistic"), step_size=follow(optax.constant_schedule(0.5))
    )
    state = strategy.init(key(0), jnp.zeros(3), params)

    def generation(state, ask_key):
        population, asked = strategy.ask(ask_key, state, params)
        z = (population - state.mean) / state.step_size
        fitness = jnp.sum(jnp.square(population), axis=-1)
        return strategy.tell(ask_key, population, fitness, asked, params)[0], z

    _, z = jax.lax.scan(generation, state, jax.random.split(key(1), 30))
    z = np.asarray(z, np.float64)
    np.testing.assert_allclose(z[1:], np.sqrt(2) * (1 - z[:-1] ** 2), atol=1e-4)
    assert len(np.unique(z[:, 0, 0].round(3))) > 20


def test_step_size_and_elite_ratio_have_their_documented_defaults():
    strategy, params = es()
    state = strategy.init(key(0), jnp.zeros(3), params)

    assert strategy.num_elites == 2
    assert float(state.step_size) == pytest.approx(0.1)
