"""A whole search: what it refuses at its end."""

import dataclasses

import numpy as np
import pytest

from edl_jax.config import EvolutionConfig
from edl_jax.errors import EdlError, OptionError
from edl_jax.losses.loading import load_loss
from edl_jax.objective.properties import largest_rise
from edl_jax.search.pipeline import evolve

TOO_SHORT = EvolutionConfig(
    population_size=8, num_generations=2, batch_size=32, num_classes=3, width=4
)


@pytest.mark.parametrize("num_searches", [1, 2])
def test_a_loss_that_rises_as_the_label_becomes_more_probable_is_refused(num_searches):
    with pytest.raises(EdlError, match=r"rises by \d+\.\d% of its range .* max_rise 0.02"):
        evolve(TOO_SHORT, num_searches=num_searches)


def test_max_rise_1_accepts_it_and_its_rise_is_among_the_figures():
    loss, figures, _ = evolve(dataclasses.replace(TOO_SHORT, max_rise=1.0))

    assert 0.02 < figures["largest_rise"] <= 1
    assert figures["largest_rise"] == largest_rise(loss, TOO_SHORT.num_classes)


def test_a_search_may_start_from_a_loss():
    """With steps of next to nothing it ends where it starts."""
    start = load_loss("edl-base")
    config = EvolutionConfig(
        population_size=8, num_generations=2, batch_size=64, step_size=1e-6, final_step_size=1e-6
    )
    loss, _, _ = evolve(config, start=start)

    for name, array in start.params.items():
        np.testing.assert_allclose(loss.params[name], array, atol=1e-4)


def test_a_start_of_another_network_is_refused():
    with pytest.raises(OptionError, match=r"start .*expected a loss of network taylor, width 16"):
        evolve(EvolutionConfig(network="taylor"), start=load_loss("edl-base"))
