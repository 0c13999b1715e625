"""JAX's strict modes: whoever debugs with them can search and train all the same."""

from dataclasses import replace

import jax
import pytest

from edl_jax import config
from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.search.engine import make_evolution
from edl_jax.training.loop import train
from tests.training.toy import MLP, cross_entropy, toy

ALL_TERMS = {"clean_ranking": 1.0, "noisy_ranking": 1.0, "proper_ranking": 1.0, "trainability": 1.0}


def test_the_whole_suite_runs_under_the_strict_modes():
    assert jax.config.jax_numpy_rank_promotion == "raise"
    assert jax.config.jax_numpy_dtype_promotion == "strict"


@pytest.mark.parametrize("network", config.NETWORKS)
def test_every_network_is_searched_under_every_term(network):
    evolution = make_evolution(
        EvolutionConfig(
            network=network,
            population_size=8,
            batch_size=64,
            width=4,
            objective=ObjectiveConfig(severity="agree", **ALL_TERMS),
        )
    )
    jax.eval_shape(lambda key: evolution.run(evolution.init(key), 2), jax.random.key(0))


def test_training_under_x64_keeps_its_32_bits_and_carries_no_nan():
    with jax.enable_x64(True), jax.debug_nans(True):
        trained = train(toy(), cross_entropy, replace(MLP, epochs=1, augment="crop-flip"), 0)

    arrays = (trained.state.params, trained.state.model_state, trained.state.step)
    assert trained.history[0]["nll"] is not None
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(arrays)} == {"float32", "int32"}
