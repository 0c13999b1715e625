"""Restarts: when they come, where they begin, and what is kept of the searches before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evosax.algorithms import CMA_ES

from edl_jax.strategies.es import es
from edl_jax.strategies.evosax import from_evosax
from edl_jax.strategies.mutation import chaotic
from edl_jax.strategies.stagnation import restarting

STARTS = jnp.arange(8.0)[:, None] * jnp.array([[10.0, 10.0]])


def make(patience, inner=None):
    strategy = restarting(inner or es(8, 2, mutation=chaotic()), patience)
    return strategy, strategy.init(jax.random.key(0), STARTS, None)


def run(strategy, state, fitness, generations):
    """States after each generation of a compiled scan."""

    def generation(state, key):
        population, state = strategy.ask(key, state)
        state = strategy.tell(key, population, fitness(population), state)
        return state, state

    keys = jax.random.split(jax.random.key(1), generations)
    return jax.jit(lambda s, k: jax.lax.scan(generation, s, k))(state, keys)[1]


def flat(population):
    return jnp.zeros(len(population))


def test_a_search_without_progress_begins_anew_at_the_next_start():
    states = run(*make(patience=3), flat, 12)

    # The first generation is a first minimum; three more without progress, and it starts again.
    assert np.flatnonzero(np.diff(np.asarray(states.restarts), prepend=0)).tolist() == [3, 7, 11]
    np.testing.assert_array_equal(states.inner.mean[3], STARTS[1])
    np.testing.assert_array_equal(states.inner.mean[7], STARTS[2])
    assert int(states.inner.generation[3]) == 0


def test_starts_are_gone_through_in_turn():
    states = run(*make(patience=1), flat, 20)

    again = np.flatnonzero(np.diff(np.asarray(states.restarts)))[8] + 1
    np.testing.assert_array_equal(states.inner.mean[again], STARTS[9 % 8])


def test_a_search_that_goes_on_is_not_disturbed():
    strategy, state = make(patience=5)
    alone = es(8, 2, mutation=chaotic())
    states = run(strategy, state, lambda p: jnp.sum(p, -1), 30)
    expected = run(alone, state.inner, lambda p: jnp.sum(p, -1), 30)

    assert int(states.restarts[-1]) == 0
    np.testing.assert_allclose(states.inner.mean, expected.mean, rtol=1e-5)


def test_what_a_search_stands_for_is_the_best_mean_of_all_of_them():
    # The valley at the first start is deeper than all that come later.
    states = run(*make(patience=4), lambda p: jnp.sum(p**2, -1) ** 0.5, 200)

    assert int(states.restarts[-1]) >= 1
    assert np.linalg.norm(states.mean[-1]) < 0.5
    assert np.linalg.norm(states.inner.mean[-1]) > 5
    lowest = np.asarray(states.lowest_ever)
    assert (np.diff(lowest) <= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_generations_without_finite_fitness_are_no_progress(bad):
    states = run(*make(patience=3), lambda p: jnp.full(len(p), bad), 7)

    assert int(states.restarts[-1]) == 2
    np.testing.assert_array_equal(states.mean[-1], STARTS[0])


def test_evosaxs_own_strategies_can_restart():
    states = run(*make(3, from_evosax(CMA_ES(population_size=8, solution=jnp.zeros(2)))), flat, 8)

    assert int(states.restarts[-1]) == 2
