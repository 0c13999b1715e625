"""Rehearsal as a fitness: the accuracy of small students, compared with cross-entropy's.

What a loss is worth shows at the end of a whole training run, which no gradient reaches. So each
generation draws tasks; a student is trained with every candidate, and one with cross-entropy, on
the same tasks, from the same weights, with the same batches. The gain of a regime is what the
candidate's students are more accurate, averaged over tasks and learning rates. All rates count: a
loss that needs its own is no drop-in.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from edl_jax.config import RehearsalConfig
from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.objective.students import student_accuracy
from edl_jax.objective.tasks import REGIMES, Regime, sample_task


class Rehearsal(NamedTuple):
    """The tasks that all candidates of a generation are rehearsed on.

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
    keys = jax.random.split(key, (len(config.regimes), config.num_tasks))
    programs: dict[Regime, list[int]] = {}
    for i, name in enumerate(config.regimes):
        programs.setdefault(_with_numbers(REGIMES[name], 0, 0.0, 0.0), []).append(i)

    found: dict[str, jax.Array] = {}
    for regime, members in programs.items():
        regimes = [REGIMES[config.regimes[i]] for i in members]
        numbers = (
            jnp.array([one.num_steps for one in regimes], jnp.int32),
            jnp.array([one.label_noise for one in regimes], jnp.float32),
            jnp.array([one.learning_rate for one in regimes], jnp.float32),
        )

        def of_regime(
            each: tuple[tuple[jax.Array, ...], jax.Array], regime: Regime = regime
        ) -> jax.Array:
            drawn, task_keys = each
            of_task = partial(_of_task, loss, _with_numbers(regime, *drawn), config.rates)
            return jax.vmap(of_task)(task_keys)

        rows = jax.lax.map(of_regime, (numbers, keys[jnp.array(members)]))
        found |= {config.regimes[i]: row for i, row in zip(members, rows, strict=True)}
    return {name: found[name] for name in config.regimes}


def _with_numbers(regime: Regime, num_steps: Any, label_noise: Any, learning_rate: Any) -> Regime:
    """``regime`` with what may differ between regimes that share a program.

    Compiling takes longer than running, so all that differ in nothing else do.
    """
    return replace(
        regime, num_steps=num_steps, label_noise=label_noise, learning_rate=learning_rate
    )


def _of_task(loss: Loss, regime: Regime, rates: tuple[float, ...], key: jax.Array) -> jax.Array:
    """Accuracies at each rate on one task."""
    task_key, student_key = jax.random.split(key)
    task = sample_task(task_key, regime)

    def at_rate(rate: jax.Array) -> jax.Array:
        return student_accuracy(loss, regime, task, regime.learning_rate * rate, student_key)

    return jax.vmap(at_rate)(jnp.array(rates, jnp.float32))


def sample_rehearsal(key: jax.Array, config: RehearsalConfig) -> Rehearsal:
    """Draw a generation's tasks, and train cross-entropy's students on them."""
    return Rehearsal(key, accuracies(LOSSES["cross_entropy"], key, config))


def gains(loss: Loss, rehearsal: Rehearsal, config: RehearsalConfig) -> dict[str, jax.Array]:
    """How much more accurate the students of ``loss`` are than cross-entropy's, by regime.

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
