"""Students: small networks that are trained with a loss on a synthetic task, from start to end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from edl_jax.losses.base import Loss
from edl_jax.objective.tasks import SIDE, Regime, Task

WIDTH, CHANNELS, KERNEL = 64, 16, 3
WEIGHT_DECAY = 5e-4  # of normalised students, whose weights would only grow without


class Weights(NamedTuple):
    """A student's weights: matrices and biases, one after another."""

    matrices: list[jax.Array]
    biases: list[jax.Array]


def init_student(key: jax.Array, regime: Regime) -> Weights:
    """He-normal matrices and zero biases, float32."""
    if regime.student == "convolutional":
        positions = ((SIDE - KERNEL + 1) // 2) ** 2
        sizes = [(KERNEL**2, CHANNELS), (positions * CHANNELS, WIDTH), (WIDTH, regime.num_classes)]
    else:
        sizes = [(regime.num_inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, regime.num_classes)]
    he = jax.nn.initializers.he_normal()
    keys = jax.random.split(key, len(sizes))
    matrices = [he(k, size, jnp.float32) for k, size in zip(keys, sizes, strict=True)]
    return Weights(matrices, [jnp.zeros(size[1], jnp.float32) for size in sizes])


def apply_student(weights: Weights, inputs: jax.Array, regime: Regime) -> jax.Array:
    """Logits ``[n, num_classes]`` of inputs ``[n, num_inputs]``."""
    x = inputs
    if regime.student == "convolutional":
        x = _patches(x)
    for i, (matrix, bias) in enumerate(zip(*weights, strict=True)):
        x = x @ matrix + bias[(None,) * (x.ndim - 1)]
        if i == len(weights.matrices) - 1:
            return x
        if regime.student != "mlp":
            x = _normalised(x)
        x = jax.nn.relu(x)
        if x.ndim == 3:
            x = _pooled(x)
    raise AssertionError("a student has layers")


def _normalised(x: jax.Array) -> jax.Array:
    """Batch normalisation without parameters, by the statistics of the batch that is given."""
    axes = tuple(range(x.ndim - 1))
    centred = x - jnp.mean(x, axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axes, keepdims=True) + 1e-5)


def _patches(x: jax.Array) -> jax.Array:
    """Images ``[n, 64]`` as the patches that a 3 x 3 convolution looks at: ``[n, 36, 9]``.

    A convolution is then a product of matrices, which a machine does well for many students.
    """
    start = jnp.arange(SIDE - KERNEL + 1)
    offset = jnp.arange(KERNEL)
    line = start[:, None] + offset[None]
    place = line[:, None, :, None] * SIDE + line[None, :, None, :]
    return x[:, place.reshape(start.size**2, KERNEL**2)]


def _pooled(x: jax.Array) -> jax.Array:
    """Positions ``[n, 36, channels]`` averaged two by two, and flat: ``[n, 9 * channels]``."""
    side = SIDE - KERNEL + 1
    x = x.reshape(len(x), side // 2, 2, side // 2, 2, -1)
    return jnp.mean(x, axis=(2, 4)).reshape(len(x), -1)


def _schedule(step: jax.Array, num_steps: int | jax.Array) -> jax.Array:
    """From 0 to 1 over the first twentieth of the steps, and back to 0 along a cosine.

    optax's schedule of that form takes no number of steps that a program is given.
    """
    number, steps = (jnp.asarray(x, jnp.float32) for x in (step, num_steps))
    warmup = jnp.maximum(jnp.floor(steps / 20), 1)
    falling = 0.5 * (1 + jnp.cos(jnp.pi * (number - warmup) / (steps - warmup)))
    return jnp.where(number < warmup, number / warmup, falling)


def student_logits(
    loss: Loss, regime: Regime, task: Task, learning_rate: jax.Array | float, key: jax.Array
) -> jax.Array:
    """The logits of a student trained with ``loss`` on the task's test inputs.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      regime: of the task; says which student learns, how and how long. Where its number of steps
        is a Python integer, what comes out can be differentiated by the loss's parameters.
      task: what is learned.
      learning_rate: peak rate.
      key: of initial weights and batches, which do not depend on the loss.

    Returns:
      float32 logits (num_test, num_classes); of a student that has diverged, not finite.
    """
    init_key, batch_key = jax.random.split(key)

    def rate(step: jax.Array) -> jax.Array:
        return learning_rate * _schedule(step, regime.num_steps)

    if regime.optimizer == "adam":
        optimizer = optax.adam(rate)
    else:
        optimizer = optax.sgd(rate, momentum=0.9, nesterov=True)
    if regime.student != "mlp":
        optimizer = optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optimizer)

    def objective(weights: Weights, rows: jax.Array) -> jax.Array:
        logits = apply_student(weights, task.inputs[rows], regime)
        return jnp.mean(loss(logits, task.given[rows]))

    def step(number: jax.Array, carry: tuple) -> tuple:
        weights, state = carry
        rows = jax.random.randint(
            jax.random.fold_in(batch_key, number), (regime.batch_size,), 0, regime.num_train
        )
        gradient = jax.grad(objective)(weights, rows)
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam and schedules promote counts
            updates, state = optimizer.update(gradient, state, weights)
            weights = optax.apply_updates(weights, updates)
        return weights, state

    weights = init_student(init_key, regime)
    start = (weights, optimizer.init(weights))
    weights, _ = jax.lax.fori_loop(0, regime.num_steps, step, start)
    return apply_student(weights, task.test_inputs, regime)


def student_accuracy(
    loss: Loss, regime: Regime, task: Task, learning_rate: jax.Array | float, key: jax.Array
) -> jax.Array:
    """Accuracy on the task's test inputs of a student trained with ``loss``.

    The arguments are those of :func:`student_logits`.

    Returns:
      float32 scalar in [0, 1]; that of chance, or less, for a student that has diverged.
    """
    predicted = jnp.argmax(student_logits(loss, regime, task, learning_rate, key), axis=-1)
    return jnp.mean(predicted == task.test_labels, dtype=jnp.float32)
