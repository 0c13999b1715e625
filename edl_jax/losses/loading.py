"""How any loss is found by its name or path."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax import parts
from edl_jax.errors import EdlError, OptionError, did_you_mean, one_line, require
from edl_jax.files import path_exists, user_path
from edl_jax.losses import artifact
from edl_jax.losses.artifact import NAMES
from edl_jax.losses.base import FullLoss
from edl_jax.losses.handmade import LOSSES, Handmade, variant
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.networks import Maker, Network, recorded_spec
from edl_jax.parts import is_own

MAX_WIDTH, MAX_CLASSES = 4096, 1_000_000


def list_losses() -> list[str]:
    """The names that :func:`load_loss` takes: the shipped losses, then the hand-made ones.

    >>> list_losses()[:5]
    ['edl-base', 'edl-robust', 'edl-base-1', 'edl-robust-1', 'cross_entropy']
    """
    return [*NAMES, *LOSSES]


def load_loss(source: str | Path, network: Network | Maker | None = None) -> LearnedLoss | Handmade:
    """Load a loss.

    Args:
      source: a name in :func:`list_losses`; a hand-made loss with other constants
        (``"gce:q=0.3"``, see :func:`variant`); an artifact's path; or a run directory of
        ``python -m edl_jax.pretrain``.
      network: what a learned loss was evolved with, if it was a network of your own. By default
        that is looked for in the file that the artifact names, which is run if it is in the current
        directory or below it and has not changed.

    Raises:
      EdlError: there is no such loss, the file is not a sound learned loss, or its network is not
        there.

    >>> load_loss("edl-base")
    LearnedLoss(symmetric, width 16, 10 classes, preset base)
    >>> load_loss("gce:q=0.3").name
    'gce:q=0.3'
    """
    name = str(source)
    if name in LOSSES:
        return LOSSES[name]
    if name.partition(":")[0] in LOSSES:
        return variant(name)
    if name not in NAMES and not path_exists(user_path(source)):
        names = ", ".join(list_losses())
        raise EdlError(
            f"loss {source}: expected one of {names}, the path of a learned loss, or a run "
            f"directory of pretrain{did_you_mean(name, list_losses())}"
        )
    return load_learned_loss(source, network)


def load_learned_loss(source: str | Path, network: Network | Maker | None = None) -> LearnedLoss:
    """As :func:`load_loss`, but for hand-made losses, which are refused."""
    return _read(artifact.locate(source), network)


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
    """Load as :func:`load_loss` does, or a loss of the user's own file.

    Args:
      source: as there, or ``path/to/file.py:NAME``, a function
        ``(logits, integer labels) -> losses``, whose file is run.

    Raises:
      EdlError: there is no such loss.
    """
    return parts.load("loss", str(source)) if is_own(source) else load_loss(source)


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
