"""Wrong labels at a known rate, as in the literature on learning with noisy labels."""

import jax
import jax.numpy as jnp


def symmetric_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, num_classes: int
) -> jax.Array:
    """Replace labels by uniformly random classes.

    The class drawn may be the one that was there, so a share ``rate * (K - 1) / K`` of the labels
    comes out wrong. With one key, the labels replaced at a lower rate are among those replaced at
    a higher one.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    >>> symmetric_noise(jax.random.key(0), jnp.arange(3), 0.0, num_classes=3).tolist()
    [0, 1, 2]
    """
    labels = jnp.asarray(labels, jnp.int32)
    replace_key, class_key = jax.random.split(key)
    replaced = jax.random.uniform(replace_key, labels.shape) < rate
    drawn = jax.random.randint(class_key, labels.shape, 0, num_classes)
    return jnp.where(replaced, drawn, labels)


def asymmetric_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, num_classes: int
) -> jax.Array:
    """Replace labels k by their fixed neighbour (k + 1) mod K.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced; all that are replaced are wrong.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    >>> asymmetric_noise(jax.random.key(0), jnp.arange(3), 1.0, num_classes=3).tolist()
    [1, 2, 0]
    """
    labels = jnp.asarray(labels, jnp.int32)
    replaced = jax.random.uniform(key, labels.shape) < rate
    return jnp.where(replaced, (labels + 1) % num_classes, labels)
