"""The hand-made classification losses that evolved losses are compared with.

``LOSSES`` maps each name to a :class:`Handmade` loss, ``loss(logits, labels, axis=-1, where=None)``
in optax's convention. What a loss is stands once, in a *definition*
``definition(log_p_y, classes, **constants)``: the loss at every label whose log-probability is
given, with whatever the loss needs to know of the other classes. Integer labels gather one
``log_p_y`` an example; soft labels q ask for all K and take the expectation
``E_{k~q} definition(log p_k)``.

That expectation is what a soft label means for *every* loss here, also where the literature
extends its loss in another way that agrees for one-hot labels only: ``brier`` and ``bi_tempered``
then differ from the published ones by a function of q alone (``1 - sum q**2`` for the first), but
``one_minus_p`` is not ``sum |p - q| / 2``, nor is the second term of ``symmetric_ce`` and
``nce_rce`` ``-sum p log q``.

``cross_entropy``, ``label_smoothing`` and ``poly1`` equal optax's ``softmax_cross_entropy``, the
same on ``smooth_labels``, and ``poly_loss_cross_entropy``. They are not calls of those because the
last two need one-hot labels, and a -inf logit makes all three infinite or NaN.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from edl_jax.losses.arguments import read_examples
from edl_jax.losses.base import Axis


class Classes(NamedTuple):
    """The predicted distribution, as a definition sees it.

    Attributes:
      log_p: finite log-probabilities, ``[..., K]``; what stands for an absent class has no meaning.
      present: the classes that take part, boolean ``[..., K]``, at least one in each row.
    """

    log_p: jax.Array
    present: jax.Array

    def sum(self, function: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """The sum of ``function(log_p)`` over the present classes, ``[..., 1]``."""
        return jnp.sum(function(self.log_p), axis=-1, keepdims=True, where=self.present)


Definition = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Handmade:
    """A loss from the literature, a drop-in for optax's cross-entropy; hashable.

    A variant with other constants is ``Handmade(name, functools.partial(definition, ...))``.

    Attributes:
      name: its name in ``LOSSES``.
      definition: the loss as a function of log-probabilities; its docstring gives the formula and
        the paper.

    >>> logits = jnp.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    >>> print(jnp.array_str(LOSSES["one_minus_p"](logits, jnp.array([0, 2])), precision=3))
    [0.156 0.667]
    >>> quadratic = Handmade("quadratic", functools.partial(gce, q=2.0))
    >>> soft_labels = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    >>> print(jnp.array_str(quadratic(logits, soft_labels), precision=3))
    [0.144 0.444]
    """

    name: str
    definition: Definition

    def __call__(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        axis: Axis = -1,
        where: ArrayLike | None = None,
    ) -> jax.Array:
        """The loss of every example, in nats where the loss has a unit; not reduced.

        Args:
          logits: unnormalised log-probabilities of a floating dtype; the classes lie on ``axis``. A
            logit of -inf is an absent class.
          labels: class ids of any integer dtype and of the result's shape, or one-hot or soft
            labels of ``logits.shape``.
          axis: the axis of the classes, a tuple of axes, or None for all. On several axes a class
            id is a flat index into them, in the order of the tuple.
          where: boolean; False is an absent class. Of ``logits.shape``, or of the result's shape
            for whole examples, as optax has it; an axis of size 1 is broadcast.

        Returns:
          An array of ``logits.shape`` without ``axis``; float32, or float64 for float64 logits
          (float16 and bfloat16 are promoted first). Absent classes contribute nothing to the value
          or the gradient; the loss at a label that is itself absent is 0, and so is that of an
          example without any class, whatever its label. Finite, with a finite gradient, for logits
          up to 1e4 in size. NaN where a label is out of range, with a gradient of 0, so that
          ``jnp.where(labels == 255, 0, losses)`` ignores such examples; and where a logit of a
          present class is NaN or +inf.

        Raises:
          EdlError: the dtypes or shapes do not fit, or there is no such ``axis``.
        """
        examples = read_examples(logits, labels, axis, where)
        centred, log_total, taking_part = _centre(examples.logits, examples.present)
        classes = Classes(centred - log_total, taking_part)
        if examples.ids is None:
            return examples.reduce(self.definition(classes.log_p, classes))
        log_p_y = jnp.take_along_axis(centred, examples.ids[..., None], axis=-1) - log_total
        return examples.reduce(self.definition(log_p_y, classes)[..., 0])


def _centre(logits: jax.Array, present: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits less the largest, log of the sum of their exponentials, and the classes summed over.

    The two are apart, and not yet a log-softmax, so that a loss that needs log p_y alone computes
    nothing else for each class.
    """
    lowest = jnp.finfo(logits.dtype).min
    # A shift of all logits changes no loss, so no gradient belongs to it.
    largest = jax.lax.stop_gradient(
        jnp.max(logits, axis=-1, keepdims=True, where=present, initial=lowest)
    )
    # An absent class stands at the largest logit, where every definition is finite and has a finite
    # gradient to be masked; a row without any class is a uniform one until its loss is masked.
    centred = jnp.where(present, logits, largest) - largest
    taking_part = present | ~present.any(axis=-1, keepdims=True)
    log_total = jnp.log(jnp.sum(jnp.exp(centred), axis=-1, keepdims=True, where=taking_part))
    return centred, log_total, taking_part


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


def gce(log_p_y: jax.Array, classes: Classes, q: float = 0.7) -> jax.Array:
    """(1 - p_y**q) / q; q = 0 is cross-entropy (Zhang and Sabuncu, arXiv 1805.07836)."""
    return -_tempered_log(log_p_y, 1 - q)


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


def nce_rce(
    log_p_y: jax.Array, classes: Classes, alpha: float = 1.0, beta: float = 1.0
) -> jax.Array:
    """alpha log p_y / sum_k log p_k + beta reverse_ce (Ma et al., arXiv 2006.13554)."""
    # The sum is at least K log K, above 1 for any K > 1; the bound acts on a lone class only.
    normaliser = jnp.maximum(classes.sum(jnp.negative), 1)
    return -alpha * log_p_y / normaliser + beta * reverse_ce(log_p_y, classes)


def bi_tempered(
    log_p_y: jax.Array, classes: Classes, t1: float = 0.8, t2: float = 1.2
) -> jax.Array:
    """The bi-tempered logistic loss, t1 < 2 and t2 >= 1 (Amid et al., arXiv 1906.03361).

    -log_t1 r_y - (1 - sum_k r_k**(2 - t1)) / (2 - t1), where r is the tempered softmax of the
    logits: r_k = exp_t2(z_k - c), and c makes them sum to 1. At t1 = t2 = 1, cross-entropy.
    """
    normaliser = _tempered_normaliser(t2, *classes)

    def log_r(log_p: jax.Array) -> jax.Array:
        return _log_tempered_exp(log_p - normaliser, t2)

    power = classes.sum(lambda log_p: jnp.exp((2 - t1) * log_r(log_p)))
    return -_tempered_log(log_r(log_p_y), t1) - (1 - power) / (2 - t1)


def baikal(log_p_y: jax.Array, classes: Classes, smallest_p: float = 1e-7) -> jax.Array:
    """(1 / p_y - sum_k log p_k) / K (Gonzalez and Miikkulainen, arXiv 1905.11528).

    The logarithm is summed over all classes, as published: the loss is least at p_y = 1/sqrt(K),
    not at 1. Below ``smallest_p``, 1 / p_y continues as its tangent in log p_y, so that value and
    gradient (up to 1 / smallest_p, beyond float16) stay finite and the loss keeps falling with p_y.
    """
    bound = -math.log(smallest_p)
    inverse = jnp.exp(jnp.minimum(-log_p_y, bound)) * (1 + jnp.maximum(-log_p_y - bound, 0))
    return (inverse + classes.sum(jnp.negative)) / classes.sum(jnp.ones_like)


def _tempered_log(log_u: jax.Array, t: float) -> jax.Array:
    """log_t(u) = (u**(1 - t) - 1) / (1 - t), from log u."""
    return log_u if t == 1 else jnp.expm1((1 - t) * log_u) / (1 - t)


def _log_tempered_exp(x: jax.Array, t: float) -> jax.Array:
    """log exp_t(x), where exp_t is the inverse of log_t."""
    return x if t == 1 else jnp.log1p((1 - t) * x) / (1 - t)


def _escort(x: jax.Array, t: float) -> jax.Array:
    """exp_t(x)**t, which is also the derivative of exp_t."""
    return jnp.exp(_log_tempered_exp(x, t)) / (1 + (1 - t) * x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0)
def _tempered_normaliser(t: float, log_p: jax.Array, present: jax.Array) -> jax.Array:
    """The c at which the exp_t(log_p - c) of the present classes sum to 1, ``[..., 1]``."""
    classes = Classes(log_p, present)

    def newton(_: int, c: jax.Array) -> jax.Array:
        total = classes.sum(lambda log_p: jnp.exp(_log_tempered_exp(log_p - c, t)))
        slope = classes.sum(lambda log_p: _escort(log_p - c, t))
        return c + total * _tempered_log(jnp.log(total), 2 - t) / slope

    # The tempered logarithm of the sum is linear in c for t = 1 or equal classes, and bends such
    # that Newton's steps from the left never overshoot. For t = 1.2, K up to 10,000 and any logits
    # 5 steps reach rounding error in float64; 8 leave 1e-11 at t = 2.
    start = jnp.max(log_p, axis=-1, keepdims=True, where=present, initial=-jnp.inf)
    return jax.lax.fori_loop(0, 8, newton, start)


@_tempered_normaliser.defjvp
def _tempered_normaliser_jvp(
    t: float, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    log_p, present = primals
    c = _tempered_normaliser(t, log_p, present)
    # Implicit differentiation: dc is the mean of d log_p with the weights r**t.
    escort = _escort(log_p - c, t)
    total = jnp.sum(escort, axis=-1, keepdims=True, where=present)
    return c, jnp.sum(escort * tangents[0], axis=-1, keepdims=True, where=present) / total


LOSSES: dict[str, Handmade] = {
    definition.__name__: Handmade(definition.__name__, definition)
    for definition in (
        cross_entropy,
        label_smoothing,
        focal,
        poly1,
        brier,
        one_minus_p,
        gce,
        symmetric_ce,
        nce_rce,
        bi_tempered,
        baikal,
    )
}
"""Name to loss, in optax's convention."""
