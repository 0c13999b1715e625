"""Chaotic evolution: its trial points, its selection, and what its steps cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.chaos.streams import make_stream
from edl_jax.strategies.chaotic_evolution import chaotic_evolution


def begin(population, fitness, **rates):
    strategy = chaotic_evolution(**rates)
    population = jnp.asarray(population, jnp.float32)
    return strategy, strategy.init(jax.random.key(0), population, lambda _: jnp.asarray(fitness))


def test_a_trial_scales_each_gene_by_one_plus_or_minus_the_orbit():
    strategy, state = begin(np.full((30, 40), 2.0), np.zeros(30), crossover_rate=1.0)
    _, values = make_stream("logistic").sample(jax.random.key(0), state.stream)
    trial, _ = strategy.ask(jax.random.key(1), state)
    factors = np.asarray(trial) / 2

    up, down = np.isclose(factors, 1 + values), np.isclose(factors, 1 - values)
    assert (up | down).all()
    assert up.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_crossover_tries_some_genes_and_always_one(rate):
    strategy, state = begin(np.ones((50, 20)), np.zeros(50), crossover_rate=rate)
    trial, _ = strategy.ask(jax.random.key(1), state)
    changed = (np.asarray(trial) != 1).sum(axis=1)

    assert changed.min() >= 1
    assert changed.mean() == pytest.approx(1 + rate * 19, rel=0.15)


def test_the_direction_rate_is_the_share_of_steps_towards_0():
    strategy, state = begin(np.ones((50, 50)), np.zeros(50), direction_rate=0.2)
    trial, _ = strategy.ask(jax.random.key(1), state)
    moved = np.asarray(trial)[np.asarray(trial) != 1]

    assert np.mean(moved < 1) == pytest.approx(0.2, abs=0.05)


def test_a_trial_replaces_its_own_individual_if_it_is_better():
    strategy, state = begin(np.arange(1.0, 9).reshape(4, 2), [3.0, 3.0, 3.0, 3.0])
    trial, asked = strategy.ask(jax.random.key(1), state)
    fitness = jnp.array([1.0, 3.0, 5.0, jnp.nan])
    told = strategy.tell(jax.random.key(2), trial, fitness, asked)

    expected = np.asarray(state.population).copy()
    expected[0] = trial[0]
    np.testing.assert_array_equal(told.population, expected)
    np.testing.assert_array_equal(told.fitness, [1, 3, 3, 3])


def test_no_gene_changes_its_sign_or_leaves_0():
    strategy, state = begin([[0.0, -1.0, 1.0]] * 4, [9.0] * 4, crossover_rate=1.0)
    for seed in range(20):
        trial, state = strategy.ask(jax.random.key(seed), state)
        state = strategy.tell(jax.random.key(0), trial, -jnp.full(4, seed), state)

    assert (np.sign(state.population) == [0, -1, 1]).all()
