"""Streams: one law in three dynamics, and orbits that run where they are said to run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from edl_jax.chaos.maps import MAPS
from edl_jax.chaos.streams import _SHUFFLE_SIZE, make_stream
from edl_jax.config import DYNAMICS, ORBITS
from edl_jax.errors import EdlError

every_stream = pytest.mark.parametrize(
    ("dynamics", "orbits"), [(d, o) for d in DYNAMICS for o in ORBITS]
)


def run(stream, shape, steps, seed=0):
    """The final state, and the values as (steps, *shape)."""
    init_key, key = jax.random.split(jax.random.key(seed))
    return jax.jit(lambda state, keys: jax.lax.scan(lambda s, k: stream.sample(k, s), state, keys))(
        stream.init(init_key, shape), jax.random.split(key, steps)
    )


@every_stream
@pytest.mark.parametrize("map_name", [name for name in MAPS if name != "logistic_float32"])
def test_values_follow_the_law_of_the_map(map_name, dynamics, orbits):
    stream = make_stream(map_name, dynamics, orbits)
    shape, steps = ((40, 50), 10) if orbits == "element" else ((10, 100), 20)
    _, values = run(stream, shape, steps)
    values = np.asarray(values)

    assert values.shape == (steps, *shape)
    assert values.dtype == np.float32
    assert ((values > 0) & (values < 1)).all()
    uniform = np.asarray(stream.chaos.law.cdf(jnp.asarray(values.ravel())))
    # Values of one orbit depend on each other: far from independent, but of one law.
    assert stats.kstest(uniform, "uniform").statistic < 0.03


@pytest.mark.parametrize("orbits", ORBITS)
def test_only_a_chaotic_stream_obeys_its_map(orbits):
    errors = {}
    for dynamics in DYNAMICS:
        x = np.asarray(run(make_stream("logistic", dynamics, orbits), (4, 5), 40)[1], np.float64)
        x = x.reshape(-1, 1) if orbits == "sequence" else x.reshape(40, -1)
        errors[dynamics] = np.abs(x[1:] - 4 * x[:-1] * (1 - x[:-1])).mean()

    assert errors["chaotic"] < 1e-5
    assert errors["shuffled"] > 0.2
    assert errors["iid"] > 0.2


def test_a_shuffled_stream_gives_the_orbits_own_values_each_once():
    steps, shape = 100, (3, 2)
    state, released = run(make_stream("logistic", "shuffled"), shape, steps)
    first_key = jax.random.split(jax.random.split(jax.random.key(0))[0])[0]
    orbit, values = MAPS["logistic"].init(first_key, shape), []
    for _ in range(steps + _SHUFFLE_SIZE):
        orbit, x = MAPS["logistic"].step(orbit)
        values.append(x)

    seen = np.concatenate([released, state.held])
    np.testing.assert_allclose(np.sort(seen, 0), np.sort(np.stack(values), 0), rtol=1e-6)


@pytest.mark.parametrize("orbits", ORBITS)
def test_a_chaotic_stream_does_not_read_the_key(orbits):
    stream = make_stream("logistic", "chaotic", orbits)
    state = stream.init(jax.random.key(0), (4, 3))
    one, other = (stream.sample(jax.random.key(seed), state) for seed in (1, 2))

    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(
        *(stream.sample(jax.random.key(3), s)[1] for s, _ in (one, other))
    )


def test_a_sequence_runs_through_all_elements_and_on_into_the_next_array():
    chaos, key = MAPS["logistic"], jax.random.key(4)
    stream = make_stream("logistic", "chaotic", "sequence")
    state, orbit = stream.init(key, (2, 3)), chaos.init(key, ())
    for _ in range(3):
        state, values = stream.sample(key, state)
        for value in np.asarray(values).ravel():
            orbit, expected = chaos.step(orbit)
            assert value == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "named"), [(("tnet",), "map"), (("logistic", "x"), "dynamics")]
)
def test_an_unknown_name_is_refused(arguments, named):
    with pytest.raises(EdlError, match=f"{named} .*: expected one of"):
        make_stream(*arguments)
