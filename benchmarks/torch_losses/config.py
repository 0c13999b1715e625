"""The options of ``python -m benchmarks.torch_losses``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.errors import require_int


@dataclass(frozen=True)
class TorchLossesConfig:
    """Time each loss alone in PyTorch: value and gradient of its mean over a batch of 1,024."""

    repeats: int = 20
    """How often each has its turn."""
    output: Path | None = None
    """Results file; benchmarks/results/torch_losses.json, or with --quick one in runs/."""
    quick: bool = False
    """Ten classes, three short turns, nothing compiled: some seconds."""

    def __post_init__(self) -> None:
        require_int("repeats", self.repeats, 1, 10_000)
