"""A classifier as training sees it: a structure, arrays, and a pure function of both.

It is one of :data:`edl_jax.training.models.MODELS`, or any NNX module of the user's.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from edl_jax import parts
from edl_jax.errors import EdlError, one_line
from edl_jax.parts import is_own
from edl_jax.training.config import TrainOptions
from edl_jax.training.models import make_model

PyTree: TypeAlias = Any
"""Arrays in containers of any structure."""

GraphDef: TypeAlias = nnx.GraphDef[nnx.Module]
"""A network's structure, without its arrays."""

Model: TypeAlias = nnx.Module | Callable[[nnx.Rngs], nnx.Module]
"""A network, or what makes one with freshly drawn weights, e.g. its class.

It is called ``model(inputs, train=...)`` if it takes ``train``; else ``model(inputs)``, in the mode
of ``model.train()`` or ``model.eval()``. It gives logits ``[batch, num_classes]``."""

Arrays: TypeAlias = tuple[PyTree, PyTree]
"""A network's trained arrays, and all its others: running statistics, keys of dropout."""


def forward(
    graphdef: GraphDef, params: PyTree, model_state: PyTree, inputs: jax.Array, *, train: bool
) -> tuple[jax.Array, PyTree]:
    """Float32 logits ``[batch, num_classes]``, and the state that the call leaves.

    Args:
      graphdef: the network's structure.
      params: its trained arrays.
      model_state: its other arrays.
      inputs: normalised examples, float32 ``[batch, ...]``.
      train: whether it trains: batch normalisation then takes the statistics of the batch.
    """
    model = nnx.merge(graphdef, params, model_state)
    if "train" in inspect.signature(type(model).__call__).parameters:
        logits = model(inputs, train=train)
    else:
        (model.train if train else model.eval)()
        logits = model(inputs)
    changed = nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))
    return logits.astype(jnp.float32), changed


def name_of(config: TrainOptions, model: Model | None) -> str:
    """The name of a network: the one in ``config``, or that of its class or function."""
    if model is None or is_own(config.model):
        return config.model
    return str(getattr(model, "__name__", type(model).__name__))


def network(
    config: TrainOptions, model: Model | None, input_shape: tuple[int, ...], num_classes: int
) -> tuple[GraphDef, Callable[[jax.Array], Arrays]]:
    """A network's structure, and a function from a PRNG key to the arrays that it starts from.

    Those of a module that was given are its own, whatever the key.

    Args:
      config: names the network where ``model`` is None.
      model: a network of the user's.
      input_shape: of an example: height, width and channels of an image.
      num_classes: number of logits.

    Raises:
      EdlError: the network does not take such examples, or does not give that many logits.
    """
    if model is None and is_own(config.model):
        model = parts.load("model", config.model)
    if model is None:
        return _by_name(config.model, config.width, input_shape, num_classes)
    return _own(model, name_of(config, model), input_shape, num_classes)


@lru_cache(maxsize=64)
def _by_name(
    name: str, width: int | None, input_shape: tuple[int, ...], num_classes: int
) -> tuple[GraphDef, Callable[[jax.Array], Arrays]]:
    def make(rngs: nnx.Rngs) -> nnx.Module:
        return make_model(
            name, input_shape=input_shape, num_classes=num_classes, width=width, rngs=rngs
        )

    return _made_by(make)


def _own(
    model: Model, name: str, input_shape: tuple[int, ...], num_classes: int
) -> tuple[GraphDef, Callable[[jax.Array], Arrays]]:
    try:
        graphdef, arrays = _given(model) if isinstance(model, nnx.Module) else _made_by(model)
        inputs = jax.ShapeDtypeStruct((2, *input_shape), jnp.float32)
        params, state = jax.eval_shape(arrays, jax.random.key(0))
        for train in (True, False):
            logits, _ = jax.eval_shape(
                lambda *of, train=train: forward(graphdef, *of, train=train), params, state, inputs
            )
    except Exception as error:  # a user's own code
        raise EdlError(
            f"model {name}: expected an NNX module, or a function of nnx.Rngs that makes one, that "
            f"takes examples {[2, *input_shape]} ({type(error).__name__}: {one_line(error)})"
        ) from error
    if logits.shape != (2, num_classes):
        raise EdlError(
            f"model {name}: gives {list(logits.shape)} of examples {[2, *input_shape]}: expected "
            f"logits {[2, num_classes]}, for {num_classes} classes"
        )
    return graphdef, arrays


def _given(model: nnx.Module) -> tuple[GraphDef, Callable[[jax.Array], Arrays]]:
    graphdef, params, *others = nnx.split(model, nnx.Param, ...)
    own = nnx.to_pure_dict(params), nnx.to_pure_dict(others[0])

    def arrays(key: jax.Array) -> Arrays:
        del key
        return jax.tree.map(jnp.copy, own)  # a training step donates what it starts from

    return graphdef, arrays


@lru_cache(maxsize=64)
def _made_by(
    make: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[GraphDef, Callable[[jax.Array], Arrays]]:
    def arrays(key: jax.Array) -> Arrays:
        _, params, *others = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(others[0])

    abstract = nnx.eval_shape(lambda key: make(nnx.Rngs(key)), jax.random.key(0))
    graphdef, _ = nnx.split(abstract)
    return graphdef, jax.jit(arrays)
