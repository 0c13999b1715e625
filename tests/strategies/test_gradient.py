"""Descent by the gradient: it is optax's, each descent by itself, and it refuses what has none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from edl_jax import EvolutionConfig, make_evolution
from edl_jax.config import ObjectiveConfig
from edl_jax.errors import OptionError
from edl_jax.strategies.gradient import gradient

CENTRE = jnp.array([1.0, -2.0])


def bowl(points):
    return jnp.sum((points - CENTRE[None]) ** 2, axis=-1)


def descend(strategy, points, steps, evaluate=bowl):
    state = strategy.init(jax.random.key(0), points, evaluate)
    for _ in range(steps):
        state = strategy.reevaluate(state, evaluate)
        points, state = strategy.ask(jax.random.key(1), state)
        state = strategy.tell(jax.random.key(2), points, evaluate(points), state)
    return state


def test_each_descent_takes_the_steps_that_optax_would():
    starts = jax.random.normal(jax.random.key(3), (4, 2))
    rate = optax.exponential_decay(0.3, 10, 0.5)

    found = descend(gradient(rate), starts, 7).points

    for start, end in zip(starts, found, strict=True):
        optimizer = optax.adam(rate)
        point, state = start, optimizer.init(start)
        for _ in range(7):
            slope = jax.grad(lambda x: bowl(x[None])[0])(point)
            with jax.numpy_dtype_promotion("standard"):
                step, state = optimizer.update(slope, state, point)
            point = point + step
        np.testing.assert_allclose(end, point, rtol=1e-5)


def test_it_stands_for_the_descent_that_is_lowest_now():
    starts = jnp.array([[9.0, 9.0], [1.0, -1.0], [5.0, 5.0]])
    strategy = gradient(optax.constant_schedule(0.01), optax.sgd)
    state = descend(strategy, starts, 3)

    np.testing.assert_array_equal(strategy.incumbent(state), state.points[1])


def test_a_descent_whose_fitness_or_slope_is_not_finite_stays_where_it_is():
    def broken(points):
        value = jnp.sqrt(points[:, 0])  # its slope is infinite at 0, and it is NaN below
        return jnp.where(jnp.isfinite(value), value, jnp.inf)

    starts = jnp.array([[0.0, 1.0], [-1.0, 1.0], [4.0, 1.0]])
    state = descend(gradient(optax.constant_schedule(0.1), optax.sgd), starts, 1, broken)

    np.testing.assert_allclose(state.points[:, 0], [0.0, -1.0, 4.0 - 0.1 * 0.25], rtol=1e-6)


def test_a_search_by_gradient_needs_one_candidate_and_ranks():
    config = EvolutionConfig(
        strategy="gradient", population_size=1, num_generations=300, batch_size=256, step_size=0.03
    )
    evolution = make_evolution(config)

    _, info = evolution.run(evolution.init(jax.random.key(0)), 300)

    assert info.best_fitness.shape == (300,)
    assert np.mean(info.best_fitness[-20:]) < 0.3 * np.mean(info.best_fitness[:5])


def test_what_has_no_gradient_is_refused():
    with pytest.raises(OptionError, match=r"rehearsal 1.0: expected 0 with strategy gradient"):
        EvolutionConfig(strategy="gradient", objective=ObjectiveConfig(rehearsal=1.0))
    with pytest.raises(OptionError, match="population_size 3: expected a whole number from 4"):
        EvolutionConfig(population_size=3)
