"""Strategies by name: the contract that every one of them obeys."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax import config
from edl_jax.chaos.maps import MAPS
from edl_jax.config import EvolutionConfig
from edl_jax.strategies.registry import STRATEGIES, make_strategy
from tests.strategies import KNOWN

POPULATION, GENERATIONS = 32, 25
STEP_SIZE, FINAL_STEP_SIZE = 0.3, 0.05
SOLUTION = {"a": jnp.zeros(()), "b": jnp.zeros((4, 2))}
every_strategy = pytest.mark.parametrize("name", KNOWN)


def key(seed):
    """A key whose generator compiles in a fraction of the time of the default one's."""
    return jax.random.key(seed, impl="unsafe_rbg")


def sphere(solution):
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(solution))


evaluate = jax.jit(jax.vmap(sphere))


def equal(one, other):
    """Whether two leaves are the same; a key is compared by its words."""
    if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    return np.array_equal(one, other)


class Search:
    """One strategy on a sphere; its functions are compiled once for all tests."""

    def __init__(self, name):
        described = EvolutionConfig(
            strategy=name,
            population_size=POPULATION,
            num_generations=GENERATIONS,
            step_size=STEP_SIZE,
            final_step_size=FINAL_STEP_SIZE,
        )
        self.strategy = make_strategy(described, SOLUTION)
        noise = 0.05 * np.random.default_rng(0).normal(size=(POPULATION, 4, 2))
        self.start = {"a": jnp.ones(POPULATION), "b": jnp.asarray(1 + noise, jnp.float32)}
        self.ask, self.tell = jax.jit(self.strategy.ask), jax.jit(self.strategy.tell)

    def init(self):
        return self.strategy.init(key(1), self.start, evaluate)

    def generation(self, state, generation_key):
        ask_key, tell_key = jax.random.split(generation_key)
        population, state = self.ask(ask_key, state)
        fitness = evaluate(population)
        return self.tell(tell_key, population, fitness, state), (population, fitness)

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
        return float(sphere(self.strategy.incumbent(state)))


@functools.cache
def search(name):
    return Search(name)


# --- the contract that every strategy obeys ----------------------------------------------------


def test_the_names_that_a_configuration_accepts_are_the_registries():
    assert STRATEGIES.keys() == config.STRATEGIES.keys()
    assert tuple(MAPS) == config.MAPS


@every_strategy
def test_ask_and_tell_give_pytrees_of_the_solutions_form_and_a_state_of_one_type(name):
    states, infos = search(name).looped
    population, fitness = infos[0]

    for state in states[:2]:
        best = search(name).strategy.incumbent(state)
        assert jax.tree.map(jnp.shape, best) == jax.tree.map(jnp.shape, SOLUTION)
    shapes = {"a": (POPULATION,), "b": (POPULATION, 4, 2)}
    assert jax.tree.map(jnp.shape, population) == shapes
    assert fitness.shape == (POPULATION,)
    # A scan can carry it.
    described = [jax.tree.map(lambda x: (x.shape, x.dtype), s) for s in states[1:3]]
    assert described[0] == described[1]


@every_strategy
def test_only_a_strategy_that_keeps_fitness_is_changed_by_measuring_again(name):
    s = search(name)
    state = s.looped[0][2]
    again = s.strategy.reevaluate(state, lambda known: 3.0 + evaluate(known))
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)]
    pairs = zip(*map(jax.tree.leaves, (state, again)), strict=True)
    changed = {name for name, pair in zip(names, pairs, strict=True) if not equal(*pair)}

    if name in ("DifferentialEvolution", "ChaoticEvolution"):
        np.testing.assert_allclose(again.fitness, 3.0 + state.fitness, rtol=1e-5)
        assert changed == {".fitness"}
    else:
        assert changed == set()


@every_strategy
def test_what_a_strategy_is_said_to_be_able_to_do_is_true(name):
    state, can = search(name).looped[0][0], config.STRATEGIES[name]
    inner = getattr(state, "inner", state)

    assert hasattr(inner, "mean") == can.has_mean
    assert hasattr(state, "mutation") == can.takes_mutation
    assert hasattr(state, "recombination") == can.recombines
    assert hasattr(state, "control") == can.adapts_to_selection


@every_strategy
def test_a_python_loop_comes_closer_to_the_minimum_of_a_sphere(name):
    states, _ = search(name).looped

    assert search(name).value(states[-1]) < 0.3 * search(name).value(states[0])


@every_strategy
def test_a_compiled_scan_does_what_the_python_loop_does(name):
    states, infos = search(name).looped
    final, (population, _) = search(name).scan(key(2))

    looped = np.stack([population["b"] for population, _ in infos])
    np.testing.assert_allclose(population["b"][:5], looped[:5], atol=1e-4)
    assert search(name).value(final) < 0.3 * search(name).value(states[0])


@every_strategy
def test_the_key_decides_the_course(name):
    one, again, other = (search(name).scan(key(seed))[1][1] for seed in (2, 2, 3))

    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one[1:], other[1:], rtol=1e-2)


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"DifferentialEvolution", "ChaoticEvolution"}))
def test_the_step_size_is_the_spread_of_the_first_mutations(name):
    states, infos = search(name).looped
    population = infos[0][0]["b"]
    has_mean = config.STRATEGIES[name].has_mean
    parents = search(name).strategy.incumbent(states[0])["b"] if has_mean else 1.0

    assert np.std(np.subtract(population, parents)) == pytest.approx(STEP_SIZE, rel=0.15)


@every_strategy
def test_a_search_starts_from_the_population_it_is_given(name):
    s = search(name)
    state, start = s.looped[0][0], s.start["b"]

    chosen = 0
    if not config.STRATEGIES[name].has_mean:
        np.testing.assert_array_equal(state.population[:, 1:].reshape(start.shape), start)
        chosen = int(jnp.argmin(evaluate(s.start)))
    np.testing.assert_array_equal(s.strategy.incumbent(state)["b"], start[chosen])


@every_strategy
def test_the_incumbent_is_never_the_luckiest_candidate_of_the_past(name):
    """A fitness that was once -100 by luck must not decide what a search stands for."""
    s = search(name)
    population, asked = s.ask(key(7), s.looped[0][2])
    lucky = evaluate(population).at[3].set(-100.0)
    state = s.tell(key(8), population, lucky, asked)
    found = np.asarray(s.strategy.incumbent(state)["b"])

    if config.STRATEGIES[name].has_mean:
        assert not np.allclose(found, population["b"][3])
    else:
        # Such a strategy keeps its fitness with its population; the incumbent is one of that.
        members = np.asarray(state.population)[:, 1:].reshape(-1, 4, 2)
        assert (members == found).all(axis=(1, 2)).any()
