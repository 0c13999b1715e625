"""What each step of an epoch trains on, and how it comes to the device."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from edl_jax.training.batches import replicate
from edl_jax.training.data import Inputs
from edl_jax.training.evaluation import Examples
from edl_jax.training.streamed import Streamed


def on_device(images: Inputs, labels: np.ndarray, mean: jax.Array, std: jax.Array) -> Examples:
    """Examples, those that are in memory put on the device."""
    there = images if isinstance(images, Streamed) else jnp.asarray(images)
    return Examples(there, jnp.asarray(labels, jnp.int32), mean, std)


@partial(jax.jit, static_argnames=("num_examples", "batch_size"))
def epoch_order(
    key: jax.Array, epoch: jax.Array | int, num_examples: int, batch_size: int
) -> jax.Array:
    """Which examples each step of an epoch takes: int32 ``[steps, batch_size]``.

    A random permutation; the examples left over after the last full batch are dropped.

    >>> epoch_order(jax.random.key(0), 0, num_examples=10, batch_size=4).shape
    (2, 4)
    """
    steps = num_examples // batch_size
    numbers = jnp.arange(num_examples, dtype=jnp.int32)
    order = jax.random.permutation(jax.random.fold_in(key, epoch), numbers)
    return order[: steps * batch_size].reshape(steps, batch_size)


def feed(
    examples: Examples, order: jax.Array, first: int, steps_at_once: int, mesh: Mesh | None
) -> Iterator[tuple[Examples, jax.Array]]:
    """What each call of :func:`run_steps` takes, from the step ``first`` of an epoch on.

    Of examples on the device these are all of them. Streamed images are read ahead, and put on the
    device while the call before is under way.

    Args:
      examples: the training set.
      order: int32 ``[steps, batch]``, the whole epoch's from :func:`epoch_order`.
      first: a multiple of ``steps_at_once``.
      steps_at_once: steps of a call.
      mesh: the devices that share each batch.

    Yields:
      The ``examples`` and the ``order`` of a call.
    """
    if not isinstance(examples.images, Streamed):
        while True:
            yield examples, order
    rows = np.asarray(order)[first:].reshape(-1, steps_at_once * order.shape[1])
    here = jnp.arange(rows.shape[1], dtype=jnp.int32).reshape(steps_at_once, -1)
    ahead: tuple[Examples, jax.Array] | None = None
    for own, images in zip(rows, examples.images.batches(rows), strict=True):
        part = examples._replace(images=jnp.asarray(images), labels=examples.labels[own])
        ready, ahead = ahead, (replicate(part, mesh), here)
        if ready is not None:
            yield ready
    if ahead is not None:
        yield ahead
