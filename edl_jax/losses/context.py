"""How far training has come, read from the batch that a loss is called with.

A wrong label and a hard example look alike: the label's probability is small. What tells them
apart is when they are learned. So a loss may read, besides a prediction and its label, three
numbers about all examples of the call. They have no gradient and no state, and need no schedule.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from edl_jax.losses.arguments import Call, Examples, called_with, read_examples
from edl_jax.losses.base import Axis, Context, Loss

# As numbers, since an array would start JAX at import.
STAGES = {
    "early": (0.0, 0.0, 0.0),
    "late": (0.9, 0.6, 0.9),
}
"""Before training, and where a network is sure of itself though 40 % of its labels are wrong."""


def at_stages(losses: Mapping[str, Loss]) -> dict[str, Loss]:
    """``losses`` with each that reads a context as two, ``NAME, early`` and ``NAME, late``.

    For whoever looks at a loss outside of a training run, where no batch has a context of its own.

    >>> from edl_jax.losses import LOSSES
    >>> list(at_stages({name: LOSSES[name] for name in ("gce", "gate")}))
    ['gce', 'gate, early', 'gate, late']
    """
    found: dict[str, Loss] = {}
    for name, loss in losses.items():
        if getattr(loss, "reads_context", False):
            for stage, numbers in STAGES.items():
                context = Context(*(jnp.float32(number) for number in numbers))
                found[f"{name}, {stage}"] = jax.tree_util.Partial(loss, context=context)
        else:
            found[name] = loss
    return found


def batch_context(
    logits: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> Context:
    """The context that a loss computes for itself when it is called with these arguments.

    Compute it yourself where one call does not see the whole batch: under a per-example
    ``jax.vmap``, with accumulated gradients, or, averaged by ``jax.lax.pmean``, in ``shard_map``.
    What is masked out, has a label that is no class, or a logit that is not finite, is not counted;
    without any example all three are 0.

    Args:
      logits: unnormalised log-probabilities, any float dtype, classes along ``axis``.
      labels: class ids, one-hot or soft labels.
      axis: the class axis, as the losses take it.
      where: which classes, or which examples, are present, as the losses take it.

    Returns:
      Three scalars without gradient, float32, or float64 for float64 logits.

    Raises:
      EdlError: the arguments do not fit each other.

    >>> context = batch_context(jnp.array([[0.0, 0.0], [9.0, -9.0]]), jnp.array([0, 0]))
    >>> [round(float(x), 2) for x in context]
    [0.5, 0.5, 0.5]
    """
    return _context(called_with(logits, labels, axis, where))


@jax.jit
def _context(called: Call) -> Context:
    return examples_context(read_examples(called))


def examples_context(examples: Examples) -> Context:
    """:func:`batch_context` of what :func:`read_examples` gives."""
    logits, present = jax.lax.stop_gradient(examples.logits), examples.present
    number = jnp.sum(present, axis=-1, dtype=logits.dtype)
    counted = (number > 1) & jnp.all(jnp.isfinite(logits) | ~present, axis=-1)
    if examples.weights is None:
        assert examples.ids is not None and examples.valid is not None
        weights = jax.nn.one_hot(examples.ids, logits.shape[-1], dtype=logits.dtype)
        weights *= (examples.valid[..., None] & present).astype(logits.dtype)
    else:
        weights = jax.lax.stop_gradient(examples.weights).astype(logits.dtype)
    total = jnp.sum(weights, axis=-1)
    counted &= total > 0
    absent = jnp.where(counted, -jnp.inf, 0)[..., None].astype(logits.dtype)
    p = jax.nn.softmax(jnp.where(counted[..., None] & present, logits, absent), axis=-1)
    chance = 1 / jnp.maximum(number, 2)

    def relative(probability: jax.Array) -> jax.Array:
        return (probability - chance) / (1 - chance)

    def mean(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(counted, values, 0)) / jnp.maximum(
            jnp.sum(counted, dtype=p.dtype), 1
        )

    p_y = jnp.sum(weights * p, axis=-1) / jnp.where(counted, total, 1)
    variance = mean(jnp.square(p_y - mean(p_y)))
    return Context(mean(relative(jnp.max(p, axis=-1))), mean(relative(p_y)), 2 * jnp.sqrt(variance))
