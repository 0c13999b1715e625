"""The options of ``python -m benchmarks.rehearsal``."""

from dataclasses import dataclass
from pathlib import Path

from edl_jax.config import REGIMES
from edl_jax.errors import require, require_int, require_number, require_one_of

LOSSES = (
    "cross_entropy",
    "label_smoothing",
    "focal",
    "poly1",
    "brier",
    "one_minus_p",
    "gce",
    "gce:q=0.3",
    "gce_logit_bias",
    "symmetric_ce",
    "nce_rce",
    "nce_agce",
    "anl_ce",
    "jal_ce",
    "eps_softmax_mae",
    "bi_tempered",
    "baikal",
    "gate",
    "gate:threshold=0.5",
    "gate:threshold=0.2",
    "gate:q=1",
    "edl-base",
    "edl-robust-1",
    "gated-edl-robust-1",
)
CHOOSING, SHOWN = LOSSES[::2], LOSSES[1::2]
"""The losses with which regimes of rehearsal are chosen, and those on which they are shown."""
KINDS = ("rehearsed", "real", "scaling")


@dataclass(frozen=True)
class RehearsalBenchmarkConfig:
    """Train students on synthetic tasks, and classifiers on real images, with many losses."""

    losses: tuple[str, ...] = LOSSES
    """Losses by name or path; gated-edl-robust-1 passes from cross-entropy to the first
    edl-robust."""
    regimes: tuple[str, ...] = REGIMES
    """Regimes of rehearsal."""
    kinds: tuple[str, ...] = KINDS
    """Kinds of cells to run: rehearsed, real, scaling (what a generation of a search costs)."""
    num_tasks: int = 8
    """Tasks of a regime, the same for all losses."""
    minutes: float = 18.0
    """Time after which no further cell begins; the next call goes on."""
    data_dir: Path | None = None
    """Directory of prepared tfds data sets; tfds' own default."""
    output: Path | None = None
    """Results file; benchmarks/results/rehearsal.json, or with --quick one in runs/."""
    quick: bool = False
    """Three losses, one short regime, no real images: under a minute."""

    def __post_init__(self) -> None:
        require(len(self.losses) > 0, "losses", "", "at least one loss")
        for regime in self.regimes:
            require_one_of("regimes", regime, REGIMES)
        for kind in self.kinds:
            require_one_of("kinds", kind, KINDS)
        require_int("num_tasks", self.num_tasks, 1, 10_000)
        require_number("minutes", self.minutes, 0.0)
