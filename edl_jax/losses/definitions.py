"""The form of a hand-made loss, and the losses that are made for no label noise in particular.

A *definition* ``definition(log_p_y, classes, **constants)`` is a loss at every label whose
log-probability is given; ``classes`` is what it may need to know of the other classes.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.losses.base import Context


class Classes(NamedTuple):
    """The predicted distribution, as a definition sees it.

    Attributes:
      log_p: finite log-probabilities, ``[..., K]``; what stands for an absent class has no meaning.
      present: the classes that take part, boolean ``[..., K]``, at least one in each row.
      context: how far training has come, for a loss that reads it.
    """

    log_p: jax.Array
    present: jax.Array
    context: Context | None = None

    def sum(self, function: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """The sum of ``function(log_p)`` over the present classes, ``[..., 1]``."""
        return jnp.sum(function(self.log_p), axis=-1, keepdims=True, where=self.present)


Definition = Callable[..., jax.Array]


def cross_entropy(log_p_y: jax.Array, classes: Classes) -> jax.Array:
    """-log p_y."""
    return -log_p_y


def label_smoothing(log_p_y: jax.Array, classes: Classes, alpha: float = 0.1) -> jax.Array:
    """Cross-entropy to (1 - alpha) one-hot + alpha uniform (Szegedy et al., arXiv 1512.00567)."""
    uniform = classes.sum(jnp.negative) / classes.sum(jnp.ones_like)
    return -(1 - alpha) * log_p_y + alpha * uniform


def focal(log_p_y: jax.Array, classes: Classes, gamma: float = 2) -> jax.Array:
    """-(1 - p_y)**gamma log p_y, gamma >= 0 (Lin et al., arXiv 1708.02002, eq. 4)."""
    # A power below 1 has no derivative at 0, where p_y = 1.
    miss = jnp.maximum(one_minus_p(log_p_y, classes), jnp.finfo(log_p_y.dtype).tiny)
    return -(miss**gamma) * log_p_y


def poly1(log_p_y: jax.Array, classes: Classes, epsilon: float = 1.0) -> jax.Array:
    """-log p_y + epsilon (1 - p_y) (Leng et al., PolyLoss, arXiv 2204.12511)."""
    return -log_p_y + epsilon * one_minus_p(log_p_y, classes)


def brier(log_p_y: jax.Array, classes: Classes) -> jax.Array:
    """||p - one-hot y||**2 = (1 - p_y)**2 + sum_{k != y} p_k**2 (Brier 1950)."""
    others = classes.sum(lambda log_p: jnp.exp(2 * log_p)) - jnp.exp(2 * log_p_y)
    return one_minus_p(log_p_y, classes) ** 2 + others


def one_minus_p(log_p_y: jax.Array, classes: Classes) -> jax.Array:
    """1 - p_y, half of sum |p - one-hot y|, "MAE" (Ghosh et al. 2017, arXiv 1712.09482)."""
    return -jnp.expm1(log_p_y)


def baikal(log_p_y: jax.Array, classes: Classes, smallest_p: float = 1e-7) -> jax.Array:
    """(1 / p_y - sum_k log p_k) / K (Gonzalez and Miikkulainen, arXiv 1905.11528).

    The logarithm is summed over all classes, as published: the loss is least at p_y = 1/sqrt(K),
    not at 1. Below ``smallest_p``, 1 / p_y continues as its tangent in log p_y, so that value and
    gradient (up to 1 / smallest_p, beyond float16) stay finite and the loss keeps falling with p_y.
    """
    bound = -math.log(smallest_p)
    inverse = jnp.exp(jnp.minimum(-log_p_y, bound)) * (1 + jnp.maximum(-log_p_y - bound, 0))
    return (inverse + classes.sum(jnp.negative)) / classes.sum(jnp.ones_like)
