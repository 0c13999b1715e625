"""Synthetic prediction-label pairs: a mixture over the simplex, drawn in logit space.

Each component covers a regime in which a loss must give the right answer. Drawing logits rather
than probabilities keeps the logarithms exact where p_y is 10**-7 or within 10**-7 of 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.config import MixtureConfig


@partial(jax.tree_util.register_dataclass, data_fields=["logits", "labels"], meta_fields=[])
@dataclass(frozen=True)
class Pairs:
    """A batch of predictions and their true labels.

    Attributes:
      logits: float32, shape (batch_size, num_classes).
      labels: int32 class ids, shape (batch_size,).
    """

    logits: jax.Array
    labels: jax.Array


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


def _push(logits: jax.Array, classes: jax.Array, amount: jax.Array) -> jax.Array:
    """Add ``amount`` (batch,) to the logit of ``classes`` (batch,)."""
    return logits + amount[:, None] * jax.nn.one_hot(classes, logits.shape[-1])


def _other_class(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    return (labels + jax.random.randint(key, labels.shape, 1, num_classes)) % num_classes


def near_uniform(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """An untrained classifier: logits of standard deviation up to 1/2."""
    noise_key, scale_key = jax.random.split(key)
    scale = jax.random.uniform(scale_key, (labels.size, 1), maxval=0.5)
    return scale * jax.random.normal(noise_key, (labels.size, num_classes))


def flat_dirichlet(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Uniform on the simplex: logarithms of exponential variables."""
    return -jax.random.gumbel(key, (labels.size, num_classes))


def confident_right(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """The true class leads by 2 to 14 nats over unit noise."""
    noise_key, lead_key = jax.random.split(key)
    lead = jax.random.uniform(lead_key, labels.shape, minval=2.0, maxval=14.0)
    return _push(jax.random.normal(noise_key, (labels.size, num_classes)), labels, lead)


def confident_wrong(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """As :func:`confident_right`, for a class that is not the true one."""
    class_key, key = jax.random.split(key)
    return confident_right(key, _other_class(class_key, labels, num_classes), num_classes)


def ambiguous(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """The true class and one other, some nats apart, share a lead of 2 to 8 nats."""
    class_key, noise_key, lead_key, gap_key = jax.random.split(key, 4)
    lead = jax.random.uniform(lead_key, labels.shape, minval=2.0, maxval=8.0)
    logits = jax.random.normal(noise_key, (labels.size, num_classes))
    logits = _push(logits, _other_class(class_key, labels, num_classes), lead)
    return _push(logits, labels, lead + jax.random.normal(gap_key, labels.shape))


def graded(key: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Every p_y from about 10**-7 to 1 - 10**-5: the true logit is shifted by -14 to 14 nats."""
    noise_key, lead_key = jax.random.split(key)
    lead = jax.random.uniform(lead_key, labels.shape, minval=-14.0, maxval=14.0)
    return _push(jax.random.normal(noise_key, (labels.size, num_classes)), labels, lead)


COMPONENTS: dict[str, Callable[[jax.Array, jax.Array, int], jax.Array]] = {
    f.__name__: f
    for f in (near_uniform, flat_dirichlet, confident_right, confident_wrong, ambiguous, graded)
}


def component_sizes(mixture: MixtureConfig, batch_size: int) -> dict[str, int]:
    """How many pairs of a batch come from each component: its share, by largest remainders.

    >>> component_sizes(MixtureConfig(), 100)["flat_dirichlet"]
    20
    """
    weights = np.array([getattr(mixture, name) for name in COMPONENTS], np.float64)
    shares = weights / weights.sum() * batch_size
    sizes = np.floor(shares).astype(int)
    sizes[np.argsort(sizes - shares, kind="stable")[: batch_size - sizes.sum()]] += 1
    return dict(zip(COMPONENTS, sizes.tolist(), strict=True))


def sample_pairs(
    key: jax.Array, mixture: MixtureConfig, batch_size: int, num_classes: int
) -> Pairs:
    """Draw a batch of prediction-label pairs, in random order.

    The components' shares of the batch are fixed, not drawn: shapes stay static and the
    batch varies less from one generation to the next.

    Args:
      key: a PRNG key.
      mixture: the components' weights.
      batch_size: number of pairs.
      num_classes: number of classes, at least 2; labels are uniform over them.

    >>> from edl_jax.config import MixtureConfig
    >>> pairs = sample_pairs(jax.random.key(0), MixtureConfig(), 8, num_classes=3)
    >>> pairs.logits.shape, pairs.labels.shape
    ((8, 3), (8,))
    """
    label_key, order_key, *keys = jax.random.split(key, 2 + len(COMPONENTS))
    labels = jax.random.randint(label_key, (batch_size,), 0, num_classes)
    parts, start = [], 0
    sizes = component_sizes(mixture, batch_size)
    for component_key, (name, size) in zip(keys, sizes.items(), strict=True):
        part_labels = labels[start : start + size]
        parts.append(COMPONENTS[name](component_key, part_labels, num_classes))
        start += size
    order = jax.random.permutation(order_key, batch_size)
    return Pairs(jnp.concatenate(parts)[order], labels[order])
