"""Losses: the learned ones, the hand-made ones beside them, and the networks that can be a loss.

All of them are called like optax's cross-entropies. Nothing here knows how a loss is searched for.
Names are resolved on first use, so that whoever reads an artifact alone does without JAX.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from edl_jax.losses.artifact import ARTIFACT as ARTIFACT
    from edl_jax.losses.artifact import SHIPPED as SHIPPED
    from edl_jax.losses.base import Context as Context
    from edl_jax.losses.base import FullLoss as FullLoss
    from edl_jax.losses.base import Loss as Loss
    from edl_jax.losses.base import as_pytree as as_pytree
    from edl_jax.losses.base import every_label as every_label
    from edl_jax.losses.base import log_softmax as log_softmax
    from edl_jax.losses.context import batch_context as batch_context
    from edl_jax.losses.handmade import LOSSES as LOSSES
    from edl_jax.losses.handmade import Classes as Classes
    from edl_jax.losses.handmade import Handmade as Handmade
    from edl_jax.losses.learned import LearnedLoss as LearnedLoss
    from edl_jax.losses.learned import make_learned_loss as make_learned_loss
    from edl_jax.losses.loading import list_losses as list_losses
    from edl_jax.losses.loading import load_learned_loss as load_learned_loss
    from edl_jax.losses.loading import load_loss as load_loss
    from edl_jax.losses.loading import resolve_loss as resolve_loss
    from edl_jax.losses.networks import Network as Network
    from edl_jax.losses.networks import NetworkSpec as NetworkSpec
    from edl_jax.losses.networks import make_network as make_network
    from edl_jax.losses.scale import descent_scale as descent_scale

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "artifact": ["ARTIFACT", "SHIPPED"],
        "base": ["Context", "FullLoss", "Loss", "as_pytree", "every_label", "log_softmax"],
        "context": ["batch_context"],
        "handmade": ["LOSSES", "Classes", "Handmade"],
        "learned": ["LearnedLoss", "make_learned_loss"],
        "loading": ["list_losses", "load_learned_loss", "load_loss", "resolve_loss"],
        "networks": ["Network", "NetworkSpec", "make_network"],
        "scale": ["descent_scale"],
    },
)
