"""Does chaotic mutation beat Gaussian mutation? Marginal, dynamics and place, each by itself.

Every search has the same number of evaluations. Each operator's step size is chosen from one grid
on seeds that are then not used; 30 fresh seeds are measured, all in one compiled program. Searches
with the same seed share their first candidates, batches and held-out pairs. A search is scored on
fresh held-out pairs, never on its own fitness.

The step size with which the target is reached soonest, in the geometric mean, is an operator's own.
The target of a problem is what Gaussian mutation reaches after half of its generations: the median
over the tuning seeds, at the step size for which that is lowest.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common.results_file import RESULTS, ResultsFile
from benchmarks.common.side_by_side import run_side_by_side
from benchmarks.mutation_strategies.variants import ALL, CORE, GAUSSIAN, Variant
from edl_jax import cli
from edl_jax.errors import require, require_one_of

if TYPE_CHECKING:
    from benchmarks.mutation_strategies.searches import Curve, Shared

PROG = "python -m benchmarks.mutation_strategies"
VARIANT = ("strategy", "operator", "map", "marginal", "dynamics", "acts_on", "orbits", "schedule")
KEY = ("problem", *VARIANT, "stage", "step_size", "seed")


@dataclass(frozen=True)
class MutationStrategiesConfig:
    """Compare mutation operators at equal evaluations, each at its own best step size."""

    problems: tuple[str, ...] = ()
    """Problems to run, by name; all of them by default."""
    num_seeds: int = 30
    """Seeds that are measured."""
    num_tuning_seeds: int = 10
    """Other seeds, on which the step size is chosen."""
    jobs: int = 1
    """Problems that are run at the same time, each on its share of the processors."""
    output: Path | None = None
    """Results file; benchmarks/results/mutation_strategies.json, or with --quick one in runs/."""
    quick: bool = False
    """Two problems, three operators, five seeds, fewer generations: under 60 seconds."""

    def __post_init__(self) -> None:
        from benchmarks.mutation_strategies.problems import PROBLEMS

        for name in self.problems:
            require_one_of("problems", name, PROBLEMS)
        for name in ("num_seeds", "num_tuning_seeds"):
            value = getattr(self, name)
            require(2 <= value <= 10_000, name, value, "a whole number from 2 to 10,000")
        require(1 <= self.jobs <= 1024, "jobs", self.jobs, "a whole number from 1 to 1,024")


def generations_to(target: float, curve: "Curve", num_generations: int) -> list[int | None]:
    """Generations until each search's score first was at the target, or None."""
    from benchmarks.mutation_strategies.searches import check_every

    every = check_every(num_generations)
    found = []
    for scores in curve.scores:
        reached = np.flatnonzero(scores <= target)
        found.append(int(reached[0] + 1) * every if len(reached) else None)
    return found


def stagnated(target: float, scores: np.ndarray) -> bool:
    """Whether a search ended above the target without progress in its last quarter."""
    late = len(scores) - len(scores) // 4
    return bool(np.min(scores) > target and np.min(scores[late:]) >= 0.95 * np.min(scores[:late]))


def log_generations(generations: Sequence[int | None], num_generations: int) -> np.ndarray:
    """Logarithms of the generations to the target; a search that did not reach it had them all."""
    return np.log([num_generations if g is None else g for g in generations])


def run_variant(
    problem: Any,
    shared: "Shared",
    variant: Variant,
    target: float | None,
    config: MutationStrategiesConfig,
) -> tuple[float, list[dict[str, Any]]]:
    """The target, and the rows of one operator: a row a step size, then a row a seed."""
    import jax

    from benchmarks.mutation_strategies.searches import CHECKS, Curve, make_searches

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
    from benchmarks.mutation_strategies.problems import PRETRAINING, PROBLEMS
    from benchmarks.mutation_strategies.searches import make_shared

    problem = PROBLEMS[name]()
    if config.quick:
        problem = problem._replace(num_generations=100, step_sizes=problem.step_sizes[1:5])
    shared, results = make_shared(problem), ResultsFile(output, KEY)
    for variant in variants(name, config.quick):
        fields = variant.row()
        known = [row for row in rows_of(results.rows, name, fields) if row["stage"] == "test"]
        if len(known) >= config.num_seeds:
            continue
        target = None if variant == GAUSSIAN else target_of(results.rows, name)
        target, rows = run_variant(problem, shared, variant, target, config)
        measure = "discordance" if name in PRETRAINING else "error"
        common = {
            "problem": name,
            **fields,
            "target": target,
            "num_generations": problem.num_generations,
            "population_size": problem.population_size,
        }
        results.add_all(
            [
                {**common, **{measure if f == "score" else f: v for f, v in row.items()}}
                for row in rows
            ]
        )


def row_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is about: its problem and its operator."""
    return tuple(row[field] for field in ("problem", *VARIANT))


def variants(problem: str, quick: bool) -> list[Variant]:
    """What is compared on a problem: everything where losses are evolved."""
    from benchmarks.mutation_strategies.problems import PRETRAINING

    if quick:
        return [GAUSSIAN, Variant(), Variant(acts_on=("step_size",))]
    return ALL if problem in PRETRAINING else CORE


def rows_of(
    rows: Iterable[dict[str, Any]], problem: str, fields: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows of one operator on one problem."""
    wanted = {"problem": problem, **fields}
    return (row for row in rows if wanted.items() <= row.items())


def target_of(rows: Iterable[dict[str, Any]], problem: str) -> float:
    """The target that the Gaussian has set."""
    return float(next(rows_of(rows, problem, GAUSSIAN.row()))["target"])


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    from benchmarks.mutation_strategies.problems import PROBLEMS
    from benchmarks.mutation_strategies.table import print_table

    config = cli.parse(MutationStrategiesConfig, args, prog=PROG)
    names = config.problems or (("symmetric-small", "sphere") if config.quick else tuple(PROBLEMS))
    output = config.output or RESULTS / "mutation_strategies.json"
    if config.quick:
        config = MutationStrategiesConfig(config.problems, 5, 3, config.jobs, config.output, True)
        output = config.output or Path("runs/mutation_strategies_quick.json")
    results = ResultsFile(output, KEY)

    def done() -> int:
        results.read()
        cells = {row_key(row) for row in results.rows if row["stage"] == "test"}
        return sum(name in names for name, *_ in cells)

    run_side_by_side(
        config.jobs,
        [partial(run_problem, name, config, output) for name in names],
        done,
        sum(len(variants(name, config.quick)) for name in names),
        "searches",
    )
    print_table(output)


if __name__ == "__main__":
    cli.main(command)
