"""The arguments of every loss, in optax's convention, brought to one form."""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from edl_jax.errors import EdlError
from edl_jax.losses.base import Axis


class Examples(NamedTuple):
    """Predictions and labels, the classes on the last axis.

    Attributes:
      logits: float32 or float64, ``[..., K]``; what stands at an absent class has no meaning.
      present: the classes that take part, boolean ``[..., K]``.
      ids: class ids, each a class, ``[...]``, where labels are integers; else None.
      valid: where an id is the label that was given, ``[...]``; elsewhere that is no class.
      weights: one-hot or soft labels, 0 at an absent class, ``[..., K]``; else None.
    """

    logits: jax.Array
    present: jax.Array
    ids: jax.Array | None
    valid: jax.Array | None
    weights: jax.Array | None

    def reduce(self, losses: jax.Array) -> jax.Array:
        """One loss for each example, ``[...]``.

        Args:
          losses: the loss under each example's id, ``[...]``, or, where labels are weights, under
            every class, ``[..., K]``; finite wherever the logits are.
        """
        if self.weights is not None:
            return jnp.sum(self.weights.astype(losses.dtype) * losses, axis=-1)
        assert self.ids is not None and self.valid is not None
        counted = jnp.take_along_axis(self.present, self.ids[..., None], axis=-1)[..., 0]
        # The id is one to gather with, so that this selection has a finite gradient: 0.
        known = self.valid | ~jnp.any(self.present, axis=-1)
        return jnp.where(known, jnp.where(counted, losses, 0), jnp.nan)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["logits", "labels", "where"],
    meta_fields=["axis"],
)
@dataclass(frozen=True)
class Call:
    """The arguments of a loss as arrays: a pytree, its axis static."""

    logits: jax.Array
    labels: jax.Array
    where: jax.Array | None
    axis: Axis


def called_with(
    logits: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> Call:
    """The arguments of ``Handmade.__call__``, whatever they are, as arrays.

    Raises:
      EdlError: there is no such ``axis``.
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    _axes(axis, logits.shape)
    return Call(logits, labels, None if where is None else jnp.asarray(where, bool), axis)


def read_examples(called: Call) -> Examples:
    """The arguments of a loss, checked.

    Raises:
      EdlError: the arguments do not fit each other.

    >>> labels = jnp.array([2, 255], "uint8")
    >>> examples = read_examples(called_with(jnp.zeros((2, 3)), labels))
    >>> examples.ids, examples.valid
    (Array([2, 0], dtype=int32), Array([ True, False], dtype=bool))
    """
    logits, labels, where, axis = called.logits, called.labels, called.where, called.axis
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise EdlError(f"logits of dtype {logits.dtype}: expected a floating dtype")
    axes = _axes(axis, logits.shape)
    ids_shape = tuple(size for i, size in enumerate(logits.shape) if i not in axes)
    soft = labels.shape == logits.shape
    if not soft and (labels.shape != ids_shape or not jnp.issubdtype(labels.dtype, jnp.integer)):
        raise EdlError(
            f"labels of shape {labels.shape} and dtype {labels.dtype}: expected integer class ids "
            f"of shape {ids_shape} or label distributions of the logits' shape {logits.shape}"
        )
    present = logits != -jnp.inf
    if where is not None:
        present &= _mask(where, axis, axes, logits.shape)
    present = _classes_last(present, axes)
    logits = _classes_last(logits, axes)
    logits = logits.astype(jnp.float64 if logits.dtype == jnp.float64 else jnp.float32)
    if soft:
        labels = labels.astype(int) if labels.dtype == bool else labels
        weights = jnp.where(present, _classes_last(labels, axes), 0)
        return Examples(logits, present, None, None, weights)
    ids = labels.astype(int)  # a narrow dtype may hold neither the number of classes nor its sums
    valid = (ids >= 0) & (ids < logits.shape[-1])
    return Examples(logits, present, jnp.where(valid, ids, 0), valid, None)


def _axes(axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of the classes, none of them negative."""
    every = range(len(shape))
    given = tuple(every) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    try:
        axes = tuple(every[i] for i in given)
    except (IndexError, TypeError):
        axes = ()
    if not axes or len(set(axes)) < len(axes):
        raise EdlError(f"axis {axis}: expected one axis, or a tuple of axes, of logits {shape}")
    return axes


def _mask(where: jax.Array, axis: Axis, axes: tuple[int, ...], shape: tuple[int, ...]) -> jax.Array:
    """``where`` in the logits' ``shape``, by optax's rule: a mask of fewer axes is of examples."""
    try:
        full = where.ndim == len(shape)
        mask = where if full else jnp.expand_dims(where, axes if axis is None else axis)
        return jnp.broadcast_to(mask, shape)
    except ValueError:
        examples = tuple(size for i, size in enumerate(shape) if i not in axes)
        raise EdlError(
            f"where of shape {where.shape}: expected {shape}, or {examples} for whole examples, or "
            "what broadcasts to one of them"
        ) from None


def _classes_last(array: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """``array`` with ``axes``, in this order, as one axis, the last."""
    if len(axes) == 1:
        return jnp.moveaxis(array, axes[0], -1)
    rest = [i for i in range(array.ndim) if i not in axes]
    array = jnp.transpose(array, (*rest, *axes))
    sizes = array.shape[: len(rest)]
    return array.reshape(*sizes, math.prod(array.shape[len(rest) :]))
