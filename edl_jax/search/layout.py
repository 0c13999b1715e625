"""How a population is laid out over devices and their memory.

The candidates are split over a mesh of one axis. A device draws and evaluates its own candidates, a
chunk after another where they do not fit at once; what is exchanged is their fitness, and in the
strategy's update the sums over candidates. With one device and a population that fits nothing here
changes the program.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "candidates"

Tree = TypeVar("Tree")
Candidate = TypeVar("Candidate")
Drawn = TypeVar("Drawn")
Results = TypeVar("Results")

# What the intermediate values of an evaluation may take on a device. On a CPU what its cache holds,
# more for a device that has all cores; elsewhere a constant, not a share of the memory, so that a
# configuration is one program there.
CORE_BYTES, CPU_BYTES, MEMORY_BYTES = 2**21, 2**23, 2**29
# How many values as large as the largest one are taken to be alive at the same time.
_ALIVE = 4


@dataclass(frozen=True)
class Layout:
    """A population's place on devices; no computation depends on it but for rounding.

    Attributes:
      mesh: the devices along the axis :data:`AXIS`; None for a single device.
      population_size: candidates; arrays with this leading axis are split, all others are held
        whole by each device.
    """

    mesh: Mesh | None
    population_size: int

    @property
    def num_devices(self) -> int:
        """Devices that share the population."""
        return 1 if self.mesh is None else self.mesh.size

    def split(self, tree: Tree) -> Tree:
        """Constrain the arrays of ``tree`` that hold the population to be split over devices.

        Only where the devices divide the population; else each of them holds all of it.
        """
        divides = self.population_size % self.num_devices == 0

        def of(leaf: jax.Array) -> PartitionSpec:
            split = divides and jnp.shape(leaf)[:1] == (self.population_size,)
            return PartitionSpec(AXIS) if split else PartitionSpec()

        return self._constrain(tree, of)

    def gather(self, tree: Tree) -> Tree:
        """Constrain all arrays of ``tree`` to be held whole by each device."""
        return self._constrain(tree, lambda leaf: PartitionSpec())

    def _constrain(self, tree: Tree, spec: Callable[[jax.Array], PartitionSpec]) -> Tree:
        if self.mesh is None:
            return tree
        mesh = self.mesh
        return jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, spec(leaf))),
            tree,
        )

    def map(
        self,
        evaluate: Callable[[Candidate, Drawn], Results],
        population: Candidate,
        problem: Drawn,
        at_once: int = 0,
    ) -> Results:
        """Evaluate each candidate on the problem that all share, every device its own candidates.

        A population that devices and chunks do not divide is filled up with its last candidate,
        and what comes of that is dropped.

        Args:
          evaluate: ``(candidate, problem) -> results``, a pytree of arrays.
          population: a pytree whose leaves lead with population_size.
          problem: any pytree, the same for all candidates.
          at_once: candidates that a device evaluates at the same time at the most; 0 chooses it by
            :func:`candidates_at_once`.

        Returns:
          ``results`` with a leading axis of candidates, whole on each device.

        >>> layout = make_layout(5)
        >>> layout.map(lambda x, y: x * y, jnp.arange(5), jnp.int32(2), at_once=2)
        Array([0, 2, 4, 6, 8], dtype=int32)
        """
        share = -(-self.population_size // self.num_devices)
        most = at_once or candidates_at_once(evaluate, population, problem)
        num_chunks = -(-share // most)
        size = -(-share // num_chunks)  # equal chunks, so that there is one program for all

        def of_device(candidates: Candidate, problem: Drawn) -> Results:
            if num_chunks == 1:
                return jax.vmap(evaluate, in_axes=(0, None))(candidates, problem)
            return jax.lax.map(lambda one: evaluate(one, problem), candidates, batch_size=size)

        if self.mesh is not None:
            of_device = jax.shard_map(
                of_device,
                mesh=self.mesh,
                in_specs=(PartitionSpec(AXIS), PartitionSpec()),
                out_specs=PartitionSpec(AXIS),
                check_vma=False,  # an objective of the user's need not know of meshes
            )
        missing = self.num_devices * num_chunks * size - self.population_size
        if missing:
            population = jax.tree.map(
                lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)]),
                population,
            )
        results = self.gather(of_device(population, problem))
        return jax.tree.map(lambda leaf: leaf[: self.population_size], results)


def make_layout(population_size: int, devices: Sequence[jax.Device] | None = None) -> Layout:
    """A population over ``devices``: by default all there are, of all processes.

    >>> make_layout(16, jax.devices()[:1]).num_devices
    1
    """
    devices = jax.devices() if devices is None else devices
    # No device is left without a candidate.
    devices = list(devices)[:population_size]
    mesh = Mesh(np.asarray(devices), (AXIS,)) if len(devices) > 1 else None
    return Layout(mesh, population_size)


def candidates_at_once(
    evaluate: Callable[[Candidate, Drawn], Results],
    population: Candidate,
    problem: Drawn,
    memory_bytes: int | None = None,
) -> int:
    """How many candidates can be evaluated at the same time in ``memory_bytes``.

    An estimate, from the largest intermediate value of one evaluation. By default the bytes are
    8 MiB on a CPU, 2 MiB if it is several devices, and 512 MiB elsewhere.

    >>> candidates_at_once(lambda x, y: x * y, jnp.zeros(9), jnp.zeros(1000), 160_000)
    10
    """
    if memory_bytes is None:
        on_cpu = CPU_BYTES if jax.local_device_count() == 1 else CORE_BYTES
        memory_bytes = on_cpu if jax.default_backend() == "cpu" else MEMORY_BYTES
    one = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), population)
    jaxpr = jax.make_jaxpr(evaluate)(one, problem)
    largest = max(_value_bytes(jaxpr.jaxpr), default=1)
    return max(1, memory_bytes // (_ALIVE * largest))


def _value_bytes(jaxpr: Jaxpr) -> Iterator[int]:
    """Bytes of each value that a jaxpr, or one nested in it, computes."""
    for equation in jaxpr.eqns:
        for value in equation.outvars:
            yield math.prod(value.aval.shape) * value.aval.dtype.itemsize  # type: ignore[attr-defined]
        for parameter in equation.params.values():
            for item in parameter if isinstance(parameter, tuple | list) else (parameter,):
                nested = item.jaxpr if isinstance(item, ClosedJaxpr) else item
                if isinstance(nested, Jaxpr):
                    yield from _value_bytes(nested)
