"""Protects the interval under which seeds are compared: it covers as often as it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import EdlError
from edl_jax.statistics import bootstrap_interval, compare, finite_or_none


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


# --- comparing rows ----------------------------------------------------------------------------


def rows(values, name="seed", figure="test_accuracy"):
    return [{name: i, figure: value} for i, value in enumerate(values)]


def test_differences_are_of_pairs_whatever_the_order():
    a, b = rows([0.75, 0.5, 0.5, 1.0]), rows([0.5, 0.5, 0.75, 0.0])

    found = compare(a, b[::-1])

    assert (found.num_pairs, found.wins, found.losses) == (4, 2, 1)
    assert found.mean == pytest.approx(0.25)
    assert found.interval == bootstrap_interval([0.25, 0.0, -0.25, 1.0])


def test_rows_can_be_paired_by_more_than_the_seed():
    a = [{"size": s, "seed": i, "x": s + i} for s in (1, 2) for i in (0, 1)]
    b = [{"size": s, "seed": i, "x": s} for s in (1, 2) for i in (0, 1)]

    assert compare(a, b, "x", by=("size", "seed")).mean == 0.5
    with pytest.raises(EdlError, match="seed 0 occurs twice on a side"):
        compare(a, b, "x")


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (rows([1.0]), rows([1.0, 2.0]), "expected pairs, seed 1"),
        ([], [], "expected pairs, there are none"),
        (rows([1.0]), rows([None]), "expected a finite test_accuracy, not None"),
        (rows([1.0]), rows([float("nan")]), "expected a finite test_accuracy, not nan"),
        (rows(["fast"]), rows([1.0]), "expected a finite test_accuracy, not fast"),
        (rows([1.0], "key"), rows([1.0]), "expected seed in each row"),
        (rows([1.0], figure="ece"), rows([1.0]), "expected test_accuracy in each row"),
    ],
)
def test_what_has_no_pair_or_figure_is_one_line(a, b, said):
    with pytest.raises(EdlError, match=said):
        compare(a, b)


def test_rows_that_differ_in_the_kind_of_a_key_are_one_line_too():
    a = [{"seed": None, "x": 1.0}, {"seed": 2, "x": 1.0}]
    with pytest.raises(EdlError, match="expected pairs, seed"):
        compare(a, [{"seed": "base", "x": 1.0}], "x")
