"""Protects that a data set stays as it was made, and that training asks for no more than that."""

import subprocess
import sys
from dataclasses import replace

import pytest

from edl_jax import training
from tests.training.toy import numbered


def test_a_data_set_cannot_be_changed():
    with pytest.raises(AttributeError):
        numbered(3).name = "other"  # type: ignore[misc]
    assert replace(numbered(3), name="other").name == "other"


def test_whoever_trains_on_arrays_needs_no_tensorflow_datasets():
    code = (
        "import sys; sys.modules['tensorflow_datasets'] = None\n"
        "from edl_jax.training import Dataset, TrainConfig, compare, train"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_wing_offers_what_it_names():
    assert all(hasattr(training, name) for name in training.__all__)
