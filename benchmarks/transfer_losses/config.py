"""The options of ``python -m benchmarks.transfer_losses``."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.transfer_losses.settings import SETTINGS
from edl_jax.errors import OptionError, require, require_int, require_one_of

TUNING_SEED = 1000
LOSSES = (
    "cross_entropy",
    "edl-base",
    "edl-robust",
    "gce",
    "symmetric_ce",
    "nce_rce",
    "bi_tempered",
    "brier",
    "focal",
    "label_smoothing",
    "poly1",
    "one_minus_p",
    "baikal",
    "taylor-base",
    "taylor-robust",
    "random-network",
    "best-random-network",
)


@dataclass(frozen=True)
class TransferLossesConfig:
    """Train with each loss at its own best learning rate, on clean and on noisy labels."""

    setting: str = "fashion-mlp"
    """Training problem: fashion-mlp, fashion-two (two classes), fashion-adamw, fashion-batch8,
    fashion-batch32, fashion-batch1024, fashion-resnet8, fashion-wrn, fashion-vit, fashion-mixer,
    cifar-resnet8, cifar-resnet8-long, cifar-resnet20, cifar100-resnet8, or clinc-mlp (150 classes
    of text)."""
    losses: tuple[str, ...] = LOSSES
    """Losses to compare, by name or path; the first one is the reference. taylor-base,
    taylor-robust, random-network and best-random-network are evolved or drawn on the spot;
    robust-gate-shut, robust-gate-open and robust-hand-gate are edl-robust with another gate."""
    noise: tuple[str, ...] = ("0", "0.2", "0.4", "0.6", "0.4a", "0.4i")
    """Label noise levels: a rate, or a rate followed by a for asymmetric or i for
    instance-dependent noise (0.4a, 0.4i). Clean labels come first in any case: the unaware
    protocol needs them."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds that are measured; the learning rate is chosen with another one."""
    jobs: int = 1
    """Losses that are trained with at the same time, each on its share of the processors."""
    data_dir: Path | None = None
    """Directory of prepared tfds data sets, tfds' own by default; for clinc-mlp that of
    clinc150.npz."""
    output: Path | None = None
    """Results file; benchmarks/results/transfer_losses.json, or with --quick one in runs/."""
    quick: bool = False
    """A small MLP, few images, two learning rates, two seeds, six losses: under 5 minutes."""

    def __post_init__(self) -> None:
        require_one_of("setting", self.setting, SETTINGS)
        for level in self.noise:
            try:
                rate, _ = parse_noise(level)
            except ValueError:
                rate = -1.0
            require(0 <= rate <= 1, "noise", level, "a rate from 0 to 1, or one followed by a or i")
        require(len(self.losses) > 0, "losses", "", "at least one loss")
        require(len(self.seeds) > 0, "seeds", "", "at least one seed")
        require_int("jobs", self.jobs, 1, 1024)
        if TUNING_SEED in self.seeds:
            raise OptionError("seeds", TUNING_SEED, "other seeds than the one used for tuning")

    @property
    def levels(self) -> list[tuple[float, str]]:
        """Noise levels as (rate, kind), clean labels first."""
        noisy = [level for level in map(parse_noise, self.noise) if level[0] > 0]
        return [(0.0, "symmetric"), *noisy]


def parse_noise(level: str) -> tuple[float, str]:
    """``"0.4a"`` is (0.4, "asymmetric"), ``"0.4i"`` (0.4, "instance"), ``"0.4"`` symmetric."""
    kind = {"a": "asymmetric", "i": "instance"}.get(level[-1:], "symmetric")
    return float(level.rstrip("ai")), kind
