"""JAX's strict modes: whoever debugs with them can search and train all the same."""

from dataclasses import replace
from typing import get_args

import jax
import numpy as np
import pytest

from edl_jax import config
from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.losses import LOSSES
from edl_jax.objective.properties import measure_properties
from edl_jax.objective.rehearsal import student_accuracy
from edl_jax.search.engine import make_evolution
from edl_jax.training.loop import train
from tests.strategies.test_operators import (
    COMBINATIONS,
    SMALL,
    describe,
    distinct,
    possible,
    searching,
)
from tests.training.toy import MLP, cross_entropy, toy

ALL_TERMS = {"clean_ranking": 1.0, "noisy_ranking": 1.0, "proper_ranking": 1.0, "trainability": 1.0}


@pytest.fixture
def strict():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.mark.parametrize("strategy", config.STRATEGIES)
def test_every_strategy_promotes_nothing_by_itself(strict, strategy):
    for combination in COMBINATIONS:
        if combination[0] == strategy and possible(*combination) and distinct(*combination):
            jax.eval_shape(searching(*combination), jax.random.key(0))


@pytest.mark.parametrize("network", get_args(config.Network))
def test_every_network_is_searched_under_every_term(strict, network):
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


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_training_and_its_measurement_promote_nothing(strict, augment):
    options = replace(MLP, epochs=1, augment=augment)
    assert train(toy(), cross_entropy, options, 0).history[0]["nll"] is not None


def test_training_under_x64_keeps_its_32_bits():
    with jax.enable_x64(True):
        trained = train(toy(), cross_entropy, replace(MLP, epochs=1), 0)

    arrays = (trained.state.params, trained.state.batch_stats, trained.state.step)
    assert trained.history[0]["nll"] is not None
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(arrays)} == {"float32", "int32"}


def test_a_loss_is_rehearsed_and_measured(strict):
    loss = LOSSES["cross_entropy"]
    jax.eval_shape(lambda key: student_accuracy(loss, 0.1, 0.4, key), jax.random.key(0))
    assert measure_properties(loss, 3).finite


@pytest.mark.parametrize(
    ("strategy", "schedule"),
    [("ES", "success_rule"), *((strategy, "exponential") for strategy in config.STRATEGIES)],
)
def test_no_nan_is_carried_on_purpose(strategy, schedule):
    described = describe(strategy, "gaussian", schedule)
    evolution = make_evolution(EvolutionConfig(**SMALL, **described))
    with jax.debug_nans(True):
        state, info = evolution.run(evolution.init(jax.random.key(0)), 1)

    assert np.isfinite(info.best_fitness).all()
    assert int(state.generation) == 1
