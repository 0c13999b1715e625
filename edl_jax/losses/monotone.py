"""A loss that falls with the label's probability by construction, and knows how training goes.

It is a sum of cross-entropy and of soft steps in the label's log-odds, with non-negative weights,
so it does not rise as the label's probability grows and is least where that is 1. The weights pass
from one set to another as the batch's context (:mod:`edl_jax.losses.context`) opens a gate:

    L = N ((1 - g) L_before + g L_after),   g = sigmoid(150 (w . context - threshold)),  sum |w| = 1
    L_i = a_i (-log p_y) + sum_j b_ij 4 s_j sigmoid(-u_j) + e_i (smoothing - log K)
    u_j = (log p_y / (1 - p_y) + r_j log(K - 1) + d rival - t_j) / s_j

Where a step lies may be fixed in absolute log-odds (r_j = 0) or relative to chance (r_j = 1), or in
between, which is what lets one loss serve any number of classes. *rival* is the share that the most
probable other class has of all others, from 0 where they are equal to 1, so it does not change as
the label's probability does. Where d is negative, an example that the network is sure is of another
class lies farther behind the steps, where they are flat, than one that is merely hard: it is let
go, and the other is not. *smoothing*, the mean of -log p_k, is what makes label smoothing part
of the family; where its weight e_i is not 0 the loss is least short of certainty. N makes the
gradient at chance, in a context of zeros, that of cross-entropy, for every K and all parameters, so
no other scale is needed.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from edl_jax.losses.base import Context
from edl_jax.losses.features import LOG_RESOLUTION, MIN_LOG_PROB, log_probs, log_rival

# How sharp the gate is: it opens over about 0.02 of a context's range.
GATE_SHARPNESS = 150.0
# Steps lie at log-odds of at most this size, and are at least this wide.
MOST_LOG_ODDS, LEAST_WIDTH = 8.0, 0.5
# The weights of smoothing and of the rival for a parameter of 1, so that one step size suits all.
SMOOTHING_SHARE, RIVAL_SIZE = 0.2, 4.0
_LEAST_WEIGHT = 1e-6  # in place of the sum of weights that are all 0
# A lone class has no slope, and a loss of 0.
_LEAST_SLOPE = 1e-30

_SIZES_AND_STARTS = {
    "gate/threshold": (1, -2.2, 0.2),
    "gate/weights": (3, (1.0, -1.0, 0.0), 0.15),
    "log_loss/after": (1, -4.0, 0.5),
    "rival": (1, -0.5, 0.3),
    "smoothing": (2, -0.5, 0.5),
    "steps/after": (None, 0.3, 0.5),
    "steps/before": (None, -1.0, 0.7),
    "steps/place": (None, 0.0, 0.7),
    "steps/relative": (None, 0.0, 0.7),
    "steps/width": (None, 1.2, 0.7),
}


def init(key: jax.Array, num_steps: int) -> dict[str, jax.Array]:
    """Random parameters: cross-entropy at first, and bounded where labels look wrong.

    Returns:
      Float32 arrays by name, of as many entries as there are steps, numbers of the context, or
      shapes, before and after.

    >>> params = init(jax.random.key(0), 4)
    >>> {name: len(array) for name, array in params.items() if "gate" in name or "place" in name}
    {'gate/threshold': 1, 'gate/weights': 3, 'steps/place': 4}
    """
    keys = jax.random.split(key, len(_SIZES_AND_STARTS))
    params = {}
    for one, (name, (size, mean, deviation)) in zip(keys, _SIZES_AND_STARTS.items(), strict=True):
        draw = jax.random.normal(one, (size or num_steps,), jnp.float32)
        params[name] = jnp.asarray(mean, jnp.float32) + deviation * draw
    return params


def gate(params: dict[str, jax.Array], context: Context) -> jax.Array:
    """How far the loss has passed from its shape before to that after, in [0, 1].

    Of the shape of the context's numbers: one for all examples, or one for each. The weights are
    divided by the sum of their sizes, and the threshold is the sigmoid of its parameter, so that
    the gate is closed before training and can open in the course of it.

    >>> params = {"gate/weights": jnp.array([2.0, 0.0, 0.0]), "gate/threshold": jnp.zeros(1)}
    >>> float(gate(params, Context(jnp.float32(0.5), jnp.float32(0.9), jnp.float32(0.1))))
    0.5
    """
    weights = params["gate/weights"]
    weights = weights / jnp.maximum(jnp.sum(jnp.abs(weights)), _LEAST_WEIGHT)
    weighed = sum(w * x for w, x in zip(weights, context, strict=True))
    threshold = jax.nn.sigmoid(params["gate/threshold"][0])
    return jax.nn.sigmoid(GATE_SHARPNESS * (weighed - threshold))


def apply(
    params: dict[str, jax.Array], logits: jax.Array, labels: jax.Array, context: Context
) -> jax.Array:
    """Losses (...) of logits (..., num_classes) under integer labels (...).

    A class with logit -inf is absent. Float32, or float64 for float64 logits. Without smoothing
    certainty costs nothing:

    >>> none = Context(*jnp.zeros(3))
    >>> params = init(jax.random.key(0), 4) | {"smoothing": jnp.zeros(2)}
    >>> losses = apply(params, jnp.array([[99.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0]), none)
    >>> round(float(losses[0]), 6), bool(losses[1] > 0)
    (0.0, True)
    """
    log_p = log_probs(logits)
    params = {name: jnp.asarray(array, log_p.dtype) for name, array in params.items()}
    context = Context(*(jnp.asarray(number, log_p.dtype) for number in context))
    log_p_y = jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    log_rest = _log_rest(log_p, log_p_y, labels)
    present = log_p > MIN_LOG_PROB
    num_classes = jnp.maximum(jnp.sum(present, axis=-1, dtype=log_p.dtype), 1)
    others = jnp.maximum(num_classes - 1, 1)
    share = jnp.exp(jnp.minimum(log_rival(log_p, log_p_y, labels) - log_rest, 0))
    rival = (share * others - 1) / jnp.maximum(others - 1, 1)
    floored = jnp.where(present, jnp.maximum(log_p, LOG_RESOLUTION), 0)
    smoothing = -jnp.sum(floored, axis=-1) / num_classes - jnp.log(num_classes)

    def along_last(name: str) -> jax.Array:
        return params[name].reshape(*(1,) * log_p_y.ndim, -1)

    opened = gate(params, context)
    after, before = (jax.nn.softplus(along_last(f"steps/{i}")) for i in ("after", "before"))
    width = LEAST_WIDTH + jax.nn.softplus(along_last("steps/width"))
    place = MOST_LOG_ODDS * jnp.tanh(along_last("steps/place") / 3)
    offset = jax.nn.sigmoid(along_last("steps/relative")) * jnp.log(others)[..., None] - place
    log_loss = jax.nn.softplus(params["log_loss/after"][0])
    low, high = SMOOTHING_SHARE * jnp.maximum(params["smoothing"], 0)

    def ahead(log_odds: jax.Array) -> jax.Array:
        """How far each step still lies ahead, (..., num_steps)."""
        return jax.nn.sigmoid(-(log_odds[..., None] + offset) / width)

    def passing(opened: jax.Array, before: ArrayLike, after: jax.Array) -> jax.Array:
        """From what is before the gate to what is after it."""
        return (1 - opened) * before + opened * after

    # One gate for all, or one an example, along the steps.
    along = opened if opened.ndim == 0 else opened[..., None]
    log_odds = log_p_y - log_rest + RIVAL_SIZE * params["rival"][0] * rival
    steps = jnp.sum(passing(along, before, after) * 4 * width * ahead(log_odds), axis=-1)
    value = steps - passing(opened, 1, log_loss) * log_p_y + passing(opened, low, high) * smoothing

    # The slope at chance, where the rival's share is 0, before anything is learned.
    at_start = gate(params, Context(*jnp.zeros((3,), log_p.dtype)))
    certain = (num_classes - 1) / num_classes
    passed = ahead(-jnp.log(others))
    slope = jnp.sum(passing(at_start, before, after) * 4 * passed * (1 - passed), axis=-1)
    slope += passing(at_start, 1, log_loss) * certain
    return value * certain / jnp.maximum(slope, _LEAST_SLOPE)


def _log_rest(log_p: jax.Array, log_p_y: jax.Array, labels: jax.Array) -> jax.Array:
    """log(1 - p_y), exact also where p_y is 1 to float precision."""
    is_top = jax.nn.one_hot(jnp.argmax(log_p, axis=-1), log_p.shape[-1], dtype=bool)
    rest_of_top = jax.nn.logsumexp(jnp.where(is_top, 2 * MIN_LOG_PROB, log_p), axis=-1)
    # Any other class has p <= 1/2. The bound only keeps infinity out of the branch not taken.
    rest_of_others = jnp.log(-jnp.expm1(jnp.minimum(log_p_y, -0.5)))
    leads = jnp.take_along_axis(is_top, labels[..., None], axis=-1)[..., 0]
    return jnp.where(leads, rest_of_top, rest_of_others)
