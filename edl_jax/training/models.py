"""The classifiers that are known by name; each takes float32 examples and gives logits."""

import math
from collections.abc import Callable
from functools import partial

import jax
from flax import nnx

from edl_jax.errors import require, require_int, require_one_of
from edl_jax.training.patches import Mixer, VisionTransformer
from edl_jax.training.resnets import BasicBlock, Bottleneck, ResNet, WideResNet

_he_fan_in = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


class MLP(nnx.Module):
    """Flattened examples of any shape, two hidden layers of ``width`` rectified units, logits."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int,
        *,
        rngs: nnx.Rngs,
    ):
        inputs = math.prod(input_shape)
        self.first = nnx.Linear(inputs, width, kernel_init=_he_fan_in, rngs=rngs)
        self.second = nnx.Linear(width, width, kernel_init=_he_fan_in, rngs=rngs)
        self.head = nnx.Linear(width, num_classes, rngs=rngs)

    def __call__(self, inputs: jax.Array, train: bool = False) -> jax.Array:
        x = inputs.reshape(inputs.shape[0], -1)
        x = nnx.relu(self.first(x))
        return self.head(nnx.relu(self.second(x)))


def _cifar_resnet(depth: int) -> tuple[Callable[..., nnx.Module], int]:
    stages = ((depth - 2) // 6,) * 3
    return partial(ResNet, stages=stages, block=BasicBlock, project=False), 16


MODELS: dict[str, tuple[Callable[..., nnx.Module], int]] = {
    "mlp": (MLP, 512),
    "resnet8": _cifar_resnet(8),
    "resnet20": _cifar_resnet(20),
    "resnet32": _cifar_resnet(32),
    "resnet56": _cifar_resnet(56),
    "resnet18": (partial(ResNet, stages=(2, 2, 2, 2), block=BasicBlock, project=True), 64),
    "resnet50": (partial(ResNet, stages=(3, 4, 6, 3), block=Bottleneck, project=True), 64),
    "wrn-16-4": (partial(WideResNet, depth=16), 64),
    "wrn-28-10": (partial(WideResNet, depth=28), 160),
    "vit-tiny": (partial(VisionTransformer, depth=12), 192),
    "mixer-small": (partial(Mixer, depth=8), 512),
}
"""Name to (constructor, default width)."""


def make_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    width: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Make a classifier with freshly drawn weights.

    Args:
      name: one of :data:`MODELS`.
      input_shape: height, width and channels of an image; for ``mlp`` any shape.
      num_classes: number of logits.
      width: channels of the first stage, hidden units of ``mlp``, or units of a token or patch;
        ``None`` takes the published width, or 512 for ``mlp``.
      rngs: the key stream that the initial weights are drawn from.

    Returns:
      A module ``model(inputs, train=False)`` from float32 examples ``[batch, *input_shape]`` to
      float32 logits ``[batch, num_classes]``. With ``train`` batch normalisation
      uses the statistics of the batch and updates the running ones in place; without, it uses
      the running ones.

    Raises:
      OptionError: the name is unknown, it takes images and these are none, or the width is
        below 1.

    >>> import jax.numpy as jnp
    >>> model = make_model("resnet8", input_shape=(32, 32, 3), num_classes=10, rngs=nnx.Rngs(0))
    >>> model(jnp.zeros((4, 32, 32, 3))).shape
    (4, 10)
    """
    require_one_of("model", name, MODELS)
    constructor, default_width = MODELS[name]
    expected = f"mlp for features of shape {list(input_shape)}, which are no images"
    require(name == "mlp" or len(input_shape) == 3, "model", name, expected)
    width = default_width if width is None else width
    require_int("width", width, 1)
    return constructor(input_shape, num_classes, width, rngs=rngs)
