"""The speed of this machine's accelerator in the search, of the losses and of training with them.

    python -m benchmarks.accelerator --minutes 8 --data-dir DIR

measures, in this order and each written to the results file as it ends: the device's own peaks;
generations a second of the search and of evosax's loop; a rehearsal of many candidates at once; the
losses by themselves; a training step with them; larger populations; and then, for half of the time
at least, CIFAR-10 with a ResNet-18 on noisy and on clean labels. What does not fit into the time is
left out with a line that says so.
"""

import time
from collections.abc import Sequence

from benchmarks.accelerator.config import FULL, QUICK, AcceleratorConfig
from benchmarks.common.results_file import ResultsFile, read_results, results_path
from edl_jax import cli

PROG = "python -m benchmarks.accelerator"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    began = time.perf_counter()
    config = cli.parse(AcceleratorConfig, args, prog=PROG)
    output = results_path("accelerator", config.output, config.quick)

    from benchmarks.accelerator.cells import KEY, Measurements
    from benchmarks.accelerator.measure import Budget
    from benchmarks.accelerator.table import markdown

    budget = Budget(config.minutes, spent=time.perf_counter() - began)
    sizes = QUICK if config.quick else FULL
    results = ResultsFile(output, KEY)
    Measurements(config, sizes, budget).measure_all(results)
    if results.rows:
        print(markdown(read_results(output)))


if __name__ == "__main__":
    cli.main(command)
