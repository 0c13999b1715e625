"""Losses made to be trained with wrong labels among the right ones.

Constants are the published ones for CIFAR-10. Most authors tune them for each data set, some for
each rate of noise.
"""

import math

import jax
import jax.numpy as jnp

from edl_jax.losses.definitions import Classes, one_minus_p
from edl_jax.losses.tempered import tempered_log

# --- made of p_y alone -------------------------------------------------------------------------


def gce(log_p_y: jax.Array, classes: Classes, q: float = 0.7) -> jax.Array:
    """(1 - p_y**q) / q; q = 0 is cross-entropy (Zhang and Sabuncu, arXiv 1805.07836)."""
    return -tempered_log(log_p_y, 1 - q)


def gce_logit_bias(
    log_p_y: jax.Array, classes: Classes, q: float = 0.7, unbiased: float = 10
) -> jax.Array:
    """gce with b = log(K / unbiased) added to the label's logit (Staats et al., arXiv 2306.05497).

    The label's probability is then e**b p_y / (1 - p_y + e**b p_y): among K equal classes about
    1 / ``unbiased``, however large K is, where gce alone hardly has a gradient. The bias is the
    paper's; that it is this function of K is a choice made here, the same for every K.
    """
    inverse = unbiased / classes.sum(jnp.ones_like)  # e**-b
    miss = one_minus_p(log_p_y, classes)
    return gce(log_p_y - jnp.log(jnp.exp(log_p_y) + inverse * miss), classes, q)


def reverse_ce(log_p_y: jax.Array, classes: Classes, log_zero: float = -4.0) -> jax.Array:
    """-sum_k p_k log(one-hot y)_k = -A (1 - p_y), A for log 0 (Wang et al., arXiv 1908.06112).

    Code that clips the one-hot label at 1e-4 has A = log 1e-4 = -9.2 instead of -4.
    """
    return -log_zero * one_minus_p(log_p_y, classes)


def symmetric_ce(
    log_p_y: jax.Array, classes: Classes, alpha: float = 0.1, beta: float = 1.0
) -> jax.Array:
    """-alpha log p_y + beta reverse_ce, constants for CIFAR-10 (Wang et al., arXiv 1908.06112)."""
    return -alpha * log_p_y + beta * reverse_ce(log_p_y, classes)


def agce(log_p_y: jax.Array, classes: Classes, a: float = 0.6, q: float = 0.6) -> jax.Array:
    """((a + 1)**q - (a + p_y)**q) / q, a > 0, q > 0 (Zhou et al., arXiv 2106.03110)."""
    # (a + p_y) / (a + 1), from 1 - p_y so that no digit is lost near certainty.
    log_ratio = jnp.log1p(-one_minus_p(log_p_y, classes) / (a + 1))
    return -((a + 1) ** q) * jnp.expm1(q * log_ratio) / q


# --- normalised over the classes, or by their largest ------------------------------------------


def nce(log_p_y: jax.Array, classes: Classes) -> jax.Array:
    """log p_y / sum_k log p_k, normalised cross-entropy (Ma et al., arXiv 2006.13554)."""
    # The sum is at least K log K, above 1 for any K > 1; the bound acts on a lone class only.
    return -log_p_y / jnp.maximum(classes.sum(jnp.negative), 1)


def nce_rce(
    log_p_y: jax.Array, classes: Classes, alpha: float = 1.0, beta: float = 1.0
) -> jax.Array:
    """alpha nce + beta reverse_ce (Ma et al., arXiv 2006.13554)."""
    return alpha * nce(log_p_y, classes) + beta * reverse_ce(log_p_y, classes)


def nce_agce(
    log_p_y: jax.Array,
    classes: Classes,
    alpha: float = 1.0,
    beta: float = 4.0,
    a: float = 6.0,
    q: float = 1.5,
) -> jax.Array:
    """alpha nce + beta agce (Zhou et al., arXiv 2106.03110); CIFAR-100: 10, 0.1, 1.8 and 3."""
    return alpha * nce(log_p_y, classes) + beta * agce(log_p_y, classes, a, q)


def anl_ce(
    log_p_y: jax.Array,
    classes: Classes,
    alpha: float = 5.0,
    beta: float = 5.0,
    smallest_p: float = 1e-7,
) -> jax.Array:
    """alpha nce + beta (1 - (A + log p_y) / sum_k (A + log p_k)) (Ye et al., NeurIPS 2023).

    "Active Negative Loss Functions for Learning with Noisy Labels", with A = -log ``smallest_p``
    and p bounded from below by ``smallest_p``. The L1 penalty on the weights, published as a part
    of it, belongs to training and is left out. For CIFAR-100 alpha = 10 and beta = 1.
    """
    bound = -math.log(smallest_p)

    def above_bound(log_p: jax.Array) -> jax.Array:
        return jnp.maximum(bound + log_p, 0)

    negative = 1 - above_bound(log_p_y) / classes.sum(above_bound)
    return alpha * nce(log_p_y, classes) + beta * negative


def jal_ce(
    log_p_y: jax.Array,
    classes: Classes,
    alpha: float = 1.0,
    beta: float = 1.0,
    a: float = 30.0,
) -> jax.Array:
    """alpha nce + beta ||a one-hot y - p||**2 / K (JAL, Wang et al., arXiv 2507.17692).

    As published it is beta (a - 1)**2 / K at certainty, not 0. For CIFAR-100 alpha = 5 and a = 20.
    """
    others = classes.sum(lambda log_p: jnp.exp(2 * log_p)) - jnp.exp(2 * log_p_y)
    distance = (a - 1 + one_minus_p(log_p_y, classes)) ** 2 + others
    return alpha * nce(log_p_y, classes) + beta * distance / classes.sum(jnp.ones_like)


def eps_softmax_mae(
    log_p_y: jax.Array,
    classes: Classes,
    alpha: float = 0.01,
    beta: float = 5.0,
    m: float = 1e5,
    smallest_p: float = 1e-8,
) -> jax.Array:
    """-alpha log p'_y + 2 beta (1 - p_y) (epsilon-softmax, Wang et al., arXiv 2508.02387).

    p' is p with ``m`` added to its largest entry, divided by m + 1 and bounded from below by
    ``smallest_p``, as the authors' code has it: a label of p_y < (m + 1) ``smallest_p`` that is not
    the largest has no gradient from the first term. Classes that tie for the largest share ``m``;
    the authors' code gives it to the first. Constants for symmetric noise; CIFAR-100: alpha from
    0.1 to 0.00125 by the rate of noise, beta = 1, m = 1e4.
    """
    top = jnp.max(classes.log_p, axis=-1, keepdims=True, where=classes.present, initial=-jnp.inf)
    # Equal logits may differ in the last digits of log p, by how it is compiled.
    least = jax.lax.stop_gradient(top) - 32 * float(jnp.finfo(log_p_y.dtype).eps)
    is_top = log_p_y >= least
    number = classes.sum(lambda log_p: (log_p >= least).astype(log_p.dtype))
    # 1 - p' is small at the top, p' elsewhere: neither may come from the other.
    miss = jnp.where(is_top, one_minus_p(log_p_y, classes), 0)
    at_top = jnp.log1p(-(miss + m * (1 - 1 / number)) / (m + 1))
    log_p = jnp.where(is_top, at_top, log_p_y - math.log1p(m))
    bounded = jnp.maximum(log_p, math.log(smallest_p))
    return -alpha * bounded + 2 * beta * one_minus_p(log_p_y, classes)


# --- dependent on how far training has come ----------------------------------------------------


def gate(
    log_p_y: jax.Array,
    classes: Classes,
    threshold: float = 0.35,
    width: float = 0.03,
    q: float = 0.7,
    scale: float = 1.4,
) -> jax.Array:
    """(1 - g) cross-entropy + g scale gce, g = sigmoid((confidence - threshold) / width).

    Not from the literature: the simplest loss that learns hard examples while training is young and
    refuses wrong labels later, put together by hand. What a search finds must beat it.
    """
    assert classes.context is not None
    confidence = jnp.asarray(classes.context.confidence)
    opened = jax.nn.sigmoid((confidence - threshold) / width)
    opened = jnp.broadcast_to(opened.astype(log_p_y.dtype), log_p_y.shape[:-1])[..., None]
    return -(1 - opened) * log_p_y + opened * scale * gce(log_p_y, classes, q)
