"""A loss by itself, a training step with it, and whole runs on noisy labels.

Training is the package's own: :func:`edl_jax.training.loop.run_steps`, an epoch being one program,
on a network that computes in bfloat16. Its weights, what normalisation keeps of the data, the
optimizer, the logits and so the loss stay in float32.
"""

import math
import time
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

import edl_jax.training
from benchmarks.accelerator.config import Sizes
from benchmarks.accelerator.measure import Budget, compiled, product_flops, seconds_each
from benchmarks.common.results_file import Row
from edl_jax.errors import EdlError
from edl_jax.losses.base import Loss, as_pytree
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.loading import resolve_loss
from edl_jax.training.data import Dataset, Inputs
from edl_jax.training.evaluation import Examples, evaluate
from edl_jax.training.loop import epoch_order, run_steps
from edl_jax.training.pixels import channel_statistics
from edl_jax.training.step import TrainState, init_state
from edl_jax.training.subsets import for_seed

DTYPES = {"bfloat16": jnp.bfloat16, "float32": jnp.float32}
# Of a step that is timed: an epoch of them in bfloat16, which is the program of the runs.
FLOAT32_STEPS, STEP_TURNS = 20, 2


def read_data(data_dir: Path | None) -> Dataset:
    """CIFAR-10, from an .npz file or as TensorFlow Datasets prepares it.

    Raises:
      EdlError: it is not there.
    """
    if data_dir is None or data_dir.suffix != ".npz":
        return edl_jax.training.load("cifar10", data_dir)
    try:
        with np.load(data_dir, allow_pickle=False) as arrays:
            images = [arrays[f"{split}_images"] for split in ("train", "test")]
            labels = [arrays[f"{split}_labels"].astype(np.int32) for split in ("train", "test")]
    except (OSError, KeyError, ValueError) as error:
        raise EdlError(f"{data_dir}: cannot be read: {error}") from None
    return Dataset("cifar10", 10, images[0], labels[0], images[1], labels[1])


def random_data(sizes: Sizes) -> Dataset:
    """Images of noise: how long a step takes does not depend on what they show."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(sizes.images, *sizes.image_shape), dtype=np.uint8)
    labels = rng.integers(10, size=sizes.images).astype(np.int32)
    return Dataset("noise", 10, images, labels, images[:100], labels[:100])


def argument(name: str) -> Loss:
    """A loss as an argument of a compiled function: learned losses of one network share a program.

    What a loss says of how it was made would tell them apart.
    """
    loss = resolve_loss(name)
    return as_pytree(replace(loss, provenance_json="{}") if isinstance(loss, LearnedLoss) else loss)


def loss_row(name: str, classes: int, batch: int, sizes: Sizes) -> Row:
    """Time of a loss's value and gradient: of a step of descent of the logits, among many."""
    keys = jax.random.split(jax.random.key(0))
    logits = 3.0 * jax.random.normal(keys[0], (batch, classes))
    labels = jax.random.randint(keys[1], (batch,), 0, classes)

    def descend(loss: Loss, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(logits: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            value, gradient = jax.value_and_grad(lambda x: loss(x, labels).mean())(logits)
            return logits - gradient, value

        return jax.lax.scan(step, logits, length=sizes.descents)

    loss = argument(name)
    program, compile_seconds, _ = compiled(descend, loss, logits)
    seconds = seconds_each(partial(program, loss, logits), sizes.turns)
    return {
        "loss": name,
        "num_classes": classes,
        "batch_size": batch,
        "milliseconds": 1e3 * seconds / sizes.descents,
        "compile_seconds": compile_seconds,
    }


def with_dtype(graphdef: Any, state: TrainState, dtype: DTypeLike) -> Any:
    """The same network's structure with layers that compute in ``dtype``, all but the last."""
    model = nnx.merge(graphdef, state.params, state.model_state)
    for path, module in nnx.iter_modules(model):
        if hasattr(module, "dtype") and "head" not in path:
            module.dtype = dtype
    return nnx.split(model, nnx.Param, nnx.BatchStat)[0]


class Training:
    """Runs of one network on one data set.

    Args:
      sizes: how large everything is.
      dataset: the whole, clean set; noise where it is None.
    """

    def __init__(self, sizes: Sizes, dataset: Dataset | None) -> None:
        self.sizes, self.config = sizes, sizes.train
        self.dataset = dataset or random_data(sizes)
        self.steps = len(self.dataset.train_labels) // self.config.batch_size
        self.epochs = self.config.epochs
        self.epoch_seconds: float | None = None
        self._graphdefs: dict[str, Any] = {}

    @cached_property
    def _statistics(self) -> tuple[jax.Array, jax.Array]:
        mean, std = channel_statistics(self.dataset.train_images)
        return jnp.asarray(mean), jnp.asarray(std)

    def _examples(self, images: Inputs, labels: np.ndarray) -> Examples:
        return Examples(
            jnp.asarray(np.asarray(images)), jnp.asarray(labels, jnp.int32), *self._statistics
        )

    def _start(self, seed: int, dtype: str) -> tuple[Any, TrainState]:
        config = replace(self.config, epochs=self.epochs)
        shape, classes = self.dataset.input_shape, self.dataset.num_classes
        graphdef, state = init_state(config, shape, classes, seed, self.steps)
        if dtype not in self._graphdefs:
            self._graphdefs[dtype] = with_dtype(graphdef, state, DTYPES[dtype])
        return self._graphdefs[dtype], state

    def _order(self, state: TrainState, epoch: int) -> jax.Array:
        size = len(self.dataset.train_labels)
        return epoch_order(state.key, epoch, size, self.config.batch_size)

    def _about(self, name: str, dtype: str) -> Row:
        config = self.config
        return {
            "loss": name,
            "model": config.model,
            "width": config.width,
            "batch_size": config.batch_size,
            "dtype": dtype,
        }

    def step_row(self, name: str, dtype: str, peak: float | None) -> Row:
        """Time of a training step, as the share of a program of many.

        Args:
          name: of the loss.
          dtype: what the network computes in.
          peak: operations a second of matrix products in ``dtype`` on this device.
        """
        graphdef, state = self._start(0, dtype)
        model = nnx.merge(graphdef, state.params, state.model_state)
        images = jnp.zeros((self.config.batch_size, *self.dataset.input_shape))
        flops = 3 * product_flops(partial(model, train=False), images)
        examples = self._examples(self.dataset.train_images, self.dataset.train_labels)
        order, loss = self._order(state, 1), argument(name)
        steps = self.steps if dtype == "bfloat16" else min(self.steps, FLOAT32_STEPS)
        times = []
        for _ in range(1 + min(self.sizes.turns, STEP_TURNS)):
            began = time.perf_counter()
            state, info = self._run(graphdef, state, examples, order, loss, steps)
            jax.block_until_ready((state.params, info))
            times.append(time.perf_counter() - began)
        seconds = float(np.median(times[1:])) / steps
        if dtype == "bfloat16":
            self.epoch_seconds = seconds * self.steps
        return {
            **self._about(name, dtype),
            "milliseconds": 1e3 * seconds,
            "images_per_second": self.config.batch_size / seconds,
            "compile_seconds": times[0] - seconds * steps,
            "matmul_flops": flops,
            "share_of_peak": None if peak is None else flops / seconds / peak,
        }

    def _run(
        self,
        graphdef: Any,
        state: TrainState,
        examples: Examples,
        order: Any,
        loss: Any,
        steps: int,
    ) -> Any:
        return run_steps(
            state,
            examples,
            order,
            loss,
            graphdef=graphdef,
            augment=self.config.augment,
            num_steps=steps,
        )

    def run_row(self, name: str, noise: float, seed: int, budget: Budget) -> Row:
        """A whole run, measured on the test images at its end and never before.

        Raises:
          EdlError: the time is up before the run is finished.
        """
        began = time.perf_counter()
        data = for_seed(self.dataset, seed, label_noise=noise)
        training = self._examples(data.train_images, data.train_labels)
        testing = self._examples(data.test_images, data.test_labels)
        graphdef, state = self._start(seed, "bfloat16")
        loss, times = argument(name), []
        for epoch in range(1, self.epochs + 1):
            if budget.seconds_left < (self.epoch_seconds or 0.0):
                raise EdlError(f"the time was up after {epoch - 1} of {self.epochs} epochs")
            start = time.perf_counter()
            order = self._order(state, epoch)
            state, info = self._run(graphdef, state, training, order, loss, self.steps)
            losses, accuracies = jax.device_get(info)
            times.append(time.perf_counter() - start)
        measured = evaluate(graphdef, state.params, state.model_state, testing)
        nll = float(measured.nll)
        self.epoch_seconds = float(np.median(times[1:] or times))  # the first may compile
        return {
            **self._about(name, "bfloat16"),
            "dataset": self.dataset.name,
            "train_size": len(data.train_labels),
            "label_noise": noise,
            "seed": seed,
            "epochs": self.epochs,
            "learning_rate": self.config.learning_rate,
            "test_accuracy": float(measured.accuracy),
            "nll": nll if math.isfinite(nll) else None,
            "ece": float(measured.ece),
            "train_accuracy": float(np.mean(accuracies)),
            "diverged": not math.isfinite(float(np.mean(losses))),
            "epoch_seconds": self.epoch_seconds,
            "seconds": time.perf_counter() - began,
        }
