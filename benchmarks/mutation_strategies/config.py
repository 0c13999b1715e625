"""The options of ``python -m benchmarks.mutation_strategies``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.errors import require_int


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
        require_int("num_seeds", self.num_seeds, 2, 10_000)
        require_int("num_tuning_seeds", self.num_tuning_seeds, 2, 10_000)
        require_int("jobs", self.jobs, 1, 1024)
