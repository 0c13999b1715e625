"""Does rehearsal predict which loss trains best on real images?

    python -m benchmarks.rehearsal --data-dir DIR

Trains students on synthetic tasks with many losses, and classifiers on real images with the same,
and compares how both rank the losses. A call ends after ``--minutes``; the next one goes on.
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.rehearsal.config import RehearsalBenchmarkConfig
from edl_jax import cli
from edl_jax.startup import split_processors

PROG = "python -m benchmarks.rehearsal"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(RehearsalBenchmarkConfig, args, prog=PROG)

    if config.kinds == ("scaling",):
        split_processors()  # a device of each, as a search has them; training is timed by nobody

    from benchmarks.common.results_file import ResultsFile, results_path
    from benchmarks.rehearsal import cells
    from benchmarks.rehearsal.table import costs, markdown

    output = results_path("rehearsal", config.output, config.quick)
    if config.quick:
        losses, regimes = ("cross_entropy", "gce", "brier"), ("short_clean",)
        config = replace(config, losses=losses, regimes=regimes, kinds=("rehearsed",), num_tasks=2)
    results = ResultsFile(output, cells.KEY)
    missing = cells.run(config, results)
    print(markdown(results.rows))
    print(costs(results.rows))
    if missing:
        print(f"{missing} cells are missing: run the command again")


if __name__ == "__main__":
    cli.main(command)
