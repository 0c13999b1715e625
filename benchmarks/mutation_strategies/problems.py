"""The problems of ``mutation_strategies``: losses by ranking or by rehearsal, BBOB functions."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from evosax.problems import BBOBProblem

from edl_jax.config import EvolutionConfig, ObjectiveConfig, RehearsalConfig
from edl_jax.losses.base import Loss
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.networks import make_network
from edl_jax.objective.fitness import Generation, make_objective
from edl_jax.objective.gains import accuracies
from edl_jax.objective.ranking import held_out
from edl_jax.objective.students import student_logits
from edl_jax.objective.tasks import REGIMES, Regime, sample_task

PAIRS_A_TASK = 128  # a task's students stand for so many pairs in a score


class Problem(NamedTuple):
    """A search problem with noisy fitness and a score that no search ever sees.

    Attributes:
      population_size: candidates in a generation.
      num_generations: length of a search.
      step_sizes: grid from which each operator's step size is chosen.
      init: ``key -> candidate``, a pytree.
      sample: ``key -> instance``, what the candidates of one generation are judged on.
      evaluate: ``(candidate, instance) -> fitness``, lower is better.
      score: ``(candidate, key, num_pairs) -> float`` on that many fresh pairs, lower is better.
      measure: what the score is: the ``discordance`` of a loss, the ``student_error`` of those
        trained with it, or the ``error``, the distance to the minimal value of a function.
      smooth: ``(candidate, instance) -> fitness`` that has a gradient, where ``evaluate`` has none.
      most_seeds: seeds that are measured at the most, and
      most_tuning_seeds: others that the step size is chosen on, where a search takes long.
    """

    population_size: int
    num_generations: int
    step_sizes: tuple[float, ...]
    init: Callable[[jax.Array], Any]
    sample: Callable[[jax.Array], Any]
    evaluate: Callable[[Any, Any], jax.Array]
    score: Callable[[Any, jax.Array, int], jax.Array]
    measure: str
    smooth: Callable[[Any, Any], jax.Array] | None = None
    most_seeds: int = 10_000
    most_tuning_seeds: int = 10_000


def pretraining(network: str, width: int, num_generations: int, batch_size: int = 256) -> Problem:
    """The evolution of a loss under the paper's objective: ranking under certain labels."""
    config = EvolutionConfig(
        network=network,
        width=width,
        batch_size=batch_size,
        objective=ObjectiveConfig(proper_ranking=0.0, margin=0.1),
    )
    loss_network = make_network(config.network, config.width, config.num_classes)
    objective = make_objective(config)

    def evaluate(params: Any, instance: Any) -> jax.Array:
        return objective.evaluate(partial(loss_network.apply, params), instance)[0]

    def score(params: Any, key: jax.Array, num_pairs: int) -> jax.Array:
        loss = partial(loss_network.apply, params)
        return held_out(loss, key, config, num_pairs).discordance

    step_sizes = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
    return Problem(
        32,
        num_generations,
        step_sizes,
        loss_network.init,
        objective.sample,
        evaluate,
        score,
        "discordance",
    )


def rehearsal(num_generations: int = 50) -> Problem:
    """The evolution of a loss by the accuracy of students: a fitness noisier than any ranking.

    The network is that of the preset robust, whose scale is fixed, so that none need be matched
    for each candidate. Students learn for 60 steps from labels of which 40 % are wrong, on two
    tasks a generation. An accuracy has no gradient; its smooth stand-in is the students'
    cross-entropy on the tasks' test inputs, differentiated through their whole training.
    """
    config = EvolutionConfig(
        network="monotone",
        width=3,
        batch_size=64,
        objective=ObjectiveConfig(clean_ranking=0.1, proper_ranking=0.0, rehearsal=10.0),
        rehearsal=RehearsalConfig(regimes=("short_noisy",), num_tasks=2),
    )
    network = make_network(config.network, config.width, config.num_classes)
    objective = make_objective(config)
    regime = REGIMES["short_noisy"]

    def evaluate(params: Any, instance: Generation) -> jax.Array:
        return objective.evaluate(partial(network.apply, params), instance)[0]

    def score(params: Any, key: jax.Array, num_pairs: int) -> jax.Array:
        fresh = replace(config.rehearsal, num_tasks=max(1, num_pairs // PAIRS_A_TASK))
        found = accuracies(partial(network.apply, params), key, fresh)
        return 1 - jnp.mean(found["short_noisy"])

    def smooth(params: Any, instance: Generation) -> jax.Array:
        assert instance.rehearsal is not None
        loss = partial(network.apply, params)
        keys = jax.random.split(instance.rehearsal.key, config.rehearsal.num_tasks)
        return jnp.mean(jax.vmap(partial(_student_log_losses, loss, regime))(keys))

    return Problem(
        population_size=8,
        num_generations=num_generations,
        step_sizes=(0.1, 0.2, 0.4),
        init=network.init,
        sample=objective.sample,
        evaluate=evaluate,
        score=score,
        measure="student_error",
        smooth=smooth,
        most_seeds=20,
        most_tuning_seeds=6,
    )


def _student_log_losses(loss: Loss, regime: Regime, key: jax.Array) -> jax.Array:
    """Cross-entropy on the test inputs of a task's students, one for each learning rate."""
    task_key, student_key = jax.random.split(key)
    task = sample_task(task_key, regime)

    def at_rate(rate: jax.Array) -> jax.Array:
        logits = student_logits(loss, regime, task, regime.learning_rate * rate, student_key)
        return jnp.mean(LOSSES["cross_entropy"](logits, task.test_labels))

    return jax.vmap(at_rate)(jnp.array(RehearsalConfig().rates, jnp.float32))


def bbob(function: str, noisy: bool, num_dims: int = 20, num_generations: int = 300) -> Problem:
    """A BBOB function as evosax has it, its minimum away from 0 and its axes rotated.

    Noisy: the value is multiplied by a log-normal factor, BBOB's Gaussian noise model
    (Finck et al., INRIA report 2009/21).
    """
    names = {"noise_model_name": "noiseless", "use_stabilization": True}
    true = BBOBProblem(function, num_dims, noise_config=names)
    strength = 1.0 if noisy else 0.0

    def error(x: jax.Array) -> jax.Array:
        state = true._state
        values, _, _ = true.eval(jax.random.key(0), x[None], state)
        return values[0] - true.f_opt

    def evaluate(x: jax.Array, key: jax.Array) -> jax.Array:
        # Every candidate its own noise: the sum of its bits, folded into the generation's key.
        own = jax.random.fold_in(key, jnp.sum(jax.lax.bitcast_convert_type(x, jnp.uint32)))
        return error(x) * jnp.exp(strength * jax.random.normal(own))

    return Problem(
        population_size=32,
        num_generations=num_generations,
        step_sizes=(0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
        init=lambda key: jax.random.uniform(key, (num_dims,), minval=-4.0, maxval=4.0),
        sample=lambda key: key,
        evaluate=evaluate,
        score=lambda x, key, num_pairs: error(x),
        measure="error",
    )


PRETRAINING = {
    # 53 parameters: in few dimensions a sum of mutations is not yet Gaussian.
    "symmetric-small": partial(pretraining, "symmetric", 4, 200),
    "symmetric": partial(pretraining, "symmetric", 8, 200),
    "deepset": partial(pretraining, "deepset", 4, 200, 128),
    "concat": partial(pretraining, "concat", 16, 400),
}
FUNCTIONS = ("sphere", "rosenbrock", "rastrigin", "ellipsoidal")
PROBLEMS: dict[str, Callable[[], Problem]] = {
    **PRETRAINING,
    "rehearsal": rehearsal,
    **{f"{f}{'-noisy' * n}": partial(bbob, f, bool(n)) for f in FUNCTIONS for n in (0, 1)},
}
