"""Mutation operators: unit-variance perturbations as pure functions of a carried state.

An operator is what a strategy multiplies with its step size. It has ``init(key, shape)`` for
arrays of shape (population_size, num_dims), which gives the state that the strategy carries, and
``sample(key, state)``, which gives the next state and such an array whose entries have mean 0 and
variance 1. Operators are built from each other: chaos can be the direction of a perturbation, its
size, or what chooses between a chaotic and a Gaussian one, alone or together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from edl_jax import parts
from edl_jax.chaos.maps import State
from edl_jax.chaos.streams import Shape, Stream, make_stream
from edl_jax.config import MARGINALS, ChaosConfig
from edl_jax.errors import require_one_of


@dataclass(frozen=True)
class Mutation:
    """A mutation operator.

    Attributes:
      init: ``(key, shape) -> state``.
      sample: ``(key, state) -> (state, z)`` with ``z`` float32 of the shape given to ``init``.

    >>> mutation = make_mutation("chaotic")
    >>> state = mutation.init(jax.random.key(0), (4, 2))
    >>> state, z = mutation.sample(jax.random.key(1), state)
    >>> z.shape
    (4, 2)
    """

    init: Callable[[jax.Array, tuple[int, ...]], State]
    sample: Callable[[jax.Array, State], tuple[State, jax.Array]]


def gaussian() -> Mutation:
    """Independent standard normal perturbations."""
    return Mutation(
        init=lambda key, shape: Shape(tuple(shape)),
        sample=lambda key, state: (state, jax.random.normal(key, state.shape, jnp.float32)),
    )


def directed(stream: Stream, marginal: str = "map") -> Mutation:
    """The stream's values themselves.

    Args:
      stream: where the values come from.
      marginal: ``"map"`` standardises the map's own law to mean 0 and variance 1, ``"uniform"``
        and ``"normal"`` carry it to these laws. With ``"normal"``, the order in which values
        follow each other is the only difference from :func:`gaussian`.

    Source: Xiang and Pei, arXiv 2605.03722 (chaotic mutation with the logistic map).
    """
    require_one_of("marginal", marginal, MARGINALS)
    transform = {
        "map": stream.chaos.standardise,
        "uniform": lambda values: (stream.chaos.law.cdf(values) - 0.5) * 12**0.5,
        "normal": stream.chaos.to_normal,
    }[marginal]

    def sample(key: jax.Array, state: State) -> tuple[State, jax.Array]:
        state, values = stream.sample(key, state)
        return state, transform(values)

    return Mutation(stream.init, sample)


def chaotic(map_name: str = "logistic", marginal: str = "map") -> Mutation:
    """One chaotic orbit for each gene of each individual, running through the generations.

    Args:
      map_name: a name in :data:`edl_jax.chaos.MAPS`.
      marginal: as in :func:`directed`.
    """
    return directed(make_stream(map_name), marginal)


def scaled(mutation: Mutation, stream: Stream, per: str = "individual") -> Mutation:
    """``mutation`` times a factor whose mean square is 1: sqrt(x / E x), x from the stream.

    Some steps are long and some short where they would be of one length.

    Args:
      mutation: what is scaled.
      stream: where the factors come from.
      per: ``"individual"``, or ``"gene"``: a factor for each parameter, shared by the population,
        so that each generation searches some directions widely and others finely.
    """
    require_one_of("per", per, ("individual", "gene"))

    def init(key: jax.Array, shape: tuple[int, ...]) -> tuple[State, State]:
        key, stream_key = jax.random.split(key)
        factors = (shape[0], 1) if per == "individual" else (1, shape[1])
        return mutation.init(key, shape), stream.init(stream_key, factors)

    def sample(key: jax.Array, state: tuple[State, State]) -> tuple[State, jax.Array]:
        key, stream_key = jax.random.split(key)
        inner, z = mutation.sample(key, state[0])
        factors, values = stream.sample(stream_key, state[1])
        return (inner, factors), z * jnp.sqrt(values / stream.chaos.law.mean)

    return Mutation(init, sample)


def switched(above: Mutation, below: Mutation, stream: Stream) -> Mutation:
    """``above`` for the individuals whose value of the stream is above its median, else ``below``.

    Both operators run on all the time, so that orbits do not wait.
    """

    def init(key: jax.Array, shape: tuple[int, ...]) -> tuple[State, State, State]:
        keys = jax.random.split(key, 3)
        return (
            above.init(keys[0], shape),
            below.init(keys[1], shape),
            stream.init(keys[2], (shape[0], 1)),
        )

    def sample(key: jax.Array, state: tuple[State, State, State]) -> tuple[State, jax.Array]:
        keys = jax.random.split(key, 3)
        one, z = above.sample(keys[0], state[0])
        other, alternative = below.sample(keys[1], state[1])
        switch, values = stream.sample(keys[2], state[2])
        return (one, other, switch), jnp.where(stream.chaos.law.cdf(values) > 0.5, z, alternative)

    return Mutation(init, sample)


def _chaotic(chaos: ChaosConfig, stream: Stream) -> Mutation:
    """The operator of ``chaos``: directions, step sizes, or a switch between two operators."""
    mutation = directed(stream, chaos.marginal) if "direction" in chaos.acts_on else gaussian()
    if "switch" in chaos.acts_on:
        mutation = switched(directed(stream, chaos.marginal), mutation, stream)
    if "step_size" in chaos.acts_on:
        mutation = scaled(mutation, stream, "individual")
    if "gene_step_size" in chaos.acts_on:
        mutation = scaled(mutation, stream, "gene")
    return mutation


Maker = Callable[[ChaosConfig, Stream], Mutation]
"""``(chaos, stream) -> mutation``, with the chaos that the options describe."""

MUTATIONS: dict[str, Maker] = {
    "gaussian": lambda chaos, stream: gaussian(),
    "chaotic": _chaotic,
}
"""Name to maker."""


def make_mutation(
    mutation: str | Mutation | Maker,
    chaos: ChaosConfig | None = None,
    stream: Stream | None = None,
) -> Mutation:
    """A mutation operator by its name.

    Args:
      mutation: a name in :data:`MUTATIONS`, ``path/to/file.py:NAME``, or an operator of your own: a
        :class:`Mutation`, or a function ``(chaos, stream) -> Mutation``.
      chaos: the law of chaotic directions, and where chaos acts. ``direction``: the perturbation
        is chaotic, else Gaussian; ``step_size`` and ``gene_step_size``: see :func:`scaled`;
        ``switch``: some individuals are perturbed chaotically and the others by a Gaussian, see
        :func:`switched`. ``recombination`` is the strategy's affair and changes nothing here.
      stream: where the values come from; by default the one that ``chaos`` describes.

    Raises:
      OptionError: there is no such operator.

    >>> chaos = ChaosConfig(acts_on=("step_size", "gene_step_size"))
    >>> mutation = make_mutation("chaotic", chaos)
    >>> state = mutation.init(jax.random.key(0), (4, 2))
    """
    found = parts.find("mutation", mutation, MUTATIONS)
    chaos = chaos or ChaosConfig()
    stream = stream or make_stream(chaos.map, chaos.dynamics, chaos.orbits)
    return parts.finished("mutation", mutation, found, Mutation, chaos, stream)
