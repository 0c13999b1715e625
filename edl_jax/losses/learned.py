"""Learned losses, and how any loss is found by its name or path."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from edl_jax.errors import EdlError
from edl_jax.files import Json, path_exists
from edl_jax.losses import artifact
from edl_jax.losses.base import FullLoss, every_label
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.networks import NetworkSpec, Params
from edl_jax.losses.scale import descent_scale

ARTIFACT = "loss.npz"
SHIPPED = ("edl-base", "edl-robust")
MAX_WIDTH, MAX_CLASSES = 4096, 1_000_000


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "scale"],
    meta_fields=["spec", "provenance_json"],
)
@dataclass(frozen=True, eq=False)  # hashed by identity, so that jax.jit(loss) works
class LearnedLoss:
    """A frozen evolved loss, called like optax's cross-entropies.

    It is a pytree, so it may be closed over by a jitted function or passed to one as an argument.

    Attributes:
      params: the loss network's float32 arrays.
      scale: float32 scalar that multiplies the network's output; see :func:`descent_scale`.
      spec: which network.
      provenance_json: how it was made, as JSON text.

    >>> loss = load_loss("edl-base")
    >>> loss(jnp.array([[2.0, 0.0, 1.0]]), jnp.array([0])).shape
    (1,)
    """

    params: Params
    scale: jax.Array
    spec: NetworkSpec
    provenance_json: str = "{}"

    def __call__(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        axis: int = -1,
        where: ArrayLike | None = None,
    ) -> jax.Array:
        """Loss of each example, unreduced.

        Args:
          logits: unnormalised log-probabilities, any float dtype, classes along ``axis``. A class
            with logit -inf is absent: the loss is that of the remaining classes, and 0 at a label
            that is itself absent. One of probability 0 by underflow alone has a finite loss.
          labels: integer class ids of the shape of ``logits`` without ``axis``, or one-hot or soft
            labels of the shape of ``logits``; a soft label means the expectation of the loss over
            its classes.
          axis: the class axis.
          where: boolean, broadcastable to ``logits``; a class is absent where it is False.

        Returns:
          Losses >= 0 of the shape of ``logits`` without ``axis``; float32, or float64 for float64
          logits. NaN where a label is out of range, or a logit is NaN or +inf.

        Raises:
          EdlError: ``labels`` fit neither form, or a concat loss got another number of classes.
        """
        logits, labels = jnp.asarray(logits), jnp.asarray(labels)
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        if where is not None:
            logits = jnp.where(where, logits, -jnp.inf)
        logits = jnp.moveaxis(logits, axis, -1)
        # A row without any class is a uniform one until its loss is masked, so that it is finite.
        empty = jnp.all(logits == -jnp.inf, axis=-1, keepdims=True)
        finite = jnp.where(empty, 0.0, logits)
        one = partial(self.spec.build().apply, self.params)
        if labels.shape == logits.shape[:-1] and jnp.issubdtype(labels.dtype, jnp.integer):
            known = (labels >= 0) & (labels < logits.shape[-1])
            absent = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0] == -jnp.inf
            losses = jnp.where(absent, 0.0, self.scale * one(finite, labels))
            return jnp.where(known, losses, jnp.nan)
        labels = jnp.moveaxis(labels, axis, -1) if labels.ndim == logits.ndim else labels
        if labels.shape != logits.shape:
            raise EdlError(
                f"labels of shape {labels.shape} and dtype {labels.dtype} do not fit logits of "
                f"shape {logits.shape}: give integers or class weights"
            )
        by_label = every_label(one, finite)
        # A label that is not drawn adds nothing, whatever the loss would be under it.
        weighted = jnp.where((labels == 0) | (logits == -jnp.inf), 0.0, labels * by_label)
        return self.scale * jnp.sum(weighted, axis=-1)

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
            "network": asdict(self.spec),
            "scale": float(self.scale),
            "provenance": self.provenance,
        }
        artifact.write(path, {name: np.asarray(a) for name, a in self.params.items()}, spec)


def load_loss(source: str | Path) -> LearnedLoss:
    """Load a learned loss.

    Args:
      source: a shipped loss's name (``"edl-base"``), an artifact's path, or a run directory of
        ``python -m edl_jax.pretrain``.

    Raises:
      EdlError: there is no such loss, or the file is not a sound learned loss.
    """
    if str(source) in SHIPPED:
        with as_file(files("edl_jax.losses").joinpath("shipped", f"{source}.npz")) as path:
            return _read(path)
    path = Path(source)
    if not path_exists(path):
        raise EdlError(
            f"{source}: no such loss; give one of {', '.join(SHIPPED)}, the path of an artifact, "
            "or a run directory of pretrain"
        )
    if path.is_dir() and not (path / ARTIFACT).exists():
        raise EdlError(f"{source}: this directory holds no {ARTIFACT}; is the run finished?")
    return _read(path / ARTIFACT if path.is_dir() else path)


def _read(path: Path) -> LearnedLoss:
    params, content = artifact.read(path)
    try:
        network = content["network"]
        spec = NetworkSpec(str(network["name"]), network["width"], network["num_classes"])
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

    Raises:
      EdlError: there is no such loss.
    """
    if str(source) in LOSSES:
        return LOSSES[str(source)]
    if not path_exists(Path(source)) and str(source) not in SHIPPED:
        names = ", ".join((*SHIPPED, *LOSSES))
        raise EdlError(f"loss {source}: expected one of {names}, or the path of a learned loss")
    return load_loss(source)


def make_learned_loss(
    spec: NetworkSpec, params: Params, provenance: Mapping[str, object] | None = None
) -> LearnedLoss:
    """Freeze evolved parameters into a loss, its scale fixed by :func:`descent_scale`."""
    scale = descent_scale(jax.tree_util.Partial(spec.build().apply, params), spec.num_classes)
    text = json.dumps(dict(provenance or {}), sort_keys=True)
    return LearnedLoss(dict(params), jnp.asarray(scale, jnp.float32), spec, text)
