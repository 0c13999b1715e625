"""What a learned loss costs in training, and whether the training step is a fast one.

    python -m benchmarks.training_step

times one training step of a residual network under cross-entropy and under learned losses, and the
same network's step in PyTorch; and, by itself, the value and gradient of each loss at some numbers
of classes. Everything takes turns in each repeat, the steps in a process as ``edl_jax.transfer``
settles it. Then where the step's time goes, see :mod:`benchmarks.training_step.parts`.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edl_jax import cli
from edl_jax.errors import require, require_one_of
from edl_jax.transfer import settle

PROG = "python -m benchmarks.training_step"
LOSSES = ("cross_entropy", "edl-base", "edl-robust")
MODELS = ("mlp", "resnet8", "resnet20")
DEPTHS = {"resnet8": 8, "resnet20": 20}  # of those that are compared with PyTorch
IMAGE_SHAPE, BATCH_SIZE, NUM_CLASSES = (32, 32, 3), 128, 10
LOSS_BATCH_SIZE, CLASSES = 1024, (10, 100, 1000)
LEARNING_RATE = 0.01
BARE_SECONDS = 0.1
QUICK_MODELS = ("resnet8",)


@dataclass(frozen=True)
class TrainingStepConfig:
    """Time a training step under each loss, each loss alone, and the step in PyTorch."""

    models: tuple[str, ...] = MODELS
    """Networks whose step is timed: mlp, resnet8, resnet20; in PyTorch too, all but mlp."""
    width: int | None = None
    """Channels of the first stage, or hidden units of mlp; as published by default."""
    repeats: int = 20
    """How often each has its turn."""
    steps: int = 2
    """Steps in a turn."""
    output: Path | None = None
    """Results file; benchmarks/results/training_step.json, or with --quick one in runs/."""
    quick: bool = False
    """resnet8 of width 8, three short turns: under 60 seconds."""

    def __post_init__(self) -> None:
        for name in self.models:
            require_one_of("models", name, MODELS)
        require(len(self.models) > 0, "models", "", "at least one name")
        ok = self.width is None or 1 <= self.width <= 4096
        require(ok, "width", self.width, "a whole number from 1 to 4,096")
        require(1 <= self.repeats <= 10_000, "repeats", self.repeats, "from 1 to 10,000")
        require(1 <= self.steps <= 10_000, "steps", self.steps, "from 1 to 10,000")


def batch(batch_size: int = BATCH_SIZE) -> tuple[Any, Any]:
    """Random images and labels: how long a step takes does not depend on what they show."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch_size, *IMAGE_SHAPE), np.float32)
    return images, rng.integers(NUM_CLASSES, size=batch_size).astype(np.int32)


def loss_function(name: str) -> Any:
    """optax's cross-entropy, which a learned loss takes the place of, or a learned loss."""
    import optax

    from edl_jax.losses.learned import load_loss

    if name == "cross_entropy":
        return optax.softmax_cross_entropy_with_integer_labels
    return load_loss(name)


def jax_step(
    model: str, width: int | None, loss: str, images: Any, labels: Any
) -> tuple[Callable[[], Any], Any]:
    """A training step on one batch, which gives its loss, and the weights it starts from."""
    import jax
    import jax.numpy as jnp

    from edl_jax.training.batches import batch_mesh, replicate, split_batch
    from edl_jax.training.config import TrainConfig
    from edl_jax.training.step import init_state, make_train_step, sgd

    config: Any = TrainConfig(
        model=model,  # type: ignore[arg-type]
        width=width,
        learning_rate=LEARNING_RATE,
        warmup_fraction=0.0,
    )
    graphdef, state = init_state(config, IMAGE_SHAPE, NUM_CLASSES, seed=0, steps_per_epoch=10**6)
    params = jax.device_get(state.params)
    step = jax.jit(make_train_step(graphdef, loss_function(loss), sgd()), donate_argnums=0)
    mesh = batch_mesh(len(labels))
    state = replicate(state, mesh)
    images, labels = split_batch((jnp.asarray(images), jnp.asarray(labels)), mesh)

    def run() -> jax.Array:
        nonlocal state
        state, info = step(state, images, labels)
        return info.loss

    return run, params


def repeated(run: Callable[[], Any], number: int) -> list[Any]:
    """What ``number`` calls give."""
    return [run() for _ in range(number)]


def step_rows(config: TrainingStepConfig, model: str) -> list[dict[str, Any]]:
    """A row for each turn of each loss, and of PyTorch, with one network; shown as they come."""
    from importlib.util import find_spec

    from benchmarks.common.timing import SETTLE, seconds, turns
    from edl_jax.training.models import MODELS as PUBLISHED

    images, labels = batch()
    width = PUBLISHED[model][1] if config.width is None else config.width
    steps: dict[tuple[str, str], Callable[[], Any]] = {}
    for loss in LOSSES:
        steps["edl_jax", loss] = jax_step(model, width, loss, images, labels)[0]
    if find_spec("torch") and model in DEPTHS:
        from benchmarks.training_step.torch_resnet import make_step

        run = make_step(DEPTHS[model], width, images, labels, LEARNING_RATE)
        steps["pytorch", "cross_entropy"] = run
    for run in steps.values():
        seconds(run)
    names = [" ".join(key) for key in steps]
    by_name = dict(zip(names, steps.items(), strict=True))
    rows = []
    for repeat in range(config.repeats):
        for name in turns(names, repeat):
            (implementation, loss), run = by_name[name]
            time.sleep(SETTLE)
            seconds(run)  # what the pause let grow cold

            took = seconds(partial(repeated, run, config.steps)) / config.steps
            row = {
                "implementation": implementation,
                "loss": loss,
                "model": model,
                "width": width,
                "batch_size": BATCH_SIZE,
                "seconds_per_step": took,
                "images_per_second": BATCH_SIZE / took,
                "repeat": repeat,
            }
            rows.append(row)
            print(f"{model}, {name}: {row['images_per_second']:,.0f} images/s", flush=True)
    return rows


def mean_of(loss: Any, logits: Any, labels: Any) -> Any:
    """The mean of a loss over a batch."""
    return loss(logits, labels).mean()


def bare_rows(repeats: int, classes: tuple[int, ...], target: float) -> Iterator[dict[str, Any]]:
    """A row for each turn of each loss alone: the value and gradient of its mean over a batch."""
    import jax

    from benchmarks.common.timing import calls_for, seconds, turns

    for num_classes in classes:
        keys = jax.random.split(jax.random.key(0))
        logits = 3.0 * jax.random.normal(keys[0], (LOSS_BATCH_SIZE, num_classes))
        labels = jax.random.randint(keys[1], (LOSS_BATCH_SIZE,), 0, num_classes)
        runs, calls = {}, {}
        for name in LOSSES:
            both = jax.jit(jax.value_and_grad(partial(mean_of, loss_function(name))))
            runs[name] = partial(both, logits, labels)
            calls[name] = calls_for(runs[name], target)
        for repeat in range(repeats):
            for name in turns(LOSSES, repeat):
                run, number = runs[name], calls[name]
                took = seconds(partial(repeated, run, number)) / number
                yield {
                    "loss": name,
                    "num_classes": num_classes,
                    "batch_size": LOSS_BATCH_SIZE,
                    "microseconds": 1e6 * took,
                    "repeat": repeat,
                }


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TrainingStepConfig, args, prog=PROG)
    output, target = config.output, BARE_SECONDS
    classes: tuple[int, ...] = CLASSES
    if config.quick:
        config = TrainingStepConfig(QUICK_MODELS, 8, 3, 1, output, True)
        output, classes, target = output or Path("runs/training_step_quick.json"), CLASSES[:2], 0.01

    from benchmarks.common.results_file import RESULTS, meta, write_rows
    from benchmarks.common.speed_table import training_text
    from benchmarks.common.timing import hardware
    from benchmarks.training_step import parts as step_parts

    output = output or RESULTS / "training_step.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    about = meta() | hardware("torch")
    if "torch" not in about:
        print('pytorch is left out: it needs torch, pip install "edl_jax[bench]"')
    rows: list[dict[str, Any]] = []
    spawn: Any = multiprocessing.get_context("spawn")
    for model in config.models:
        with ProcessPoolExecutor(1, spawn, settle, (model,)) as pool:
            rows += pool.submit(step_rows, config, model).result()
    bare = list(bare_rows(config.repeats, classes, target))
    model = config.models[-1]
    lists: Any = {"bare_losses": bare, "convolutions": [], "variants": []}
    if model in DEPTHS:
        width = rows[-1]["width"]
        lists["convolutions"] = list(
            step_parts.convolution_rows(DEPTHS[model], width, rows[-1]["batch_size"])
        )
        lists["variants"] = list(step_parts.variant_rows(model, width))
    write_rows(output, about, rows, **lists)
    print(training_text({"meta": about, "rows": rows, **lists}))


if __name__ == "__main__":
    cli.main(command)
