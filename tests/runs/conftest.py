"""A directory that holds a checkpoint."""

import pytest

from edl_jax.runs import checkpoint
from tests.runs.examples import STATE


@pytest.fixture
def saved(tmp_path):
    checkpoint.save(tmp_path, STATE, {"line": 5})
    return tmp_path
