"""Measurable properties of any loss, learned or hand-made."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from edl_jax.objectives import Loss, every_label

PROFILE_POINTS = (0.001, 0.1, 0.5, 0.9, 0.999)


def profile_logits(p_y: jax.Array, num_classes: int = 10) -> jax.Array:
    """Logits that give class 0 the probability ``p_y`` and share the rest equally.

    Args:
      p_y: probabilities in (0, 1), shape (n,).
      num_classes: number of classes.

    Returns:
      Logits of shape (n, num_classes).
    """
    p_y = jnp.asarray(p_y)
    rest = jnp.log1p(-p_y) - jnp.log(num_classes - 1.0)
    return jnp.zeros((p_y.size, num_classes)).at[:, 0].set(jnp.log(p_y) - rest)


def loss_profile(
    loss: Loss, p_y: Sequence[float] | jax.Array, num_classes: int = 10
) -> tuple[jax.Array, jax.Array]:
    """Loss and its gradient with respect to the true logit, as p_y goes from wrong to right.

    Returns:
      ``(values, gradients)``, each of the shape of ``p_y``; cross-entropy's gradient is p_y - 1.

    >>> from edl_jax.losses import LOSSES
    >>> loss_profile(LOSSES["cross_entropy"], [0.25])[1]
    Array([-0.75], dtype=float32)
    """
    logits = profile_logits(jnp.asarray(p_y, jnp.float32), num_classes)
    labels = jnp.zeros(logits.shape[0], jnp.int32)

    @jax.jit
    def profile(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return loss(z, labels), jax.grad(lambda z: jnp.sum(loss(z, labels)))(z)[:, 0]

    return profile(logits)


def properness_gap(
    loss: Loss, key: jax.Array, num_classes: int = 10, num_distributions: int = 64
) -> jax.Array:
    """How far from the truth q a classifier ends that minimises the expected loss E_q L.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      key: of the label distributions q, drawn uniformly from the simplex.
      num_classes: classes of q.
      num_distributions: how many q.

    Returns:
      ``|softmax(z*) - q|`` in the Euclidean norm for each q, shape (num_distributions,), where z*
      is where 1,000 steps of Adam bring near-uniform logits. 0 for a proper loss.
    """
    q = jax.random.dirichlet(key, jnp.ones(num_classes), (num_distributions,))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 1000))

    def expected(z: jax.Array) -> jax.Array:
        return jnp.sum(q * every_label(loss, z))

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        z, state = carry
        updates, state = optimizer.update(jax.grad(expected)(z), state)
        return (optax.apply_updates(z, updates), state), None

    @jax.jit
    def minimise() -> jax.Array:
        z = jnp.zeros_like(q)
        (z, _), _ = jax.lax.scan(step, (z, optimizer.init(z)), length=1000)
        return jnp.linalg.norm(jax.nn.softmax(z) - q, axis=-1)

    return minimise()
