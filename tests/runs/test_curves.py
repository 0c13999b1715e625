"""A history as curves: gaps where nothing was measured, means over the same seeds."""

import numpy as np

from edl_jax.runs.curves import search_curve, seed_curves, short_name


def row(loss, seed, epoch, **figures):
    return {"loss": loss, "seed": seed, "epoch": epoch} | figures


def test_a_figure_that_is_not_finite_is_a_gap_and_one_that_was_not_measured_is_no_point():
    history = [
        {"generation": 1, "best_fitness": None},
        {"generation": 2, "best_fitness": 0.5, "held_out_discordance": 0.25},
        {"generation": 3, "best_fitness": 0.0},
    ]
    generations, values = search_curve(history, "best_fitness")
    np.testing.assert_array_equal(generations, [1, 2, 3])
    np.testing.assert_array_equal(values, [np.nan, 0.5, 0.0])
    generations, percent = search_curve(history, "held_out_discordance", factor=100)
    assert (generations.tolist(), percent.tolist()) == ([2], [25.0])
    assert search_curve(history, "nothing").values.shape == (0,)


def test_curves_have_a_column_for_each_seed_and_only_the_rows_of_their_loss():
    history = [
        row("a", 7, 1, nll=1.0),
        row("b", 7, 1, nll=9.0),
        row("a", 3, 1, nll=2.0),
        row("a", 3, 2, nll=4.0),
        row("a", 7, 2, nll=None),
        row("a", 7, 3),
    ]
    epochs, values = seed_curves(history, "a", (3, 7), "nll", factor=10)
    np.testing.assert_array_equal(epochs, [1, 2])
    np.testing.assert_array_equal(values, [[20.0, 10.0], [40.0, np.nan]])


def test_curves_are_complete_where_every_seed_has_a_figure():
    history = [row("a", 0, 1, nll=1.0), row("a", 1, 1, nll=2.0), row("a", 0, 2, nll=0.5)]
    epochs, values = seed_curves(history, "a", (0, 1), "nll").complete()
    assert (epochs.tolist(), values.tolist()) == ([1], [[1.0, 2.0]])
    # A seed that has no line at all leaves nothing to take a mean of.
    nothing = seed_curves(history, "a", (0, 1, 2), "nll").complete()
    assert (nothing.epochs.shape, nothing.values.shape) == ((0,), (0, 3))


def test_a_long_name_keeps_its_end():
    assert short_name("edl-base", 8) == "edl-base"
    assert short_name("runs/edl-base", 8) == "…dl-base"
