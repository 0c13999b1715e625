"""The cells of ``mutation_strategies``: each operator tuned on some seeds, measured on others.

The step size with which the target is reached soonest, in the geometric mean, is an operator's own.
The target of a problem is what Gaussian mutation reaches after half of its generations: the median
over the tuning seeds, at the step size for which that is lowest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.common.results_file import ResultsFile, Row
from benchmarks.mutation_strategies.config import MutationStrategiesConfig
from benchmarks.mutation_strategies.problems import PRETRAINING, PROBLEMS, Problem
from benchmarks.mutation_strategies.scores import (
    CHECKS,
    Curve,
    generations_to,
    log_generations,
    stagnated,
)
from benchmarks.mutation_strategies.searches import Shared, make_searches, make_shared
from benchmarks.mutation_strategies.variants import ALL, CORE, FEW, FIELDS, GAUSSIAN, Variant

KEY = ("problem", *FIELDS, "stage", "step_size", "seed")


def run_variant(
    problem: Problem,
    shared: Shared,
    variant: Variant,
    target: float | None,
    config: MutationStrategiesConfig,
) -> tuple[float, list[Row]]:
    """The target, and the rows of one operator: a row a step size, then a row a seed."""
    searches = make_searches(problem, variant)
    grid = problem.step_sizes if variant.strategy != "ChaoticEvolution" else (1.0,)
    tuning = [10_000 + seed for seed in range(config.num_tuning_seeds)]

    def run(pairs: Sequence[tuple[float, int]]) -> Curve:
        """One search for each step size and seed, as many at a time as there are seeds."""
        at_once = config.num_seeds
        padded = [*pairs, *[pairs[-1]] * (-len(pairs) % at_once)]
        parts = []
        for i in range(0, len(padded), at_once):
            step_sizes, seeds = zip(*padded[i : i + at_once], strict=True)
            keys = jax.vmap(jax.random.key)(np.array(seeds))
            found = searches(np.array(step_sizes, np.float32), keys, shared.draw(keys))
            parts.append(shared.score(found, keys))
        whole = (np.concatenate(x)[: len(pairs)] for x in zip(*parts, strict=True))
        return Curve(*(np.nan_to_num(x, nan=np.inf) for x in whole))

    curve = run([(size, seed) for size in grid for seed in tuning])
    curves = {
        size: Curve(*(x[i * len(tuning) : (i + 1) * len(tuning)] for x in curve))
        for i, size in enumerate(grid)
    }
    if target is None:
        halfway = [np.median(curves[size].scores[:, CHECKS // 2 - 1]) for size in grid]
        target = float(min(halfway))
    total = problem.num_generations
    rows, costs = [], {}
    for size, tuned in curves.items():
        reached = generations_to(target, tuned, total)
        costs[size] = (log_generations(reached, total).mean(), float(np.median(tuned.final)))
        rows.append(
            {
                "stage": "tuning",
                "step_size": size,
                "seed": None,
                "score": costs[size][1],
                "generations_to_target": float(np.exp(costs[size][0])),
            }
        )
    best = min(grid, key=lambda size: costs[size])
    curve = run([(best, seed) for seed in range(config.num_seeds)])
    reached = generations_to(target, curve, total)
    for seed in range(config.num_seeds):
        rows.append(
            {
                "stage": "test",
                "step_size": best,
                "seed": seed,
                "score": float(curve.final[seed]),
                "generations_to_target": reached[seed],
                "stagnated": stagnated(target, curve.scores[seed]),
            }
        )
    return target, rows


def run_problem(name: str, config: MutationStrategiesConfig, output: Path) -> None:
    """Run what is still missing of one problem; the Gaussian first, for it sets the target."""
    problem = PROBLEMS[name]()
    config = replace(
        config,
        num_seeds=min(config.num_seeds, problem.most_seeds),
        num_tuning_seeds=min(config.num_tuning_seeds, problem.most_tuning_seeds),
    )
    if config.quick:
        problem = problem._replace(
            num_generations=min(100, problem.num_generations), step_sizes=problem.step_sizes[1:5]
        )
    shared, results = make_shared(problem), ResultsFile(output, KEY)
    for variant in variants(name, config.quick):
        fields = variant.row()
        known = [row for row in rows_of(results.rows, name, fields) if row["stage"] == "test"]
        if len(known) >= config.num_seeds:
            continue
        target = None if variant == GAUSSIAN else target_of(results.rows, name)
        target, rows = run_variant(problem, shared, variant, target, config)
        common = {
            "problem": name,
            **fields,
            "target": target,
            "num_generations": problem.num_generations,
            "population_size": problem.population_size,
        }
        results.add_all(
            [
                {**common, **{problem.measure if f == "score" else f: v for f, v in row.items()}}
                for row in rows
            ]
        )


def row_key(row: Row) -> tuple[object, ...]:
    """The key of a row: its problem and its operator."""
    return tuple(row[field] for field in ("problem", *FIELDS))


def variants(problem: str, quick: bool) -> list[Variant]:
    """The operators compared on a problem: everything where losses are evolved by ranking."""
    if problem == "rehearsal":
        return FEW
    if quick:
        return [GAUSSIAN, Variant(), Variant(acts_on=("step_size",))]
    return ALL if problem in PRETRAINING else CORE


def rows_of(rows: Iterable[Row], problem: str, fields: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of one operator on one problem."""
    wanted = {"problem": problem, **fields}
    return (row for row in rows if wanted.items() <= row.items())


def target_of(rows: Iterable[Row], problem: str) -> float:
    """The target that the Gaussian has set."""
    return float(next(rows_of(rows, problem, GAUSSIAN.row()))["target"])
