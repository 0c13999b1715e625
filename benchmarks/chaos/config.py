"""The options of ``python -m benchmarks.chaos``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.errors import require, require_int

CHUNK = 1000  # steps that are one call


@dataclass(frozen=True)
class OrbitsConfig:
    """Check that the chaotic maps follow their laws and never collapse."""

    orbits: int = 1000
    """Orbits of each map."""
    steps: int = 100_000
    """Length of each orbit, in thousands of steps."""
    seed: int = 0
    """Seed of the starts."""
    output: Path | None = None
    """Results file; without it benchmarks/results/chaos.json, and the page and picture too."""

    def __post_init__(self) -> None:
        require_int("orbits", self.orbits, 1)
        ok = self.steps >= CHUNK and self.steps % CHUNK == 0
        require(ok, "steps", self.steps, "a positive multiple of 1000")
