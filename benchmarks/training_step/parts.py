"""Where a residual network's step spends its time, and what XLA's options change of it.

The convolutions of a step one by one, in XLA and in PyTorch, each in its own process as the two
settle it; and the whole step under some options of XLA's.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.common.results_file import Row
from benchmarks.common.timing import best_seconds
from benchmarks.training_step.cells import batch, jax_step
from benchmarks.training_step.convolutions import Convolution, convolutions
from benchmarks.training_step.variants import VARIANTS, settle

REPEATS = 15


def in_xla(conv: Convolution, batch_size: int, repeats: int) -> tuple[float, float]:
    """Seconds of the value, and of both gradients, of one convolution: the best of ``repeats``."""
    images = jnp.ones((batch_size, conv.size, conv.size, conv.inputs))
    kernel = jnp.ones((3, 3, conv.inputs, conv.outputs))

    def apply(images: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            images,
            kernel,
            2 * (conv.stride,),
            2 * [(1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def gradients(images: jax.Array, kernel: jax.Array, of: jax.Array) -> Any:
        return jax.vjp(apply, images, kernel)[1](of)

    value, both = jax.jit(apply), jax.jit(gradients)
    of = value(images, kernel)
    return (
        best_seconds(partial(value, images, kernel), repeats),
        best_seconds(partial(both, images, kernel, of), repeats),
    )


def in_torch(conv: Convolution, batch_size: int, repeats: int) -> tuple[float, float]:
    """The same in PyTorch, in the channels_last format."""
    # torch need not be there
    from benchmarks.training_step.torch_resnet import convolution_seconds  # noqa: PLC0415

    return convolution_seconds(conv, batch_size, repeats)


def convolution_rows(depth: int, width: int, batch_size: int) -> Iterator[Row]:
    """A row for each convolution and implementation."""
    implementations: dict[str, Callable[[Convolution, int, int], tuple[float, float]]]
    implementations = {"edl_jax": in_xla}
    if find_spec("torch"):
        implementations["pytorch"] = in_torch
    spawn = multiprocessing.get_context("spawn")
    for name, measure in implementations.items():
        with ProcessPoolExecutor(1, spawn) as pool:
            for conv in convolutions(depth, width):
                value, gradients = pool.submit(measure, conv, batch_size, REPEATS).result()
                yield {
                    "implementation": name,
                    **conv._asdict(),
                    "batch_size": batch_size,
                    "value_seconds": value,
                    "gradient_seconds": gradients,
                }


def step_seconds(model: str, width: int) -> float:
    """Shortest time of a step with cross-entropy."""
    run, _ = jax_step(model, width, "cross_entropy", *batch())
    return best_seconds(run, REPEATS)


def variant_rows(model: str, width: int) -> Iterator[Row]:
    """A row for each of :data:`benchmarks.training_step.variants.VARIANTS`."""
    spawn = multiprocessing.get_context("spawn")
    for name, flags in VARIANTS.items():
        with ProcessPoolExecutor(1, spawn, settle, (flags,)) as pool:
            took = pool.submit(step_seconds, model, width).result()
        yield {"variant": name, "model": model, "width": width, "seconds_per_step": took}
