"""How many generations a second: this engine, other ways to write the same search, and the floor.

    python -m benchmarks.throughput

runs one pretraining problem in several implementations (see
:mod:`benchmarks.throughput.searches`), which take turns in every repeat, so that what disturbs the
machine disturbs all of them. Each has a process of its own: ``edl_jax`` one as its command line
settles it, with a device of each processor, and ``edl_jax_one_device``, like the others, one left
as JAX settles it. It then measures the least time that a generation's arithmetic takes
(:mod:`benchmarks.throughput.floor`) and how time and memory of ``edl_jax`` grow
(:mod:`benchmarks.throughput.scaling`).
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.throughput.config import ThroughputConfig
from edl_jax import cli
from edl_jax.errors import require

PROG = "python -m benchmarks.throughput"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(ThroughputConfig, args, prog=PROG)

    from benchmarks.common.results_file import Row, meta, results_path, write_rows
    from benchmarks.common.timing import hardware
    from benchmarks.throughput import floor, scaling
    from benchmarks.throughput.cells import rates, shares
    from benchmarks.throughput.problem import PROBLEM
    from benchmarks.throughput.searches import missing
    from benchmarks.throughput.table import markdown

    problem, axes, repeats, target = PROBLEM, scaling.AXES, scaling.REPEATS, scaling.TARGET
    if config.quick:
        problem, axes, repeats, target = replace(PROBLEM, batch_size=256), scaling.QUICK_AXES, 2, 0
        config = replace(config, population_sizes=(32,), repeats=3, seconds=0.2)
    names = []
    for name in config.implementations:
        if missing(name):
            print(f'{name} is left out: it needs {missing(name)}, pip install "edl_jax[bench]"')
        else:
            names.append(name)
    require(len(names) > 0, "implementations", " ".join(config.implementations), "one that is here")
    output = results_path("throughput", config.output, config.quick)
    output.parent.mkdir(parents=True, exist_ok=True)

    rows: list[Row] = []
    for size in config.population_sizes:
        for row in rates(problem, size, names, config.repeats, config.seconds):
            rows.append(row)
            rate = row["generations_per_second"]
            print(f"population {size}, {row['implementation']}: {rate:,.1f} generations/s")
    peak = floor.matmul_peak((512,) if config.quick else (1024, 2048))
    floors = []
    for size in config.population_sizes:
        found = floor.measure(replace(problem, population_size=size), peak)
        floors.append({**found, "share_reached": shares(found, rows)})
    grown = []
    for row in scaling.measure_all(problem, axes, repeats, target):
        grown.append(row)
        axis = row["axis"]
        print(f"{axis} {row[axis]:,}: {1e3 * row['seconds']:.2f} ms a generation")
    lists = {"floor": floors, "scaling": grown, "slopes": scaling.slopes(grown)}
    about = meta() | hardware("torch", "evotorch")
    write_rows(output, about, rows, **lists)
    print(markdown({"meta": about, "rows": rows, **lists}))


if __name__ == "__main__":
    cli.main(command)
