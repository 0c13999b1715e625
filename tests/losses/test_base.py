"""What all losses share: exact log-probabilities, and losses as arguments of compiled functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.losses.base import as_pytree, log_softmax
from edl_jax.losses.loading import load_loss


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-15, 15, width=32), min_size=4, max_size=4))
def test_log_softmax_has_the_relative_precision_of_float32(logits):
    # SciPy subtracts, and near p = 1 has no more than seven digits left of float64's.
    shifted = np.array(logits, np.float64) - max(logits)
    others = np.delete(shifted, np.argmax(shifted))

    expected = shifted - np.log1p(np.exp(others).sum())
    np.testing.assert_allclose(log_softmax(jnp.array(logits)), expected, rtol=2e-6)


@pytest.mark.parametrize("gap", [1.0, 20.0, 60.0, 80.0])
def test_log_softmax_resolves_probabilities_near_1(gap):
    # log p = -log(1 + 2 e^-gap), which subtraction in float32 rounds to 0 from a gap of 18 on.
    value = log_softmax(jnp.array([0.0, gap, 0.0]))[1]

    assert float(value) == pytest.approx(-np.log1p(2 * np.exp(-gap)), rel=1e-5)


@pytest.mark.parametrize(
    "logits",
    [
        [0.5, -1.0, 2.0],
        [0.0, 0.0, 0.0],  # ties of the maximum
        [3.0, 3.0, -1.0],
        [0.0, 20.0, 1.0],
        [-9.0, 7.0, 7.0],
    ],
)
def test_the_gradient_of_log_softmax_is_that_of_float64_differences(logits):
    z, step = np.array(logits), 1e-5
    columns = [
        scipy.special.log_softmax(z + step * e) - scipy.special.log_softmax(z - step * e)
        for e in np.eye(3)
    ]
    expected = np.stack(columns, axis=1) / (2 * step)

    np.testing.assert_allclose(jax.jacobian(log_softmax)(jnp.array(logits)), expected, atol=1e-6)


def test_log_softmax_works_on_the_last_axis_and_with_absent_classes():
    logits = jnp.array([[[1.0, -jnp.inf, 2.0]], [[0.0, 0.0, 0.0]]])

    np.testing.assert_allclose(log_softmax(logits), jax.nn.log_softmax(logits), rtol=1e-5)


def test_any_loss_may_be_an_argument_of_a_jitted_function_and_parameters_share_its_program():
    traces = []

    @jax.jit
    def value(loss):
        traces.append(loss)
        return loss(jnp.zeros((1, 3)), jnp.zeros(1, int))[0]

    shipped = load_loss("edl-base")
    halved = jax.tree.map(lambda leaf: leaf / 2, shipped)
    plain = lambda logits, labels: labels.astype(jnp.float32) + 7.0  # noqa: E731

    assert as_pytree(shipped) is shipped
    assert float(value(as_pytree(plain))) == 7.0
    assert float(value(as_pytree(shipped))) != float(value(as_pytree(halved)))
    assert len(traces) == 2
