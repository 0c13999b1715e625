"""Protects the figures under which losses are compared: paired, with an interval that covers."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from edl_jax.plots import learning_curves
from edl_jax.statistics import bootstrap_interval
from edl_jax.training.comparison import paired_difference, table


def rows(accuracies: dict[str, list[float | None]]) -> list[dict]:
    return [
        {"loss": loss, "seed": seed, "test_accuracy": value, "nll": value, "ece": 0.1}
        for loss, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


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


def test_differences_are_paired_by_seed():
    """The seeds' own spread is a hundred times the difference, and cancels."""
    result = paired_difference(rows({"a": [0.1, 0.5, 0.9], "b": [0.11, 0.52, 0.91]}), "b", "a")
    assert result["mean"] == pytest.approx(4 / 300)
    low, high = result["interval"]
    assert 0.0099 < low < high < 0.0201
    assert result["num_seeds"] == 3


def test_an_interval_takes_three_seeds():
    result = paired_difference(rows({"a": [0.1, 0.5], "b": [0.2, 0.5]}), "b", "a")
    assert result["interval"] is None and result["mean"] == pytest.approx(0.05)


def test_a_diverged_run_has_no_difference():
    result = paired_difference(rows({"a": [0.1, 0.5], "b": [None, 0.5]}), "b", "a", "nll")
    assert result["mean"] is None and result["interval"] is None


def printed(content: list[dict]) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=120).print(table(content))
    return output.getvalue().splitlines()


def test_the_table_has_a_row_a_run_a_mean_and_a_difference():
    lines = printed(rows({"a": [0.5, 0.6, 0.7], "b": [0.51, 0.62, 0.73]}))
    assert sum("mean" in line and "│" in line for line in lines) == 2
    (mean,) = (line for line in lines if "│ b" in line and "mean" in line)
    assert "62.00%" in mean and "+2.00 [+1." in mean
    assert sum("│ b" in line for line in lines) == 4


def test_the_table_of_one_run_has_no_mean():
    lines = printed(rows({"a": [0.5]}))
    assert not any("mean" in line or "first" in line for line in lines)
    assert any("50.00%" in line for line in lines)


def test_the_table_marks_a_run_that_diverged():
    diverged = [{"loss": "a", "seed": 0, "test_accuracy": 0.1, "nll": None, "ece": None}]
    assert any("diverged" in line for line in printed(diverged))


def test_learning_curves_are_drawn_whatever_is_missing(tmp_path):
    history = [
        {"loss": "a", "seed": 0, "epoch": 1, "train_accuracy": 0.2},
        {"loss": "a", "seed": 0, "epoch": 2, "train_accuracy": 0.3, "test_accuracy": 0.25},
        {"loss": "x" * 80, "seed": 0, "epoch": 1, "train_accuracy": 0.1, "test_accuracy": 0.1},
    ]
    learning_curves(history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1
