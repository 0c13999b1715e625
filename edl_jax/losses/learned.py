"""Learned losses: a frozen loss network, called like a cross-entropy."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey, register_pytree_with_keys
from jax.typing import ArrayLike

from edl_jax.files import Json
from edl_jax.losses import artifact
from edl_jax.losses.arguments import Call, called_with, read_examples
from edl_jax.losses.base import Axis, Context, every_label
from edl_jax.losses.context import examples_context
from edl_jax.losses.networks import NetworkSpec, Params
from edl_jax.losses.scale import descent_scale


@dataclass(frozen=True, eq=False)  # hashed by identity, so that jax.jit(loss) works
class LearnedLoss:
    """A frozen evolved loss, called like optax's cross-entropies.

    It is a pytree, so it may be closed over by a jitted function or passed to one as an argument.
    Losses of one ``spec`` are trees of one structure, wherever they come from: they share
    compilations, and stacked they are evaluated in one program, as an ensemble or a population.

    ``provenance_json`` is no part of that structure. ``jax.tree.map`` over one loss keeps it, over
    several it keeps the first's; a loss that a transformed function returns has none.

    Attributes:
      params: the loss network's float32 arrays.
      scale: float32 scalar that multiplies the network's output; see :func:`descent_scale`.
      spec: which network.
      provenance_json: how it was made, as JSON text.

    >>> from edl_jax import load_loss
    >>> loss = load_loss("edl-base")
    >>> loss
    LearnedLoss(symmetric, width 16, 10 classes, preset base)
    >>> loss(jnp.array([[2.0, 0.0, 1.0]]), jnp.array([0])).shape
    (1,)
    >>> both = jax.tree.map(lambda *leaves: jnp.stack(leaves), loss, load_loss("edl-robust-1"))
    >>> logits, labels = jnp.zeros((8, 10)), jnp.arange(8)
    >>> jax.vmap(lambda one: one(logits, labels))(both).shape
    (2, 8)
    """

    params: Params
    scale: jax.Array
    spec: NetworkSpec
    provenance_json: str = "{}"

    def __call__(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        axis: Axis = -1,
        where: ArrayLike | None = None,
        *,
        context: Context | None = None,
    ) -> jax.Array:
        """Loss of each example, unreduced.

        Args:
          logits: unnormalised log-probabilities, any float dtype, classes along ``axis``. A class
            with logit -inf is absent: the loss is that of the remaining classes, and 0 at a label
            that is itself absent. One of probability 0 by underflow alone has a finite loss.
          labels: class ids of any integer dtype, of the shape of ``logits`` without ``axis``, or
            one-hot or soft labels of the shape of ``logits``; a soft label means the expectation
            of the loss over its classes.
          axis: the class axis, a tuple of axes, or None for all; see :class:`Handmade`.
          where: boolean; a class is absent where it is False. Of the shape of ``logits``, or of the
            result's for whole examples, as optax has it; an axis of size 1 is broadcast.
          context: how far training has come, for a loss that reads it (network ``monotone``); by
            default :func:`batch_context` of these arguments. Others ignore it.

        Returns:
          Losses of the shape of ``logits`` without ``axis``, >= 0 but for ``taylor``; float32, or
          float64 for float64 logits. An example without any class has 0. NaN where a label is out
          of range, with a gradient of 0; and where a logit of a present class is NaN or +inf.

        Raises:
          EdlError: the arguments do not fit, or a concat loss got another number of classes.
        """
        return _losses(self, called_with(logits, labels, axis, where), context)

    def _uncompiled(self, called: Call, context: Context | None) -> jax.Array:
        examples = read_examples(called)
        present = examples.present
        # A row without any class is a uniform one until its loss is masked, so that it is finite.
        absent = jnp.where(jnp.any(present, axis=-1, keepdims=True), -jnp.inf, 0.0)
        finite = jnp.where(present, examples.logits, absent.astype(examples.logits.dtype))
        network = self.spec.build()
        if self.reads_context and context is None:
            context = examples_context(examples)
        params = jax.tree.map(lambda weight: weight.astype(finite.dtype), self.params)
        one = partial(network.apply, params, context=context)
        by_label = every_label(one, finite) if examples.ids is None else one(finite, examples.ids)
        losses = examples.reduce(by_label)
        return self.scale.astype(losses.dtype) * losses

    @property
    def reads_context(self) -> bool:
        """Whether it depends on how far training has come."""
        return self.spec.build().reads_context

    def __repr__(self) -> str:
        spec, config = self.spec, self.provenance.get("config")
        preset = config.get("preset") if isinstance(config, dict) else None
        made = f", preset {preset}" if preset else ""
        return f"LearnedLoss({spec.name}, width {spec.width}, {spec.num_classes} classes{made})"

    @property
    def provenance(self) -> Json:
        """How the loss was made: config, seed, versions, figures."""
        return json.loads(self.provenance_json)

    def save(self, path: str | Path) -> None:
        """Write the loss to ``path`` as .npz arrays with a JSON spec; atomic, never pickle.

        Raises:
          EdlError: ``path`` cannot be written.
        """
        spec = {
            "network": self.spec.as_json(),
            "scale": float(self.scale),
            "provenance": self.provenance,
        }
        artifact.write(path, {name: np.asarray(a) for name, a in self.params.items()}, spec)


@dataclass(frozen=True)
class _Structure:
    """The part of a loss that JAX compares besides its arrays: not where it comes from."""

    spec: NetworkSpec
    provenance_json: str = field(compare=False, repr=False)


def _flatten(loss: LearnedLoss) -> tuple[tuple[Params, jax.Array], _Structure]:
    children = loss.params, loss.scale
    # A compiled function serves all losses of a structure: none of them is where its results come
    # from.
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(children))
    return children, _Structure(loss.spec, "{}" if traced else loss.provenance_json)


def _flatten_with_keys(
    loss: LearnedLoss,
) -> tuple[tuple[tuple[GetAttrKey, Params], tuple[GetAttrKey, jax.Array]], _Structure]:
    (params, scale), structure = _flatten(loss)
    return ((GetAttrKey("params"), params), (GetAttrKey("scale"), scale)), structure


def _unflatten(structure: _Structure, children: Iterable[Any]) -> LearnedLoss:
    params, scale = children
    return LearnedLoss(params, scale, structure.spec, structure.provenance_json)


# A call outside of any jitted function is one program, not some hundred.
_losses = jax.jit(LearnedLoss._uncompiled)
register_pytree_with_keys(LearnedLoss, _flatten_with_keys, _unflatten, _flatten)


def make_learned_loss(
    spec: NetworkSpec, params: Params, provenance: Mapping[str, object] | None = None
) -> LearnedLoss:
    """Freeze evolved parameters into a loss, its scale fixed by :func:`descent_scale`.

    A network that is scaled by construction keeps its scale.
    """
    network = spec.build()
    apply = jax.tree_util.Partial(network.apply, params)
    scale = 1.0 if network.is_scaled else descent_scale(apply, spec.num_classes)
    text = json.dumps(dict(provenance or {}), sort_keys=True)
    return LearnedLoss(dict(params), jnp.asarray(scale, jnp.float32), spec, text)
