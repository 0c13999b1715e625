"""Protects that any NNX module of the user's trains, and that one that cannot is one line."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from edl_jax.errors import EdlError
from edl_jax.training.config import TrainConfig
from edl_jax.training.loop import train
from edl_jax.training.network import forward, network
from tests.training.toy import cross_entropy, leaves_equal, rows_of_numbers, toy

CONFIG = TrainConfig(epochs=4, batch_size=16, learning_rate=0.05)


class Plain(nnx.Module):
    """Dropout and batch normalisation, switched by ``train()`` and ``eval()``."""

    def __init__(self, rngs: nnx.Rngs, inputs: int = 5, classes: int = 3):
        self.first = nnx.Linear(inputs, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(16, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.dropout(nnx.relu(self.norm(self.first(x)))))


class Half(nnx.Module):
    """Takes ``train`` and gives bfloat16."""

    def __init__(self, rngs: nnx.Rngs):
        self.head = nnx.Linear(5, 3, dtype=jnp.bfloat16, rngs=rngs)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return self.head(x) * jnp.bfloat16(1 if train else 2)


class Stateless(nnx.Module):
    """Has nothing to train with but its weights, of pictures."""

    def __init__(self, rngs: nnx.Rngs):
        self.head = nnx.Linear(6 * 6 * 3, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(x.reshape(len(x), -1))


@pytest.mark.parametrize(
    ("model", "dataset"),
    [(Plain, rows_of_numbers()), (Half, rows_of_numbers()), (Stateless, toy())],
)
def test_a_module_of_the_users_learns_and_predicts_what_was_measured(model, dataset):
    result = train(dataset, cross_entropy, CONFIG, seed=0, model=model)
    assert result.test_accuracy > 0.8
    right = result.predict(dataset.test_images) == dataset.test_labels
    assert np.mean(right) == pytest.approx(result.test_accuracy)


def test_a_module_that_is_given_starts_as_it_is_and_stays_so():
    model = Plain(nnx.Rngs(7))
    before = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    one, other = (
        train(rows_of_numbers(), cross_entropy, CONFIG, seed, model=model) for seed in (0, 1)
    )
    assert leaves_equal(before, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    assert not leaves_equal(one.state.params, other.state.params)  # other batches
    _, arrays = network(CONFIG, model, (5,), 3)
    assert leaves_equal(before, arrays(jax.random.key(0))[0])


def test_what_makes_a_module_is_given_the_seed():
    _, arrays = network(CONFIG, Plain, (5,), 3)
    one, again, other = (arrays(jax.random.key(seed))[0] for seed in (0, 0, 1))
    assert leaves_equal(one, again) and not leaves_equal(one, other)


def test_training_drops_and_evaluation_does_not():
    graphdef, arrays = network(CONFIG, Plain, (5,), 3)
    params, state = arrays(jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (8, 5))
    run = partial(forward, graphdef, params)
    first, changed = run(state, inputs, train=True)
    second, _ = run(changed, inputs, train=True)
    assert not np.array_equal(first, second)  # the key of dropout has moved on
    expected = nnx.merge(graphdef, params, state)
    expected.eval()
    tested, left = run(state, inputs, train=False)
    np.testing.assert_array_equal(tested, expected(inputs))
    assert not np.allclose(tested, first)
    assert leaves_equal(left["norm"], state["norm"])


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (
            partial(Plain, classes=4),
            r"gives \[2, 4\] of examples \[2, 5\]: expected logits \[2, 3",
        ),
        (partial(Plain, inputs=7), r"takes examples \[2, 5\] \("),
        (lambda: None, "an NNX module, or a function of nnx.Rngs that makes one"),
        (lambda rngs: "no module", "an NNX module"),
    ],
)
def test_a_module_that_does_not_fit_is_one_line(model, line):
    with pytest.raises(EdlError, match=line) as error:
        train(rows_of_numbers(), cross_entropy, CONFIG, seed=0, model=model)
    assert "\n" not in str(error.value)


def test_a_residual_network_does_not_take_features():
    with pytest.raises(EdlError, match="model resnet8: expected mlp for features of shape"):
        train(rows_of_numbers(), cross_entropy, TrainConfig(batch_size=16), seed=0)
