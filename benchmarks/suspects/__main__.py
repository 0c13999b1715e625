"""How many wrong labels are found, and how many of those found are wrong, beside cleanlab?

    python -m benchmarks.suspects --data-dir DIR

Trains an MLP on Fashion-MNIST with labels made wrong, and judges the labels by its predictions on
the same images: by the margin, as ``python -m edl_jax.suspects`` does, and by cleanlab's confident
learning (Northcutt et al., arXiv 1911.00068). What the results file holds already is not run again.
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.suspects.config import SuspectsBenchmarkConfig
from edl_jax import cli
from edl_jax.errors import require_package

PROG = "python -m benchmarks.suspects"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(SuspectsBenchmarkConfig, args, prog=PROG)

    require_package(PROG, "cleanlab", "bench")

    from benchmarks.common.results_file import results_path
    from benchmarks.suspects.cells import run
    from benchmarks.suspects.table import markdown

    if config.quick:
        config = replace(config, losses=("edl-robust",), noise=("0.4",), seeds=(0, 1))
    print(markdown(run(config, results_path("suspects", config.output, config.quick))))


if __name__ == "__main__":
    cli.main(command)
