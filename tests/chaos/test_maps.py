"""Chaotic maps: one contract for all, and orbits that stay chaotic for 100,000 steps."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks.chaos import invariant_laws
from benchmarks.chaos.cells import measure
from edl_jax.chaos import jittered as chaos_jittered
from edl_jax.chaos.digits import random_digits
from edl_jax.chaos.maps import MAPS, chebyshev
from edl_jax.errors import OptionError

# Maps whose orbits are known to collapse; they are kept for comparison.
COLLAPSING = {"logistic_float32"}
every_map = pytest.mark.parametrize("name", MAPS)
every_sound_map = pytest.mark.parametrize("name", sorted(MAPS.keys() - COLLAPSING))


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def run(chaos, key, shape, steps):
    """Values of shape (steps, *shape)."""
    return jax.lax.scan(lambda s, _: chaos.step(s), chaos.init(key, shape), length=steps)[1]


@functools.cache
def orbits(name, seed=0):
    """2,000 steps of 64 orbits."""
    return np.asarray(run(MAPS[name], jax.random.key(seed), (64,), 2000))


@functools.cache
def ensemble(name):
    """10 steps of 100,000 orbits."""
    return np.asarray(run(MAPS[name], jax.random.key(3), (100_000,), 10))


def ks_distance(values, cdf):
    return stats.kstest(np.ravel(values).astype(np.float64), lambda x: np.asarray(cdf(x))).statistic


# --- the contract ------------------------------------------------------------------------------


@every_map
@pytest.mark.parametrize("shape", [(), (3,), (33,), (2, 5)])
def test_values_and_state_have_the_shape_asked_for(name, shape):
    chaos = MAPS[name]
    state = jax.eval_shape(lambda key: chaos.init(key, shape), jax.random.key(0))
    after, values = jax.eval_shape(chaos.step, state)

    assert values.shape == shape
    assert values.dtype == np.float32
    assert after == state


@every_map
def test_values_lie_strictly_inside_the_unit_interval(name):
    for values in (orbits(name), ensemble(name)):
        assert 0 < values.min() < values.max() < 1


def stepped(chaos, step, steps):
    state, values = jax.jit(lambda key: chaos.init(key, (64,)))(jax.random.key(0)), []
    for _ in range(steps):
        state, x = step(state)
        values.append(x)
    return np.stack(values)


@every_map
def test_one_key_gives_one_orbit_whether_jitted_scanned_or_vmapped(name):
    chaos = MAPS[name]
    scanned = orbits(name)[:100]

    np.testing.assert_array_equal(stepped(chaos, jax.jit(chaos.step), 100), scanned)
    keys = jnp.stack([jax.random.key(1), jax.random.key(0)])
    vmapped = jax.vmap(lambda key: run(chaos, key, (64,), 100))(keys)
    np.testing.assert_array_equal(vmapped[1], scanned)


@pytest.mark.parametrize("name", ["logistic", "gauss", "henon"])
def test_an_orbit_stepped_without_jit_differs_by_rounding_alone(name):
    # Chaos multiplies the difference at each step.
    eager = stepped(MAPS[name], MAPS[name].step, 3)

    np.testing.assert_allclose(eager, orbits(name)[:3], atol=1e-5)


@every_map
def test_another_key_and_another_element_give_another_orbit(name):
    first = np.concatenate([orbits(name)[0], orbits(name, seed=1)[0]])

    assert len(np.unique(first)) == first.size


@every_map
def test_the_first_values_already_follow_the_invariant_law(name):
    assert ks_distance(ensemble(name)[0], MAPS[name].law.cdf) < 0.01
    assert ks_distance(ensemble(name)[-1], MAPS[name].law.cdf) < 0.01


# --- orbits in the long run --------------------------------------------------------------------


@functools.cache
def long_run(name):
    # All 100,000 steps of the default map; `python -m benchmarks.chaos` takes as many of each.
    return measure(name, 1000, 100_000 if name == "logistic" else 5_000, seed=11)


@every_sound_map
def test_no_orbit_collapses(name):
    found = long_run(name)

    assert found["stuck"] == 0
    assert found["distinct"] >= 0.99
    assert found["ks"] < 0.005


@every_sound_map
def test_neighbouring_orbits_part_as_fast_as_is_known(name):
    assert long_run(name)["lyapunov"] == pytest.approx(MAPS[name].law.lyapunov, rel=0.02)


def test_the_plain_float32_iteration_collapses():
    """Why ``logistic`` is not the formula as it stands; it fails each of the tests above."""
    found = long_run("logistic_float32")

    # Some orbits end at 0, nearly all others in one short cycle; the shares vary with the machine.
    assert found["stuck"] > 0.1
    assert found["distinct"] < 0.01
    assert found["ks"] > 0.05
    assert found["lyapunov"] != pytest.approx(np.log(2), rel=0.02)
    collapse = found["collapse"]
    assert collapse["at_zero"] > 0.1
    assert collapse["at_zero"] + collapse["in_cycle"] > 0.5
    assert 0 < collapse["cycle"] < 20_000
    assert collapse["values"] < 100_000  # of 1,000 orbits over 20,000 steps


@every_map
def test_orbits_obey_the_formula_to_rounding_error(name):
    chaos = MAPS[name]
    values = orbits(name)
    history = [values[chaos.order - 1 - i : len(values) - 1 - i] for i in range(chaos.order)]
    error = np.abs(values[chaos.order :] - np.asarray(chaos.formula(*map(jnp.asarray, history))))
    if name in {"bernoulli", "circle"}:  # 0 and 1 are one point of the circle
        error = np.minimum(error, 1 - error)

    assert error.max() < 3e-6


@every_map
def test_slopes_are_those_of_the_formula(name):
    chaos, rng, step = MAPS[name], np.random.default_rng(0), 1e-3
    history = rng.uniform(0.05, 0.95, (chaos.order, 100)).astype(np.float32)
    # Away from the tent's corner, and from where values jump from 1 to 0.
    history[:, np.abs(history[0] - 0.5) < 0.01] = 0.4
    for i, slope in enumerate(chaos.slopes(*map(jnp.asarray, history))):
        shift = np.zeros_like(history)
        shift[i] = step
        upper, lower = (chaos.formula(*jnp.asarray(history + s * shift)) for s in (1, -1))
        rise = np.asarray(upper) - np.asarray(lower)
        rise = np.where(np.abs(rise) > 0.5, rise - np.sign(rise), rise)
        np.testing.assert_allclose(rise / (2 * step), slope, atol=2e-3)


# --- exact maps --------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [2, 7, 64])
def test_chebyshev_of_any_degree_obeys_its_polynomial(degree):
    chaos = chebyshev(degree)
    values = np.asarray(run(chaos, jax.random.key(degree), (500,), 200), np.float64)
    polynomial = np.polynomial.Chebyshev.basis(degree)

    # An error in x becomes at most one of degree^2 times its size.
    expected = (1 + polynomial(2 * values[:-1] - 1)) / 2
    np.testing.assert_allclose(values[1:], expected, atol=2e-7 * degree**2)
    assert ks_distance(values[-1], chaos.law.cdf) < 0.08  # 500 values: 0.06 at the 5 % level


@pytest.mark.parametrize("degree", [1, 65, 2.5])
def test_chebyshev_refuses_other_degrees(degree):
    with pytest.raises(OptionError, match=f"degree {degree}: expected a whole number from 2 to 64"):
        chebyshev(degree)


@pytest.mark.parametrize("base", [2, 3, 6, 256])
def test_random_digits_are_uniform_and_independent(base):
    digits = np.asarray(random_digits(jax.random.key(base), (300, 1001), base)).ravel()
    pairs = digits[:-1].astype(int) * base + digits[1:]

    assert digits.max() == base - 1
    assert stats.chisquare(np.bincount(digits, minlength=base)).pvalue > 1e-4
    if base < 100:  # enough pairs of each kind
        assert stats.chisquare(np.bincount(pairs, minlength=base**2)).pvalue > 1e-4


# --- maps with jitter --------------------------------------------------------------------------


def test_the_parameters_let_critical_points_land_on_a_repelling_fixed_point():
    a, b, K = chaos_jittered.GAUSS_A, chaos_jittered.GAUSS_B, chaos_jittered.CIRCLE_K
    x = 0.0
    for _ in range(4):
        x = np.exp(-a * x * x) + b
    assert np.exp(-a * x * x) + b == pytest.approx(x, abs=1e-12)
    assert abs(-2 * a * x * np.exp(-a * x * x)) > 1

    critical = np.arccos(1 / K) / (2 * np.pi)
    assert critical - K / (2 * np.pi) * np.sin(2 * np.pi * critical) == pytest.approx(-0.5)
    assert abs(1 - K * np.cos(np.pi)) > 1


def test_no_henon_orbit_can_leave_the_trapping_quadrilateral():
    """Its image lies inside it, further from the border than a jitter goes."""
    corners = np.array([(-1.33, 0.42), (1.32, 0.133), (1.245, -0.14), (-1.06, -0.5)])
    steps = np.linspace(0, 1, 20_001)[:, None]
    following = np.roll(corners, -1, axis=0)
    # The map is one to one: the border's image is the image's border.
    border = np.concatenate([p + steps * (q - p) for p, q in zip(corners, following, strict=True)])
    a, b = chaos_jittered.HENON_A, chaos_jittered.HENON_B
    image = np.stack([1 - a * border[:, 0] ** 2 + border[:, 1], b * border[:, 0]], axis=1)
    jitter = chaos_jittered.JITTER * (chaos_jittered.HENON_HIGH - chaos_jittered.HENON_LOW)
    for p, q in zip(corners, following, strict=True):
        inward = np.array([q[1] - p[1], p[0] - q[0]]) / np.hypot(*(q - p))
        assert ((image - p) @ inward).min() > 100 * jitter

    low, width = chaos_jittered.HENON_LOW, chaos_jittered.HENON_HIGH - chaos_jittered.HENON_LOW
    for x, before in [(0.45, 0.45), (0.45, 0.55), (0.55, 0.45), (0.55, 0.55)]:  # where orbits start
        start = np.array([low + width * x, b * (low + width * before)])
        for p, q in zip(corners, following, strict=True):
            assert (start - p) @ np.array([q[1] - p[1], p[0] - q[0]]) > 0


def test_without_jitter_rounding_makes_orbits_short(monkeypatch):
    """What the jitter is for."""
    monkeypatch.setattr(chaos_jittered, "JITTER", 0.0)
    step = chaos_jittered.make_step(chaos_jittered.gauss)
    state = chaos_jittered.make_init(chaos_jittered.gauss)(jax.random.key(0), (300,))
    state = jax.lax.fori_loop(0, 20_000, lambda _, state: step(state), state)
    values = jax.lax.scan(lambda s, _: (step(s), s.history[0]), state, length=5000)[1]

    assert len(np.unique(values)) < 0.05 * values.size


# --- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", invariant_laws.MAPS)
def test_a_tabulated_law_is_what_its_command_measures(name):
    cdf, (mean, variance, lyapunov) = invariant_laws.measure(name, orbits=2000, steps=300)
    law = MAPS[name].law
    at = np.sin(np.linspace(0, np.pi / 2, len(cdf))) ** 2

    assert np.abs(np.asarray(law.cdf(jnp.asarray(at, jnp.float32))) - cdf).max() < 0.005
    assert law.mean == pytest.approx(mean, abs=0.002)
    assert law.variance == pytest.approx(variance, abs=0.002)
    assert law.lyapunov == pytest.approx(lyapunov, abs=0.005)


@pytest.mark.parametrize("name", invariant_laws.MAPS)
def test_the_float32_formula_is_the_one_that_the_table_was_made_with(name):
    m, rng = invariant_laws.MAPS[name], np.random.default_rng(0)
    state = tuple(rng.uniform(low, high, 500) for low, high in m.start)
    unit = lambda x: ((x - m.low) / (m.high - m.low)).astype(np.float32)  # noqa: E731
    # Henon's second coordinate is b times the value before.
    history = [unit(state[0])] + [unit(y / m.coupling) for y in state[1:]]
    error = np.abs(MAPS[name].formula(*map(jnp.asarray, history)) - unit(m.step(*state)[0]))

    assert np.minimum(error, np.abs(1 - error) if name == "circle" else error).max() < 3e-6


def test_importing_the_maps_does_not_read_the_tables():
    code = (
        "import numpy; numpy.load = None\n"
        "from edl_jax.chaos import MAPS\n"
        "from edl_jax.chaos.laws import tabulated\n"
        "assert tabulated.cache_info().misses == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
    z = np.asarray(chaos.standardise(ensemble(name)))

    assert z.mean() == pytest.approx(0, abs=0.01)
    assert z.var() == pytest.approx(1, abs=0.01)


@every_map
def test_to_uniform_and_to_normal_give_those_laws_in_the_order_of_the_values(name):
    chaos = MAPS[name]
    values = np.sort(ensemble(name)[5])
    uniform = np.asarray(chaos.to_uniform(jnp.asarray(values)))
    normal = np.asarray(chaos.to_normal(jnp.asarray(values)))

    assert stats.kstest(uniform, "uniform").statistic < 0.01
    assert stats.kstest(normal, "norm").statistic < 0.01
    assert np.all(np.diff(uniform) >= 0)
    assert np.all(np.diff(normal) >= -1e-6)  # the normal quantile rounds
    extremes = jnp.array([2.0**-100, 1 - 2.0**-24])
    assert 0 < chaos.to_uniform(extremes).min() < chaos.to_uniform(extremes).max() < 1
    assert np.isfinite(chaos.to_normal(extremes)).all()
