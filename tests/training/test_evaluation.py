"""Protects that accuracy, likelihood and calibration are what a plain reference says."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.training import evaluation
from edl_jax.training.evaluation import evaluate, expected_calibration_error
from edl_jax.training.pixels import normalize
from edl_jax.training.step import init_state
from tests.training.toy import MLP, cross_entropy, examples, toy


def reference_ece(probs: np.ndarray, labels: np.ndarray, num_bins: int) -> float:
    """Guo et al. (2017), equations 1 to 3, bin by bin in float64."""
    confidence, prediction = probs.max(axis=1).astype(np.float64), probs.argmax(axis=1)
    total = 0.0
    for m in range(num_bins):
        inside = (confidence > m / num_bins) & (confidence <= (m + 1) / num_bins)
        if inside.any():
            accuracy = np.mean(prediction[inside] == labels[inside])
            total += inside.mean() * abs(accuracy - confidence[inside].mean())
    return total


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([4, 15]), st.floats(0.1, 20))
def test_calibration_error_is_that_of_a_plain_reference(seed, num_bins, sharpness):
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(64, 4))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, 4, 64)
    # A confidence within rounding of an edge may fall on either side of it.
    confidence = probs.max(axis=1) * num_bins
    probs[np.abs(confidence - np.rint(confidence)) < 1e-5] = (0.45, 0.25, 0.2, 0.1)
    result = expected_calibration_error(jnp.asarray(probs), jnp.asarray(labels), num_bins)
    assert float(result) == pytest.approx(reference_ece(probs, labels, num_bins), abs=1e-5)


def test_calibration_error_of_known_cases():
    certain = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    assert float(expected_calibration_error(certain, jnp.array([0, 1]))) == 0
    assert float(expected_calibration_error(certain, jnp.array([1, 0]))) == 1
    uniform = jnp.full((4, 2), 0.5)
    assert float(expected_calibration_error(uniform, jnp.array([0, 0, 1, 1]))) == 0
    assert math.isnan(expected_calibration_error(jnp.full((2, 2), jnp.nan), jnp.array([0, 1])))


@pytest.mark.parametrize("num_test", [1, 8, 9, 19])
def test_evaluation_counts_every_image_once(num_test, monkeypatch):
    """The last batch is filled up; what fills it must not count."""
    monkeypatch.setattr(evaluation, "_BATCH", 8)
    dataset = toy(num_test=num_test)
    testing = examples(dataset)._replace(
        images=jnp.asarray(dataset.test_images), labels=jnp.asarray(dataset.test_labels)
    )
    graphdef, state = init_state(MLP, dataset.input_shape, 3, seed=0)
    measured = evaluate(graphdef, state.params, state.model_state, testing)

    model = nnx.merge(graphdef, state.params, state.model_state)
    logits = model(normalize(testing.images, testing.mean, testing.std))
    probs = jax.nn.softmax(logits)
    assert float(measured.accuracy) == pytest.approx(
        np.mean(np.argmax(logits, -1) == dataset.test_labels)
    )
    assert float(measured.nll) == pytest.approx(
        float(cross_entropy(logits, testing.labels).mean()), rel=1e-5
    )
    assert float(measured.ece) == pytest.approx(
        float(expected_calibration_error(probs, testing.labels)), abs=1e-5
    )
