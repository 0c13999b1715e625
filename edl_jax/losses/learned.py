"""Learned losses, and how any loss is found by its name or path."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey, register_pytree_with_keys
from jax.typing import ArrayLike

from edl_jax import parts
from edl_jax.errors import EdlError, OptionError, did_you_mean, one_line, require
from edl_jax.files import Json, path_exists, user_path
from edl_jax.losses import artifact
from edl_jax.losses.arguments import read_examples
from edl_jax.losses.base import Axis, Context, FullLoss, every_label
from edl_jax.losses.context import examples_context
from edl_jax.losses.handmade import LOSSES, variant
from edl_jax.losses.networks import Maker, Network, NetworkSpec, Params, recorded_spec
from edl_jax.losses.scale import descent_scale
from edl_jax.parts import is_own

ARTIFACT = "loss.npz"
SHIPPED = ("edl-base", "edl-robust")
EARLIER = ("edl-base-1", "edl-robust-1")  # the first generation
NAMES = (*SHIPPED, *EARLIER)
MAX_WIDTH, MAX_CLASSES = 4096, 1_000_000


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
        examples = read_examples(logits, labels, axis, where)
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
    """What JAX compares of two losses besides their arrays: not where they come from."""

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


register_pytree_with_keys(LearnedLoss, _flatten_with_keys, _unflatten, _flatten)


def load_loss(source: str | Path, network: Network | Maker | None = None) -> LearnedLoss:
    """Load a learned loss.

    Args:
      source: a shipped loss's name (``"edl-base"``), an artifact's path, or a run directory of
        ``python -m edl_jax.pretrain``.
      network: what the loss was evolved with, if it was a network of your own. By default that is
        looked for in the file that the artifact names, which is run if it is in the current
        directory or below it and has not changed.

    Raises:
      EdlError: there is no such loss, the file is not a sound learned loss, or its network is not
        there.
    """
    if str(source) in NAMES:
        with as_file(files("edl_jax.losses").joinpath("shipped", f"{source}.npz")) as path:
            return _read(path, network)
    path = user_path(source)
    if not path_exists(path):
        raise EdlError(
            f"{source}: no such loss; give one of {', '.join(NAMES)}, the path of an artifact, "
            "or a run directory of pretrain"
        )
    if path.is_dir() and not (path / ARTIFACT).exists():
        raise EdlError(f"{source}: this directory holds no {ARTIFACT}; is the run finished?")
    return _read(path / ARTIFACT if path.is_dir() else path, network)


def _read(path: Path, network: Network | Maker | None) -> LearnedLoss:
    params, content = artifact.read(path)
    try:
        spec = recorded_spec(content["network"], network)
        scale, provenance = content["scale"], content["provenance"]
        limits = {"width": (1, MAX_WIDTH), "num_classes": (2, MAX_CLASSES)}
        for field, (low, high) in limits.items():
            value = getattr(spec, field)
            if type(value) is not int or not low <= value <= high:
                raise EdlError(f"{field} {value!r} is not from {low} to {high:,}")
        expected = jax.eval_shape(spec.build().init, jax.random.key(0))
    except EdlError as error:
        raise EdlError(f"{path}: {error}") from None
    except (KeyError, TypeError) as error:
        raise EdlError(f"{path}: its spec lacks or garbles {error}") from None
    shapes = {name: array.shape for name, array in expected.items()}
    if {name: array.shape for name, array in params.items()} != shapes:
        raise EdlError(f"{path}: the arrays are not those of a {spec.name} network")
    with np.errstate(over="ignore", under="ignore"):
        finite = (
            isinstance(scale, float) and np.isfinite(np.float32(scale)) and np.float32(scale) > 0
        )
    if not finite or not all(np.isfinite(array).all() for array in params.values()):
        raise EdlError(f"{path}: a value in it is not finite, or the scale is not positive")
    return LearnedLoss(
        {name: jnp.asarray(array) for name, array in sorted(params.items())},
        jnp.asarray(scale, jnp.float32),
        spec,
        json.dumps(provenance, sort_keys=True),
    )


def resolve_loss(source: str | Path) -> FullLoss:
    """A hand-made loss by its name in :data:`LOSSES`, or whatever :func:`load_loss` takes.

    A hand-made loss may be given constants: ``"gce:q=0.3"``; see :func:`variant`. One of your own,
    ``path/to/file.py:NAME``, is a function ``(logits, integer labels) -> losses``.

    Raises:
      EdlError: there is no such loss.
    """
    if is_own(source):
        return parts.load("loss", str(source))
    if str(source) in LOSSES:
        return LOSSES[str(source)]
    if str(source).partition(":")[0] in LOSSES:
        return variant(str(source))
    if not path_exists(user_path(source)) and str(source) not in NAMES:
        names = ", ".join((*NAMES, *LOSSES))
        meant = did_you_mean(str(source), (*NAMES, *LOSSES))
        raise EdlError(
            f"loss {source}: expected one of {names}, the path of a learned loss, or "
            f"FILE.py:NAME of your own{meant}"
        )
    return load_loss(source)


def require_loss(name: str, loss: Any, num_classes: int) -> None:
    """Raise :class:`EdlError` unless ``loss`` gives a value for each of some examples.

    Args:
      name: what errors call it.
      loss: ``loss(logits, integer labels)``; it is traced, not run.
      num_classes: of the logits.
    """
    logits = jax.ShapeDtypeStruct((6, num_classes), jnp.float32)
    try:
        given = jax.eval_shape(loss, logits, jax.ShapeDtypeStruct((6,), jnp.int32))
    except EdlError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {one_line(error)}{parts.line_in_file(error, name)}"
        expected = f"a function of logits (6, {num_classes}) and labels (6,) ({said})"
        raise OptionError("loss", name, expected) from error
    shape = getattr(given, "shape", None)
    expected = f"a loss for each example, of shape (6,) for 6 of them, not {shape}"
    require(shape == (6,), "loss", name, expected)


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
