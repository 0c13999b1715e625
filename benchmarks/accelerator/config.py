"""The options of ``python -m benchmarks.accelerator``, and the sizes of what is measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edl_jax.errors import require_number, require_one_of
from edl_jax.training.config import TrainConfig

KINDS = ("device", "search", "evosax", "step", "loss", "rehearsal", "training")
LABEL_NOISE = 0.4


@dataclass(frozen=True)
class AcceleratorConfig:
    """Measure on this machine's accelerator, the most worthwhile first, until the time is up."""

    minutes: float = 8.0
    """Minutes that all of it may take, imports and compilation included."""
    kinds: tuple[str, ...] = KINDS
    """Kinds of measurements: device, search, evosax, step, loss, rehearsal, training."""
    data_dir: Path | None = None
    """Where CIFAR-10 is: the directory of the prepared sets of TensorFlow Datasets, or an .npz file
    of uint8 arrays train_images, train_labels, test_images and test_labels."""
    output: Path | None = None
    """Results file; benchmarks/results/accelerator.json, or with --quick one in runs/."""
    quick: bool = False
    """Everything in miniature, on random images: under 60 seconds on a CPU."""

    def __post_init__(self) -> None:
        require_number("minutes", self.minutes, 0.0, 24 * 60, ends="(]")
        for kind in self.kinds:
            require_one_of("kinds", kind, KINDS)


class Sizes(NamedTuple):
    """How large everything is that is measured.

    Attributes:
      matrices: side of the square matrix products that give the device's peak.
      populations: candidates of a search, and the generations that are one program of it.
      evosax: those populations that evosax's loop searches with too.
      pairs: of a generation.
      candidates: losses that are rehearsed at the same time.
      classes, batches: of a loss by itself.
      descents: steps of logit descent in one program, by which a loss by itself is timed.
      train: the training run; its epochs are the most that are trained.
      images, image_shape: of the training set that stands in where there is none.
      losses: that are trained with, in the order of their runs.
      seeds: of the runs, as many as the time allows.
      turns: how often everything is timed.
    """

    matrices: int
    populations: dict[int, int]
    evosax: tuple[int, ...]
    pairs: int
    candidates: tuple[int, ...]
    classes: tuple[int, ...]
    batches: tuple[int, ...]
    descents: int
    train: TrainConfig
    images: int
    image_shape: tuple[int, int, int]
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    turns: int


FULL = Sizes(
    matrices=8192,
    populations={64: 200, 512: 200, 4096: 50, 16384: 10, 65536: 3},
    evosax=(64, 512, 4096),
    pairs=1024,
    candidates=(64, 1024),
    classes=(10, 100, 1000),
    batches=(128, 4096),
    descents=200,
    train=TrainConfig("resnet18", width=64, epochs=30, batch_size=512, augment="crop-flip"),
    images=50_000,
    image_shape=(32, 32, 3),
    losses=("cross_entropy", "gce", "edl-robust", "edl-base"),
    seeds=(0, 1, 2, 3, 4),
    turns=3,
)
QUICK = Sizes(
    matrices=128,
    populations={8: 2, 16: 2},
    evosax=(8,),
    pairs=64,
    candidates=(2,),
    classes=(10,),
    batches=(16,),
    descents=2,
    train=TrainConfig("mlp", width=8, epochs=2, batch_size=16, augment="crop-flip"),
    images=64,
    image_shape=(8, 8, 3),
    losses=("cross_entropy", "edl-robust"),
    seeds=(0,),
    turns=1,
)
