"""Evolve a classification loss on synthetic prediction-label pairs; train with it.

The public names are resolved on first use, so that a command's ``--help`` and its
option checks do not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "EdlError": "errors",
    "EvolutionConfig": "config",
    "LOSSES": "losses",
    "LearnedLoss": "losses",
    "load_loss": "losses",
    "make_evolution": "engine",
}
_MODULES = (
    "analysis",
    "chaos",
    "config",
    "data",
    "engine",
    "losses",
    "models",
    "mutation",
    "networks",
    "objectives",
    "strategies",
    "synthetic",
    "training",
)

__all__ = ["__version__"]
__all__ += list(_HOME)
__all__ += list(_MODULES)

if TYPE_CHECKING:
    from edl_jax.config import EvolutionConfig as EvolutionConfig
    from edl_jax.engine import make_evolution as make_evolution
    from edl_jax.errors import EdlError as EdlError
    from edl_jax.losses import LOSSES as LOSSES
    from edl_jax.losses import LearnedLoss as LearnedLoss
    from edl_jax.losses import load_loss as load_loss


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"edl_jax.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"edl_jax.{name}")
    raise AttributeError(f"module 'edl_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
