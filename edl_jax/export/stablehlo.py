"""A loss and its gradient as StableHLO, for JAX without this package and for other compilers."""

import jax
import jax.export
import jax.numpy as jnp

from edl_jax.losses.base import Loss

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def to_stablehlo(loss: Loss, num_classes: int | None = None, soft_labels: bool = False) -> bytes:
    """Serialise ``loss(logits, labels)`` and its gradient with :mod:`jax.export`.

    Args:
      loss: any loss of this package, unreduced.
      num_classes: fixes the number of classes; ``None`` leaves it open. The batch size is open.
      soft_labels: labels are float32 class weights, shape (batch, classes), instead of int32 class
        ids, shape (batch).

    Returns:
      What ``jax.export.deserialize`` takes, for CPU, CUDA, ROCm and TPU. It can be differentiated
      once.

    Raises:
      EdlError: a concat loss is to take another number of classes than its own.

    >>> from edl_jax.losses import LOSSES
    >>> exported = jax.export.deserialize(to_stablehlo(LOSSES["brier"]))
    >>> exported.call(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))
    Array([0.5, 0.5, 0.5], dtype=float32)
    """
    batch, classes = jax.export.symbolic_shape("batch, classes")
    shape = (batch, classes if num_classes is None else num_classes)
    logits = jax.ShapeDtypeStruct(shape, jnp.float32)
    labels = logits if soft_labels else jax.ShapeDtypeStruct((batch,), jnp.int32)

    def losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return loss(logits, labels)

    exported = jax.export.export(jax.jit(losses), platforms=PLATFORMS)(logits, labels)
    return bytes(exported.serialize(vjp_order=1))
