"""Losses: the learned ones, the hand-made ones beside them, and the networks that can be a loss.

All of them are called like optax's cross-entropies. Nothing here knows how a loss is searched for.
"""

from edl_jax.losses.base import Context, FullLoss, Loss, as_pytree, every_label, log_softmax
from edl_jax.losses.context import batch_context
from edl_jax.losses.handmade import LOSSES, Classes, Handmade
from edl_jax.losses.learned import (
    ARTIFACT,
    SHIPPED,
    LearnedLoss,
    load_loss,
    make_learned_loss,
    resolve_loss,
)
from edl_jax.losses.networks import Network, NetworkSpec, make_network
from edl_jax.losses.scale import descent_scale

__all__ = [
    "ARTIFACT",
    "LOSSES",
    "SHIPPED",
    "Classes",
    "Context",
    "FullLoss",
    "Handmade",
    "LearnedLoss",
    "Loss",
    "Network",
    "NetworkSpec",
    "as_pytree",
    "batch_context",
    "descent_scale",
    "every_label",
    "load_loss",
    "log_softmax",
    "make_learned_loss",
    "make_network",
    "resolve_loss",
]
