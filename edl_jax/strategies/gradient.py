"""Descent by the gradient of the objective: the control that says what evolution is for.

An objective that can be differentiated needs no evolution, and what evolves it should be compared
with what a gradient makes of it. This is no black-box search: each candidate moves along its own
gradient, on the batch of its generation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from edl_jax.strategies.base import Evaluate, Strategy

MakeOptimizer = Callable[[optax.Schedule], optax.GradientTransformation]


class GradientState(NamedTuple):
    """The state of :func:`gradient`.

    Attributes:
      points: where each descent stands, float32 (population_size, num_dims).
      optimizer: the optimiser's state for all of them.
      fitness: float32 (population_size,), on the last generation's batch; inf at first.
    """

    points: jax.Array
    optimizer: Any
    fitness: jax.Array


def gradient(learning_rate: optax.Schedule, make_optimizer: MakeOptimizer = optax.adam) -> Strategy:
    """Independent descents side by side, on vectors; the search stands for the best of them.

    A generation costs each descent a gradient, about three evaluations, and one evaluation. A
    gradient that is not finite is not followed.

    Args:
      learning_rate: by generation.
      make_optimizer: of a schedule; one that treats each number by itself, as Adam does.

    >>> descent = gradient(optax.constant_schedule(0.1))
    >>> square = lambda points: jnp.sum(points**2, axis=-1)
    >>> state = descent.init(jax.random.key(0), jnp.ones((4, 2)), square)
    >>> points, state = descent.ask(jax.random.key(1), descent.reevaluate(state, square))
    >>> print(f"{points[0, 0]:.3f}")
    0.900
    """
    optimizer = make_optimizer(learning_rate)

    def init(key: jax.Array, points: jax.Array, evaluate: Evaluate) -> GradientState:
        del key, evaluate
        infinite = jnp.full(points.shape[:1], jnp.inf, jnp.float32)
        return GradientState(points, optimizer.init(points), infinite)

    def reevaluate(state: GradientState, evaluate: Evaluate) -> GradientState:
        def total(points: jax.Array) -> jax.Array:
            fitness = evaluate(points)
            return jnp.sum(jnp.where(jnp.isfinite(fitness), fitness, 0))

        slope = jax.grad(total)(state.points)
        slope = jnp.where(jnp.isfinite(slope), slope, 0)
        with jax.numpy_dtype_promotion("standard"):  # optax promotes its counts
            step, moved = optimizer.update(slope, state.optimizer, state.points)
        moved = jax.tree.map(lambda new, old: new.astype(old.dtype), moved, state.optimizer)
        return GradientState(state.points + step, moved, state.fitness)

    def ask(key: jax.Array, state: GradientState) -> tuple[jax.Array, GradientState]:
        del key
        return state.points, state

    def tell(
        key: jax.Array, points: jax.Array, fitness: jax.Array, state: GradientState
    ) -> GradientState:
        del key, points
        return state._replace(fitness=fitness)

    def incumbent(state: GradientState) -> jax.Array:
        return state.points[jnp.argmin(state.fitness)]

    return Strategy(init, ask, tell, reevaluate, incumbent)
