"""Evolve a classification loss on synthetic prediction-label pairs; train with it.

The public names are resolved on first use, so that a command's ``--help`` and its
option checks do not wait for JAX.
"""

from typing import TYPE_CHECKING

import lazy_loader

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edl_jax import chaos as chaos
    from edl_jax import losses as losses
    from edl_jax import objective as objective
    from edl_jax import pretrain as pretrain
    from edl_jax import search as search
    from edl_jax import strategies as strategies
    from edl_jax import training as training
    from edl_jax.config import EvolutionConfig as EvolutionConfig
    from edl_jax.errors import EdlError as EdlError
    from edl_jax.losses import LOSSES as LOSSES
    from edl_jax.losses import LearnedLoss as LearnedLoss
    from edl_jax.losses import list_losses as list_losses
    from edl_jax.losses import load_loss as load_loss
    from edl_jax.runs.rows import read_runs as read_runs
    from edl_jax.search import make_evolution as make_evolution
    from edl_jax.statistics import compare as compare
    from edl_jax.training import load_classifier as load_classifier

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["chaos", "losses", "objective", "pretrain", "search", "strategies", "training"],
    submod_attrs={
        "config": ["EvolutionConfig"],
        "errors": ["EdlError"],
        "losses": ["LOSSES", "LearnedLoss", "list_losses", "load_loss"],
        "runs.rows": ["read_runs"],
        "search": ["make_evolution"],
        "statistics": ["compare"],
        "training": ["load_classifier"],
    },
)
