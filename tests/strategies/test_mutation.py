"""Mutation operators: unit variance however they are built, and chaos where it is said to act."""

import jax
import numpy as np
import pytest
from scipy import stats

from edl_jax.chaos.maps import MAPS
from edl_jax.chaos.streams import Shape, make_stream
from edl_jax.config import ACTS_ON, MUTATIONS, ChaosConfig
from edl_jax.errors import EdlError
from edl_jax.strategies.mutation import (
    Mutation,
    chaotic,
    directed,
    gaussian,
    make_mutation,
    scaled,
    switched,
)

OPERATORS = {"gaussian": gaussian()}
for _name in MAPS:
    OPERATORS[f"{_name}-map"] = chaotic(_name, "map")
    OPERATORS[f"{_name}-normal"] = chaotic(_name, "normal")
for _places in (*((place,) for place in ACTS_ON), ("switch", "step_size", "gene_step_size")):
    OPERATORS["+".join(_places)] = make_mutation("chaotic", ChaosConfig(acts_on=_places))
every_operator = pytest.mark.parametrize("mutation", OPERATORS.values(), ids=OPERATORS)
COLLAPSING = [OPERATORS[name] for name in OPERATORS if "float32" in name]
SHARED = [OPERATORS[name] for name in OPERATORS if "step_size" in name]
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
    z = samples(mutation, (500, 300), 5)

    assert z.shape == (5, 500, 300)
    assert z.dtype == np.float32
    assert z.mean() == pytest.approx(0, abs=0.01)
    # Factors that a whole row or column shares leave fewer independent values; and float32 ends
    # the upper tail of a normal marginal at 3.5, where a map's law is steep at 1.
    assert z.var() == pytest.approx(1, abs=0.1 if mutation in SHARED else 0.015)


@every_operator
def test_individuals_and_genes_are_uncorrelated(mutation):
    # Some maps remember a few steps, which would widen the estimate.
    z = samples(mutation, (2, 3), 15_000)[::5].reshape(3000, 6)
    if mutation in COLLAPSING:
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
        z = samples(make_mutation(name), (3,), 1, seed=5)
        same = samples(gaussian() if name == "gaussian" else chaotic(), (3,), 1, seed=5)
        np.testing.assert_array_equal(z, same)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(EdlError, match="cauchy: expected one of gaussian, chaotic"):
        make_mutation("cauchy")
    with pytest.raises(EdlError, match="x: expected one of map, uniform, normal"):
        directed(make_stream("logistic"), "x")


def constant(value):
    """An operator that always perturbs by ``value``."""
    return Mutation(
        init=lambda key, shape: Shape(shape),
        sample=lambda key, state: (state, jax.numpy.full(state.shape, value)),
    )


@pytest.mark.parametrize(("per", "axis"), [("individual", 1), ("gene", 0)])
def test_a_factor_is_shared_where_it_should_be_and_has_mean_square_1(per, axis):
    z = samples(scaled(constant(1.0), make_stream("logistic"), per), (40, 50), 200)

    np.testing.assert_array_equal(np.ptp(z, axis=axis + 1), 0)
    assert len(np.unique(z[0])) == (40 if per == "individual" else 50)
    assert np.square(z).mean() == pytest.approx(1, abs=0.03)


def test_the_factors_follow_the_map():
    z = samples(scaled(constant(1.0), make_stream("logistic")), (5, 1), 50).astype(np.float64)
    x = z**2 / 2

    np.testing.assert_allclose(x[1:], 4 * x[:-1] * (1 - x[:-1]), atol=1e-5)


def test_a_switch_chooses_for_whole_individuals_half_of_the_time():
    z = samples(switched(constant(1.0), constant(-1.0), make_stream("logistic")), (50, 3), 100)

    assert set(np.unique(z)) == {-1, 1}
    assert (z == z[:, :, :1]).all()
    assert z.mean() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("marginal", ["map", "uniform", "normal"])
@pytest.mark.parametrize("dynamics", ["chaotic", "shuffled", "iid"])
def test_the_marginal_does_not_depend_on_the_dynamics(marginal, dynamics):
    z = samples(directed(make_stream("logistic", dynamics), marginal), (20_000,), 3)[-1]
    law = {
        "map": stats.arcsine(-np.sqrt(2), 2 * np.sqrt(2)),
        "uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)),
        "normal": stats.norm,
    }[marginal]

    assert stats.kstest(z, law.cdf).pvalue > 1e-3
