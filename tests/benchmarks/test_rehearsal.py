"""The benchmark of rehearsal: what it ranks, that it resumes, what its page says."""

import json
from dataclasses import replace

import pytest

from benchmarks.common.pages import DOCS
from benchmarks.common.results_file import ResultsFile, committed
from benchmarks.rehearsal import cells, table
from benchmarks.rehearsal.config import LOSSES, RehearsalBenchmarkConfig
from edl_jax.objective.tasks import Regime

SMALL = RehearsalBenchmarkConfig(
    losses=("cross_entropy", "gated-edl-robust-1"), regimes=("short_noisy",), kinds=("rehearsed",),
    num_tasks=1,
)  # fmt: skip


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(cells.REGIMES, "short_noisy", Regime(5, 0.4, num_train=64))


def test_the_page_shows_what_the_results_file_says():
    text = (DOCS / "rehearsal.md").read_text()
    assert table.page(text, committed("rehearsal")["rows"]) == text


def test_every_loss_of_the_benchmark_is_known():
    assert len(set(LOSSES)) == len(LOSSES) == 24
    for name in LOSSES:
        assert callable(cells.resolve(name))


def test_cells_that_are_in_the_file_are_not_run_again(tiny, tmp_path, monkeypatch):
    path = tmp_path / "rehearsal.json"
    assert cells.run(SMALL, ResultsFile(path, cells.KEY)) == 0
    rows = json.loads(path.read_text())["rows"]
    assert {(row["loss"], row["rate"]) for row in rows} == {
        (loss, rate) for loss in SMALL.losses for rate in cells.RATES
    }
    assert all(0 <= row["accuracy"] <= 1 for row in rows)

    monkeypatch.setattr(cells, "rehearsed", None)
    assert cells.run(SMALL, ResultsFile(path, cells.KEY)) == 0


def test_no_cell_begins_after_the_time_is_over(tiny, tmp_path):
    """Two losses, and the second one again on fresh tasks."""
    late = replace(SMALL, minutes=0.0)
    assert cells.run(late, ResultsFile(tmp_path / "rehearsal.json", cells.KEY)) == 3


def rows_of(kind, regime, accuracies, seed=cells.SEED):
    return [
        {"kind": kind, "regime": regime, "loss": loss, "rate": rate, "accuracy": accuracy}
        | {"seed": seed}
        for loss, each in accuracies.items()
        for rate, accuracy in zip(cells.RATES, each, strict=True)
    ]


def test_losses_are_ranked_by_their_best_and_by_their_middle_rate():
    """Of three losses the last is best at its best rate, and worst at the one in the middle."""
    names = dict(zip("abc", LOSSES, strict=False))
    rehearsed = {"a": (0.1, 0.3, 0.4), "b": (0.2, 0.4, 0.5), "c": (0.0, 0.1, 0.9)}
    real = {"a": (0.4, 0.3, 0.1), "b": (0.2, 0.5, 0.4), "c": (0.6, 0.0, 0.1)}
    rehearsed, real = ({names[k]: v for k, v in of.items()} for of in (rehearsed, real))
    found = table.accuracies(
        rows_of("rehearsed", "long_noisy", rehearsed) + rows_of("real", "mlp_noisy", real)
    )

    for statistic, order in ((table.at_best, "abc"), (table.at_middle, "cab")):
        predicted = table.scores(found, "rehearsed", ("long_noisy",), statistic)
        assert sorted(predicted, key=predicted.get) == [names[k] for k in order]
        rho, number = table.correlation(
            predicted, table.scores(found, "real", ("mlp_noisy",), statistic)
        )
        assert (round(rho, 6), number) == (1.0, 3)


def test_regimes_are_chosen_with_half_of_the_losses_and_among_those_as_clean_or_noisy():
    """The other half, and a clean regime that ranks as the noisy one does, would say otherwise."""
    rows = []
    for losses, right in ((table.CHOOSING, "long_noisy"), (table.SHOWN, "short_noisy")):
        rising = {loss: (i / 20,) * 3 for i, loss in enumerate(losses)}
        falling = {loss: (1 - i**2 / 200,) * 3 for i, loss in enumerate(losses)}
        rows += rows_of("real", "mlp_noisy", rising)
        for regime in ("long_noisy", "short_noisy", "long_clean"):
            agrees = regime in (right, "long_clean")
            rows += rows_of("rehearsed", regime, rising if agrees else falling)

    assert table.chosen(table.accuracies(rows), "mlp_noisy") == ("long_noisy",)


def test_it_is_drawn(tmp_path):
    table.plot(committed("rehearsal")["rows"], tmp_path / "rehearsal.png")
    assert (tmp_path / "rehearsal.png").stat().st_size > 10_000
