"""Promises of a loss under uniform label noise: bounds, and where it keeps the class.

A *largest found* figure comes from a search, so that the true one may be larger. The loss under
every label of a prediction, ``S(p) = sum_k L(p, k)``, decides what uniform noise can do: where S
is constant, it does nothing (Ghosh et al. 2017, arXiv 1712.09482). That a loss does not rise as p_y
grows is a property, :func:`~edl_jax.objective.properties.largest_rise`.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from edl_jax.errors import EdlError, require
from edl_jax.losses.base import Loss, as_pytree, every_label

NOISE_RATE = 0.4
"""The rate of the noise for which :class:`Certificates` states the excess risk."""

CLASS_COUNTS = (2, 3, 10, 30, 100)
NOISE_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

# A label distribution is exponential variables to one of these powers, in proportion: from nearly
# uniform to nearly one-hot, whatever the number of classes; 1 is uniform on the simplex.
_POWERS = (0.5, 1.0, 2.0, 4.0)
# Its most probable class leads by this factor. With less, noise would leave a lead too small for a
# minimiser in float32.
_LEAD = 1.2
# A minimiser keeps the class if it leads by more than this factor. Losses with a kink where two
# classes tie have minimisers there, and Adam comes within 0.2 % of them.
_TIE = 1.005
_FAR = (1e2, 1e3, 1e4)


# --- the sum over the labels -------------------------------------------------------------------


def label_sum_spread(loss: Loss, num_classes: int = 10) -> float:
    """The largest found ``max S - min S`` over predictions p, ``S(p) = sum_k L(p, k)``.

    The search looks at certain, nearly certain and random predictions and at those that are uniform
    on some of the classes, and climbs from the best of them. The result is a lower bound, 0 where S
    differs by rounding alone, and infinite where S still grows between log-odds of 10**3 and 10**4
    at least half as much as between 10**2 and 10**3: a bounded loss has come to rest by then.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      num_classes: number of classes.

    >>> from edl_jax.losses import LOSSES
    >>> round(label_sum_spread(LOSSES["gce"]), 3), round((10**0.3 - 1) / 0.7, 3)
    (1.422, 1.422)
    """
    points, rays = _predictions(num_classes)
    return float(_spread_and_cost(as_pytree(loss), points, rays)[0])


def _predictions(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, num_classes), and rays of them to certainty (m, 3, num_classes).

    The first are a uniform prediction and one that is certain of class 0.
    """
    rng = np.random.default_rng(0)
    sizes = np.unique(np.geomspace(1, num_classes - 1, 24).astype(int))
    ranks = rng.permuted(np.tile(np.arange(num_classes), (sizes.size, 1)), axis=1)
    subsets = ranks < sizes[:, None]
    rays = np.asarray(_FAR)[:, None] * subsets[:, None, :]
    near = np.array([0.5, 1, 2, 4, 8, 16, 32])[:, None, None] * subsets
    vertices = np.array([_FAR[-1], 4])[:, None, None] * np.eye(num_classes)
    exponential = rng.exponential(size=(len(_POWERS), 128, num_classes))
    random = np.asarray(_POWERS)[:, None, None] * np.log(exponential)
    parts = [np.zeros((1, num_classes)), vertices, near, random]
    points = np.concatenate([part.reshape(-1, num_classes) for part in parts])
    return points.astype(np.float32), rays.astype(np.float32)


# The loss is an argument of what is compiled here, so that one program serves all parameters.
@jax.jit
def _spread_and_cost(loss: Loss, points: ArrayLike, rays: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The spread, and what a uniform prediction costs more than a right and certain one."""
    points, rays = jnp.asarray(points), jnp.asarray(rays)
    by_label = every_label(loss, jnp.concatenate([points, rays.reshape(-1, rays.shape[-1])]))
    sums = jnp.sum(by_label, axis=-1)
    rounding = 8 * jnp.finfo(sums.dtype).eps * jnp.max(jnp.sum(jnp.abs(by_label), axis=-1))

    order = jnp.argsort(sums[: points.shape[0]])
    start = points[jnp.concatenate([order[:16], order[-16:]])]
    down = jnp.where(jnp.arange(32) < 16, 1.0, -1.0).astype(sums.dtype)
    _, end = _descend(lambda z: down * jnp.sum(every_label(loss, z), axis=-1), start)
    found = jnp.concatenate([sums, down * end])
    spread = jnp.max(found) - jnp.min(found)

    growth = jnp.abs(jnp.diff(sums[points.shape[0] :].reshape(-1, len(_FAR)), axis=-1))
    least = jnp.maximum(1e-3 * spread, rounding)
    grows = (growth[:, 1] >= growth[:, 0] / 2) & (growth[:, 1] > least)
    spread = jnp.where(spread > rounding, spread, 0.0)
    return jnp.where(jnp.any(grows), jnp.inf, spread), by_label[0, 0] - by_label[1, 0]


def _descend(values: Callable[[jax.Array], jax.Array], z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where Adam brings logits (..., num_classes) when each of ``values(z)`` falls, and these."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 300))

    def total(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        each = values(z)
        return jnp.sum(each), each

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        z, state, _ = carry
        gradient, each = jax.grad(total, has_aux=True)(z)
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam and cosine promote their counts
            updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(z, updates), state, each), None

    # The values are those of one step earlier: the last steps are next to nothing, and evaluating
    # once more is more to compile.
    start = z, optimizer.init(z), jnp.zeros(z.shape[:-1], z.dtype)
    (z, _, each), _ = jax.lax.scan(step, start, length=300)
    return z, each


def excess_risk_bound(spread: float, noise_rate: float, num_classes: int) -> float:
    """How much worse, at most, the best classifier of noisy labels is on true labels.

    With eta the rate at which a label is drawn again from all K classes, R the risk under true
    labels, ``f*`` its minimiser and ``f_eta`` that of the noisy risk
    ``R_eta(f) = (1 - eta) R(f) + (eta / K) E S(f(x))``::

        (1 - eta) (R(f_eta) - R(f*)) = R_eta(f_eta) - R_eta(f*) + (eta / K) E [S(f*) - S(f_eta)]
                                    <= 0 + (eta / K) Delta,

    since ``f_eta`` minimises R_eta, and S differs by at most Delta. So the excess risk is at most
    ``eta Delta / (K (1 - eta))``, and at least 0. Delta = 0 is theorem 1 of Ghosh et al. (arXiv
    1712.09482); for GCE, Delta = (K**(1 - q) - 1) / q (Zhang and Sabuncu, arXiv 1805.07836).

    Args:
      spread: Delta, the largest difference of S; see :func:`label_sum_spread`.
      noise_rate: eta, from 0 to less than 1.
      num_classes: K.

    Raises:
      OptionError: noise_rate is outside [0, 1).

    >>> round(excess_risk_bound((10**0.3 - 1) / 0.7, 0.4, 10), 4)
    0.0948
    """
    require(0 <= noise_rate < 1, "noise_rate", noise_rate, "a number from 0 to less than 1")
    # 0 times an infinite Delta: without noise nothing is lost.
    return noise_rate * spread / (num_classes * (1 - noise_rate)) if noise_rate else 0.0


# --- where the most probable class is kept -----------------------------------------------------


def _label_distributions(num_classes: int, number: int = 64) -> jax.Array:
    """Random q whose most probable class leads by a fifth, (number, num_classes)."""
    rng = np.random.default_rng(0)
    powers = np.resize(_POWERS, (number, 1))
    q = rng.exponential(size=(number, num_classes)) ** powers
    second, first = np.sort(q, axis=-1)[:, -2:, None].transpose(1, 0, 2)
    q = np.where(q == first, np.maximum(first, _LEAD * second), q)
    return jnp.asarray(q / q.sum(axis=-1, keepdims=True), jnp.float32)


@jax.jit
def _kept(loss: Loss, q: jax.Array, noise_rate: float) -> jax.Array:
    """Share of the ``q`` for which the best p found under noise has the most probable class lead.

    A tie is not kept. Descent begins at three predictions, because it may end in a minimum that is
    not the least: at the uniform one, at q, and near certainty of the most probable class.
    """
    num_classes = q.shape[-1]
    noisy = (1 - noise_rate) * q + noise_rate / num_classes
    top = jax.nn.one_hot(jnp.argmax(q, axis=-1), num_classes, dtype=bool)

    certain = jnp.where(top, math.log(num_classes) + 2.0, 0.0).astype(q.dtype)
    starts = jnp.stack([jnp.zeros_like(q), jnp.log(noisy), certain])
    ends, risks = _descend(lambda z: jnp.sum(noisy[None] * every_label(loss, z), axis=-1), starts)
    best = jnp.argmin(risks, axis=0)
    p = jax.nn.softmax(jnp.take_along_axis(ends, best[None, :, None], axis=0)[0])
    rival = jnp.max(jnp.where(top, 0.0, p), axis=-1)
    return jnp.mean(jnp.sum(jnp.where(top, p, 0.0), axis=-1) > _TIE * rival)


def _keeps(loss: Loss, num_classes: int, noise_rate: float = 0.0) -> bool:
    try:
        share = _kept(as_pytree(loss), _label_distributions(num_classes), noise_rate)
    except EdlError:  # a loss that is bound to another number of classes
        return False
    return float(share) > 0.99


# --- together ----------------------------------------------------------------------------------


class Certificates(NamedTuple):
    """The promises of a loss under uniform label noise; see :func:`certify`.

    Attributes:
      spread: the largest found difference of ``sum_k L(p, k)``; see :func:`label_sum_spread`.
      excess_risk: what :func:`excess_risk_bound` makes of it at a noise rate of 0.4; 0 for a loss
        that tolerates the noise exactly.
      excess_share: the same as a share of what a uniform prediction costs more than a right and
        certain one, so that losses of different scales compare; NaN where it costs nothing.
      kept_classes: those of 2, 3, 10, 30 and 100 classes at which a minimiser of E_q L keeps the
        most probable class of all (at least 99 %) of 64 random q, in which it leads by a fifth.
      kept_noise: the largest of the noise rates 0, 0.1, ... 0.9 up to which it does so when labels
        are noisy; None if it does not without noise.
    """

    spread: float
    excess_risk: float
    excess_share: float
    kept_classes: tuple[int, ...]
    kept_noise: float | None


CERTIFICATE_TITLES = {
    "spread": "spread of Σ_k L(p, k), largest found",
    "excess_risk": "excess risk at 40 % uniform noise, at most",
    "excess_share": "… as a share of a uniform prediction's",
    "kept_classes": "numbers of classes whose argmax q is kept",
    "kept_noise": "uniform noise up to which argmax q is kept",
}
"""The titles of the fields of :class:`Certificates`, in the order of its rows."""


def certify(
    loss: Loss, num_classes: int = 10, class_counts: Sequence[int] = CLASS_COUNTS
) -> Certificates:
    """Certificates of a loss; deterministic.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      num_classes: classes of the predictions, for all but ``kept_classes``.
      class_counts: numbers of classes that are tried for ``kept_classes``.

    >>> from edl_jax.losses import LOSSES
    >>> found = certify(LOSSES["one_minus_p"], num_classes=3, class_counts=(2, 3))
    >>> found.excess_risk, found.kept_classes, found.kept_noise
    (0.0, (2, 3), 0.9)
    """
    spread, cost = map(float, _spread_and_cost(as_pytree(loss), *_predictions(num_classes)))
    excess = excess_risk_bound(spread, NOISE_RATE, num_classes)
    kept_noise = None
    for rate in NOISE_RATES:
        if not _keeps(loss, num_classes, rate):
            break
        kept_noise = rate
    return Certificates(
        spread=spread,
        excess_risk=excess,
        excess_share=excess / cost if cost > 0 else math.nan,
        kept_classes=tuple(number for number in class_counts if _keeps(loss, number)),
        kept_noise=kept_noise,
    )
