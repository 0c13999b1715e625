"""Image classifiers: residual networks for small images, and a multilayer perceptron.

The networks of He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385):

* ``resnet8/20/32/56`` are the CIFAR networks of section 4.2: a 3x3 stem and three stages of n
  basic blocks (depth 6n + 2) with width, 2 width and 4 width channels. Shortcuts are option A,
  which has no parameters: every second pixel, new channels filled with zeros.
* ``resnet18`` and ``resnet50`` are the ImageNet networks of table 1 with four stages, basic or
  bottleneck blocks and option B (1x1 projection) shortcuts. Their 7x7 stem and max pool, made
  for images of 224 pixels, are replaced by one 3x3 convolution, as is usual for small images.

Convolutions are NHWC and without bias, followed by batch normalisation. Their weights are drawn
from N(0, 2 / fan_out) (He et al., arXiv 1502.01852, equation 14).
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from edl_jax.errors import require, require_int, require_one_of

_he_fan_out = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
_he_fan_in = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


class Network(nnx.Module):
    """A network from float32 images ``[batch, height, width, channels]`` to logits."""

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Float32 logits ``[batch, num_classes]``; see :func:`make_model` for ``train``."""
        raise NotImplementedError


class ConvNorm(nnx.Module):
    """A square convolution without bias, then batch normalisation.

    The running statistics move by a tenth a step: of the default hundredth, runs of a few hundred
    steps would still carry their starting values into the evaluation.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(
            inputs,
            outputs,
            (size, size),
            strides=stride,
            padding=size // 2,
            use_bias=False,
            kernel_init=_he_fan_out,
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return self.norm(self.conv(x), use_running_average=not train)


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions around which the input is carried."""

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int, *, project: bool = False, rngs: nnx.Rngs
    ):
        self.first = ConvNorm(inputs, width, 3, stride, rngs=rngs)
        self.second = ConvNorm(width, width, 3, rngs=rngs)
        self.shortcut = _make_shortcut(inputs, width, stride, project, rngs)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = nnx.relu(self.first(x, train))
        return nnx.relu(self.second(y, train) + self.shortcut(x, train))


class Bottleneck(nnx.Module):
    """A 1x1, a 3x3 and a 1x1 convolution; the outer channels are four times the inner ones."""

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int, *, project: bool = True, rngs: nnx.Rngs
    ):
        outputs = self.expansion * width
        self.first = ConvNorm(inputs, width, 1, rngs=rngs)
        self.second = ConvNorm(width, width, 3, stride, rngs=rngs)
        self.third = ConvNorm(width, outputs, 1, rngs=rngs)
        self.shortcut = _make_shortcut(inputs, outputs, stride, project, rngs)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = nnx.relu(self.first(x, train))
        y = nnx.relu(self.second(y, train))
        return nnx.relu(self.third(y, train) + self.shortcut(x, train))


class PaddedShortcut(nnx.Module):
    """Option A: every ``stride``-th pixel, with ``extra`` channels of zeros appended."""

    def __init__(self, stride: int, extra: int):
        self.stride, self.extra = stride, extra

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = x[:, :: self.stride, :: self.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.extra)))


def _make_shortcut(
    inputs: int, outputs: int, stride: int, project: bool, rngs: nnx.Rngs
) -> ConvNorm | PaddedShortcut:
    if project and (stride > 1 or inputs != outputs):
        return ConvNorm(inputs, outputs, 1, stride, rngs=rngs)
    return PaddedShortcut(stride, outputs - inputs)


class ResNet(Network):
    """A residual network for small images.

    Args:
      input_shape: height, width and channels of an image.
      num_classes: number of logits.
      width: channels of the first stage; each later stage has twice those of the one before.
      stages: number of blocks in each stage.
      block: ``BasicBlock`` or ``Bottleneck``.
      project: option B shortcuts if true, option A if not.
      rngs: the key stream that the initial weights are drawn from.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int,
        *,
        stages: tuple[int, ...],
        block: type[BasicBlock | Bottleneck],
        project: bool,
        rngs: nnx.Rngs,
    ):
        self.stem = ConvNorm(input_shape[-1], width, 3, rngs=rngs)
        blocks, channels = [], width
        for stage, size in enumerate(stages):
            inner = width * 2**stage
            for i in range(size):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(block(channels, inner, stride, project=project, rngs=rngs))
                channels = inner * block.expansion
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(channels, num_classes, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = nnx.relu(self.stem(images, train))
        for block in self.blocks:
            x = block(x, train)
        return self.head(x.mean(axis=(1, 2)))


class MLP(Network):
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


def _cifar_resnet(depth: int) -> tuple[Callable[..., Network], int]:
    stages = ((depth - 2) // 6,) * 3
    return partial(ResNet, stages=stages, block=BasicBlock, project=False), 16


MODELS: dict[str, tuple[Callable[..., Network], int]] = {
    "mlp": (MLP, 512),
    "resnet8": _cifar_resnet(8),
    "resnet20": _cifar_resnet(20),
    "resnet32": _cifar_resnet(32),
    "resnet56": _cifar_resnet(56),
    "resnet18": (partial(ResNet, stages=(2, 2, 2, 2), block=BasicBlock, project=True), 64),
    "resnet50": (partial(ResNet, stages=(3, 4, 6, 3), block=Bottleneck, project=True), 64),
}
"""Name to (constructor, default width)."""


def make_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    width: int | None = None,
    rngs: nnx.Rngs,
) -> Network:
    """Make a classifier with freshly drawn weights.

    Args:
      name: one of :data:`MODELS`.
      input_shape: height, width and channels of an image; for ``mlp`` any shape.
      num_classes: number of logits.
      width: channels of the first stage (hidden units of ``mlp``); ``None`` takes the published
        width: 16 for ``resnet8/20/32/56``, 64 for ``resnet18/50``, 512 for ``mlp``.
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
