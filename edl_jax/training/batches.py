"""How a batch of examples is laid out over devices.

Each device holds its part of the batch and all weights; what is exchanged are the gradients.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

BATCH_AXIS = "examples"

Tree = TypeVar("Tree")
"""Any pytree of arrays."""


def batch_mesh(batch_size: int, devices: Sequence[jax.Device] | None = None) -> Mesh | None:
    """The devices that share each batch: as many as divide it, of this process's by default.

    Returns:
      A mesh of one axis, ``BATCH_AXIS``, or None for a single device.

    >>> batch_mesh(128, jax.devices()[:1]) is None
    True
    """
    devices = jax.local_devices() if devices is None else devices
    number = next(n for n in range(len(devices), 0, -1) if batch_size % n == 0)
    return Mesh(np.asarray(devices[:number]), (BATCH_AXIS,)) if number > 1 else None


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """``tree`` with all its arrays on every device of ``mesh``."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split_batch(tree: Tree, mesh: Mesh | None) -> Tree:
    """Constrain the arrays of ``tree``, which lead with examples, to be split over ``mesh``."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec(BATCH_AXIS)))
