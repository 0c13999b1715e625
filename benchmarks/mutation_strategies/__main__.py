"""Does chaotic mutation beat Gaussian mutation? Marginal, dynamics and place, each by itself.

Every search has the same number of evaluations. Each operator's step size is chosen from one grid
on seeds that are then not used; 30 fresh seeds are measured, all in one compiled program. Searches
with the same seed share their first candidates, batches and held-out pairs. A search is scored on
fresh held-out pairs, never on its own fitness. See :mod:`benchmarks.mutation_strategies.cells`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.common.side_by_side import run_side_by_side
from benchmarks.mutation_strategies.config import MutationStrategiesConfig
from edl_jax import cli
from edl_jax.errors import require_one_of

PROG = "python -m benchmarks.mutation_strategies"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(MutationStrategiesConfig, args, prog=PROG)

    from benchmarks.common.results_file import ResultsFile, results_path
    from benchmarks.mutation_strategies.cells import KEY, row_key, run_problem, variants
    from benchmarks.mutation_strategies.problems import PROBLEMS
    from benchmarks.mutation_strategies.table import print_table

    for name in config.problems:
        require_one_of("problems", name, PROBLEMS)
    names = config.problems or (("symmetric-small", "sphere") if config.quick else tuple(PROBLEMS))
    if config.quick:
        config = replace(config, num_seeds=5, num_tuning_seeds=3)
    output = results_path("mutation_strategies", config.output, config.quick)
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
