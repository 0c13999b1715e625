"""Loss networks: small functions of (log-probabilities, label), all but ``taylor`` >= 0.

Parameters are a dict of float32 arrays; a population is the same dict with one more leading axis,
under ``jax.vmap``. What does not depend on the parameters, the features above all, is then
computed once and shared by all candidates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax import parts
from edl_jax.errors import EdlError, require_one_of
from edl_jax.files import Json
from edl_jax.losses import monotone
from edl_jax.losses.base import Context
from edl_jax.losses.context import batch_context
from edl_jax.losses.features import (
    LOG_RESOLUTION,
    LOG_SCALE,
    MIN_LOG_PROB,
    label_features,
    log_probs,
)

Params = dict[str, jax.Array]


class Apply(Protocol):
    """A network's losses: logits (..., num_classes), integer labels (...), float losses (...).

    Without ``context`` a network that reads one takes that of the logits and labels given.
    """

    def __call__(
        self,
        params: Params,
        logits: jax.Array,
        labels: jax.Array,
        context: Context | None = None,
    ) -> jax.Array: ...


class Network(NamedTuple):
    """A loss network without its parameters.

    Attributes:
      init: ``key -> params``.
      apply: ``(params, logits, labels, context=None) -> losses``.
      reads_context: whether the losses depend on the context.
      is_scaled: whether the gradient at chance is cross-entropy's whatever the parameters, so that
        no scale need be found.

    >>> network = make_network("symmetric", width=16, num_classes=10)
    >>> params = network.init(jax.random.key(0))
    >>> network.apply(params, jnp.zeros((5, 10)), jnp.arange(5)).shape
    (5,)
    """

    init: Callable[[jax.Array], Params]
    apply: Apply
    reads_context: bool = False
    is_scaled: bool = False


def _static(
    init: Callable[[jax.Array], Params],
    apply: Callable[[Params, jax.Array, jax.Array], jax.Array],
) -> Network:
    """A network that reads a prediction and its label alone."""

    def without_context(
        params: Params, logits: jax.Array, labels: jax.Array, context: Context | None = None
    ) -> jax.Array:
        del context
        return apply(params, logits, labels)

    return Network(init, without_context)


def activation(x: jax.Array) -> jax.Array:
    """The smooth sigmoid x / sqrt(1 + x**2).

    Its slope falls like |x|**-3 where that of tanh falls exponentially: a loss made of it keeps a
    usable gradient far from where it was evolved.
    """
    return x * jax.lax.rsqrt(1.0 + jnp.square(x))


def _init_layers(key: jax.Array, layers: dict[str, tuple[int, int]]) -> Params:
    """LeCun-normal weights and zero biases for layers of (fan_in, fan_out), from one draw."""
    ends = np.cumsum([fan_in * fan_out for fan_in, fan_out in layers.values()])
    draws = jnp.split(jax.random.normal(key, (int(ends[-1]),), jnp.float32), ends[:-1])
    params = {}
    for (name, (fan_in, fan_out)), draw in zip(layers.items(), draws, strict=True):
        params[f"{name}/weights"] = draw.reshape(fan_in, fan_out) / math.sqrt(fan_in)
        params[f"{name}/biases"] = jnp.zeros(fan_out, jnp.float32)
    return params


def _mlp_layers(num_inputs: int, width: int) -> dict[str, tuple[int, int]]:
    return {"mlp/0": (num_inputs, width), "mlp/1": (width, width), "mlp/2": (width, 1)}


def _dense(params: Params, layer: str, x: jax.Array) -> jax.Array:
    """One layer; (fan_in, ...) to (fan_out, ...).

    A layer has few units and very many examples: with these last, every step of it runs along
    contiguous memory.
    """
    x = jnp.tensordot(params[f"{layer}/weights"], x, axes=(0, 0))
    return x + _along_first(params[f"{layer}/biases"], x.ndim)


def _along_first(vector: jax.Array, ndim: int) -> jax.Array:
    return vector.reshape(-1, *(1,) * (ndim - 1))


def _mlp(params: Params, x: jax.Array) -> jax.Array:
    """Two hidden layers and a non-negative output; (features, ...) to (...)."""
    x = activation(_dense(params, "mlp/0", x))
    x = activation(_dense(params, "mlp/1", x))
    return jax.nn.softplus(_dense(params, "mlp/2", x)[0])


def _symmetric(width: int, num_classes: int) -> Network:
    def apply(params: Params, logits: jax.Array, labels: jax.Array) -> jax.Array:
        return _mlp(params, label_features(log_probs(logits), labels))

    return _static(lambda key: _init_layers(key, _mlp_layers(6, width)), apply)


def _deepset(width: int, num_classes: int) -> Network:
    """Deep set over classes (Zaheer et al., arXiv 1703.06114, theorem 2)."""

    def apply(params: Params, logits: jax.Array, labels: jax.Array) -> jax.Array:
        log_p = log_probs(logits)
        p = jnp.exp(log_p)
        # A class's features are (p, y, y p, y log p); all but the label's have y = 0. A class of
        # probability 0 adds nothing, so that an absent class and an impossible one are the same.
        biases = params["class/biases"]
        of_p = _along_first(params["class/weights"][0], p.ndim + 1)
        plain = activation(of_p * p[None] + _along_first(biases, p.ndim + 1))
        plain -= _along_first(activation(biases), p.ndim + 1)
        log_p_y = jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
        p_y = jnp.exp(log_p_y)
        floored = jnp.maximum(log_p_y, LOG_RESOLUTION) / LOG_SCALE
        label = jnp.stack([p_y, jnp.ones_like(p_y), p_y, floored])
        of_label = activation(_dense(params, "class", label))
        of_label -= activation(of_p[..., 0] * p_y[None] + _along_first(biases, p.ndim))
        return _mlp(params, jnp.sum(plain, axis=-1) + of_label)

    layers = {"class": (4, width)} | _mlp_layers(width, width)
    return _static(lambda key: _init_layers(key, layers), apply)


def _concat(width: int, num_classes: int) -> Network:
    def apply(params: Params, logits: jax.Array, labels: jax.Array) -> jax.Array:
        if logits.shape[-1] != num_classes:
            raise EdlError(
                f"a concat loss evolved for {num_classes} classes got {logits.shape[-1]}: "
                "evolve it with that num_classes, or use network symmetric or deepset"
            )
        p = jnp.exp(log_probs(logits))
        one_hot = jax.nn.one_hot(labels, num_classes, dtype=p.dtype)
        x = jnp.concatenate([p, one_hot * jnp.ones_like(p)], axis=-1)  # of p's shape and sharding
        return _mlp(params, jnp.moveaxis(x, -1, 0))

    return _static(lambda key: _init_layers(key, _mlp_layers(2 * num_classes, width)), apply)


def _taylor(width: int, num_classes: int) -> Network:
    """The bivariate third-order polynomial of TaylorGLO (arXiv 2002.00059), 8 parameters.

    Its loss is ``-sum_k f(y_k, p_k)`` over the classes, with y the one-hot label and f the terms of
    the Taylor polynomial about (theta_0, theta_1) that depend on p. As published it may be
    negative, and it reads p itself, so that its gradient vanishes with p.
    """

    def apply(params: Params, logits: jax.Array, labels: jax.Array) -> jax.Array:
        log_p = log_probs(logits)
        theta = params["theta"]

        def polynomial(y: float, p: jax.Array) -> jax.Array:
            y_shift, p_shift = y - theta[0], p - theta[1]
            linear = theta[2] + theta[5] * y_shift + theta[7] * jnp.square(y_shift) / 2
            quadratic = theta[3] / 2 + theta[6] * y_shift / 2
            return p_shift * (linear + p_shift * (quadratic + p_shift * theta[4] / 6))

        # f(y, theta_1) = 0: nothing of an absent class. Written so that NaN is none.
        p = jnp.where(log_p <= MIN_LOG_PROB, theta[1], jnp.exp(log_p))
        p_y = jnp.exp(jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0])
        others = jnp.sum(polynomial(0.0, p), axis=-1) - polynomial(0.0, p_y)
        return -(others + polynomial(1.0, p_y))

    return _static(lambda key: {"theta": jax.random.normal(key, (8,), jnp.float32)}, apply)


def _monotone(width: int, num_classes: int) -> Network:
    def apply(
        params: Params, logits: jax.Array, labels: jax.Array, context: Context | None = None
    ) -> jax.Array:
        context = batch_context(logits, labels) if context is None else context
        return monotone.apply(params, logits, labels, context)

    init = partial(monotone.init, num_steps=width)
    return Network(init, apply, reads_context=True, is_scaled=True)


Maker = Callable[[int, int], Network]
"""``(width, num_classes) -> network``."""

NETWORKS: dict[str, Maker] = {
    "symmetric": _symmetric,
    "deepset": _deepset,
    "concat": _concat,
    "taylor": _taylor,
    "monotone": _monotone,
}
"""Name to maker."""


@dataclass(frozen=True)
class NetworkSpec:
    """The facts from which a network is rebuilt; hashable, and JSON-serialisable."""

    name: str
    width: int
    num_classes: int

    def build(self) -> Network:
        """The network itself."""
        return make_network(self.name, self.width, self.num_classes)

    def as_json(self) -> Json:
        """The JSON that an artifact keeps of it."""
        return {"name": self.name, "width": self.width, "num_classes": self.num_classes}


@dataclass(frozen=True)
class OwnNetworkSpec(NetworkSpec):
    """The spec of a network that is a user's own.

    Attributes:
      sha256: of the file that the network comes from; empty where there is none.
      network: the network, or what makes it.
    """

    sha256: str = ""
    network: Network | Maker | None = field(default=None, repr=False)

    def build(self) -> Network:
        """The network itself."""
        assert self.network is not None
        made: Network = parts.finished(
            "network", self.name, self.network, Network, self.width, self.num_classes
        )
        return made

    def as_json(self) -> Json:
        """The JSON that an artifact keeps: where the network came from, not the network."""
        return {**super().as_json(), "sha256": self.sha256}


def make_network(network: str | Network | Maker, width: int, num_classes: int) -> Network:
    """A loss network by its name.

    Args:
      network: a name in :data:`NETWORKS`, ``path/to/file.py:NAME``, or a network of your own: a
        :class:`Network`, or a function ``(width, num_classes) -> Network``.
      width: hidden units a layer; steps of ``monotone``; ``taylor`` has none.
      num_classes: the number of classes it is evolved with; only ``concat`` is bound to it.

    Raises:
      OptionError: there is no such network.
    """
    found = parts.find("network", network, NETWORKS)
    return parts.finished("network", network, found, Network, width, num_classes)


def network_spec(network: str | Network | Maker, width: int, num_classes: int) -> NetworkSpec:
    """The spec of a network; the arguments are those of :func:`make_network`."""
    source = parts.source(network)
    if source is None:
        return NetworkSpec(str(network), width, num_classes)
    found: Network | Maker = parts.find("network", network, NETWORKS)
    return OwnNetworkSpec(source.name, width, num_classes, source.sha256, found)


def recorded_spec(content: Json, network: Network | Maker | None = None) -> NetworkSpec:
    """The spec that an artifact keeps, as :meth:`NetworkSpec.as_json` made it.

    Args:
      content: what is kept.
      network: a user's own network, if that is what is kept of; by default it is looked for where
        ``content`` says.

    Raises:
      EdlError: the network is not there.
      KeyError: ``content`` lacks a field.
    """
    name, sizes = str(content["name"]), (content["width"], content["num_classes"])
    sha256 = content.get("sha256")
    if sha256 is None:
        require_one_of("network", name, NETWORKS)  # a file is run only if its digest is known
        return NetworkSpec(name, *sizes)
    if not isinstance(sha256, str):
        raise EdlError(f"sha256 {sha256!r} is no text")
    return OwnNetworkSpec(name, *sizes, sha256, network or parts.recorded("network", name, sha256))
