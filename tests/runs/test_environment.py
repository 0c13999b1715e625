"""What a result was made with."""

import json

from edl_jax.runs.environment import environment


def test_the_environment_names_versions_and_device():
    found = environment()

    assert {"python", "edl_jax", "jax", "flax", "optax", "evosax", "numpy"} <= found.keys()
    assert found["platform"] == "cpu"
    assert found["num_devices"] >= 1
    json.dumps(found)
