"""The options of ``python -m benchmarks.throughput``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.errors import require, require_int, require_number, require_one_of

NAMES = ("edl_jax", "edl_jax_one_device", "evosax_loop", "evosax_loop_tuned", "evotorch", "numpy")


@dataclass(frozen=True)
class ThroughputConfig:
    """Measure generations a second of the same search in several implementations."""

    implementations: tuple[str, ...] = NAMES
    """Implementations to compare; evotorch is left out where it is not there, which a line says."""
    population_sizes: tuple[int, ...] = (64, 512)
    """Candidates in a generation, one measurement each."""
    repeats: int = 5
    """How often each implementation has its turn."""
    seconds: float = 2.0
    """Length of a turn, about."""
    output: Path | None = None
    """Results file; benchmarks/results/throughput.json, or with --quick one in runs/."""
    quick: bool = False
    """One small population, three short turns, few sizes: under 60 seconds."""

    def __post_init__(self) -> None:
        for name in self.implementations:
            require_one_of("implementations", name, NAMES)
        require(len(self.implementations) > 0, "implementations", "", "at least one name")
        for size in self.population_sizes:
            ok = 4 <= size <= 1_000_000 and size % 2 == 0
            require(ok, "population_sizes", size, "even numbers from 4 to 1,000,000")
        require(len(self.population_sizes) > 0, "population_sizes", "", "at least one size")
        require_int("repeats", self.repeats, 1, 10_000)
        require_number("seconds", self.seconds, 0, 3600, ends="(]")
