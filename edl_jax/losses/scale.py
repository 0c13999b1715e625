"""The scale of a loss: descent matching lets cross-entropy's learning rate serve any loss."""

import jax
import jax.numpy as jnp

from edl_jax.errors import EdlError
from edl_jax.losses.base import Loss, as_pytree, log_softmax
from edl_jax.losses.handmade import LOSSES

_DESCENT_STEPS, _DESCENT_EXAMPLES = 20, 512


def _descend(loss: Loss, scale: jax.Array, logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean p_y after unit steps of descent on scale * loss."""
    gradient = jax.grad(lambda z: jnp.sum(loss(z, labels)))

    def step(z: jax.Array, _: None) -> tuple[jax.Array, None]:
        return z - scale * gradient(z), None

    logits, _ = jax.lax.scan(step, logits, length=_DESCENT_STEPS)
    log_p = jnp.take_along_axis(log_softmax(logits), labels[:, None], axis=-1)
    return jnp.mean(jnp.exp(log_p))


def matching_scale(loss: Loss, num_classes: int = 10) -> tuple[jax.Array, jax.Array]:
    """:func:`descent_scale` as a pure function: the scale, and whether there is one."""
    noise_key, label_key = jax.random.split(jax.random.key(0))
    logits = 0.1 * jax.random.normal(noise_key, (_DESCENT_EXAMPLES, num_classes))
    labels = jax.random.randint(label_key, (_DESCENT_EXAMPLES,), 0, num_classes)
    cross_entropy = LOSSES["cross_entropy"]

    def gradient_norm(loss: Loss) -> jax.Array:
        return jnp.linalg.norm(jax.grad(lambda z: jnp.sum(loss(z, labels)))(logits))

    target = _descend(cross_entropy, jnp.ones(()), logits, labels)
    ratio = gradient_norm(cross_entropy) / gradient_norm(loss)
    grid = ratio * jnp.logspace(-6.0, 6.0, 97)
    logs = jnp.log(grid)

    # Up the grid to the first scale that reaches the target, then by bisection between it and the
    # one before: in one loop, whose body is compiled once.
    def step(i: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        low, high, found = carry
        on_grid = i < grid.size
        middle = jnp.where(on_grid, logs[i], 0.5 * (low + high))
        scale = jnp.where(on_grid, grid[i], jnp.exp(middle))
        enough = _descend(loss, scale, logits, labels) >= target
        moves = ~(on_grid & found)
        low = jnp.where(moves & ~enough, middle, low)
        high = jnp.where(moves & enough, middle, high)
        return low, high, found | enough

    # That the first scale of all is enough shows in that nothing was below it.
    start = jnp.float32(-jnp.inf), jnp.float32(jnp.inf), jnp.bool(False)
    low, high, found = jax.lax.fori_loop(0, grid.size + 24, step, start)
    return jnp.exp(high), found & (low > -jnp.inf)


_matching_scale = jax.jit(matching_scale, static_argnums=1)


def descent_scale(loss: Loss, num_classes: int = 10) -> float:
    """The constant that lets cross-entropy's learning rate serve ``loss``: descent matching.

    From near-uniform logits, 20 unit steps ``z <- z - c dL/dz`` shall bring the mean p_y to where
    the same steps bring it under cross-entropy. Matching the norm of the gradient instead leaves
    a loss that is steep where examples are nearly learned too steep late in training.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      num_classes: number of classes of the logits that descend.

    Returns:
      The smallest such c, found on a grid of 12 decades about the gradients' ratio and refined
      by bisection.

    Raises:
      EdlError: no multiple of ``loss`` descends as far as cross-entropy.

    >>> round(descent_scale(lambda z, y: 0.5 * LOSSES["cross_entropy"](z, y)), 4)
    2.0
    """
    # The loss is an argument, so that one program serves all parameters.
    scale, found = _matching_scale(as_pytree(loss), num_classes)
    if not bool(found):
        raise EdlError("no multiple of this loss descends as far as cross-entropy does")
    return float(scale)
