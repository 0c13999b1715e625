"""The type of a loss, and the few functions that all code about losses needs."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Loss = Callable[[jax.Array, jax.Array], jax.Array]
"""``loss(logits, labels) -> losses``: float logits (..., num_classes), integer labels (...)."""


Axis = int | tuple[int, ...] | None
"""Where the classes lie: on one axis, on several, in which case a class id is a flat index into
them in this order, or, None, on all."""


class Context(NamedTuple):
    """How far a classifier has come: 0 at chance, 1 where it is certain (and right).

    Attributes:
      confidence: mean of the largest probability, relative to chance.
      agreement: mean of the label's probability, relative to chance; below 0 for a classifier that
        is worse than chance.
      spread: twice the standard deviation of the label's probability, from 0 to about 1.

    *Relative to chance* is (p - 1/K) / (1 - 1/K), with K the classes that are present. Each is a
    float scalar, or of a shape that broadcasts to the losses'.
    """

    confidence: jax.Array
    agreement: jax.Array
    spread: jax.Array


class FullLoss(Protocol):
    """A loss in optax's convention, as :class:`LearnedLoss` and :class:`Handmade` are.

    Labels are integers, one-hot or soft; ``axis`` is that of the classes, and where ``where`` is
    False a class, or a whole example, is absent. Losses are not reduced. A loss that reads how far
    training has come takes it from the examples of the call, or from ``context``.
    """

    def __call__(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        axis: Axis = -1,
        where: ArrayLike | None = None,
        *,
        context: Context | None = None,
    ) -> jax.Array: ...


def log_softmax(logits: jax.Array) -> jax.Array:
    """Log-probabilities along the last axis, exact to float precision also where p is near 1.

    ``jax.nn.log_softmax`` subtracts two nearly equal numbers there: at p = 1 - 10**-9 it gives 0
    in float32, this gives -10**-9.

    >>> log_softmax(jnp.array([20.0, 0.0]))[0]
    Array(-2.0611537e-09, dtype=float32)
    """
    top = jnp.argmax(logits, axis=-1, keepdims=True)
    is_top = jax.lax.broadcasted_iota(top.dtype, logits.shape, logits.ndim - 1) == top
    # Selecting the maximum, rather than taking it, sends its gradient to one class at a tie.
    shifted = logits - jnp.sum(jnp.where(is_top, logits, 0.0), axis=-1, keepdims=True)
    others = jnp.sum(jnp.where(is_top, 0.0, jnp.exp(shifted)), axis=-1, keepdims=True)
    return shifted - jnp.log1p(others)


def every_label(loss: Loss, logits: jax.Array) -> jax.Array:
    """The loss of each prediction under each label: (..., num_classes), label on the last axis.

    >>> def loss(logits, labels):
    ...     return labels.astype(logits.dtype) + logits[..., 0]
    >>> every_label(loss, jnp.array([[5.0, 7.0]]))
    Array([[5., 6.]], dtype=float32)
    """
    num_classes = logits.shape[-1]

    def of_label(label: jax.Array) -> jax.Array:
        return loss(logits, jnp.broadcast_to(label, logits.shape[:-1]))

    return jax.vmap(of_label, out_axes=-1)(jnp.arange(num_classes))


def as_pytree(loss: Loss) -> Loss:
    """``loss`` as an argument that jit accepts; a loss that is a pytree of arrays is one."""
    arrays = (jax.Array, np.ndarray, float, int)
    if all(isinstance(leaf, arrays) for leaf in jax.tree.leaves(loss)):
        return loss
    return jax.tree_util.Partial(loss)
