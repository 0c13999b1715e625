"""Finished runs as rows: one a search, one a loss and seed, ready to be compared."""

import json

import pytest

import edl_jax
from edl_jax.errors import EdlError


def write(path, command, config, summary):
    path.mkdir(parents=True)
    started = {"command": command, "working_dir": "/", "sources": {"strategy a.py:b": "0"}}
    (path / "config.json").write_text(json.dumps({**started, **config}))
    (path / "summary.json").write_text(json.dumps({**summary, "environment": {"jax": "1"}}))


@pytest.fixture
def sweep(tmp_path):
    """Two searches and a comparison in one directory, and a run that is not finished."""
    for seed, tau in ((0, 0.5), (1, 0.25)):
        config = {"seed": seed, "objective": {"rehearsal": 1.0}, "more_classes": [2, 100]}
        summary = {"seed": seed, "held_out_tau": tau, "gains": {"short": 0.1}, "wall_time_s": 2.0}
        write(tmp_path / "searches" / f"seed-{seed}", "pretrain", config, summary)
    rows = [
        {"loss": loss, "seed": seed, "test_accuracy": accuracy}
        for loss, accuracies in {"gce": (0.5, 0.75), "brier": (0.25, 0.25)}.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    config = {"loss": ["gce", "brier"], "seeds": [0, 1], "width": 8}
    summary = {"rows": rows, "paired_differences": [], "seeds": [0, 1], "wall_time_s": 1.0}
    write(tmp_path / "comparison", "transfer", config, summary)
    (tmp_path / "searches" / "half").mkdir()
    (tmp_path / "searches" / "half" / "config.json").write_text("{}")
    return tmp_path


def test_a_search_is_a_row_of_its_options_and_figures(sweep):
    rows = edl_jax.read_runs(sweep / "searches")

    assert rows[0] == {
        "run": str(sweep / "searches" / "seed-0"),
        "command": "pretrain",
        "seed": 0,
        "objective.rehearsal": 1.0,
        "more_classes": (2, 100),
        "held_out_tau": 0.5,
        "gains.short": 0.1,
        "sources.strategy a.py:b": "0",
        "wall_time_s": 2.0,
    }
    assert [row["seed"] for row in rows] == [0, 1]


def test_a_comparison_is_a_row_for_each_loss_and_seed(sweep):
    rows = edl_jax.read_runs([str(sweep / "comparison")])

    assert [(row["loss"], row["seed"], row["width"]) for row in rows] == [
        *(("gce", seed, 8) for seed in (0, 1)),
        *(("brier", seed, 8) for seed in (0, 1)),
    ]
    assert {"seeds", "rows", "environment"}.isdisjoint(rows[0])
    gce, brier = ([row for row in rows if row["loss"] == name] for name in ("gce", "brier"))
    assert edl_jax.compare(gce, brier).mean == 0.375


def test_a_run_that_is_named_twice_is_read_once(sweep):
    assert len(edl_jax.read_runs([sweep, sweep / "searches"])) == 6


@pytest.mark.parametrize("content", ["{", '{"rows": 3}', '{"rows": [3]}'])
def test_a_damaged_summary_is_one_line(sweep, content):
    (sweep / "comparison" / "summary.json").write_text(content)

    with pytest.raises(EdlError, match=r"summary.json: damaged"):
        edl_jax.read_runs(sweep)


@pytest.mark.parametrize("path", ["searches/half", "nowhere"])
def test_a_directory_without_a_finished_run_is_refused(sweep, path):
    with pytest.raises(EdlError, match=f"{path}: expected a directory that holds finished runs"):
        edl_jax.read_runs(sweep / path)
