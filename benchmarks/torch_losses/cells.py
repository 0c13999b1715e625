"""Each loss in PyTorch by itself, eager and compiled, in turns."""

import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.common import timing
from benchmarks.common.results_file import Row
from benchmarks.torch_losses.config import TorchLossesConfig
from edl_jax.torch import load_loss

LOSSES = ("cross_entropy", "edl-base", "edl-robust")
BATCH_SIZE = 1024
CLASSES: tuple[int, ...] = (10, 100, 1000)
TURN_SECONDS = 0.1


def criterion(name: str) -> torch.nn.Module:
    """PyTorch's cross-entropy, which a learned loss takes the place of, or a learned loss."""
    return torch.nn.CrossEntropyLoss() if name == "cross_entropy" else load_loss(name)


def rows(config: TorchLossesConfig) -> Iterator[Row]:
    """A row for each turn of each loss, at each number of classes."""
    target = 0.01 if config.quick else TURN_SECONDS
    for num_classes in CLASSES[:1] if config.quick else CLASSES:
        torch.manual_seed(0)
        logits = 3.0 * torch.randn(BATCH_SIZE, num_classes)
        labels = torch.randint(num_classes, (BATCH_SIZE,))
        runs: dict[str, Callable[[], object]] = {}
        for name in LOSSES:
            runs[name] = _step(criterion(name), logits, labels)
            if not config.quick:
                runs[f"{name}, compiled"] = _step(
                    torch.compile(criterion(name), fullgraph=True), logits, labels
                )
        calls = {name: timing.calls_for(run, target) for name, run in runs.items()}
        for repeat in range(3 if config.quick else config.repeats):
            for name in timing.turns(list(runs), repeat):
                began = time.perf_counter()
                for _ in range(calls[name]):
                    runs[name]()
                took = (time.perf_counter() - began) / calls[name]
                yield {
                    "loss": name,
                    "num_classes": num_classes,
                    "batch_size": BATCH_SIZE,
                    "microseconds": 1e6 * took,
                    "repeat": repeat,
                }


def _step(
    loss: Callable[..., torch.Tensor], logits: torch.Tensor, labels: torch.Tensor
) -> Callable[[], None]:
    inputs = logits.clone().requires_grad_()

    def run() -> None:
        inputs.grad = None
        loss(inputs, labels).backward()

    return run
