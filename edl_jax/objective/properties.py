"""Measurable properties of any loss, learned or hand-made, and its shape."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from edl_jax.config import MixtureConfig
from edl_jax.losses.base import Loss, as_pytree, every_label, log_softmax
from edl_jax.objective.synthetic import sample_pairs

PROFILE_POINTS = (0.001, 0.1, 0.5, 0.9, 0.999)
NUM_SAMPLES = 1024
_PROFILED_AT_ONCE = 256

SHAPE_TICKS = {p: math.log(p / (1 - p)) for p in (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)}
"""Where probabilities of the true class stand on the axis of :class:`Shape`."""


def profile_logits(p_y: jax.Array, num_classes: int = 10) -> jax.Array:
    """Logits that give class 0 the probability ``p_y`` and share the rest equally.

    Args:
      p_y: probabilities in (0, 1), shape (n,).
      num_classes: number of classes.

    Returns:
      Logits of shape (n, num_classes).
    """
    p_y = jnp.asarray(p_y)
    rest = jnp.log1p(-p_y) - jnp.log(num_classes - 1.0)
    return jnp.zeros((p_y.size, num_classes), p_y.dtype).at[:, 0].set(jnp.log(p_y) - rest)


def loss_profile(
    loss: Loss, p_y: Sequence[float] | jax.Array, num_classes: int = 10
) -> tuple[jax.Array, jax.Array]:
    """Loss and its gradient with respect to the true logit, as p_y goes from wrong to right.

    Returns:
      ``(values, gradients)``, each of the shape of ``p_y``; cross-entropy's gradient is p_y - 1.

    >>> from edl_jax.losses import LOSSES
    >>> loss_profile(LOSSES["cross_entropy"], [0.25])[1].round(4)
    Array([-0.75], dtype=float32)
    """
    given = np.asarray(p_y, np.float32)
    number = given.size
    filled = np.pad(given, (0, -number % _PROFILED_AT_ONCE), constant_values=0.5)
    values, gradients = _profile(as_pytree(loss), profile_logits(jnp.asarray(filled), num_classes))
    return values[:number], gradients[:number]


# The loss is an argument, and the points are filled up, so that one program serves all parameters
# and all curves.
@jax.jit
def _profile(loss: Loss, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    labels = jnp.zeros(logits.shape[0], jnp.int32)
    gradient = jax.grad(lambda z: jnp.sum(loss(z, labels)))
    return loss(logits, labels), gradient(logits)[:, 0]


class Shape(NamedTuple):
    """A loss as it is drawn, from predictions that are wrong to those that are right.

    Attributes:
      logit: the axis, ``log(p_y / (1 - p_y))``, float64 of shape (n,).
      p_y: probability of the true class, float64 of shape (n,).
      values: the loss less its value at the right end, float32 of shape (n,).
      gradients: its gradient in the true logit, float32 of shape (n,).
    """

    logit: np.ndarray
    p_y: np.ndarray
    values: np.ndarray
    gradients: np.ndarray


def loss_shape(loss: Loss, num_classes: int = 10) -> Shape:
    """The curves of ``loss`` between p_y = 0.00005 and 0.9997; see :func:`loss_profile`.

    >>> from edl_jax.losses import LOSSES
    >>> shape = loss_shape(LOSSES["cross_entropy"])
    >>> bool(np.allclose(shape.gradients, shape.p_y - 1, atol=1e-5))
    True
    """
    logit = np.linspace(-10.0, 8.0, 181)
    p_y = 1 / (1 + np.exp(-logit))
    values, gradients = map(np.asarray, loss_profile(loss, jnp.asarray(p_y), num_classes))
    return Shape(logit, p_y, values - values[-1], gradients)


def _minimisers(loss: Loss, q: jax.Array) -> jax.Array:
    """Where Adam brings p from uniform when the expected loss E_q L falls; shape of ``q``."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 1000))

    def expected(z: jax.Array) -> jax.Array:
        return jnp.sum(q * every_label(loss, z))

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        z, state = carry
        gradient = jax.grad(expected)(z)
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam and cosine promote their counts
            updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(z, updates), state), None

    z = jnp.zeros_like(q)
    (z, _), _ = jax.lax.scan(step, (z, optimizer.init(z)), length=1000)
    return jax.nn.softmax(z)


def largest_rise(loss: Loss, num_classes: int = 10) -> float:
    """How far ``loss`` rises as the label's probability grows: 0 if it never does, and else < 1.

    The label's log-odds go from -10**4 to 10**4 while the ratios of the other classes stay what
    they are, along 64 such rays; all of them end in certainty, so a loss that does not rise is
    least there. What it rises is counted as a share of its range between log-odds of -20 and 20.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      num_classes: number of classes.

    >>> from edl_jax.losses import LOSSES
    >>> largest_rise(LOSSES["gce"]), round(largest_rise(LOSSES["label_smoothing"]), 2)
    (0.0, 1.0)
    """
    far = np.array([1e2, 1e3, 1e4])
    odds = jnp.asarray(np.concatenate([-far[::-1], np.linspace(-40, 40, 321), far]), jnp.float32)
    shape_key, size_key = jax.random.split(jax.random.key(0))
    # The others from nearly equal to one that leads by far.
    others = jax.random.normal(shape_key, (64, num_classes), jnp.float32)
    others *= jnp.exp(1.5 * jax.random.normal(size_key, (64, 1), jnp.float32))
    labels = jnp.arange(64) % num_classes
    is_label = jax.nn.one_hot(labels, num_classes, dtype=bool)
    others -= jax.nn.logsumexp(others, axis=-1, keepdims=True, where=~is_label)

    @jax.jit
    def on_rays(loss: Loss) -> jax.Array:
        logits = jnp.where(is_label[:, None], odds[:, None], others[:, None])
        values = loss(logits, jnp.broadcast_to(labels[:, None], logits.shape[:-1]))
        middle = jnp.where(jnp.abs(odds) <= 20, values, jnp.nan)
        rise = jnp.max(values - jax.lax.cummin(values, axis=1))
        # A loss that rises by more than it falls counts as one that does not fall.
        return jnp.minimum(rise / (jnp.nanmax(middle) - jnp.nanmin(middle)), 1.0)

    return float(on_rays(as_pytree(loss)))


class Properties(NamedTuple):
    """Properties of a loss that are known without training; see :func:`measure_properties`.

    Attributes:
      permutation_error: largest relative change of the loss when the classes are relabelled, 0
        or rounding for a class-symmetric loss.
      monotonicity: share of the predictions of a mixture whose gradient in the true logit is
        negative; 1 for a loss that always prefers a larger p_y.
      rise: how far the loss rises as p_y grows, as a share of its range; see :func:`largest_rise`.
      calibration: share of random label distributions q for which a minimiser of E_q L keeps q's
        most probable class; 1 for a classification-calibrated loss.
      properness_gap: mean ``|argmin_p E_q L - q|`` over random q, Euclidean; 0 for a proper loss.
      symmetry_gap: standard deviation of ``sum_k L(p, k)`` over predictions, relative to that of
        ``K L(p, y)``; 0 for a loss that tolerates uniform label noise exactly (Ghosh et al.,
        arXiv 1712.09482), 1 or so for one that does not at all.
      gradient_uniform, gradient_wrong, gradient_right: gradient in the true logit at p_y = 1/K,
        10**-7 and 0.999; cross-entropy's is p_y - 1.
      finite: whether value and gradient are finite for logits of +-10**4.
    """

    permutation_error: float
    monotonicity: float
    rise: float
    calibration: float
    properness_gap: float
    symmetry_gap: float
    gradient_uniform: float
    gradient_wrong: float
    gradient_right: float
    finite: bool


PROPERTY_TITLES = {
    "permutation_error": "relabelling error",
    "monotonicity": "share with negative true-logit gradient",
    "rise": "largest rise as p_y grows",
    "calibration": "minimiser keeps argmax q",
    "properness_gap": "properness gap",
    "symmetry_gap": "symmetry gap",
    "gradient_wrong": "logit gradient at p_y = 1e-7",
    "gradient_uniform": "logit gradient at p_y = 1/K",
    "gradient_right": "logit gradient at p_y = 0.999",
    "finite": "finite at logits of ±10⁴",
}
"""The titles of the fields of :class:`Properties`, in the order of its rows."""


def measure_properties(loss: Loss, num_classes: int = 10) -> Properties:
    """Measure a loss on synthetic predictions; deterministic.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      num_classes: classes of the predictions.

    >>> from edl_jax.losses import LOSSES
    >>> measured = measure_properties(LOSSES["cross_entropy"])
    >>> measured.monotonicity, measured.calibration, measured.finite
    (1.0, 1.0, True)
    """
    pair_key, relabel_key, q_key = jax.random.split(jax.random.key(0), 3)
    pairs = sample_pairs(pair_key, MixtureConfig(), NUM_SAMPLES, num_classes)
    logits, labels = pairs.logits, pairs.labels

    @jax.jit
    def evaluate(z: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return loss(z, y), jax.grad(lambda z: jnp.sum(loss(z, y)))(z)

    values, gradients = evaluate(logits, labels)
    relabelling = jax.random.permutation(relabel_key, num_classes)
    relabelled, _ = evaluate(logits[:, jnp.argsort(relabelling)], relabelling[labels])
    of_label = jnp.take_along_axis(gradients, labels[:, None], axis=-1)[:, 0]
    # Where p_y is within float precision of 1 no loss has a gradient left to show its sign.
    p_y = jnp.exp(jnp.take_along_axis(log_softmax(logits), labels[:, None], axis=-1)[:, 0])
    by_label = jax.jit(lambda z: every_label(loss, z))(logits)
    q = jax.random.dirichlet(q_key, jnp.ones(num_classes, jnp.float32), (64,), jnp.float32)
    minimisers = jax.jit(lambda q: _minimisers(loss, q))(q)
    _, profile = loss_profile(loss, [1.0 / num_classes, 1e-7, 0.999], num_classes)
    extreme_logits = jnp.array([[1e4], [-1e4]]) * jax.nn.one_hot(jnp.zeros(2, int), num_classes)
    extreme = [evaluate(extreme_logits, jnp.full(2, label)) for label in (0, 1)]
    floor = 1e-3 * jnp.std(values)  # below it a loss is 0 as far as training is concerned
    return Properties(
        permutation_error=float(
            jnp.max(jnp.abs(relabelled - values) / jnp.maximum(jnp.abs(values), floor))
        ),
        monotonicity=float(jnp.mean(of_label < 0, where=p_y < 0.999)),
        rise=largest_rise(loss, num_classes),
        calibration=float(jnp.mean(jnp.argmax(minimisers, -1) == jnp.argmax(q, -1))),
        properness_gap=float(jnp.mean(jnp.linalg.norm(minimisers - q, axis=-1))),
        symmetry_gap=float(jnp.std(jnp.sum(by_label, -1)) / (num_classes * jnp.std(values))),
        gradient_uniform=float(profile[0]),
        gradient_wrong=float(profile[1]),
        gradient_right=float(profile[2]),
        finite=all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(extreme)),
    )
