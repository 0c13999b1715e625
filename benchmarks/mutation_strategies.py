"""Does chaotic mutation beat Gaussian mutation? Marginal, dynamics and place, each by itself.

Every search has the same number of evaluations. Each operator's step size is chosen from one grid
on seeds that are then not used; 30 fresh seeds are measured, all in one compiled program. Searches
with the same seed share their first candidates, batches and held-out pairs. A search is scored on
fresh held-out pairs, never on its own fitness.

The step size with which the target is reached soonest, in the geometric mean, is an operator's own.
The target of a problem is what Gaussian mutation reaches after half of its generations: the median
over the tuning seeds, at the step size for which that is lowest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.mutation_variants import ALL, CORE, GAUSSIAN, Variant
from benchmarks.results_file import RESULTS, ResultsFile
from benchmarks.side_by_side import run_side_by_side
from edl_jax import cli
from edl_jax.errors import require, require_one_of

PROG = "python -m benchmarks.mutation_strategies"
VARIANT = ("strategy", "operator", "map", "marginal", "dynamics", "acts_on", "orbits", "schedule")
KEY = ("problem", *VARIANT, "stage", "step_size", "seed")
FINAL_SHARE = 0.1  # where schedules that fall end, as a share of where they start
CHECKS = 50  # how often a search is scored on its way
MONITOR_PAIRS, FINAL_PAIRS = 512, 2048


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
        from benchmarks.mutation_problems import PROBLEMS

        for name in self.problems:
            require_one_of("problems", name, PROBLEMS)
        for name in ("num_seeds", "num_tuning_seeds"):
            value = getattr(self, name)
            require(2 <= value <= 10_000, name, value, "a whole number from 2 to 10,000")
        require(1 <= self.jobs <= 1024, "jobs", self.jobs, "a whole number from 1 to 1,024")


class Curve(NamedTuple):
    """What searches reached.

    Attributes:
      scores: ``(runs, checks)``, the incumbent's score at equal distances, the end included.
      final: ``(runs,)``, its score at the end on more pairs.
    """

    scores: np.ndarray
    final: np.ndarray


class Shared(NamedTuple):
    """What all operators share on a problem: compiled once, and the same for each seed.

    Attributes:
      draw: ``keys -> instances``, what each search is judged on in each generation; leaves lead
        with ``(runs, num_generations)``.
      score: ``(found, keys) -> (scores, final)``, the fields of :class:`Curve`; the leaves of
        ``found`` lead with ``(runs, checks)``.
    """

    draw: Callable[[Any], Any]
    score: Callable[[Any, Any], tuple[Any, Any]]


def check_every(num_generations: int) -> int:
    """Generations between two scores."""
    return -(-num_generations // CHECKS)


def keys_of(key: Any) -> dict[str, Any]:
    """The keys of a search, from that of its seed."""
    import jax

    names = ("start", "first", "strategy", "score", "run")
    return dict(zip(names, jax.random.split(key, 5), strict=True))


def make_shared(problem: Any) -> Shared:
    """What is drawn and how it is scored, on ``problem``."""
    import jax
    import jax.numpy as jnp

    generations = CHECKS * check_every(problem.num_generations)

    def draw(key: jax.Array) -> Any:
        def instance(number: jax.Array) -> Any:
            keys = jax.random.split(jax.random.fold_in(keys_of(key)["run"], number), 3)
            return problem.sample(keys[0])

        return jax.lax.map(instance, jnp.arange(generations))

    def score(found: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = keys_of(key)["score"]
        scores = jax.lax.map(lambda x: problem.score(x, key, MONITOR_PAIRS), found)
        last = jax.tree.map(lambda leaf: leaf[-1], found)
        return scores, problem.score(last, jax.random.fold_in(key, 1), FINAL_PAIRS)

    return Shared(jax.jit(jax.vmap(draw)), jax.jit(jax.vmap(score)))


def make_searches(problem: Any, variant: Variant) -> Callable[[Any, Any, Any], Any]:
    """``(step_sizes, keys, instances) -> found``, one search for each, compiled once.

    ``found`` is what each search stands for at each check, its leaves leading with
    ``(runs, checks)``.
    """
    import jax
    import jax.numpy as jnp

    from edl_jax.mutation import make_mutation
    from edl_jax.strategies import incumbent, init_strategy, make_strategy, reevaluate
    from edl_jax.streams import make_stream

    chaos = (variant.map, variant.dynamics, variant.orbits)
    size = problem.population_size
    example = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(problem.init, jax.random.key(0))
    )
    strategy, params = make_strategy(
        variant.strategy,
        size,
        example,
        step_size=1.0,
        final_step_size=FINAL_SHARE,
        num_generations=problem.num_generations,
        schedule=variant.schedule,
        mutation=make_mutation(
            variant.operator, chaos[0], variant.marginal, *chaos[1:], variant.acts_on
        ),
        stream=make_stream(*chaos),
        acts_on=variant.acts_on if variant.operator == "chaotic" else (),
    )
    moves = variant.strategy != "ChaoticEvolution"

    def search(step_size: jax.Array, key: jax.Array, instances: Any) -> Any:
        keys = keys_of(key)
        starts = jax.vmap(problem.init)(jax.random.split(keys["start"], size))

        def candidate(relative: Any) -> Any:
            # A distribution is moved in units of the step size about its start, so that one
            # compiled program serves the whole grid.
            if not moves:
                return relative
            return jax.tree.map(lambda start, x: start[0] + step_size * x, starts, relative)

        def evaluate(population: Any, instance: Any) -> jax.Array:
            def one(relative: Any) -> jax.Array:
                return problem.evaluate(candidate(relative), instance)

            return jax.vmap(one)(population)

        def generation(state: Any, drawn: Any) -> tuple[Any, None]:
            number, instance = drawn
            run_keys = jax.random.split(jax.random.fold_in(keys["run"], number), 3)
            state = reevaluate(strategy, state, lambda known: evaluate(known, instance))
            population, state = strategy.ask(run_keys[1], state, params)
            fitness = evaluate(population, instance)
            return strategy.tell(run_keys[2], population, fitness, state, params)[0], None

        def stretch(state: Any, drawn: Any) -> tuple[Any, Any]:
            state, _ = jax.lax.scan(generation, state, drawn)
            return state, candidate(incumbent(strategy, state))

        def first_fitness(population: Any) -> jax.Array:
            return evaluate(population, problem.sample(keys["first"]))

        first = jax.tree.map(lambda x: 0 * x, starts) if moves else starts
        state = init_strategy(strategy, params, keys["strategy"], first, first_fitness)
        every = check_every(problem.num_generations)
        drawn = jax.tree.map(
            lambda leaf: leaf.reshape(CHECKS, every, *leaf.shape[1:]),
            (jnp.arange(CHECKS * every), instances),
        )
        return jax.lax.scan(stretch, state, drawn)[1]

    return jax.jit(jax.vmap(search))


def generations_to(target: float, curve: Curve, num_generations: int) -> list[int | None]:
    """Generations until each search's score first was at the target, or None."""
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
    shared: Shared,
    variant: Variant,
    target: float | None,
    config: MutationStrategiesConfig,
) -> tuple[float, list[dict[str, Any]]]:
    """The target, and the rows of one operator: a row a step size, then a row a seed."""
    import jax

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
    from benchmarks.mutation_problems import PRETRAINING, PROBLEMS

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
    from benchmarks.mutation_problems import PRETRAINING

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
    from benchmarks.mutation_problems import PROBLEMS
    from benchmarks.mutation_table import print_table

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
