"""Where a residual network's step spends its time, and what XLA's options change of it.

The convolutions of a step one by one, in XLA and in PyTorch, each in its own process as the two
settle it; and the whole step under some options of XLA's.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

from edl_jax.startup import num_processors, split_processors

# Settings of a process in which a step is timed; None is that of ``edl_jax.transfer``.
VARIANTS: dict[str, str | None] = {
    "a device of each processor": None,
    "one device": "",
    "one device, vectors of 512 bits": "--xla_cpu_prefer_vector_width=512",
    "one device, fast math": "--xla_cpu_enable_fast_math=true",
}
REPEATS = 15


class Convolution(NamedTuple):
    """A 3x3 convolution of square images, and how often a network has it."""

    size: int
    inputs: int
    outputs: int
    stride: int
    times: int


def convolutions(depth: int, width: int, image_size: int = 32) -> list[Convolution]:
    """Those of a CIFAR residual network, the stem first.

    >>> sum(conv.times for conv in convolutions(20, 16))
    19
    """
    blocks = (depth - 2) // 6
    found = [Convolution(image_size, 3, width, 1, 1)]
    for stage in range(3):
        size, channels = image_size // 2**stage, width * 2**stage
        if stage:
            found.append(Convolution(2 * size, channels // 2, channels, 2, 1))
        found.append(Convolution(size, channels, channels, 1, 2 * blocks - (stage > 0)))
    return found


def in_xla(conv: Convolution, batch_size: int) -> tuple[float, float]:
    """Seconds of the value, and of both gradients, of one convolution."""
    import jax
    import jax.numpy as jnp

    from benchmarks.common.timing import best_seconds

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
        best_seconds(partial(value, images, kernel), REPEATS),
        best_seconds(partial(both, images, kernel, of), REPEATS),
    )


def in_torch(conv: Convolution, batch_size: int) -> tuple[float, float]:
    """The same in PyTorch, in the channels_last format."""
    import torch

    from benchmarks.common.timing import best_seconds

    torch.set_num_threads(num_processors())
    form: Any = {"memory_format": torch.channels_last}
    images = torch.ones(batch_size, conv.inputs, conv.size, conv.size).to(**form)
    kernel = torch.ones(conv.outputs, conv.inputs, 3, 3).to(**form)
    images.requires_grad_()
    kernel.requires_grad_()

    def apply() -> torch.Tensor:
        return torch.nn.functional.conv2d(images, kernel, stride=conv.stride, padding=1)

    out = apply()
    of = torch.ones_like(out)
    with torch.no_grad():
        value = best_seconds(lambda: (apply(), None)[1], REPEATS)

    def gradients() -> None:
        torch.autograd.grad(out, (images, kernel), of, retain_graph=True)

    return value, best_seconds(gradients, REPEATS)


def convolution_rows(depth: int, width: int, batch_size: int) -> Iterator[dict[str, Any]]:
    """A row for each convolution and implementation."""
    implementations = {"edl_jax": in_xla} | ({"pytorch": in_torch} if find_spec("torch") else {})
    spawn = multiprocessing.get_context("spawn")
    for name, measure in implementations.items():
        with ProcessPoolExecutor(1, spawn) as pool:
            for conv in convolutions(depth, width):
                value, gradients = pool.submit(measure, conv, batch_size).result()
                yield {
                    "implementation": name,
                    **conv._asdict(),
                    "batch_size": batch_size,
                    "value_seconds": value,
                    "gradient_seconds": gradients,
                }


def settle(flags: str | None) -> None:
    """Settle this process, in which JAX has not begun."""
    if flags is None:
        split_processors()
    elif flags:
        os.environ["XLA_FLAGS"] = flags


def step_seconds(model: str, width: int) -> float:
    """Shortest time of a step with cross-entropy."""
    from benchmarks.common.timing import best_seconds
    from benchmarks.training_step.__main__ import batch, jax_step

    run, _ = jax_step(model, width, "cross_entropy", *batch())
    return best_seconds(run, REPEATS)


def variant_rows(model: str, width: int) -> Iterator[dict[str, Any]]:
    """A row for each of :data:`VARIANTS`."""
    spawn: Any = multiprocessing.get_context("spawn")
    for name, flags in VARIANTS.items():
        with ProcessPoolExecutor(1, spawn, settle, (flags,)) as pool:
            took = pool.submit(step_seconds, model, width).result()
        yield {"variant": name, "model": model, "width": width, "seconds_per_step": took}
