"""The training step: a network, an optimizer, and a loss that enters as a closure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from edl_jax.losses.base import Loss
from edl_jax.training.config import TrainConfig
from edl_jax.training.network import GraphDef, Model, PyTree, forward, network


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "params", "model_state", "opt_state", "key"],
    meta_fields=[],
)
@dataclass(frozen=True)
class TrainState:
    """The state that is carried from step to step.

    Attributes:
      step: int32 scalar, steps done.
      params: the network's weights, a pytree of float32 arrays.
      model_state: the network's other arrays: running statistics of batch normalisation, and keys
        of dropout.
      opt_state: state of the optimizer.
      key: PRNG key that batch order and augmentation derive from; it never changes.
    """

    step: jax.Array
    params: PyTree
    model_state: PyTree
    opt_state: optax.OptState
    key: jax.Array


class StepInfo(NamedTuple):
    """The report of a step: mean loss and accuracy of its batch, float32 scalars."""

    loss: jax.Array
    accuracy: jax.Array


def sgd(
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup_steps: float = 0.0,
    total_steps: float = 1.0,
) -> optax.GradientTransformation:
    """Nesterov SGD with L2 decay of the kernels, a linear warm-up and a cosine to zero.

    All five numbers live in the optimizer's state (``optax.inject_hyperparams``) and are traced,
    so a step that is compiled once serves every learning rate and every number of epochs.

    >>> optimizer = sgd(learning_rate=0.05, total_steps=100)
    >>> state = optimizer.init({"kernel": jnp.ones((2, 2))})
    >>> float(state.hyperparams["learning_rate"]).__round__(3)
    0.05
    """

    def rule(momentum: jax.Array, decay: optax.GradientTransformation) -> tuple[Any, ...]:
        return decay, optax.trace(momentum, nesterov=True)

    numbers = learning_rate, momentum, weight_decay, warmup_steps, total_steps
    return _scheduled(rule, *numbers)


def adamw(
    learning_rate: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup_steps: float = 0.0,
    total_steps: float = 1.0,
) -> optax.GradientTransformation:
    """AdamW with the schedule of :func:`sgd`, beta_1 0.9 and beta_2 0.999; it has no ``momentum``.

    The decay of the kernels is decoupled from the gradient (Loshchilov and Hutter, arXiv
    1711.05101). The numbers are traced as those of :func:`sgd` are.

    >>> state = adamw(total_steps=100).init({"kernel": jnp.ones((2, 2))})
    >>> float(state.hyperparams["learning_rate"]).__round__(3)
    0.001
    """
    adam = optax.scale_by_adam()

    def rule(momentum: jax.Array, decay: optax.GradientTransformation) -> tuple[Any, ...]:
        del momentum  # of one signature with sgd
        return optax.GradientTransformation(adam.init, update), decay

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        # optax raises a float to a whole number, which strict promotion bars.
        with jax.numpy_dtype_promotion("standard"):
            return adam.update(updates, state, params)

    numbers = learning_rate, momentum, weight_decay, warmup_steps, total_steps
    return _scheduled(rule, *numbers)


OPTIMIZERS = {"sgd": sgd, "adamw": adamw}
"""Name to optimizer."""


def _scheduled(
    rule: Callable[[jax.Array, optax.GradientTransformation], tuple[Any, ...]], *numbers: float
) -> optax.GradientTransformation:
    """The steps of ``rule``, scaled by a rate that rises linearly and falls along half a cosine."""

    def build(
        learning_rate: jax.Array,
        momentum: jax.Array,
        weight_decay: jax.Array,
        warmup_steps: jax.Array,
        total_steps: jax.Array,
    ) -> optax.GradientTransformation:
        def schedule(step: jax.Array) -> jax.Array:
            # Whole numbers stay whole in the optimizer's state.
            now, warmup, total = (
                jnp.asarray(count, jnp.float32) for count in (step, warmup_steps, total_steps)
            )
            rising = (now + 1) / jnp.maximum(warmup, 1.0)
            progress = (now - warmup) / jnp.maximum(total - warmup, 1.0)
            falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))
            return learning_rate * jnp.where(now < warmup, rising, falling)

        kernels = partial(jax.tree.map, lambda param: param.ndim > 1)
        decay = optax.add_decayed_weights(weight_decay, mask=kernels)
        return optax.chain(*rule(momentum, decay), optax.scale_by_learning_rate(schedule))

    return optax.inject_hyperparams(build, hyperparam_dtype=jnp.float32)(*numbers)


def make_train_step(
    graphdef: GraphDef, loss: Loss, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, StepInfo]]:
    """The training step with a frozen loss in it.

    Args:
      graphdef: the network's structure, from ``nnx.split``.
      loss: ``loss(logits, integer labels) -> losses``, one an example; the step descends their
        mean.
      optimizer: any optax optimizer.

    Returns:
      A pure function ``step(state, inputs, labels) -> (state, info)`` of normalised float32
      examples ``[batch, ...]`` and int32 labels ``[batch]``, to be jitted by the caller.

    >>> graphdef, state = init_state(TrainConfig(model="mlp"), (4, 4, 1), num_classes=3, seed=0)
    >>> loss = optax.softmax_cross_entropy_with_integer_labels
    >>> step = jax.jit(make_train_step(graphdef, loss, sgd()))
    >>> state, info = step(state, jnp.ones((8, 4, 4, 1)), jnp.zeros(8, jnp.int32))
    >>> int(state.step), info.loss.shape
    (1, ())
    """

    def objective(
        params: PyTree, model_state: PyTree, inputs: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, jax.Array]]:
        logits, changed = forward(graphdef, params, model_state, inputs, train=True)
        return jnp.mean(loss(logits, labels)), (changed, logits)

    def step(
        state: TrainState, inputs: jax.Array, labels: jax.Array
    ) -> tuple[TrainState, StepInfo]:
        (value, (model_state, logits)), gradient = jax.value_and_grad(objective, has_aux=True)(
            state.params, state.model_state, inputs, labels
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        predicted = jnp.argmax(logits, axis=-1).astype(labels.dtype)  # under x64 it is int64
        accuracy = jnp.mean(predicted == labels, dtype=jnp.float32)
        new_state = TrainState(state.step + 1, params, model_state, opt_state, state.key)
        return new_state, StepInfo(value, accuracy)

    return step


def init_state(
    config: TrainConfig,
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int,
    steps_per_epoch: int = 1,
    model: Model | None = None,
) -> tuple[GraphDef, TrainState]:
    """A network's structure and the state that training starts from.

    Args:
      config: names the network and the optimizer's numbers.
      input_shape: of an example: height, width and channels of an image.
      num_classes: number of logits.
      seed: of initial weights, batch order and augmentation.
      steps_per_epoch: with ``config.epochs``, the length of the learning-rate schedule.
      model: a network of the user's, in place of the one that ``config`` names.

    Raises:
      EdlError: the network does not take such examples, or does not give that many logits.
    """
    graphdef, arrays = network(config, model, input_shape, num_classes)
    init_key, run_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
    params, model_state = arrays(init_key)
    total_steps = config.epochs * steps_per_epoch
    optimizer = OPTIMIZERS[config.optimizer](
        config.learning_rate,
        config.momentum,
        config.weight_decay,
        config.warmup_fraction * total_steps,
        total_steps,
    )
    step = jnp.zeros((), jnp.int32)
    return graphdef, TrainState(step, params, model_state, optimizer.init(params), run_key)
