"""The (mu/mu_w, lambda) evolution strategy, with exchangeable mutation and step-size control.

The core of CMA-ES without covariance adaptation (Hansen, arXiv 1604.00772, equations 38 to 44).
What the mutation operator, the control and the recombination carry is part of the strategy's
state, and so runs through any scan.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import optax

from edl_jax.chaos.maps import State
from edl_jax.chaos.streams import Stream
from edl_jax.strategies.base import Evaluate, Strategy, keep_state
from edl_jax.strategies.mutation import Mutation, gaussian
from edl_jax.strategies.step_size import Selection, StepSizeControl, follow


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["mean", "control", "sizes", "mutation", "recombination", "generation"],
    meta_fields=[],
)
@dataclass(frozen=True)
class ESState:
    """The state of :func:`es`.

    Attributes:
      mean: centre of the search, float32 (num_dims,).
      control: state of the step-size control.
      sizes: step sizes of the last generation asked for, shape () or (population_size, 1).
      mutation: state of the mutation operator.
      recombination: state of the stream that the recombination weights are multiplied with.
      generation: int32 scalar, generations told.
    """

    mean: jax.Array
    control: State
    sizes: jax.Array
    mutation: State
    recombination: State
    generation: jax.Array

    @property
    def step_size(self) -> jax.Array:
        """Standard deviation of the next mutations of each gene, scalar."""
        return self.control.step_size


def recombination_weights(population_size: int, elite_ratio: float = 0.25) -> jax.Array:
    """Weights by rank, float32 (population_size,): they fall with its logarithm and sum to 1.

    The best ``elite_ratio`` of the population has a weight above 0, one candidate at the least.

    >>> print(jnp.array_str(recombination_weights(8), precision=2))
    [0.8 0.2 0.  0.  0.  0.  0.  0. ]
    """
    num_elites = max(1, int(elite_ratio * population_size))
    ranks = jnp.arange(1, population_size + 1, dtype=jnp.float32)
    weights = jnp.log(num_elites + 0.5) - jnp.log(ranks)
    weights = jnp.maximum(weights, 0.0)
    return weights / jnp.sum(weights)


def es(
    population_size: int,
    num_dims: int,
    *,
    mutation: Mutation | None = None,
    control: StepSizeControl | None = None,
    recombination: Stream | None = None,
    elite_ratio: float = 0.25,
) -> Strategy:
    """(mu/mu_w, lambda) evolution strategy on vectors.

    Each generation draws ``population = mean + step_size * mutation`` and moves the mean to the
    weighted average of the best quarter, the weights falling with the logarithm of the rank.
    A candidate whose fitness is not finite ranks last, and a generation without any finite
    fitness leaves the mean where it is.

    Args:
      population_size: candidates in a generation (lambda), at least 2.
      num_dims: numbers in a candidate.
      mutation: the operator; Gaussian by default.
      control: of the step size; 0.1 throughout by default.
      recombination: a stream whose values multiply the weights, of mean 1, one a rank; none by
        default.
      elite_ratio: the share of the population that becomes parents (mu / lambda).

    >>> strategy = es(16, 2)
    >>> state = strategy.init(jax.random.key(0), jnp.ones((16, 2)), None)
    >>> population, state = strategy.ask(jax.random.key(1), state)
    >>> fitness = jnp.sum(population**2, axis=-1)
    >>> state = strategy.tell(jax.random.key(2), population, fitness, state)
    """
    mutation = mutation or gaussian()
    control = control or follow(optax.constant_schedule(0.1))
    by_rank = recombination_weights(population_size, elite_ratio)

    def init(key: jax.Array, population: jax.Array, evaluate: Evaluate) -> ESState:
        del evaluate
        shape = (population_size, num_dims)
        control_key, ask_key, weight_key = (jax.random.fold_in(key, i) for i in (1, 2, 3))
        first = control.init(control_key, *shape)
        _, sizes = jax.eval_shape(control.ask, ask_key, first)
        return ESState(
            mean=population[0],
            control=first,
            sizes=jnp.full(sizes.shape, first.step_size),
            mutation=mutation.init(key, shape),
            recombination=recombination.init(weight_key, shape[:1]) if recombination else None,
            generation=jnp.zeros((), jnp.int32),
        )

    def ask(key: jax.Array, state: ESState) -> tuple[jax.Array, ESState]:
        mutated, z = mutation.sample(key, state.mutation)
        controlled, sizes = control.ask(jax.random.fold_in(key, 1), state.control)
        state = replace(state, mutation=mutated, control=controlled, sizes=sizes)
        return state.mean[None] + sizes * z, state

    def tell(key: jax.Array, population: jax.Array, fitness: jax.Array, state: ESState) -> ESState:
        shares, recombined = by_rank, state.recombination
        if recombination:
            recombined, values = recombination.sample(key, recombined)
            shares = shares * values / recombination.chaos.law.mean
        fitness = jnp.where(jnp.isfinite(fitness), fitness, jnp.inf)
        order = jnp.argsort(fitness)
        shares = jnp.where(jnp.isfinite(fitness[order]), shares, 0.0)
        total = jnp.sum(shares)
        weights = jnp.zeros_like(shares).at[order].set(shares / jnp.where(total > 0, total, 1.0))
        step = weights @ ((population - state.mean[None]) / state.sizes)
        seen = Selection(state.generation, fitness, weights, step)
        return replace(
            state,
            mean=jnp.where(total > 0, weights @ population, state.mean),
            control=control.tell(state.control, seen),
            recombination=recombined,
            generation=state.generation + 1,
        )

    return Strategy(init, ask, tell, keep_state, lambda state: state.mean)
