"""Synthetic prediction-label pairs: a mixture over the simplex, drawn in logit space.

Each component covers a regime in which a loss must give the right answer. Drawing logits rather
than probabilities keeps the logarithms exact where p_y is 10**-7 or within 10**-7 of 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

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


class Draw(NamedTuple):
    """The randomness of n examples, from which every component makes its logits.

    Attributes:
      uniform: uniform on (0, 1), one for each class, shape (n, num_classes).
      lead, gap: uniform on (0, 1), shape (n,).
      labels, others: int32, shape (n,); the true class, and another one.
    """

    uniform: jax.Array
    lead: jax.Array
    gap: jax.Array
    labels: jax.Array
    others: jax.Array

    @property
    def normal(self) -> jax.Array:
        """The uniforms as standard normal noise."""
        return _normal(self.uniform)


def _normal(uniform: jax.Array) -> jax.Array:
    return math.sqrt(2.0) * jax.lax.erf_inv(2.0 * uniform - 1.0)


def _draw(key: jax.Array, size: int, num_classes: int) -> Draw:
    # One call for everything: each call of the generator is a page of code to compile.
    u = jax.random.uniform(key, (size, num_classes + 4), jnp.float32, minval=2.0**-24)
    classes, label, other, lead, gap = jnp.split(u, num_classes + np.arange(4), axis=1)
    labels = jnp.floor(num_classes * label[:, 0]).astype(jnp.int32)
    shift = 1 + jnp.floor((num_classes - 1) * other[:, 0]).astype(jnp.int32)
    return Draw(classes, lead[:, 0], gap[:, 0], labels, (labels + shift) % num_classes)


def _push(logits: jax.Array, classes: jax.Array, amount: jax.Array) -> jax.Array:
    """Add ``amount`` (n,) to the logit of ``classes`` (n,)."""
    return logits + amount[:, None] * jax.nn.one_hot(classes, logits.shape[-1], dtype=logits.dtype)


def near_uniform(draw: Draw) -> jax.Array:
    """An untrained classifier: logits of standard deviation up to 1/2."""
    return 0.5 * draw.lead[:, None] * draw.normal


def flat_dirichlet(draw: Draw) -> jax.Array:
    """Uniform on the simplex: logarithms of exponential variables."""
    return jnp.log(-jnp.log(draw.uniform))


def confident_right(draw: Draw) -> jax.Array:
    """The true class leads by 2 to 14 nats over unit noise."""
    return _push(draw.normal, draw.labels, 2.0 + 12.0 * draw.lead)


def confident_wrong(draw: Draw) -> jax.Array:
    """Another class than the true one leads by 2 to 14 nats over unit noise."""
    return _push(draw.normal, draw.others, 2.0 + 12.0 * draw.lead)


def ambiguous(draw: Draw) -> jax.Array:
    """The true class and one other, a nat or so apart, share a lead of 2 to 8 nats."""
    lead = 2.0 + 6.0 * draw.lead
    logits = _push(draw.normal, draw.others, lead)
    return _push(logits, draw.labels, lead + _normal(draw.gap))


def graded(draw: Draw) -> jax.Array:
    """Every p_y from about 10**-7 to 1 - 10**-5: the true logit is shifted by -14 to 14 nats."""
    return _push(draw.normal, draw.labels, 28.0 * draw.lead - 14.0)


COMPONENTS: dict[str, Callable[[Draw], jax.Array]] = {
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
    """Draw a batch of prediction-label pairs, the components in mixed order.

    The components' shares of the batch, and which place belongs to which, are fixed rather than
    drawn: shapes stay static, and the batch varies less from one generation to the next. Examples
    are independent, so those at any fixed distance are random pairs.

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
    draw = _draw(key, batch_size, num_classes)
    parts, start = [], 0
    for name, size in component_sizes(mixture, batch_size).items():
        if size:
            part = jax.tree.map(lambda leaf, i=start, n=size: leaf[i : i + n], draw)
            parts.append(COMPONENTS[name](part))
        start += size
    order = np.random.default_rng(0).permutation(batch_size)
    return Pairs(jnp.concatenate(parts)[order], draw.labels[order])
