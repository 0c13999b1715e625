"""Residual networks for small images: the published ones, and their wide form.

* ``ResNet``, of He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385).
  ``resnet8/20/32/56`` are the CIFAR networks of section 4.2: a 3x3 stem and three stages of n
  basic blocks (depth 6n + 2) with width, 2 width and 4 width channels. Shortcuts are option A,
  which has no parameters: every second pixel, new channels filled with zeros.
  ``resnet18`` and ``resnet50`` are the ImageNet networks of table 1 with four stages, basic or
  bottleneck blocks and option B (1x1 projection) shortcuts. Their 7x7 stem and max pool, made
  for images of 224 pixels, are replaced by one 3x3 convolution, as is usual for small images.
* ``WideResNet``, of Zagoruyko and Komodakis, "Wide Residual Networks" (arXiv 1605.07146), table 1:
  WRN-d-k has a stem of 16 channels and three stages of (d - 4) / 6 blocks with 16k, 32k and 64k
  channels; normalisation and rectifier stand before each convolution. It has no dropout.

Convolutions are NHWC and without bias, with batch normalisation. Their weights are drawn from
N(0, 2 / fan_out) (He et al., arXiv 1502.01852, equation 14).
"""

import jax
import jax.numpy as jnp
from flax import nnx

_he_fan_out = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class ConvNorm(nnx.Module):
    """A square convolution without bias, then batch normalisation.

    The running statistics move by a tenth a step: of the default hundredth, runs of a few hundred
    steps would still carry their starting values into the evaluation.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, *, rngs: nnx.Rngs):
        self.conv = _convolution(inputs, outputs, size, stride, rngs)
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


class ResNet(nnx.Module):
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


class NormConv(nnx.Module):
    """Batch normalisation and a rectifier; then, apart, a square convolution without bias."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, rngs: nnx.Rngs):
        self.norm = nnx.BatchNorm(inputs, momentum=0.9, rngs=rngs)
        self.conv = _convolution(inputs, outputs, 3, stride, rngs)

    def active(self, x: jax.Array, train: bool) -> jax.Array:
        """What the convolution is given."""
        return nnx.relu(self.norm(x, use_running_average=not train))


class WideBlock(nnx.Module):
    """Two 3x3 convolutions, each after its normalisation, around which the input is carried."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, rngs: nnx.Rngs):
        self.first = NormConv(inputs, outputs, stride, rngs=rngs)
        self.second = NormConv(outputs, outputs, rngs=rngs)
        changed = stride > 1 or inputs != outputs
        self.shortcut = _convolution(inputs, outputs, 1, stride, rngs) if changed else None

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        active = self.first.active(x, train)
        carried = x if self.shortcut is None else self.shortcut(active)
        y = self.first.conv(active)
        return carried + self.second.conv(self.second.active(y, train))


class WideResNet(nnx.Module):
    """A wide residual network for small images.

    Args:
      input_shape: height, width and channels of an image.
      num_classes: number of logits.
      width: channels of the first stage, 16k; each later stage has twice those of the one before.
      depth: d of WRN-d-k, 6n + 4.
      rngs: the key stream that the initial weights are drawn from.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int,
        *,
        depth: int,
        rngs: nnx.Rngs,
    ):
        channels = 16
        self.stem = _convolution(input_shape[-1], channels, 3, 1, rngs)
        blocks = []
        for stage in range(3):
            for i in range((depth - 4) // 6):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(WideBlock(channels, width * 2**stage, stride, rngs=rngs))
                channels = width * 2**stage
        self.blocks = nnx.List(blocks)
        self.norm = nnx.BatchNorm(channels, momentum=0.9, rngs=rngs)
        self.head = nnx.Linear(channels, num_classes, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = self.stem(images)
        for block in self.blocks:
            x = block(x, train)
        x = nnx.relu(self.norm(x, use_running_average=not train))
        return self.head(x.mean(axis=(1, 2)))


def _convolution(inputs: int, outputs: int, size: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=False,
        kernel_init=_he_fan_out,
        rngs=rngs,
    )
