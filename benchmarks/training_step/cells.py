"""The cells of ``training_step``: steps of a network under each loss, and each loss by itself."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.common import timing
from benchmarks.common.results_file import Row
from benchmarks.training_step.config import TrainingStepConfig
from edl_jax.losses.base import Loss
from edl_jax.losses.loading import load_loss
from edl_jax.training.batches import batch_mesh, replicate, split_batch
from edl_jax.training.config import TrainConfig
from edl_jax.training.models import MODELS
from edl_jax.training.step import init_state, make_train_step, sgd

LOSSES = ("cross_entropy", "edl-base", "edl-robust")
DEPTHS = {"resnet8": 8, "resnet20": 20}  # of those that are compared with PyTorch
IMAGE_SHAPE, BATCH_SIZE, NUM_CLASSES = (32, 32, 3), 128, 10
LOSS_BATCH_SIZE = 1024
CLASSES: tuple[int, ...] = (10, 100, 1000)
LEARNING_RATE = 0.01
BARE_SECONDS = 0.1


def batch(batch_size: int = BATCH_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels: how long a step takes does not depend on what they show."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch_size, *IMAGE_SHAPE), np.float32)
    return images, rng.integers(NUM_CLASSES, size=batch_size).astype(np.int32)


def loss_function(name: str) -> Loss:
    """optax's cross-entropy, which a learned loss takes the place of, or a learned loss."""
    if name == "cross_entropy":
        return optax.softmax_cross_entropy_with_integer_labels
    return load_loss(name)


def jax_step(
    model: str, width: int | None, loss: str, images: np.ndarray, labels: np.ndarray
) -> tuple[Callable[[], jax.Array], Any]:
    """A training step on one batch, which gives its loss, and the weights it starts from."""
    config = TrainConfig(
        model=model,
        width=width,
        learning_rate=LEARNING_RATE,
        warmup_fraction=0.0,
    )
    graphdef, state = init_state(config, IMAGE_SHAPE, NUM_CLASSES, seed=0, steps_per_epoch=10**6)
    params = jax.device_get(state.params)
    step = jax.jit(make_train_step(graphdef, loss_function(loss), sgd()), donate_argnums=0)
    mesh = batch_mesh(len(labels))
    state = replicate(state, mesh)
    on_devices = split_batch((jnp.asarray(images), jnp.asarray(labels)), mesh)

    def run() -> jax.Array:
        nonlocal state
        state, info = step(state, *on_devices)
        return info.loss

    return run, params


def repeated(run: Callable[[], object], number: int) -> list[object]:
    """The results of ``number`` calls."""
    return [run() for _ in range(number)]


def step_rows(config: TrainingStepConfig, model: str) -> list[Row]:
    """A row for each turn of each loss, and of PyTorch, with one network; shown as they come."""
    images, labels = batch()
    width = MODELS[model][1] if config.width is None else config.width
    steps: dict[tuple[str, str], Callable[[], object]] = {}
    for loss in LOSSES:
        steps["edl_jax", loss] = jax_step(model, width, loss, images, labels)[0]
    if find_spec("torch") and model in DEPTHS:
        # torch need not be there
        from benchmarks.training_step.torch_resnet import make_step  # noqa: PLC0415

        in_torch = make_step(DEPTHS[model], width, images, labels, LEARNING_RATE)
        steps["pytorch", "cross_entropy"] = in_torch
    for run in steps.values():
        timing.seconds(run)
    names = [" ".join(key) for key in steps]
    by_name = dict(zip(names, steps.items(), strict=True))
    rows = []
    for repeat in range(config.repeats):
        for name in timing.turns(names, repeat):
            (implementation, loss), run = by_name[name]
            time.sleep(timing.SETTLE)
            timing.seconds(run)  # what the pause let grow cold

            took = timing.seconds(partial(repeated, run, config.steps)) / config.steps
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


def mean_of(loss: Loss, logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean of a loss over a batch."""
    return loss(logits, labels).mean()


def bare_rows(repeats: int, classes: tuple[int, ...], target: float) -> Iterator[Row]:
    """A row for each turn of each loss alone: the value and gradient of its mean over a batch."""
    for num_classes in classes:
        keys = jax.random.split(jax.random.key(0))
        logits = 3.0 * jax.random.normal(keys[0], (LOSS_BATCH_SIZE, num_classes))
        labels = jax.random.randint(keys[1], (LOSS_BATCH_SIZE,), 0, num_classes)
        runs, calls = {}, {}
        for name in LOSSES:
            both = jax.jit(jax.value_and_grad(partial(mean_of, loss_function(name))))
            runs[name] = partial(both, logits, labels)
            calls[name] = timing.calls_for(runs[name], target)
        for repeat in range(repeats):
            for name in timing.turns(LOSSES, repeat):
                run, number = runs[name], calls[name]
                took = timing.seconds(partial(repeated, run, number)) / number
                yield {
                    "loss": name,
                    "num_classes": num_classes,
                    "batch_size": LOSS_BATCH_SIZE,
                    "microseconds": 1e6 * took,
                    "repeat": repeat,
                }
