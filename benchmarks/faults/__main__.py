"""Faults of long runs, done on purpose and counted: kills, damaged files, bad options.

Kills: SIGKILL at random moments of pretrain and transfer runs that write checkpoints as often as
they can; each run is then resumed and compared, byte by byte, with one that was never stopped.
Lost work: directories of others, outputs that nobody reads, signals, resuming elsewhere.
Damage: see :mod:`benchmarks.faults.fuzzing`. Options: see :mod:`benchmarks.faults.command_lines`.
Memory: a search of 100,000 generations, watched from outside.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.config import FaultsConfig
from edl_jax import cli
from edl_jax.files import write_json

PROG = "python -m benchmarks.faults"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(FaultsConfig, args, prog=PROG)

    from benchmarks.common.results_file import meta, results_path
    from benchmarks.faults.cells import QUICK, Amounts, sections

    output = results_path("faults", config.output, config.quick)
    output.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"meta": meta(), "results": {}}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(work / "compilations")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["XDG_CACHE_HOME"] = str(work / "cache")
        for section, counts in sections(QUICK if config.quick else Amounts(), work):
            results["results"][section] = counts
            write_json(output, results)
            print(f"{section}: " + ", ".join(f"{name} {value}" for name, value in counts.items()))


if __name__ == "__main__":
    cli.main(command)
