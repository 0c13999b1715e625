"""Chaotic maps: one contract for all, and orbits that stay chaotic for 100,000 steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from edl_jax.chaos import MAPS

# Maps whose orbits are known to collapse; they are kept for comparison.
COLLAPSING = {"logistic_float32"}
every_map = pytest.mark.parametrize("name", MAPS)
every_sound_map = pytest.mark.parametrize("name", sorted(MAPS.keys() - COLLAPSING))


@functools.partial(jax.jit, static_argnums=(0, 2))
def scan_steps(chaos, state, steps):
    return jax.lax.scan(lambda s, _: chaos.step(s), state, length=steps)


def orbit(name, seed, shape, steps):
    """Values of shape (steps, *shape)."""
    chaos = MAPS[name]
    return np.asarray(scan_steps(chaos, chaos.init(jax.random.key(seed), shape), steps)[1])


def ks_distance(values, cdf):
    return stats.kstest(np.ravel(values).astype(np.float64), lambda x: np.asarray(cdf(x))).statistic


# --- the contract ------------------------------------------------------------------------------


@every_map
@pytest.mark.parametrize("shape", [(), (3,), (33,), (2, 5)])
def test_values_have_the_shape_asked_for_and_lie_strictly_inside_the_unit_interval(name, shape):
    values = orbit(name, 0, shape, 200)

    assert values.shape == (200, *shape)
    assert values.dtype == np.float32
    assert values.min() > 0
    assert values.max() < 1


@every_map
def test_one_key_gives_one_orbit_whether_stepped_eagerly_jitted_scanned_or_vmapped(name):
    chaos, steps = MAPS[name], 8
    keys = jax.random.split(jax.random.key(7), 2)

    def stepped(step):
        state, values = chaos.init(keys[1], (4,)), []
        for _ in range(steps):
            state, x = step(state)
            values.append(x)
        return np.stack(values)

    eager = stepped(chaos.step)
    run = functools.partial(scan_steps, chaos, steps=steps)
    scanned = run(chaos.init(keys[1], (4,)))[1]
    vmapped = jax.vmap(lambda key: run(chaos.init(key, (4,)))[1])(keys)[1]
    # Rounding may differ between compilations, and chaos doubles a difference at each step.
    for other in (stepped(jax.jit(chaos.step)), scanned, vmapped):
        np.testing.assert_allclose(other, eager, atol=1e-4)


@every_map
def test_another_key_and_another_element_give_another_orbit(name):
    values = np.stack([orbit(name, seed, (3,), 5) for seed in (0, 1)])

    first = values[:, 0].ravel()
    assert len(np.unique(first)) == first.size


@every_map
def test_the_first_values_already_follow_the_invariant_law(name):
    values = orbit(name, 3, (50_000,), 10)

    assert ks_distance(values[0], MAPS[name].law.cdf) < 0.01
    assert ks_distance(values[-1], MAPS[name].law.cdf) < 0.01


# --- orbits in the long run --------------------------------------------------------------------


@functools.cache
def long_run(name, orbits=1000, steps=100_000, chunk=1000, bins=1000):
    """Distance to the law, and how many values the orbits' last 1,000 steps still take."""
    chaos = MAPS[name]
    state, counts = chaos.init(jax.random.key(11), (orbits,)), np.zeros(bins)
    for _ in range(steps // chunk):
        state, values = scan_steps(chaos, state, chunk)
        values = np.asarray(values)
        # Uniform bins in the arcsine law's quantile resolve its poles at 0 and 1.
        quantile = np.arcsin(np.sqrt(values)) * (2 * bins / np.pi)
        counts += np.bincount(np.minimum(quantile, bins - 1).astype(int).ravel(), minlength=bins)
    edges = np.sin(np.linspace(0, np.pi / 2, bins + 1)[1:]) ** 2
    law = np.asarray(chaos.law.cdf(jnp.asarray(edges)))
    return {
        "distance": np.abs(np.cumsum(counts) / counts.sum() - law).max(),
        "distinct": np.array([len(np.unique(column)) for column in values.T]) / chunk,
        "last": values,
    }


@every_sound_map
def test_no_orbit_collapses_within_100_000_steps(name):
    result = long_run(name)

    assert result["distance"] < 0.005
    assert result["distinct"].min() >= 0.99


def test_the_plain_float32_iteration_collapses():
    """Why ``logistic`` is not the formula as it stands."""
    result = long_run("logistic_float32")
    stuck = np.all(result["last"] == result["last"][0], axis=0)

    # Some orbits end at 0, nearly all others in one short cycle; the shares vary with the machine.
    assert stuck.mean() > 0.1
    assert result["distance"] > 0.05


def lyapunov(values):
    slope = np.abs(4 * (1 - 2 * values.astype(np.float64)))
    return np.log(np.maximum(slope, 1e-8)).mean()


def test_neighbouring_logistic_orbits_part_by_a_factor_of_two_a_step():
    assert lyapunov(long_run("logistic")["last"]) == pytest.approx(np.log(2), rel=0.02)
    assert lyapunov(long_run("logistic_float32")["last"]) != pytest.approx(np.log(2), rel=0.02)


def test_logistic_is_the_logistic_map_to_rounding_error():
    x = orbit("logistic", 5, (64,), 2000).astype(np.float64)

    np.testing.assert_allclose(x[1:], 4 * x[:-1] * (1 - x[:-1]), atol=1e-6)


# --- the law -----------------------------------------------------------------------------------


@every_map
def test_mean_and_variance_are_those_of_the_distribution_function(name):
    law = MAPS[name].law
    # x = sin^2 t takes the poles out of an integrand like the arcsine law's.
    t = np.linspace(0, np.pi / 2, 20_001)
    x = np.sin(t) ** 2
    above = 1 - np.asarray(law.cdf(jnp.asarray(x, jnp.float32)), np.float64)
    mean = integrate.trapezoid(above, x)

    assert law.mean == pytest.approx(mean, abs=1e-5)
    assert law.variance == pytest.approx(integrate.trapezoid(2 * x * above, x) - mean**2, abs=1e-5)


def test_the_logistic_law_is_the_integral_of_the_arcsine_density():
    law = MAPS["logistic"].law
    for x in (0.01, 0.3, 0.5, 0.97):
        mass, _ = integrate.quad(lambda u: 1 / (np.pi * np.sqrt(u * (1 - u))), 0, x)
        assert float(law.cdf(jnp.float32(x))) == pytest.approx(mass, abs=1e-6)


@every_map
def test_standardised_values_have_mean_0_and_variance_1(name):
    chaos = MAPS[name]
    z = np.asarray(chaos.standardise(orbit(name, 2, (100_000,), 5)))

    assert z.mean() == pytest.approx(0, abs=0.01)
    assert z.var() == pytest.approx(1, abs=0.01)


@every_map
def test_to_normal_gives_a_standard_normal_in_the_order_of_the_values(name):
    chaos = MAPS[name]
    values = np.sort(orbit(name, 2, (20_000,), 5).ravel())
    normal = np.asarray(chaos.to_normal(jnp.asarray(values)))

    assert stats.kstest(normal, "norm").statistic < 0.01
    assert np.all(np.diff(normal) >= 0)
    extremes = chaos.to_normal(jnp.array([2.0**-100, 1 - 2.0**-24]))
    assert np.isfinite(extremes).all()
