"""The residual networks of :mod:`edl_jax.training.models` and their training step, in PyTorch.

Eager, in the channels_last memory format, as PyTorch's own guides advise for convolutions.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.common.timing import best_seconds
from benchmarks.training_step.convolutions import Convolution
from edl_jax.startup import num_processors


class ConvNorm(nn.Sequential):
    """A 3x3 convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Two convolutions around which the input is carried, without parameters (option A)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(inputs, width, stride), ConvNorm(width, width)
        self.stride, self.extra = stride, width - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Channels_last images to channels_last images."""
        y = self.second(functional.relu(self.first(x)))
        if self.stride > 1 or self.extra:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """resnet8, resnet20, ...: three stages of (depth - 2) / 6 blocks."""

    def __init__(self, depth: int, width: int, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = ConvNorm(3, width)
        blocks, channels = [], width
        for stage in range(3):
            for i in range((depth - 2) // 6):
                outputs = width * 2**stage
                blocks.append(Block(channels, outputs, 2 if stage and i == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``[batch, num_classes]`` of images ``[batch, 3, height, width]``."""
        x = self.blocks(functional.relu(self.stem(images)))
        return self.head(x.mean(dim=(2, 3)))


def take_weights(model: ResNet, params: Any) -> None:
    """Give the network the weights of an ``edl_jax`` one, a pytree as in its ``TrainState``."""

    def pairs() -> Iterator[tuple[Any, Any]]:
        yield model.stem, params["stem"]
        for i, block in enumerate(model.blocks):
            yield block.first, params["blocks"][i]["first"]
            yield block.second, params["blocks"][i]["second"]

    with torch.no_grad():
        for (conv, norm), theirs in pairs():
            kernel = np.asarray(theirs["conv"]["kernel"]).transpose(3, 2, 0, 1)
            conv.weight.copy_(torch.tensor(kernel))
            norm.weight.copy_(torch.tensor(np.asarray(theirs["norm"]["scale"])))
            norm.bias.copy_(torch.tensor(np.asarray(theirs["norm"]["bias"])))
        model.head.weight.copy_(torch.tensor(np.asarray(params["head"]["kernel"]).T))
        model.head.bias.copy_(torch.tensor(np.asarray(params["head"]["bias"])))


def make_step(
    depth: int,
    width: int,
    images: np.ndarray,
    labels: np.ndarray,
    learning_rate: float,
    params: Any = None,
) -> Callable[[], float]:
    """A training step on one batch, which gives its loss.

    Args:
      depth: 8, 20, ...
      width: channels of the first stage.
      images: float32 ``[batch, height, width, 3]``.
      labels: integers ``[batch]``.
      learning_rate: of SGD with Nesterov momentum 0.9 and weight decay 5e-4 of the kernels.
      params: weights to start from, of an ``edl_jax`` network; drawn by default.
    """
    torch.set_num_threads(num_processors())
    torch.manual_seed(0)
    model = ResNet(depth, width)
    if params is not None:
        take_weights(model, params)
    model = model.to(memory_format=torch.channels_last)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.SGD(
        [{"params": kernels, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate,
        momentum=0.9,
        nesterov=True,
    )
    # NHWC in memory is what channels_last means.
    batch, targets = torch.tensor(images).permute(0, 3, 1, 2), torch.tensor(labels).long()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(batch), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def convolution_seconds(conv: Convolution, batch_size: int, repeats: int) -> tuple[float, float]:
    """Seconds of the value, and of both gradients, of one convolution: the best of ``repeats``."""
    torch.set_num_threads(num_processors())
    form: Any = {"memory_format": torch.channels_last}
    images = torch.ones(batch_size, conv.inputs, conv.size, conv.size).to(**form)
    kernel = torch.ones(conv.outputs, conv.inputs, 3, 3).to(**form)
    images.requires_grad_()
    kernel.requires_grad_()

    def apply() -> torch.Tensor:
        return functional.conv2d(images, kernel, stride=conv.stride, padding=1)

    out = apply()
    of = torch.ones_like(out)
    with torch.no_grad():
        value = best_seconds(lambda: (apply(), None)[1], repeats)

    def gradients() -> None:
        torch.autograd.grad(out, (images, kernel), of, retain_graph=True)

    return value, best_seconds(gradients, repeats)
