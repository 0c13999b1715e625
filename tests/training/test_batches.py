"""Protects that devices change where a batch is worked on, never what comes of it."""

import os
import subprocess
import sys

import numpy as np

TRAINING = """
import sys
import jax, numpy as np
from edl_jax import LOSSES
from edl_jax.training.data import Dataset
from edl_jax.training.config import TrainConfig
from edl_jax.training import train
rng = np.random.default_rng(0)
images = rng.integers(256, size=(90, 6, 6, 1)).astype(np.uint8)
labels = np.arange(90) % 3
data = Dataset("toy", 3, images[:64], labels[:64], images[64:], labels[64:])
found = {}
for model in ("mlp", "resnet8"):
    config = TrainConfig(model=model, width=4, epochs=2, batch_size=8, augment="crop-flip")
    for n in (1, 3, 4) if model == "mlp" else (1, 4):  # 3 do not divide the batch, 2 of them do
        result = train(data, LOSSES["cross_entropy"], config, 0, devices=jax.devices()[:n])
        (leaf, *_) = jax.tree.leaves(result.state.params)
        assert len(leaf.devices()) == (2 if n == 3 else n), (model, n)
        params = [np.ravel(x) for x in jax.tree.leaves(result.state.params)]
        figures = [result.test_accuracy, result.nll, result.ece]
        found[f"{model}/{n}"] = np.concatenate([*params, figures])
np.savez(sys.argv[1], **found)
"""


def test_training_on_any_number_of_devices_is_training_on_one(tmp_path):
    """The statistics of batch normalisation are those of the whole batch, not of a device's part,
    and every example has its own augmentation."""
    # Time is compilation: without the optimisations. A device that waits for others must not hold
    # a thread they need, for there are more devices than cores.
    environment = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    }
    subprocess.run(
        [sys.executable, "-c", TRAINING, tmp_path / "found.npz"],
        check=True,
        env=os.environ | environment,
    )
    found = np.load(tmp_path / "found.npz")
    assert len(found.files) == 5
    for name in found.files:
        one = found[f"{name.partition('/')[0]}/1"]
        np.testing.assert_allclose(found[name], one, rtol=1e-3, atol=1e-4, err_msg=name)
