"""Protects the interval under which seeds are compared: it covers as often as it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.statistics import bootstrap_interval, finite_or_none


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_the_interval_lies_inside_the_values_and_around_their_mean(values):
    low, high = bootstrap_interval(values, num_resamples=500)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert (low, high) == bootstrap_interval(values, num_resamples=500)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """With 30 normal values 95 % intervals cover a little less often; 300 trials, four sigma."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.normal(size=30), num_resamples=500)
        hits += low <= 0 <= high
    assert 0.89 < hits / 300 < 0.985


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, np.float32("nan")])
def test_what_json_cannot_hold_is_none(value):
    assert finite_or_none(value) is None


def test_a_number_of_an_array_becomes_a_number_of_python():
    number = finite_or_none(np.float32(0.5))
    assert (number, type(number)) == (0.5, float)
