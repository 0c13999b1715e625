"""Protects that a step descends the mean loss, as the optimizer and its learning rate say."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from edl_jax.training.step import OPTIMIZERS, init_state, make_train_step, sgd
from tests.training.toy import MLP, brier, toy


def test_a_step_descends_the_mean_loss():
    """Without momentum and decay: parameters minus learning rate times gradient."""
    dataset = toy()
    config = replace(MLP, momentum=0.0, weight_decay=0.0, warmup_fraction=0.0, learning_rate=0.2)
    graphdef, state = init_state(config, dataset.input_shape, 3, seed=0, steps_per_epoch=100)
    images = jax.random.normal(jax.random.key(0), (16, 6, 6, 3))
    labels = jnp.arange(16) % 3

    def mean_loss(params):
        model = nnx.merge(graphdef, params, state.model_state)
        return brier(model(images), labels).mean()

    value, gradient = jax.jit(jax.value_and_grad(mean_loss))(state.params)
    step = jax.jit(make_train_step(graphdef, brier, sgd()))
    after, info = step(state, images, labels)
    expected = jax.tree.map(lambda p, g: p - 0.2 * g, state.params, gradient)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), after.params, expected)
    assert float(info.loss) == pytest.approx(float(value), rel=1e-5)
    assert int(after.step) == 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_is_optax_own_with_decayed_kernels(name):
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    kernels = {"kernel": True, "bias": False}
    ours = OPTIMIZERS[name](0.3, 0.8, 0.01, warmup_steps=2, total_steps=10)
    joined = optax.join_schedules(
        [optax.linear_schedule(0.15, 0.45, 2), optax.cosine_decay_schedule(0.3, 8)], [2]
    )

    def schedule(step):
        return joined(jnp.float32(step))

    theirs = {
        "sgd": optax.chain(
            optax.masked(optax.add_decayed_weights(0.01), kernels),
            optax.sgd(schedule, momentum=0.8, nesterov=True),
        ),
        "adamw": optax.adamw(schedule, weight_decay=0.01, mask=kernels),
    }[name]
    # What the numbers of the optimizer in the step are does not matter: the state has its own.
    states, step = (ours.init(params), theirs.init(params)), OPTIMIZERS[name]()
    for i in range(10):
        gradient = jax.tree.map(lambda p, i=i: jnp.sin(p + i), params)
        updates, first = step.update(gradient, states[0], params)
        with jax.numpy_dtype_promotion("standard"):  # which optax.adamw needs
            expected, second = theirs.update(gradient, states[1], params)
        states = first, second
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), updates, expected)


def test_the_learning_rate_rises_and_falls_to_zero():
    optimizer = sgd(1.0, 0.0, 0.0, warmup_steps=10, total_steps=100)
    state, rates = optimizer.init(jnp.zeros(())), []
    for _ in range(100):
        update, state = optimizer.update(jnp.ones(()), state, jnp.zeros(()))
        rates.append(-float(update))
    assert rates[0] == pytest.approx(0.1) and rates[10] == pytest.approx(1.0)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3
