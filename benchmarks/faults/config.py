"""The options of ``python -m benchmarks.faults``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FaultsConfig:
    """Kill runs, damage files, mistype options and run for long; count what comes of it."""

    output: Path | None = None
    """Results file; benchmarks/results/faults.json, or with --quick one in runs/."""
    quick: bool = False
    """A few of each, in a minute or two."""
