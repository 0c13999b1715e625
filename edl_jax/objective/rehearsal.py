"""Rehearsal: small students trained with a loss on synthetic tasks, before any data are seen.

Ranking and logit descent look at one prediction at a time. What shows only where many examples
share weights they cannot see: a loss that pushes hard on undecided examples and hardly pulls back
those that an overshooting step has thrown far off gives up whole classes at learning rates that
cross-entropy bears, and some losses learn wrong labels by heart. So of several evolved losses the
one is kept whose students do best. After the rejection test of EvoMAL (Raymond et al., arXiv
2209.08907), but on tasks made of noise.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from edl_jax.losses.base import Loss

NUM_CLASSES, NUM_INPUTS, WIDTH = 10, 64, 128
NUM_TRAIN, NUM_TEST = 1024, 512
NUM_STEPS, BATCH_SIZE, NUM_TASKS = 500, 32, 3
LABEL_NOISE = (0.0, 0.4)
# Half a decade apart. Cross-entropy does well at the second and third, and is hurt by the first.
LEARNING_RATES = (0.1, 0.03, 0.01)


class Task(NamedTuple):
    """A synthetic classification task: Gaussian clusters that share a large mean.

    The mean is what natural inputs have too, a background that all of them share; it couples all
    examples of a student, so that an overshooting step moves every prediction the same way.

    Attributes:
      inputs: float32 ``[NUM_TRAIN + NUM_TEST, NUM_INPUTS]``, the training inputs first.
      labels: int32, the true classes of all inputs.
      given: int32 ``[NUM_TRAIN]``, what the student is told.
    """

    inputs: jax.Array
    labels: jax.Array
    given: jax.Array


def sample_task(key: jax.Array, label_noise: jax.Array | float) -> Task:
    """Draw a task; each training label is replaced by a random class with rate ``label_noise``."""
    centre_key, label_key, input_key, flip_key, wrong_key = jax.random.split(key, 5)
    centres = 0.6 * jax.random.normal(centre_key, (NUM_CLASSES, NUM_INPUTS), jnp.float32)
    labels = jax.random.randint(label_key, (NUM_TRAIN + NUM_TEST,), 0, NUM_CLASSES, jnp.int32)
    noise = jax.random.normal(input_key, (NUM_TRAIN + NUM_TEST, NUM_INPUTS), jnp.float32)
    flipped = jax.random.uniform(flip_key, (NUM_TRAIN,), jnp.float32) < label_noise
    wrong = jax.random.randint(wrong_key, (NUM_TRAIN,), 0, NUM_CLASSES, jnp.int32)
    given = jnp.where(flipped, wrong, labels[:NUM_TRAIN])
    return Task(1.5 + centres[labels] + noise, labels, given)


_Weights = list[jax.Array]
_Training = tuple[_Weights, optax.OptState]


def _init_student(key: jax.Array) -> _Weights:
    sizes = (NUM_INPUTS, WIDTH, WIDTH, NUM_CLASSES)
    keys = jax.random.split(key, len(sizes) - 1)
    he = jax.nn.initializers.he_normal()
    return [
        he(k, (size, sizes[i + 1]), jnp.float32)
        for i, (k, size) in enumerate(zip(keys, sizes, strict=False))
    ]


def _student(weights: _Weights, inputs: jax.Array) -> jax.Array:
    *hidden, last = weights
    for matrix in hidden:
        inputs = jax.nn.relu(inputs @ matrix)
    return inputs @ last


def student_accuracy(
    loss: Loss, learning_rate: jax.Array | float, label_noise: jax.Array | float, key: jax.Array
) -> jax.Array:
    """Accuracy, on fresh inputs with true labels, of one student trained with ``loss``.

    The student is an MLP with two hidden layers, trained by Nesterov SGD with warm-up and cosine
    decay for ``NUM_STEPS`` steps; with label noise that is long enough to learn some of it.

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      learning_rate: peak learning rate.
      label_noise: share of the training labels that are replaced by a random class.
      key: PRNG key of task, initial weights and batches, which do not depend on the loss.

    Returns:
      float32 scalar in [0, 1].
    """
    task_key, init_key, batch_key = jax.random.split(key, 3)
    task = sample_task(task_key, label_noise)
    warmup = NUM_STEPS // 20
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, NUM_STEPS)

    def rate(step: jax.Array) -> jax.Array:
        return learning_rate * schedule(step.astype(jnp.float32))

    optimizer = optax.sgd(rate, momentum=0.9, nesterov=True)

    def objective(weights: _Weights, rows: jax.Array) -> jax.Array:
        return jnp.mean(loss(_student(weights, task.inputs[rows]), task.given[rows]))

    def step(carry: _Training, number: jax.Array) -> tuple[_Training, None]:
        weights, state = carry
        key = jax.random.fold_in(batch_key, number)
        rows = jax.random.randint(key, (BATCH_SIZE,), 0, NUM_TRAIN)
        updates, state = optimizer.update(jax.grad(objective)(weights, rows), state)
        return (optax.apply_updates(weights, updates), state), None

    weights = _init_student(init_key)
    start = (weights, optimizer.init(weights))
    (weights, _), _ = jax.lax.scan(step, start, jnp.arange(NUM_STEPS))
    predicted = jnp.argmax(_student(weights, task.inputs[NUM_TRAIN:]), axis=-1)
    return jnp.mean(predicted == task.labels[NUM_TRAIN:], dtype=jnp.float32)


def rehearse(loss: Loss) -> jax.Array:
    """Mean accuracy of students: float32 ``[label noise, learning rates]``; deterministic.

    Rows and columns are :data:`LABEL_NOISE` and :data:`LEARNING_RATES`. Every loss meets the same
    tasks, initial weights and batches.

    Example::

      rehearse(edl_jax.LOSSES["cross_entropy"])  # takes seconds: 18 students
    """

    @jax.jit
    def accuracy(rate: jax.Array, noise: jax.Array) -> jax.Array:
        keys = jax.random.split(jax.random.key(0), NUM_TASKS)
        return jnp.mean(jax.vmap(partial(student_accuracy, loss, rate, noise))(keys))

    return jnp.array([[accuracy(r, n) for r in LEARNING_RATES] for n in LABEL_NOISE])
