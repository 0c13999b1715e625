"""Protects how losses are compared: every run the one that ``train`` alone would make, paired by
seed, resumed where it was stopped, with figures and intervals that are true."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.errors import EdlError, OptionError
from edl_jax.training.comparison import compare, paired_difference, require_fit
from edl_jax.training.loop import train
from edl_jax.training.subsets import for_seed
from tests.training.toy import MLP, brier, cross_entropy, rows, toy

LOSSES = {"cross_entropy": cross_entropy, "brier": brier}
RUNS = [(name, seed) for seed in (0, 1) for name in LOSSES]

# --- runs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return compare(toy(), LOSSES, MLP, (0, 1), label_noise=0.2)


def test_every_run_is_the_one_that_its_loss_and_seed_make_alone(whole):
    for name, seed in RUNS:
        alone = train(for_seed(toy(), seed, label_noise=0.2), LOSSES[name], MLP, seed)
        of_run = [row for row in whole.history if (row["loss"], row["seed"]) == (name, seed)]
        assert of_run == [{"loss": name, "seed": seed, **row} for row in alone.history]
        (row,) = (row for row in whole.rows if (row["loss"], row["seed"]) == (name, seed))
        assert (row["test_accuracy"], row["nll"], row["ece"], row["diverged"]) == alone[1:5]


def test_seeds_are_trained_one_after_the_other_and_losses_are_listed_so(whole):
    trained = [(row["loss"], row["seed"]) for row in whole.history if row["epoch"] == 1]
    assert trained == RUNS
    listed = [(row["loss"], row["seed"]) for row in whole.rows]
    assert listed == [(name, seed) for name in LOSSES for seed in (0, 1)]
    json.dumps(whole, allow_nan=False)


def test_every_loss_is_set_against_the_first_in_every_figure(whole):
    assert [found["metric"] for found in whole.paired_differences] == [
        "test_accuracy",
        "nll",
        "ece",
    ]
    for found in whole.paired_differences:
        assert found == paired_difference(whole.rows, "brier", "cross_entropy", found["metric"])


def test_what_happens_is_told_as_it_happens(whole):
    begun, images, epochs, ended = [], [], [], []

    def on_progress(name, seed, count, row):
        assert begun[-1] == (name, seed)
        images.append(count)
        epochs.extend([{"loss": name, "seed": seed, **row}] if row else [])

    result = compare(
        toy(),
        LOSSES,
        MLP,
        (0, 1),
        label_noise=0.2,
        on_start=lambda *run: begun.append(run),
        on_progress=on_progress,
        on_run=lambda row, trained: ended.append((row, trained)),
    )
    assert result == whole and epochs == whole.history and begun == RUNS
    assert sum(images) == 4 * MLP.epochs * (150 // 16) * 16
    assert [(row["loss"], row["seed"]) for row, _ in ended] == RUNS
    assert all(row in whole.rows for row, _ in ended)
    row, trained = ended[-1]
    assert row["test_accuracy"] == trained.test_accuracy and trained.state.step == 18


def test_the_size_of_the_sets_is_what_was_asked_for():
    seen = []
    result = compare(
        toy(),
        {"a": cross_entropy},
        MLP,
        [3],
        train_size=64,
        holdout_size=50,
        on_progress=lambda name, seed, images, row: seen.append(images),
    )
    data = for_seed(toy(), 3, train_size=64, holdout_size=50)
    assert len(data.test_labels) == 50
    alone = train(data, cross_entropy, MLP, 3)
    assert result.rows[0]["nll"] == alone.nll and result.rows[0]["train_size"] == 64
    assert sum(seen) == 2 * 64 and result.paired_differences == []


def test_a_run_that_diverges_ends_alone():
    losses = {"a": cross_entropy, "broken": lambda z, y: jnp.log(z[:, 0] * 0)}
    result = compare(toy(), losses, MLP, [0])
    assert [row["diverged"] for row in result.rows] == [False, True]
    assert [row["epoch"] for row in result.history] == [1, 2, 1]
    by_metric = {found["metric"]: found["mean"] for found in result.paired_differences}
    assert by_metric["nll"] is None and by_metric["test_accuracy"] is not None
    again = compare(toy(), losses, MLP, [0], history=result.history, on_start=pytest.fail)
    assert again == result, "it is done, though it has not seen all epochs"


# --- resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [0, 1, 3, 4])
def test_runs_that_are_done_are_not_trained_again(runs, whole):
    done = whole.history[: runs * MLP.epochs]
    begun = []
    result = compare(
        toy(),
        LOSSES,
        MLP,
        (0, 1),
        label_noise=0.2,
        history=done,
        on_start=lambda *run: begun.append(run),
    )
    assert result == whole and begun == RUNS[runs:]


def test_a_run_that_is_not_done_begins_anew_where_nothing_restores_it(whole):
    begun = []
    result = compare(
        toy(),
        LOSSES,
        MLP,
        (0, 1),
        label_noise=0.2,
        history=whole.history[:3],
        on_start=lambda *run: begun.append(run),
    )
    assert result == whole and begun == RUNS[1:]


class _Stopped(Exception):  # noqa: N818 - it is no error
    pass


def test_a_run_is_resumed_from_the_place_that_was_kept(whole):
    """Stopped after the steps of the second run's last epoch, before that epoch's row."""
    arguments = (toy(), LOSSES, MLP, (0, 1))
    history, place = [], []

    def on_progress(name, seed, images, row):
        history.extend([{"loss": name, "seed": seed, **row}] if row else [])

    def on_midway(midway):
        if len(history) == 3:
            key = jnp.copy(midway.state.key)
            arrays = midway._replace(state=replace(midway.state, key=0))
            place.append((jax.tree.map(np.array, arrays), key))
            raise _Stopped

    with pytest.raises(_Stopped):
        compare(*arguments, label_noise=0.2, on_progress=on_progress, on_midway=on_midway)
    assert history == whole.history[:3]

    def restore(start):
        if not place:
            return None
        arrays, key = place.pop()
        return arrays._replace(state=replace(jax.tree.map(jnp.array, arrays.state), key=key))

    result = compare(*arguments, label_noise=0.2, history=history, restore=restore)
    assert result == whole and not place


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("seeds", {"seeds": ()}),
        ("seeds", {"seeds": (1, 1)}),
        ("seeds", {"seeds": (-1,)}),
        ("losses", {"losses": {}}),
        ("train_size", {"train_size": 151}),
        ("train_size", {"train_size": 101, "holdout_size": 50}),
        ("batch_size", {"train_size": 15}),
        ("holdout_size", {"holdout_size": -1}),
        ("holdout_size", {"holdout_size": 150}),
        ("label_noise", {"label_noise": 1.1}),
        ("noise_kind", {"noise_kind": "pink"}),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_named_before_anything_is_trained(field, wrong):
    arguments = {"losses": LOSSES, "config": MLP, "seeds": (0,), "on_start": pytest.fail, **wrong}
    with pytest.raises(OptionError) as error:
        compare(toy(), **arguments)
    assert error.value.field == field


def test_a_loss_for_another_number_of_classes_is_refused_before_anything_is_trained():
    def ten_classes_only(logits, labels):
        if logits.shape[-1] != 10:
            raise EdlError("made for 10 classes")

    losses = {"first": cross_entropy, "second": ten_classes_only}
    with pytest.raises(EdlError, match="made for 10 classes"):
        compare(toy(), losses, MLP, [0], on_start=pytest.fail)
    with pytest.raises(EdlError, match="made for 10 classes"):
        require_fit(toy(), losses, MLP)


# --- paired differences ------------------------------------------------------------------------


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
