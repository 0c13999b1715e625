"""How a program is timed here, and how many operations its matrix products take."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


class Peaks(NamedTuple):
    """Peaks of the device: operations a second of matrix products, bytes a second of a copy."""

    bfloat16: float
    float32: float
    float32_highest: float
    copied_bytes: float


class Budget:
    """The time that is left of ``minutes``, which began ``spent`` seconds ago."""

    def __init__(self, minutes: float, spent: float = 0.0) -> None:
        self._end = time.perf_counter() - spent + 60.0 * minutes

    @property
    def seconds_left(self) -> float:
        """Until the time is up; negative thereafter."""
        return self._end - time.perf_counter()


def compiled(function: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], float, int]:
    """``function`` compiled for ``args``; seconds that took; bytes that its buffers need."""
    began = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    took = time.perf_counter() - began
    memory = program.memory_analysis()
    sizes = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return program, took, sum(getattr(memory, size, 0) for size in sizes)


def seconds_each(call: Callable[[], object], turns: int) -> float:
    """Median time of ``turns`` calls, after one that is not timed."""
    jax.block_until_ready(call())
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def product_flops(function: Callable[..., Any], *args: Any) -> int:
    """Floating-point operations of the matrix products and convolutions in ``function(*args)``.

    >>> product_flops(lambda a, b: jnp.sin(a @ b), jnp.ones((2, 3)), jnp.ones((3, 5)))
    60
    """
    return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def _flops(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        shapes = [value.aval.shape for value in (*equation.invars, *equation.outvars)]
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            total += 2 * math.prod(shapes[-1]) * math.prod(shapes[0][i] for i in contracted)
        elif name == "conv_general_dilated":
            # Each output is a sum over the kernel's positions and input channels.
            outputs = shapes[1][params["dimension_numbers"].rhs_spec[0]]
            total += 2 * math.prod(shapes[-1]) * math.prod(shapes[1]) // outputs
        repeated = params["length"] if name == "scan" else 1
        for parameter in params.values():
            for item in parameter if isinstance(parameter, tuple | list) else (parameter,):
                nested = getattr(item, "jaxpr", item)
                if hasattr(nested, "eqns"):
                    total += repeated * _flops(nested)
    return total


def peaks(side: int) -> Peaks:
    """Measure the device with square matrices of random numbers."""
    normal = jax.random.normal(jax.random.key(0), (side, side))

    def rate(dtype: DTypeLike, precision: str | None) -> float:
        x = normal.astype(dtype)
        product = jax.jit(partial(jnp.matmul, precision=precision))
        return 2 * side**3 / _seconds_in_a_row(partial(product, x, x))

    copy, large = jax.jit(jnp.negative), jnp.tile(normal, (4, 1))
    return Peaks(
        bfloat16=rate(jnp.bfloat16, None),
        float32=rate(jnp.float32, None),
        float32_highest=rate(jnp.float32, "highest"),
        copied_bytes=2 * large.nbytes / _seconds_in_a_row(partial(copy, large)),
    )


def _seconds_in_a_row(call: Callable[[], jax.Array], times: int = 10) -> float:
    """Time of a call among several that the device runs one after the other."""
    jax.block_until_ready(call())
    best = math.inf
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(times):
            last = call()
        last.block_until_ready()
        best = min(best, (time.perf_counter() - began) / times)
    return best
