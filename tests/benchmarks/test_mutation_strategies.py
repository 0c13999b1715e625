"""The comparison of mutation strategies: its statistics, its fairness, its tables."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from benchmarks.common.pages import with_blocks
from benchmarks.common.results_file import committed
from benchmarks.mutation_strategies import plot, summary, table
from benchmarks.mutation_strategies.__main__ import command
from benchmarks.mutation_strategies.cells import run_variant
from benchmarks.mutation_strategies.config import MutationStrategiesConfig
from benchmarks.mutation_strategies.problems import PROBLEMS, Problem
from benchmarks.mutation_strategies.scores import (
    CHECKS,
    Curve,
    generations_to,
    log_generations,
    stagnated,
)
from benchmarks.mutation_strategies.searches import make_searches, make_shared
from benchmarks.mutation_strategies.variants import ALL, CORE, FEW, GAUSSIAN, GRADIENT, Variant
from edl_jax import plots


def quadratic(num_generations=50):
    """A cheap problem: a noisy sphere whose score is exact."""
    return Problem(
        population_size=8,
        num_generations=num_generations,
        step_sizes=(0.01, 0.3),
        init=lambda key: jax.random.normal(key, (3,)) + 3.0,
        sample=lambda key: key,
        evaluate=lambda x, key: jnp.sum(x**2) + 0.1 * jax.random.normal(key),
        score=lambda x, key, num_pairs: jnp.sum(x**2),
        measure="error",
    )


def curve(variant, step_sizes, keys):
    """Scores on the way and at the end, of one search for each step size and key."""
    problem = quadratic()
    shared = make_shared(problem)
    found = make_searches(problem, variant)(step_sizes, keys, shared.draw(keys))
    return shared.score(found, keys)


def test_a_search_in_units_of_the_step_size_is_a_search_with_that_step_size():
    """One compiled program serves the whole grid: ES is equivariant under scaling."""
    keys = jax.vmap(jax.random.key)(np.array([5, 5]))
    scores, final = curve(GAUSSIAN, np.array([0.01, 0.3], np.float32), keys)

    assert scores.shape == (2, CHECKS)
    first = np.asarray(scores[:, 0])
    # Same seed, same start: the smaller step has hardly moved, the larger one has.
    start = float(np.sum(np.square(_start(5))))
    assert abs(first[0] - start) < 0.2
    assert final[1] < 0.1 * start < final[0]


def _start(seed):
    start_key = jax.random.split(jax.random.key(seed), 5)[0]
    return np.asarray(quadratic().init(jax.random.split(start_key, 8)[0]))


def test_the_step_size_is_chosen_on_seeds_that_are_not_measured():
    config = MutationStrategiesConfig(num_seeds=4, num_tuning_seeds=3)
    target, rows = run_variant(quadratic(), make_shared(quadratic()), GAUSSIAN, None, config)
    tuning = [row for row in rows if row["stage"] == "tuning"]
    test = [row for row in rows if row["stage"] == "test"]

    assert [row["step_size"] for row in tuning] == [0.01, 0.3]
    assert [row["seed"] for row in test] == [0, 1, 2, 3]
    assert {row["step_size"] for row in test} == {0.3}
    reached = [row["generations_to_target"] for row in test]
    assert any(g is not None and 1 <= g <= 50 for g in reached)
    assert target > 0


def test_searches_with_one_seed_share_their_start():
    keys = jax.vmap(jax.random.key)(np.arange(3))
    tiny = np.full(3, 1e-6, np.float32)
    scores = [curve(v, tiny, keys)[0][:, 0] for v in (GAUSSIAN, Variant())]

    np.testing.assert_allclose(*scores, rtol=1e-4)
    np.testing.assert_allclose(
        scores[0], [np.sum(np.square(_start(seed))) for seed in range(3)], rtol=1e-4
    )


def test_generations_are_counted_to_the_first_check_at_the_target():
    scores = np.full((3, CHECKS), 5.0)
    scores[0, 4:] = 1.0
    scores[1, 0] = 0.0
    curve = Curve(scores, scores[:, -1])

    assert generations_to(1.0, curve, 200) == [20, 4, None]


def test_a_search_that_never_reaches_the_target_had_all_generations():
    np.testing.assert_allclose(np.exp(log_generations([10, 20, None], 100)), [10, 20, 100])


@pytest.mark.parametrize(
    ("tail", "expected"), [(5.0, True), (4.0, False), (0.5, False)], ids=["flat", "moving", "there"]
)
def test_a_search_stagnates_that_ends_above_the_target_without_late_progress(tail, expected):
    scores = np.concatenate([np.full(40, 5.0), np.full(10, tail)])

    assert stagnated(1.0, scores) is expected


def test_the_interquartile_mean_leaves_a_quarter_out_on_both_sides():
    values = np.random.default_rng(0).normal(size=40)

    assert summary.interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def rows(variant, scores, reached, problem="symmetric"):
    return [
        {
            "problem": problem,
            **variant.row(),
            "stage": "test",
            "step_size": 0.1,
            "seed": seed,
            "discordance": score,
            "generations_to_target": generations,
            "stagnated": generations is None,
            "target": 0.1,
            "num_generations": 100,
            "commit": None,
        }
        for seed, (score, generations) in enumerate(zip(scores, reached, strict=True))
    ]


def test_an_operator_is_compared_with_the_gaussian_seed_by_seed():
    noise = np.random.default_rng(0).normal(size=30)
    base = rows(GAUSSIAN, 0.5 + noise, [50] * 30)
    better = rows(Variant(), 0.4 + noise, [25] * 29 + [None])
    reference, line = summary.summarise(base + better[::-1])

    assert (reference["name"], line["name"]) == ("Gaussian", "direction")
    assert line["difference"] == pytest.approx(-0.1)
    assert line["interval"] == pytest.approx((-0.1, -0.1))
    assert line["ratio"] == pytest.approx((0.5**29 * 2) ** (1 / 30))
    assert line["ratio_interval"][0] <= line["ratio"] <= line["ratio_interval"][1]
    assert line["stagnated"] == pytest.approx(1 / 30)
    assert line["p"] < 1e-5


def test_no_difference_is_no_finding():
    noise = np.random.default_rng(0).normal(size=(2, 30))
    lines = summary.summarise(
        rows(GAUSSIAN, noise[0], [50] * 30)
        + rows(Variant(), noise[1], [50] * 30)
        + rows(Variant(dynamics="iid"), noise[0], [50] * 30)
    )

    assert lines[1]["p"] > 0.05
    assert lines[2]["p"] == 1
    assert lines[1]["ratio_interval"] == (1, 1)


def test_the_short_table_does_not_let_controls_win():
    members = {GAUSSIAN: 50, Variant(): 48, Variant(dynamics="iid"): 5}
    members |= {Variant(acts_on=("step_size",)): 40, Variant(acts_on=("switch",)): 45}
    all_rows = [r for v, g in members.items() for r in rows(v, np.arange(30.0), [g] * 30)]
    kept = summary.shortened(summary.summarise(all_rows))

    assert [line["name"] for line in kept] == ["Gaussian", "direction", "step size"]


def test_no_interval_is_outside_the_picture(monkeypatch):
    members = {GAUSSIAN: 10, Variant(): 1, Variant(acts_on=("switch",)): 100}
    all_rows = [r for v, g in members.items() for r in rows(v, np.arange(30.0), [g] * 30)]
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    plot.draw_intervals(summary.summarise(all_rows), Path("unused"))
    low, high = figures[0].axes[0].get_xlim()

    assert (low, high) == pytest.approx((0.1, 10))


def test_names_tell_the_operators_apart():
    assert len({variant.name for variant in ALL}) == len(ALL)
    assert set(CORE) <= set(ALL)
    assert set(FEW) <= set(ALL)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "deepset" not in name])
def test_every_problem_gives_finite_fitness_and_a_score(name):
    problem = PROBLEMS[name]()
    keys = jax.random.split(jax.random.key(0), 3)
    candidate = jax.jit(problem.init)(keys[0])
    judge = jax.jit(lambda key: problem.evaluate(candidate, problem.sample(key)))
    fitness, again = judge(keys[1]), judge(keys[2])

    assert np.isfinite(fitness)
    deterministic = name in ("sphere", "rosenbrock", "rastrigin", "ellipsoidal")
    assert (float(fitness) == float(again)) == deterministic
    assert float(problem.score(candidate, keys[2], 64)) >= 0


def test_rehearsal_has_a_smooth_stand_in_whose_gradient_is_finite_and_improves_students():
    problem = PROBLEMS["rehearsal"]()
    instance = problem.sample(jax.random.key(1))
    candidate = problem.init(jax.random.key(0))
    smooth = jax.jit(jax.value_and_grad(problem.smooth))

    before, slope = smooth(candidate, instance)
    size = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(slope))
    moved = jax.tree.map(lambda x, g: x - 0.02 * g / jnp.sqrt(size), candidate, slope)

    assert np.isfinite(float(size)) and float(size) > 0
    assert float(smooth(moved, instance)[0]) < float(before)


def test_descents_reach_a_smooth_minimum():
    problem = PROBLEMS["sphere"]()._replace(num_generations=50)
    # With seed 0 a descent would begin at the minimum, which evosax draws from that key.
    keys = jax.vmap(jax.random.key)(np.arange(1, 3))
    shared = make_shared(problem)

    found = make_searches(problem, GRADIENT)(jnp.float32([0.4, 0.4]), keys, shared.draw(keys))

    scores, final = shared.score(found, keys)
    assert np.all(np.asarray(final) < 1e-2 * np.asarray(scores)[:, 0])


def test_a_quick_run_fills_a_file_once(tmp_path, capsys):
    path = tmp_path / "results.json"
    args = ["--quick", "--problems", "sphere", "--output", str(path)]
    command(args)
    first = json.loads(path.read_text())
    command(args)

    assert json.loads(path.read_text()) == first
    row = next(row for row in first["rows"] if row["stage"] == "test")
    assert {"problem", "operator", "map", "marginal", "dynamics", "acts_on"} <= row.keys()
    assert {"step_size", "seed", "error", "generations_to_target"} <= row.keys()
    assert "| sphere | direction |" in capsys.readouterr().out


def test_the_page_shows_what_the_results_file_says():
    content, page = committed("mutation_strategies"), table.PAGE.read_text()
    blocks = table.blocks(content, summary.summarise(content["rows"]))
    assert with_blocks(page, blocks) == page
