"""The options of ``python -m benchmarks.suspects``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.errors import require
from edl_jax.training.config import require_seeds

NOISE: dict[str, tuple[float, str]] = {
    "0": (0.0, "symmetric"),
    "0.2": (0.2, "symmetric"),
    "0.4": (0.4, "symmetric"),
    "0.4a": (0.4, "asymmetric"),
}
RATES = {"edl-robust": 0.03, "nce_agce": 0.03, "cross_entropy": 0.003}
"""Each loss's learning rate, the one that ``benchmarks.transfer_losses`` chose for it on held-out
training images with 40 % of the labels replaced."""


@dataclass(frozen=True)
class SuspectsBenchmarkConfig:
    """Find wrong labels of Fashion-MNIST by what an MLP says of the images it was trained on."""

    losses: tuple[str, ...] = tuple(RATES)
    """Losses that train the MLP."""
    noise: tuple[str, ...] = tuple(NOISE)
    """Label noise levels: a rate, followed by a for asymmetric noise."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of images, noise and training."""
    data_dir: Path | None = None
    """Directory of prepared tfds data sets, tfds' own by default."""
    output: Path | None = None
    """Results file; benchmarks/results/suspects.json, or with --quick one in runs/."""
    quick: bool = False
    """The synthetic set of the package, one loss, one level of noise, two seeds."""

    def __post_init__(self) -> None:
        for name in self.losses:
            require(name in RATES, "losses", name, f"one of {', '.join(RATES)}")
        for level in self.noise:
            require(level in NOISE, "noise", level, f"one of {', '.join(NOISE)}")
        require_seeds(self.seeds)
