"""The benchmark of the training step: that both implementations take the same step."""

import numpy as np
import pytest

from benchmarks import training_step


def test_the_step_in_pytorch_is_the_step_here():
    """Same weights, same batch: the same losses over some steps, so the same updates too."""
    pytest.importorskip("torch")
    from benchmarks.torch_resnet import make_step

    images, labels = training_step.batch(16)
    ours, params = training_step.jax_step("resnet8", 4, "cross_entropy", images, labels)
    theirs = make_step(8, 4, images, labels, training_step.LEARNING_RATE, params)
    expected = [float(ours()) for _ in range(5)]

    assert expected[-1] < 0.95 * expected[0]
    np.testing.assert_allclose([theirs() for _ in range(5)], expected, rtol=1e-3)
