"""The training problems of ``transfer_losses``."""

from dataclasses import dataclass
from typing import Any

from edl_jax.training.config import Augmentation, Optimizer

SETTING = ("dataset", "model", "width", "train_size", "epochs", "batch_size", "optimizer")
PROBLEM = (*SETTING, "label_noise", "noise_kind")
LEARNING_RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Setting:
    """A training problem without its label noise.

    Attributes:
      whole_grid: run every learning rate; or climb from ``first_rate`` to the best one, which costs
        three or four runs where the whole grid costs seven.
    """

    dataset: str
    model: str
    train_size: int
    epochs: int
    width: int
    learning_rates: tuple[float, ...] = LEARNING_RATES
    whole_grid: bool = False
    augment: Augmentation = "auto"
    weight_decay: float = 5e-4
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    first_rate: float = 0.1

    def problem(self, noise: float, kind: str) -> dict[str, Any]:
        """The fields of a row that say what was trained on which labels."""
        own = {name: getattr(self, name) for name in SETTING}
        return {**own, "label_noise": noise, "noise_kind": kind}


_MLP: Any = {"augment": "none", "weight_decay": 0.0, "whole_grid": True}
_MLP_FEW_RATES: Any = {"augment": "none", "weight_decay": 0.0}
_ADAM_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01)
_ADAMW: Any = {
    "learning_rates": _ADAM_RATES,
    "optimizer": "adamw",
    "first_rate": 0.003,
    **_MLP_FEW_RATES,
}
_RESNET_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SETTINGS = {
    "fashion-mlp": Setting("fashion_mnist", "mlp", 10_000, 60, width=512, **_MLP),
    "fashion-resnet8": Setting("fashion_mnist", "resnet8", 10_000, 10, 8, _RESNET_RATES),
    # Too few epochs to learn the noise by heart; and so many on few images, always the same, that
    # cross-entropy at its usual rate knows every wrong label in the end.
    "cifar-resnet8": Setting("cifar10", "resnet8", 20_000, 6, 8, _RESNET_RATES),
    "cifar-resnet8-long": Setting("cifar10", "resnet8", 1_000, 60, 8, _RESNET_RATES, False, "none"),
    "fashion-two": Setting("fashion_mnist:2", "mlp", 7_000, 60, width=512, **_MLP),
    "clinc-mlp": Setting("clinc150", "mlp", 15_000, 20, width=256, **_MLP),
    "fashion-adamw": Setting(
        "fashion_mnist", "mlp", 10_000, 60, 512, _ADAM_RATES, optimizer="adamw", **_MLP
    ),
    **{
        f"fashion-batch{size}": Setting(
            "fashion_mnist", "mlp", 10_000, epochs, 256, batch_size=size, **own
        )
        # As many epochs as the memory of wrong labels needs; a batch of 8 takes 16 times the steps.
        # There a climb that starts at 0.1 may find nothing but divergence on both sides.
        for size, epochs, own in (
            (8, 15, _MLP),
            (32, 30, _MLP_FEW_RATES),
            (1024, 120, _MLP_FEW_RATES),
        )
    },
    "cifar-resnet20": Setting("cifar10", "resnet20", 20_000, 6, 8, _RESNET_RATES, first_rate=0.3),
    "cifar100-resnet8": Setting(
        "cifar100", "resnet8", 20_000, 8, 16, _RESNET_RATES, first_rate=0.3
    ),
    # Other networks, so narrow, and on so few images, that two processor cores can train them.
    "fashion-wrn": Setting(
        "fashion_mnist", "wrn-16-4", 2_000, 15, 16, _RESNET_RATES, False, "none"
    ),
    "fashion-vit": Setting("fashion_mnist", "vit-tiny", 2_000, 20, 32, **_ADAMW),
    "fashion-mixer": Setting("fashion_mnist", "mixer-small", 2_000, 25, 32, **_ADAMW),
}
QUICK = Setting("fashion_mnist", "mlp", 2_000, 5, 64, (0.01, 0.1), **_MLP)
