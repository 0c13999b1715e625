"""Settings of a process in which a step is timed, made before it imports JAX."""

import os

from edl_jax.startup import split_processors

# Options of XLA; None is what ``edl_jax.transfer`` settles.
VARIANTS: dict[str, str | None] = {
    "a device of each processor": None,
    "one device": "",
    "one device, vectors of 512 bits": "--xla_cpu_prefer_vector_width=512",
    "one device, fast math": "--xla_cpu_enable_fast_math=true",
}


def settle(flags: str | None) -> None:
    """Settle this process, in which JAX has not begun."""
    if flags is None:
        split_processors()
    elif flags:
        os.environ["XLA_FLAGS"] = flags
