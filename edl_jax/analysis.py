"""Measurable properties of any loss, learned or hand-made."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from edl_jax.objectives import Loss

PROFILE_POINTS = (0.001, 0.1, 0.5, 0.9, 0.999)


def profile_logits(p_y: jax.Array, num_classes: int = 10) -> jax.Array:
    """Logits that give class 0 the probability ``p_y`` and share the rest equally.

    Args:
      p_y: probabilities in (0, 1), shape (n,).
      num_classes: number of classes.

    Returns:
      Logits of shape (n, num_classes).
    """
    p_y = jnp.asarray(p_y)
    rest = jnp.log1p(-p_y) - jnp.log(num_classes - 1.0)
    return jnp.zeros((p_y.size, num_classes)).at[:, 0].set(jnp.log(p_y) - rest)


def loss_profile(
    loss: Loss, p_y: Sequence[float] | jax.Array, num_classes: int = 10
) -> tuple[jax.Array, jax.Array]:
    """Loss and its gradient with respect to the true logit, as p_y goes from wrong to right.

    Returns:
      ``(values, gradients)``, each of the shape of ``p_y``; cross-entropy's gradient is p_y - 1.

    >>> from edl_jax.losses import LOSSES
    >>> loss_profile(LOSSES["cross_entropy"], [0.25])[1]
    Array([-0.75], dtype=float32)
    """
    logits = profile_logits(jnp.asarray(p_y, jnp.float32), num_classes)
    labels = jnp.zeros(logits.shape[0], jnp.int32)
    gradients = jax.grad(lambda z: jnp.sum(loss(z, labels)))(logits)
    return loss(logits, labels), gradients[:, 0]
