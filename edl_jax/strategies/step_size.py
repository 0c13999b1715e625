"""Step-size control of an evolution strategy: schedules, and rules that watch the search.

A control has ``init``, which gives a state whose ``step_size`` is the size of the next mutations;
``ask``, which gives each individual its own; and ``tell``, which is shown what selection did.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from edl_jax import parts
from edl_jax.chaos.maps import State
from edl_jax.chaos.streams import Stream, make_stream
from edl_jax.config import PLAIN_SCHEDULES
from edl_jax.errors import require_one_of
from edl_jax.strategies.mutation import Mutation, gaussian


class Selection(NamedTuple):
    """The evidence of a generation.

    Attributes:
      generation: int32 scalar, the generation's number, from 0.
      fitness: float32 (population_size,), lower is better, inf where it was not finite.
      weights: float32 (population_size,), each individual's share in the new mean; they sum to 1,
        or are all 0 where no fitness was finite.
      step: float32 (num_dims,), the weighted mean of the mutations, each in its own step size.
    """

    generation: jax.Array
    fitness: jax.Array
    weights: jax.Array
    step: jax.Array


@dataclass(frozen=True)
class StepSizeControl:
    """How large the mutations are.

    Attributes:
      init: ``(key, population_size, num_dims) -> state``; ``state.step_size`` is a float32 scalar.
      ask: ``(key, state) -> (state, sizes)`` with sizes of shape () or (population_size, 1).
      tell: ``(state, selection) -> state``.

    >>> control = follow(optax.constant_schedule(0.1))
    >>> state = control.init(jax.random.key(0), 8, 3)
    >>> _, sizes = control.ask(jax.random.key(1), state)
    >>> sizes.shape
    ()
    """

    init: Callable[[jax.Array, int, int], State]
    ask: Callable[[jax.Array, State], tuple[State, jax.Array]]
    tell: Callable[[State, Selection], State]


def _same_for_all(key: jax.Array, state: State) -> tuple[State, jax.Array]:
    del key
    return state, state.step_size


@partial(jax.tree_util.register_dataclass, data_fields=["step_size"], meta_fields=[])
@dataclass(frozen=True)
class _Scheduled:
    step_size: jax.Array


def _float32(value: ArrayLike) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


def _where(condition: jax.Array, new: State, old: State) -> State:
    return jax.tree.map(partial(jnp.where, condition), new, old)


def follow(schedule: optax.Schedule) -> StepSizeControl:
    """A step size that depends on the generation alone, as optax's schedules do on the step."""
    return StepSizeControl(
        init=lambda key, population_size, num_dims: _Scheduled(_float32(schedule(0))),
        ask=_same_for_all,
        tell=lambda state, seen: _Scheduled(_float32(schedule(seen.generation + 1))),
    )


@partial(
    jax.tree_util.register_dataclass, data_fields=["step_size", "orbit", "key"], meta_fields=[]
)
@dataclass(frozen=True)
class _Annealing:
    step_size: jax.Array
    orbit: State
    key: jax.Array


def chaotic_annealing(schedule: optax.Schedule, stream: Stream) -> StepSizeControl:
    """The schedule times sqrt(x / E x), one x a generation: wide and fine searches take turns."""

    def advance(generation: jax.Array | int, orbit: State, key: jax.Array) -> _Annealing:
        key, sample_key = jax.random.split(key)
        orbit, value = stream.sample(sample_key, orbit)
        factor = jnp.sqrt(value / stream.chaos.law.mean)
        return _Annealing(_float32(schedule(generation) * factor), orbit, key)

    def init(key: jax.Array, population_size: int, num_dims: int) -> _Annealing:
        key, stream_key = jax.random.split(key)
        return advance(0, stream.init(stream_key, ()), key)

    def tell(state: _Annealing, seen: Selection) -> _Annealing:
        return advance(seen.generation + 1, state.orbit, state.key)

    return StepSizeControl(init, _same_for_all, tell)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step_size", "reference", "success"],
    meta_fields=["num_dims"],
)
@dataclass(frozen=True)
class _Success:
    step_size: jax.Array
    reference: jax.Array
    success: jax.Array
    num_dims: int


def success_rule(initial: float) -> StepSizeControl:
    """Rechenberg's 1/5 success rule in the form that suits recombined parents.

    A recombined mean is better than almost all its offspring, so that the share of them that beat
    their parent says little. Asked instead is how many beat the 30th percentile of the last
    generation: if more than half do, the step size grows, else it falls. Median success rule,
    Ait Elhara, Auger and Hansen (GECCO 2013, doi 10.1145/2463372.2463473), section 3, with its
    constants.
    """
    smoothing, percentile = 0.3, 0.3

    def init(key: jax.Array, population_size: int, num_dims: int) -> _Success:
        return _Success(_float32(initial), _float32(-jnp.inf), _float32(0.0), num_dims)

    def tell(state: _Success, seen: Selection) -> _Success:
        size = seen.fitness.shape[0]
        better = jnp.sum(seen.fitness < state.reference, dtype=jnp.float32)
        z = jnp.where(jnp.isneginf(state.reference), 0.0, (2 * better - size - 1) / size)
        success = (1 - smoothing) * state.success + smoothing * z
        new = replace(
            state,
            step_size=state.step_size * jnp.exp(success / max(1.0, 2 - 2 / state.num_dims)),
            reference=jnp.sort(seen.fitness)[max(0, round(percentile * size) - 1)],
            success=success,
        )
        return _where(jnp.any(seen.weights > 0), new, state)

    return StepSizeControl(init, _same_for_all, tell)


@partial(jax.tree_util.register_dataclass, data_fields=["step_size", "path"], meta_fields=[])
@dataclass(frozen=True)
class _Path:
    step_size: jax.Array
    path: jax.Array


def cumulative(initial: float) -> StepSizeControl:
    """Cumulative step-size adaptation: grow while steps agree, shrink while they cancel.

    Hansen, arXiv 1604.00772, equations 43 and 44 with the constants of its table 1.
    """

    def init(key: jax.Array, population_size: int, num_dims: int) -> _Path:
        return _Path(_float32(initial), jnp.zeros(num_dims, jnp.float32))

    def tell(state: _Path, seen: Selection) -> _Path:
        num_dims = seen.step.size
        some = jnp.any(seen.weights > 0)
        parents = 1.0 / jnp.where(some, jnp.sum(jnp.square(seen.weights)), 1.0)
        rate = (parents + 2) / (num_dims + parents + 5)
        damping = 1 + 2 * jnp.maximum(0.0, jnp.sqrt((parents - 1) / (num_dims + 1)) - 1) + rate
        usual = math.sqrt(num_dims) * (1 - 1 / (4 * num_dims) + 1 / (21 * num_dims**2))
        path = (1 - rate) * state.path + jnp.sqrt(rate * (2 - rate) * parents) * seen.step
        # One generation changes the step size by a factor of e at most.
        change = jnp.clip(rate / damping * (jnp.linalg.norm(path) / usual - 1), -1.0, 1.0)
        new = _Path(state.step_size * jnp.exp(change), path)
        return _where(some, new, state)

    return StepSizeControl(init, _same_for_all, tell)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step_size", "factors", "perturbation"],
    meta_fields=["rate"],
)
@dataclass(frozen=True)
class _SelfAdaptation:
    step_size: jax.Array
    factors: jax.Array
    perturbation: State
    rate: float


def self_adaptation(initial: float, perturbation: Mutation | None = None) -> StepSizeControl:
    """Each individual mutates the step size and then itself with it; selection judges both.

    Beyer and Schwefel, Natural Computing 1 (2002), section 4.2: the sizes are log-normal about
    the common one with rate 1/sqrt(2 num_dims), which moves to the parents' geometric mean.

    Args:
      initial: the first step size.
      perturbation: of the logarithm of the step size, of unit variance; Gaussian by default.
    """
    perturb = perturbation or gaussian()

    def init(key: jax.Array, population_size: int, num_dims: int) -> _SelfAdaptation:
        shape = (population_size, 1)
        return _SelfAdaptation(
            _float32(initial),
            jnp.zeros(shape, jnp.float32),
            perturb.init(key, shape),
            rate=1 / math.sqrt(2 * num_dims),
        )

    def ask(key: jax.Array, state: _SelfAdaptation) -> tuple[_SelfAdaptation, jax.Array]:
        inner, xi = perturb.sample(key, state.perturbation)
        factors = state.rate * xi
        state = replace(state, perturbation=inner, factors=factors)
        return state, state.step_size * jnp.exp(factors)

    def tell(state: _SelfAdaptation, seen: Selection) -> _SelfAdaptation:
        change = seen.weights @ state.factors[:, 0]
        return replace(state, step_size=state.step_size * jnp.exp(change))

    return StepSizeControl(init, ask, tell)


class Sizes(NamedTuple):
    """The step sizes that the options name.

    Attributes:
      first: the first step size.
      last: the last one, of rules that fall.
      num_generations: when these end.
    """

    first: float
    last: float
    num_generations: int


def make_schedule(name: str, sizes: Sizes) -> optax.Schedule:
    """An optax schedule: ``constant``, ``exponential`` or ``cosine``.

    Args:
      name: which.
      sizes: where it starts, where it ends (without meaning for ``constant``), and when.
    """
    require_one_of("schedule", name, PLAIN_SCHEDULES)
    steps = max(1, sizes.num_generations)
    if name == "constant":
        return optax.constant_schedule(sizes.first)
    if name == "cosine":
        cosine = optax.cosine_decay_schedule(sizes.first, steps, sizes.last / sizes.first)
        return lambda count: cosine(_float32(count))
    return optax.exponential_decay(sizes.first, steps, sizes.last / sizes.first)


Maker = Callable[[Sizes, Stream], StepSizeControl]
"""``(sizes, stream) -> control``, with the chaos that the options describe."""


def _followed(name: str, sizes: Sizes, stream: Stream) -> StepSizeControl:
    return follow(make_schedule(name, sizes))


SCHEDULES: dict[str, Maker] = {
    "constant": partial(_followed, "constant"),
    "exponential": partial(_followed, "exponential"),
    "cosine": partial(_followed, "cosine"),
    "chaotic_annealing": lambda sizes, stream: chaotic_annealing(
        make_schedule("exponential", sizes), stream
    ),
    "success_rule": lambda sizes, stream: success_rule(sizes.first),
    "csa": lambda sizes, stream: cumulative(sizes.first),
    "self_adaptation": lambda sizes, stream: self_adaptation(sizes.first),
}
"""Name to maker."""


def make_control(
    schedule: str | StepSizeControl | Maker,
    *,
    step_size: float,
    final_step_size: float,
    num_generations: int,
    stream: Stream | None = None,
) -> StepSizeControl:
    """A step-size control by its name.

    Args:
      schedule: a name in :data:`SCHEDULES`, ``path/to/file.py:NAME``, or a control of your own: a
        :class:`StepSizeControl`, or a function ``(sizes, stream) -> StepSizeControl``.
      step_size: the first step size.
      final_step_size: the last one, of ``exponential``, ``cosine`` and ``chaotic_annealing``, which
        is exponential on average.
      num_generations: when these end.
      stream: of ``chaotic_annealing``; the logistic map's by default.

    Raises:
      OptionError: there is no such control.
    """
    found = parts.find("schedule", schedule, SCHEDULES)
    sizes = Sizes(step_size, final_step_size, num_generations)
    stream = stream or make_stream("logistic")
    return parts.finished("schedule", schedule, found, StepSizeControl, sizes, stream)
