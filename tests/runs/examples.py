"""A state, what a run stores of it, and how its files are tampered with."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.errors import EdlError
from edl_jax.runs import checkpoint
from edl_jax.runs.arrays import describe_files

STATE = {
    "mean": jnp.array([[0.1, -2.0, 1e-30]]),
    "key": jax.random.key(7),
    "fast_key": jax.random.key(7, impl="unsafe_rbg"),
    "generation": jnp.int32(3),
    "best": jnp.float32(jnp.inf),
    "flags": jnp.array([True, False]),
}
ZEROS = {
    "mean": jnp.zeros((1, 3)),
    "key": jax.random.key(0),
    "fast_key": jax.random.key(0, impl="unsafe_rbg"),
    "generation": jnp.int32(0),
    "best": jnp.float32(0),
    "flags": jnp.array([False, False]),
}


def read(directory, like=None):
    manifest = checkpoint.read_manifest(directory)
    return checkpoint.restore(directory, manifest, ZEROS if like is None else like)


def plain(state):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(state)
    ]


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(plain(found), plain(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def arrays(directory):
    (root,) = directory.glob("checkpoint-*")
    return root


def edit_manifest(directory, change):
    """As someone would who knows the format: the checksum is made anew."""
    path = directory / "checkpoint.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    content["sha256"] = checkpoint.digest(content)
    path.write_text(json.dumps(content))


def vouch(directory):
    """Let the manifest describe the files as they are now."""
    described = dict(describe_files(arrays(directory)))
    edit_manifest(directory, lambda content: content.update(files=described))


def refuse(directory, because="", like=None):
    with pytest.raises(EdlError) as caught:
        read(directory, like)
    message = str(caught.value)
    assert str(directory) in message
    assert "\n" not in message
    assert because in message
