"""Rehearsal as a fitness: the accuracy of small students, compared with cross-entropy's.

What a loss is worth shows at the end of a whole training run, which no gradient reaches. So each
generation draws tasks; a student is trained with every candidate, and one with cross-entropy, on
the same tasks, from the same weights, with the same batches. The gain of a regime is what the
candidate's students are more accurate, averaged over tasks and learning rates. All rates count: a
loss that needs its own is no drop-in.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.config import RehearsalConfig
from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.students import student_accuracy
from edl_jax.objective.tasks import REGIMES, Regime, sample_task


class Rehearsal(NamedTuple):
    """What all candidates of a generation are rehearsed on.

    Attributes:
      key: of tasks, initial weights and batches.
      reference: accuracies of cross-entropy's students, by regime; float32 (num_tasks, num_rates).
    """

    key: jax.Array
    reference: dict[str, jax.Array]


def accuracies(loss: Loss, key: jax.Array, config: RehearsalConfig) -> dict[str, jax.Array]:
    """Accuracy of students trained with ``loss``, by regime: float32 (num_tasks, num_rates).

    Args:
      loss: unreduced, ``loss(logits, integer labels)``.
      key: of tasks, initial weights and batches, which do not depend on the loss.
      config: which regimes, how many tasks, which learning rates.
    """

    def of_task(regime: Regime, key: jax.Array) -> jax.Array:
        task_key, student_key = jax.random.split(key)
        task = sample_task(task_key, regime)
        rates = regime.learning_rate * jnp.array(config.rates, jnp.float32)
        return jax.vmap(lambda rate: student_accuracy(loss, regime, task, rate, student_key))(rates)

    keys = jax.random.split(key, (len(config.regimes), config.num_tasks))
    alike: dict[Regime, list[int]] = {}
    for i, name in enumerate(config.regimes):
        alike.setdefault(replace(REGIMES[name], label_noise=0.0), []).append(i)

    found: dict[str, jax.Array] = {}
    for regime, members in alike.items():
        names = [config.regimes[i] for i in members]
        noise = jnp.array([REGIMES[name].label_noise for name in names], jnp.float32)

        def of_noise(noise: jax.Array, keys: jax.Array, regime: Regime = regime) -> jax.Array:
            noisy = replace(regime, label_noise=noise)  # type: ignore[arg-type]
            return jax.vmap(partial(of_task, noisy))(keys)

        # Regimes that differ in their noise alone are one program, which halves its compilation.
        rows = jax.vmap(of_noise)(noise, keys[jnp.array(members)])
        found |= dict(zip(names, rows, strict=True))
    return {name: found[name] for name in config.regimes}


def sample_rehearsal(key: jax.Array, config: RehearsalConfig) -> Rehearsal:
    """Draw a generation's tasks, and train cross-entropy's students on them."""
    return Rehearsal(key, accuracies(LOSSES["cross_entropy"], key, config))


def gains(loss: Loss, rehearsal: Rehearsal, config: RehearsalConfig) -> dict[str, jax.Array]:
    """What the students of ``loss`` are more accurate than cross-entropy's, by regime.

    Returns:
      Scalars in [-1, 1]: the mean over tasks and learning rates of paired differences.

    >>> config = RehearsalConfig(regimes=("short_clean",), num_tasks=1)
    >>> rehearsal = sample_rehearsal(jax.random.key(0), config)
    >>> {k: float(v) for k, v in gains(LOSSES["cross_entropy"], rehearsal, config).items()}
    {'short_clean': 0.0}
    """
    own = accuracies(loss, rehearsal.key, config)
    return {name: jnp.mean(own[name] - rehearsal.reference[name]) for name in own}


def shortfall(gained: dict[str, jax.Array], config: RehearsalConfig) -> jax.Array:
    """A scalar to minimise: minus the mean gain, and a price for falling behind in any regime."""
    values = jnp.stack(list(gained.values()))
    return jnp.mean(-values + config.price * jnp.maximum(-values, 0))
