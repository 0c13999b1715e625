"""A user's own parts, as they would stand in a file outside of the package.

Tests copy this file to where no import finds it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.chaos.laws import uniform
from edl_jax.chaos.maps import ChaoticMap
from edl_jax.losses import Network, log_softmax
from edl_jax.objective import Objective
from edl_jax.strategies import Mutation, StepSizeControl, Strategy, keep_state


def best_step(ingredients):
    """Goes to the best of its steps, each of them a mutation."""
    config, mutation = ingredients.config, ingredients.mutation
    shape = (config.population_size, ingredients.num_dims)

    def init(key, candidates, evaluate):
        return candidates[0], mutation.init(key, shape)

    def ask(key, state):
        best, mutated = state
        mutated, z = mutation.sample(key, mutated)
        return best[None] + config.step_size * z, (best, mutated)

    def tell(key, candidates, fitness, state):
        return candidates[jnp.argmin(fitness)], state[1]

    return Strategy(init, ask, tell, keep_state, lambda state: state[0])


laplace = Mutation(
    init=lambda key, shape: jnp.zeros(shape, bool),
    sample=lambda key, state: (state, jax.random.laplace(key, state.shape) * 0.5**0.5),
)


class Size(NamedTuple):
    step_size: jax.Array


def halving(sizes, stream):
    """Half the step size at each generation, down to the last one."""
    return StepSizeControl(
        init=lambda key, population_size, num_dims: Size(jnp.float32(sizes.first)),
        ask=lambda key, state: (state, state.step_size),
        tell=lambda state, seen: Size(jnp.maximum(0.5 * state.step_size, sizes.last)),
    )


rotation = ChaoticMap(
    "rotation",
    init=lambda key, shape: jax.random.uniform(key, shape, minval=1e-6),
    step=lambda x: ((x + 0.618) % 1.0, jnp.clip(x, 1e-6, 1.0 - 1e-6)),
    formula=lambda x: (x + 0.618) % 1.0,
    closed_law=uniform(0.0),
)


def power(width, num_classes):
    """(1 - p_y^q) / q, of one parameter."""

    def init(key):
        return {"q": jax.random.normal(key, (1,))}

    def apply(params, logits, labels, context=None):
        q = jax.nn.sigmoid(params["q"][0])
        log_p_y = jnp.take_along_axis(log_softmax(logits), labels[..., None], axis=-1)[..., 0]
        return -jnp.expm1(q * log_p_y) / q

    return Network(init, apply)


def steep(config):
    """The steeper a loss is at random logits, the better."""

    def sample(key):
        shape = (config.batch_size, config.num_classes)
        return jax.random.normal(key, shape), jnp.zeros(shape[0], jnp.int32)

    def evaluate(loss, problem):
        logits, labels = problem
        gradient = jax.grad(lambda z: jnp.mean(loss(z, labels)))(logits)
        slope = jnp.sum(gradient[:, 0])
        return slope, {"slope": slope}

    return Objective(sample, evaluate)


def one_minus_p(logits, labels):
    """A loss that is no network's."""
    log_p = log_softmax(logits)
    return 1 - jnp.exp(jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0])
