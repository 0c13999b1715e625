"""Step-size control: each rule against its formula in float64, and against badly chosen starts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from edl_jax.chaos.streams import make_stream
from edl_jax.config import SCHEDULES
from edl_jax.strategies.es import es
from edl_jax.strategies.step_size import (
    Selection,
    Sizes,
    chaotic_annealing,
    cumulative,
    follow,
    make_control,
    make_schedule,
    self_adaptation,
    success_rule,
)

ADAPTIVE = ("success_rule", "csa", "self_adaptation")
SIZES = {"step_size": 0.4, "final_step_size": 0.1, "num_generations": 10}


def selection(generation, fitness, num_dims=5, step=None):
    """What the best half of a population, equally weighted, shows."""
    fitness = jnp.asarray(fitness, jnp.float32)
    weights = jnp.zeros(fitness.size).at[jnp.argsort(fitness)[: fitness.size // 2]].set(1.0)
    weights = jnp.where(jnp.isfinite(fitness), weights, 0.0)
    weights = weights / jnp.maximum(weights.sum(), 1)
    step = jnp.zeros(num_dims) if step is None else jnp.asarray(step)
    return Selection(jnp.asarray(generation), fitness, weights, step)


def start(control, size=8, num_dims=5):
    return control.init(jax.random.key(0), size, num_dims)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", lambda t: 0.4),
        ("exponential", lambda t: 0.4 * 0.25**t),
        ("cosine", lambda t: 0.1 + 0.3 * (1 + np.cos(np.pi * t)) / 2),
    ],
)
def test_schedules_start_and_end_where_they_should(name, expected):
    control = follow(make_schedule(name, Sizes(0.4, 0.1, 10)))
    state, sizes = start(control), []
    for generation in range(11):
        sizes.append(float(state.step_size))
        state = control.tell(state, selection(generation, range(8)))

    np.testing.assert_allclose(sizes, [expected(t / 10) for t in range(11)], rtol=1e-5)


@pytest.mark.parametrize("dynamics", ["chaotic", "iid"])
def test_chaotic_annealing_varies_about_its_schedule(dynamics):
    control = chaotic_annealing(optax.constant_schedule(0.3), make_stream("logistic", dynamics))

    @jax.jit
    def sizes(state):
        seen = selection(0, range(8))
        return jax.lax.scan(lambda s, _: (control.tell(s, seen), s.step_size), state, length=2000)

    values = np.asarray(sizes(start(control))[1], np.float64)
    assert np.sqrt(np.mean(values**2)) == pytest.approx(0.3, rel=0.05)
    x = values**2 / (2 * 0.3**2)
    obeys = np.abs(x[1:] - 4 * x[:-1] * (1 - x[:-1])) < 1e-4
    assert obeys.all() if dynamics == "chaotic" else obeys.mean() < 0.01


def test_the_success_rule_is_its_formula():
    control, rng = success_rule(0.2), np.random.default_rng(0)
    state, size, n = start(control, 10, 4), 10, 4
    step_size, success, reference = 0.2, 0.0, None
    for generation in range(6):
        fitness = rng.normal(size=size) - generation
        state = control.tell(state, selection(generation, fitness, n))
        if reference is not None:
            better = np.sum(np.float32(fitness) < np.float32(reference))
            z = 2 / size * (better - (size + 1) / 2)
            success = 0.7 * success + 0.3 * z
        step_size *= np.exp(success / (2 - 2 / n))
        reference = np.sort(fitness)[2]
        assert float(state.step_size) == pytest.approx(step_size, rel=1e-5)


def test_cumulative_adaptation_is_its_formula():
    control, rng = cumulative(0.2), np.random.default_rng(0)
    n, parents = 5, 4
    state, step_size, path = start(control, 8, n), 0.2, np.zeros(n)
    rate = (parents + 2) / (n + parents + 5)
    damping = 1 + 2 * max(0, np.sqrt((parents - 1) / (n + 1)) - 1) + rate
    usual = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    for generation in range(6):
        step = rng.normal(size=n)
        state = control.tell(state, selection(generation, range(8), n, step))
        path = (1 - rate) * path + np.sqrt(rate * (2 - rate) * parents) * step
        step_size *= np.exp(np.clip(rate / damping * (np.linalg.norm(path) / usual - 1), -1, 1))
        assert float(state.step_size) == pytest.approx(step_size, rel=1e-5)


def test_self_adaptation_follows_the_parents_sizes():
    control = self_adaptation(0.2)
    state, sizes = control.ask(jax.random.key(1), start(control, 1000, 8))
    log_factors = np.log(np.asarray(sizes, np.float64)[:, 0] / 0.2)
    fitness = np.random.default_rng(0).normal(size=1000)
    chosen = np.argsort(fitness)[:500]

    assert sizes.shape == (1000, 1)
    assert log_factors.std() == pytest.approx(1 / np.sqrt(16), rel=0.1)
    state = control.tell(state, selection(0, fitness, 8))
    assert float(state.step_size) == pytest.approx(0.2 * np.exp(log_factors[chosen].mean()))


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_generation_without_any_finite_fitness_teaches_nothing(name):
    control = make_control(name, **SIZES)
    state, _ = control.ask(jax.random.key(1), start(control))
    state = control.tell(state, selection(0, range(8)))
    after = control.tell(state, selection(1, [np.inf] * 8, step=np.full(5, np.nan)))

    assert float(after.step_size) == float(state.step_size)


def distance_after(control, generations, fitness=lambda x: jnp.sum(x**2, -1), num_dims=10):
    strategy = es(20, num_dims, control=control)

    def generation(state, key):
        population, state = strategy.ask(key, state)
        return strategy.tell(key, population, fitness(population), state), None

    keys = jax.random.split(jax.random.key(1, impl="unsafe_rbg"), generations + 1)
    state = strategy.init(keys[0], jnp.ones((20, num_dims)), None)
    state, _ = jax.jit(lambda s, k: jax.lax.scan(generation, s, k))(state, keys[1:])
    return float(jnp.linalg.norm(state.mean))


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("first", [1e-3, 10.0])
def test_adaptive_rules_mend_a_step_size_that_was_chosen_badly(name, first):
    fixed = distance_after(follow(optax.constant_schedule(first)), 400)
    adapted = distance_after(make_control(name, **{**SIZES, "step_size": first}), 400)

    assert adapted < 1e-3
    assert fixed > 0.1


def test_every_name_makes_a_control():
    for name in SCHEDULES:
        assert float(start(make_control(name, **SIZES)).step_size) > 0
