"""Do the chaotic maps stay chaotic? Their orbits against what is known of the maps.

    python -m benchmarks.chaos

runs every map over 1,000 orbits of 100,000 steps, writes ``benchmarks/results/chaos.json``, the
table in ``docs/maps.md`` and the picture ``docs/chaos.png``. Some two minutes on one core. Cells
that the results file holds are not run again.
"""

from collections.abc import Sequence

from benchmarks.chaos.config import OrbitsConfig
from edl_jax import cli

PROG = "python -m benchmarks.chaos"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(OrbitsConfig, args, prog=PROG)

    from benchmarks.chaos import table
    from benchmarks.chaos.cells import KEY, measure
    from benchmarks.common.results_file import ResultsFile, results_path
    from edl_jax.chaos.maps import MAPS

    results = ResultsFile(results_path("chaos", config.output, quick=False), KEY)
    rows = []
    for name in MAPS:
        cell = {"map": name, "orbits": config.orbits, "steps": config.steps, "seed": config.seed}
        found = results.find(cell)
        if found is None:
            found = measure(name, config.orbits, config.steps, config.seed)
            results.add(found)
        rows.append(found)
    print(table.markdown(rows))
    if config.output is None:
        table.show(rows)


if __name__ == "__main__":
    cli.main(command)
