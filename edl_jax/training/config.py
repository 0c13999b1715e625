"""The configuration of a training run, and of several; nothing here imports JAX."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal, get_args

from edl_jax.config import registered
from edl_jax.errors import plain_numbers, require, require_int, require_number, require_one_of
from edl_jax.parts import is_own, require_part

MODELS = registered(Path(__file__).with_name("models.py"), "MODELS")
Augmentation = Literal["auto", "none", "crop", "crop-flip"]
NOISE_KINDS = ("symmetric", "asymmetric", "instance")
Optimizer = Literal["sgd", "adamw"]


@dataclass(frozen=True)
class TrainOptions:
    """How a classifier is trained, but for its learning rate: see :class:`TrainConfig`."""

    model: str = "resnet8"
    """Network: resnet8/20/32/56 and wrn-16-4/28-10 as published for CIFAR,
    resnet18/50 with a stem for small images, vit-tiny and mixer-small, whose
    patches have 4 pixels a side in images up to 64, mlp with two hidden
    layers, or a function of your own that makes one from nnx.Rngs
    (FILE.py:NAME)."""
    width: int | None = None
    """Channels of the first stage, hidden units of mlp, or units of a token or
    patch; None is as published: 16 for resnet8/20/32/56, 64 for resnet18/50
    and wrn-16-4, 160 for wrn-28-10, 192 for vit-tiny, 512 for mixer-small
    and mlp. WRN-16-k is wrn-16-4 of width 16k."""
    epochs: int = 30
    """Passes over the training examples, each without its last incomplete
    batch."""
    batch_size: int = 128
    """Examples a step."""
    optimizer: Optimizer = "sgd"
    """Stochastic gradient descent with Nesterov momentum, or AdamW."""
    momentum: float = 0.9
    """Nesterov momentum of sgd; adamw has 0.9 and 0.999 in its place."""
    weight_decay: float = 5e-4
    """Decay of the kernels, in the gradient or, by AdamW, beside it; biases
    and normalisation have none."""
    warmup_fraction: float = 0.05
    """Share of all steps over which the learning rate rises."""
    augment: Augmentation = "auto"
    """Random crops with 4 pixels of padding, and mirroring; auto mirrors
    CIFAR, Fashion-MNIST and ImageNet, and only crops all else: a mirrored
    digit is no digit. Features are left as they are."""
    eval_every: int = 1
    """Epochs between evaluations on the test images; 0 is after the last
    epoch only."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        require_part("model", self.model, MODELS)
        require_one_of("optimizer", self.optimizer, get_args(Optimizer))
        require_one_of("augment", self.augment, get_args(Augmentation))
        if self.width is not None:
            require_int("width", self.width, 1)
            require(not is_own(self.model), "width", self.width, "none for a model of your own")
        require_int("epochs", self.epochs, 1)
        require_int("batch_size", self.batch_size, 1)
        require_int("eval_every", self.eval_every, 0)
        require_number("momentum", self.momentum, 0.0, 1.0, ends="[)")
        require_number("weight_decay", self.weight_decay, 0.0)
        require_number("warmup_fraction", self.warmup_fraction, 0.0, 1.0, ends="[)")


@dataclass(frozen=True)
class TrainConfig(TrainOptions):
    """How a classifier is trained: its network, its optimizer, and for how long.

    The learning rate rises linearly from 0 over the warm-up and falls to 0 along half a cosine.

    Raises:
      OptionError: a field is out of its range.

    >>> TrainConfig(model="mlp", epochs=3).batch_size
    128
    """

    learning_rate: float = 0.1
    """Peak learning rate; AdamW wants about a hundredth of what suits sgd."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("learning_rate", self.learning_rate, 0.0, ends="(]")


def is_matrix(noise_kind: str) -> bool:
    """Whether a kind of noise is the path of a matrix.

    >>> is_matrix("confusion.csv"), is_matrix("symmetric")
    (True, False)
    """
    return noise_kind.endswith((".csv", ".npy"))


def require_seeds(seeds: Sequence[int]) -> None:
    """Raise :class:`OptionError` unless ``seeds`` can tell runs apart.

    >>> require_seeds([1, 1])
    Traceback (most recent call last):
    edl_jax.errors.OptionError: seeds 1 1: expected one or more whole numbers from 0 to 2**31 - 1, \
each once
    """
    whole = all(isinstance(seed, Integral) and not isinstance(seed, bool) for seed in seeds)
    distinct = whole and 0 < len(set(seeds)) == len(seeds)
    in_range = distinct and all(0 <= seed < 2**31 for seed in seeds)
    expected = "one or more whole numbers from 0 to 2**31 - 1, each once"
    require(in_range, "seeds", " ".join(map(str, seeds)), expected)
