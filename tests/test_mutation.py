"""Mutation operators: unit variance, and a chaotic state that no key disturbs."""

import jax
import numpy as np
import pytest
from scipy import stats

from edl_jax.chaos import MAPS
from edl_jax.errors import EdlError
from edl_jax.mutation import MUTATIONS, chaotic, gaussian, make_mutation

OPERATORS = {"gaussian": gaussian()}
for _name in MAPS:
    OPERATORS[f"{_name}-map"] = chaotic(_name, "map")
    OPERATORS[f"{_name}-normal"] = chaotic(_name, "normal")
every_operator = pytest.mark.parametrize("mutation", OPERATORS.values(), ids=OPERATORS)
every_chaotic = pytest.mark.parametrize("marginal", ["map", "normal"])


def samples(mutation, shape, steps, seed=0):
    """Perturbations of shape (steps, *shape)."""
    init_key, key = jax.random.split(jax.random.key(seed))

    def step(state, key):
        return mutation.sample(key, state)

    return np.asarray(
        jax.lax.scan(step, mutation.init(init_key, shape), jax.random.split(key, steps))[1]
    )


@every_operator
def test_each_entry_has_mean_0_and_variance_1(mutation):
    z = samples(mutation, (500, 200), 5)

    assert z.shape == (5, 500, 200)
    assert z.dtype == np.float32
    assert z.mean() == pytest.approx(0, abs=0.01)
    assert z.var() == pytest.approx(1, abs=0.01)


@every_operator
def test_individuals_and_genes_are_uncorrelated(mutation):
    # Some maps remember a few steps, which would widen the estimate.
    z = samples(mutation, (2, 3), 15_000)[::5].reshape(3000, 6)
    if "logistic_float32" in str(mutation.init):  # collapses on the way
        z = z[:60]

    correlation = np.corrcoef(z.T) - np.eye(6)
    assert np.abs(correlation).max() < 4 / np.sqrt(len(z))


def test_gaussian_perturbations_come_from_the_key_alone():
    mutation = gaussian()
    state = mutation.init(jax.random.key(0), (1000,))
    after, z = mutation.sample(jax.random.key(1), state)

    assert stats.kstest(np.asarray(z), "norm").pvalue > 1e-3
    np.testing.assert_array_equal(mutation.sample(jax.random.key(1), after)[1], z)
    assert not np.array_equal(mutation.sample(jax.random.key(2), state)[1], z)


@every_chaotic
def test_a_chaotic_mutation_does_not_read_the_key(marginal):
    mutation = chaotic("logistic", marginal)
    state = mutation.init(jax.random.key(0), (4, 3))
    one, z = mutation.sample(jax.random.key(1), state)
    other, again = mutation.sample(jax.random.key(2), state)

    np.testing.assert_array_equal(z, again)
    np.testing.assert_array_equal(one.phase, other.phase)
    np.testing.assert_array_equal(jax.random.key_data(one.key), jax.random.key_data(other.key))


@pytest.mark.parametrize("name", MAPS)
def test_a_chaotic_mutation_is_the_sequence_of_its_map(name):
    chaos, key = MAPS[name], jax.random.key(3)
    state, x = chaos.init(key, (5,)), []
    of_map, of_normal = chaotic(name, "map"), chaotic(name, "normal")
    map_state, normal_state = of_map.init(key, (5,)), of_normal.init(key, (5,))
    for step in range(4):
        state, x = chaos.step(state)
        map_state, z = of_map.sample(jax.random.key(step), map_state)
        normal_state, n = of_normal.sample(jax.random.key(step), normal_state)
        np.testing.assert_array_equal(z, chaos.standardise(x))
        np.testing.assert_array_equal(n, chaos.to_normal(x))


def test_logistic_perturbations_obey_the_map_in_standard_units():
    # z = (x - 1/2) sqrt 8 turns x' = 4x(1 - x) into z' = sqrt 2 (1 - z^2).
    z = samples(chaotic("logistic"), (50,), 100).astype(np.float64)

    np.testing.assert_allclose(z[1:], np.sqrt(2) * (1 - z[:-1] ** 2), atol=1e-5)


@every_chaotic
def test_the_marginal_is_the_one_asked_for(marginal):
    z = samples(chaotic("logistic", marginal), (20_000,), 3)[-1]
    law = stats.norm if marginal == "normal" else stats.arcsine(-np.sqrt(2), 2 * np.sqrt(2))

    assert stats.kstest(z, law.cdf).pvalue > 1e-3


def test_operators_are_made_by_name():
    for name in MUTATIONS:
        z = samples(make_mutation(name, "logistic", "map"), (3,), 1, seed=5)
        same = samples(gaussian() if name == "gaussian" else chaotic(), (3,), 1, seed=5)
        np.testing.assert_array_equal(z, same)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("cauchy",), "cauchy"), (("chaotic", "tnet"), "tnet"), (("chaotic", "logistic", "x"), "x")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(arguments, named):
    with pytest.raises(EdlError, match=f"{named}: expected one of"):
        make_mutation(*arguments)
