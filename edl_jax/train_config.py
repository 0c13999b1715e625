"""The configuration of one training run; nothing here imports JAX."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edl_jax.errors import require, require_one_of

ModelName = Literal["mlp", "resnet8", "resnet18", "resnet20", "resnet32", "resnet50", "resnet56"]
Augmentation = Literal["auto", "none", "crop", "crop-flip"]


@dataclass(frozen=True)
class TrainConfig:
    """How a classifier is trained: stochastic gradient descent with Nesterov momentum.

    The learning rate rises linearly from 0 over the warm-up and falls to 0 along half a cosine.

    Raises:
      OptionError: a field is out of its range.

    >>> TrainConfig(model="mlp", epochs=3).batch_size
    128
    """

    model: ModelName = "resnet8"
    """Network: resnet8/20/32/56 as published for CIFAR, resnet18/50 with
    a stem for small images, or mlp with two hidden layers."""
    width: int | None = None
    """Channels of the first stage, or hidden units of mlp; None is as
    published: 16 for resnet8/20/32/56, 64 for resnet18/50, 512 for mlp."""
    epochs: int = 30
    """Passes over the training images, each without its last incomplete
    batch."""
    batch_size: int = 128
    """Images a step."""
    learning_rate: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Nesterov momentum."""
    weight_decay: float = 5e-4
    """L2 penalty on the kernels, in the gradient; biases and normalisation
    have none."""
    warmup_fraction: float = 0.05
    """Share of all steps over which the learning rate rises."""
    augment: Augmentation = "auto"
    """Random crops with 4 pixels of padding, and mirroring; auto mirrors
    CIFAR and Fashion-MNIST, and only crops all else: a mirrored digit is
    no digit."""
    eval_every: int = 1
    """Epochs between evaluations on the test images; 0 is after the last
    epoch only."""

    def __post_init__(self) -> None:
        require_one_of("model", self.model, get_args(ModelName))
        require_one_of("augment", self.augment, get_args(Augmentation))
        if self.width is not None:
            _require_int(self, "width", 1)
        _require_int(self, "epochs", 1)
        _require_int(self, "batch_size", 1)
        _require_int(self, "eval_every", 0)
        _require_number(self, "learning_rate", 0.0, math.inf, "a positive number", low_open=True)
        _require_number(self, "momentum", 0.0, 1.0, "a number of at least 0 and below 1")
        _require_number(self, "weight_decay", 0.0, math.inf, "a number of at least 0")
        share = "a number of at least 0 and below 1"
        _require_number(self, "warmup_fraction", 0.0, 1.0, share)


def _require_int(config: Any, name: str, low: int) -> None:
    value = getattr(config, name)
    require(
        isinstance(value, int) and value >= low, name, value, f"a whole number of at least {low}"
    )


def _require_number(
    config: Any, name: str, low: float, high: float, expected: str, low_open: bool = False
) -> None:
    value = getattr(config, name)
    inside = isinstance(value, int | float) and low <= value < high
    require(inside and not (low_open and value == low), name, value, expected)
