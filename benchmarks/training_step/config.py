"""The options of ``python -m benchmarks.training_step``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.errors import require, require_int, require_one_of

MODELS = ("mlp", "resnet8", "resnet20")


@dataclass(frozen=True)
class TrainingStepConfig:
    """Time a training step under each loss, each loss alone, and the step in PyTorch."""

    models: tuple[str, ...] = MODELS
    """Networks whose step is timed: mlp, resnet8, resnet20; in PyTorch too, all but mlp."""
    width: int | None = None
    """Channels of the first stage, or hidden units of mlp; as published by default."""
    repeats: int = 20
    """How often each has its turn."""
    steps: int = 2
    """Steps in a turn."""
    output: Path | None = None
    """Results file; benchmarks/results/training_step.json, or with --quick one in runs/."""
    quick: bool = False
    """resnet8 of width 8, three short turns: under 60 seconds."""

    def __post_init__(self) -> None:
        for name in self.models:
            require_one_of("models", name, MODELS)
        require(len(self.models) > 0, "models", "", "at least one name")
        if self.width is not None:
            require_int("width", self.width, 1, 4096)
        require_int("repeats", self.repeats, 1, 10_000)
        require_int("steps", self.steps, 1, 10_000)
