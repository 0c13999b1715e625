"""evosax's algorithms as strategies: theirs to the bit, and with a mutation operator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evosax.algorithms import SNES, Open_ES

from edl_jax.strategies.evosax import from_evosax, mutated
from edl_jax.strategies.mutation import chaotic, gaussian


def key(seed):
    """A key whose generator compiles in a fraction of the time of the default one's."""
    return jax.random.key(seed, impl="unsafe_rbg")


def make(kind):
    return kind(population_size=8, solution=jnp.ones(3))


every = pytest.mark.parametrize("kind", [Open_ES, SNES])


@every
@pytest.mark.parametrize("gaussian_operator", [False, True])
def test_a_search_is_evosaxs_to_the_bit(kind, gaussian_operator):
    """A Gaussian mutation operator, which is what the command line gives it, changes nothing."""
    strategy, algorithm = from_evosax(make(kind)), make(kind)
    if gaussian_operator:
        strategy = mutated(make(kind), gaussian(), mirrored=kind is Open_ES)
    params = algorithm.default_params
    own, state = (
        strategy.init(key(0), jnp.ones((8, 3)), None),
        algorithm.init(key(0), jnp.ones(3), params),
    )
    for seed in range(3):
        # Compiled, as evosax's is: by itself each operation would round.
        drawn, own = jax.jit(strategy.ask)(key(seed), own)
        population, state = algorithm.ask(key(seed), state, params)
        np.testing.assert_array_equal(drawn, population)
        fitness = jnp.sum(population**2, axis=-1)
        own = strategy.tell(key(seed), drawn, fitness, own)
        state, _ = algorithm.tell(key(seed), population, fitness, state, params)

    own = own.inner if gaussian_operator else own
    np.testing.assert_array_equal(own.mean, state.mean)
    np.testing.assert_array_equal(own.std, state.std)


@every
def test_the_best_ever_seen_is_not_kept(kind):
    strategy = from_evosax(make(kind))
    state = strategy.init(key(0), jnp.ones((8, 3)), None)
    population, asked = strategy.ask(key(1), state)
    told = strategy.tell(key(2), population, jnp.full(8, -100.0), asked)

    np.testing.assert_array_equal(told.best_solution, state.best_solution)
    assert np.isinf(told.best_fitness)


@every
def test_with_an_operator_it_draws_its_mutations(kind):
    operator = chaotic("logistic")
    half = 2 if kind is Open_ES else 1
    strategy = mutated(make(kind), operator, mirrored=half == 2)
    state = strategy.init(key(0), jnp.ones((8, 3)), None)
    population, asked = strategy.ask(key(1), state)
    expected_state = operator.init(key(0), (8 // half, 3))
    expected_state, z = operator.sample(key(1), expected_state)

    moved = np.divide(population - 1, state.inner.std)
    np.testing.assert_allclose(moved[: 8 // half], z, atol=1e-6)
    if half == 2:
        np.testing.assert_allclose(moved[4:], -z, atol=1e-6)
    np.testing.assert_array_equal(asked.mutation.phase, expected_state.phase)
