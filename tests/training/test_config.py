"""Protects that a configuration that cannot work is refused, in the words of its option."""

import pytest

from edl_jax.errors import OptionError
from edl_jax.training.config import TrainConfig, require_seeds


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "resnet9"},
        {"width": 0},
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"momentum": 1.0},
        {"weight_decay": -1.0},
        {"warmup_fraction": 1.0},
        {"augment": "cutmix"},
        {"eval_every": -1},
    ],
    ids=str,
)
def test_a_configuration_out_of_range_is_refused(wrong):
    ((field, _),) = wrong.items()
    with pytest.raises(OptionError) as error:
        TrainConfig(**wrong)
    assert error.value.field == field


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,), (2**31,)], ids=str)
def test_seeds_that_cannot_tell_runs_apart_are_refused(seeds):
    with pytest.raises(OptionError) as error:
        require_seeds(seeds)
    assert error.value.field == "seeds"
    require_seeds((0, 2**31 - 1))
