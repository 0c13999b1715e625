"""The evolution strategy: its recombination, its step sizes, and candidates that fail."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.chaos.streams import make_stream
from edl_jax.strategies.es import es, recombination_weights
from edl_jax.strategies.mutation import chaotic
from edl_jax.strategies.step_size import follow


def key(seed):
    """A key whose generator compiles in a fraction of the time of the default one's."""
    return jax.random.key(seed, impl="unsafe_rbg")


def tell(fitness, mean=(1.0, 2.0, 3.0), seed=0):
    """One generation with the given fitness: the population as NumPy, and the next state."""
    strategy = es(8, 3)
    state = strategy.init(key(seed), jnp.tile(jnp.array(mean), (8, 1)), None)
    population, state = strategy.ask(key(seed + 1), state)
    fitness = jnp.asarray(fitness, jnp.float32)
    state = strategy.tell(key(0), population, fitness, state)
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
    weights = np.asarray(recombination_weights(population_size, elite_ratio))
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


def test_the_step_size_follows_its_control():
    schedule = optax.exponential_decay(0.3, 10, 0.2)
    strategy = es(64, 50, control=follow(schedule))
    state = strategy.init(key(0), jnp.ones((64, 50)), None)
    for generation in range(3):
        assert float(state.step_size) == pytest.approx(float(schedule(generation)), rel=1e-5)
        population, asked = strategy.ask(key(generation), state)
        spread = np.std(np.asarray(population - state.mean[None]))
        assert spread == pytest.approx(float(schedule(generation)), rel=0.05)
        state = strategy.tell(key(9), population, jnp.sum(population**2, -1), asked)


def test_the_chaotic_state_advances_inside_a_scan():
    """Each generation's mutation is the map's image of the last one's."""
    strategy = es(8, 3, mutation=chaotic(), control=follow(optax.constant_schedule(0.5)))
    state = strategy.init(key(0), jnp.zeros((8, 3)), None)

    def generation(state, ask_key):
        population, asked = strategy.ask(ask_key, state)
        z = (population - state.mean[None]) / state.step_size
        fitness = jnp.sum(jnp.square(population), axis=-1)
        return strategy.tell(ask_key, population, fitness, asked), z

    _, z = jax.lax.scan(generation, state, jax.random.split(key(1), 30))
    z = np.asarray(z, np.float64)
    np.testing.assert_allclose(z[1:], np.sqrt(2) * (1 - z[:-1] ** 2), atol=1e-4)
    assert len(np.unique(z[:, 0, 0].round(3))) > 20


def test_step_size_and_parents_have_their_documented_defaults():
    state = es(8, 3).init(key(0), jnp.zeros((8, 3)), None)

    assert np.count_nonzero(recombination_weights(8)) == 2
    assert float(state.step_size) == pytest.approx(0.1)


def test_chaotic_recombination_varies_the_weights_of_the_same_parents():
    def mean(recombination, seed):
        strategy = es(8, 3, recombination=recombination, elite_ratio=0.5)
        state = strategy.init(key(seed), jnp.zeros((8, 3)), None)
        population, asked = strategy.ask(key(1), state)
        told = strategy.tell(key(2), population, jnp.arange(8.0), asked)
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
