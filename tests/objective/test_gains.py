"""Gains: paired with cross-entropy's students, priced, and sorted as theory says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.config import EvolutionConfig, ObjectiveConfig, RehearsalConfig
from edl_jax.losses import LOSSES, make_network
from edl_jax.objective import gains as module
from edl_jax.objective.fitness import GAIN, make_objective
from edl_jax.objective.gains import accuracies, gains, sample_rehearsal, shortfall
from edl_jax.objective.students import student_accuracy
from edl_jax.objective.tasks import Regime, sample_task

REGIMES = {
    "short_clean": Regime(30, num_classes=4, num_clusters=2, num_train=256),
    "long_noisy": Regime(400, 0.4, num_classes=4, num_clusters=1, num_train=256, num_inputs=64),
}
CONFIG = RehearsalConfig(tuple(REGIMES), num_tasks=3, rates=(0.5, 1.0))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "REGIMES", REGIMES)


@pytest.fixture(scope="module")
def measured():
    """The gains of some losses, each at its usual scale."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REGIMES", REGIMES)
        rehearsal = jax.jit(lambda key: sample_rehearsal(key, CONFIG))(jax.random.key(0))
        names = ("cross_entropy", "one_minus_p", "gce")
        return {
            name: jax.jit(lambda r, name=name: gains(LOSSES[name], r, CONFIG))(rehearsal)
            for name in names
        }


def test_cross_entropy_gains_nothing_over_itself(measured):
    assert {float(gain) for gain in measured["cross_entropy"].values()} == {0.0}


def test_a_loss_that_lets_go_of_what_is_improbable_is_slow_when_clean_and_better_in_noise(measured):
    for name in ("one_minus_p", "gce"):
        assert measured[name]["short_clean"] < -0.02
        assert measured[name]["long_noisy"] > 0.02


def test_accuracies_are_those_of_each_task_and_rate():
    config = dataclasses.replace(CONFIG, regimes=("short_clean",))
    every = jax.jit(lambda k: accuracies(LOSSES["brier"], k, config))(jax.random.key(1))

    assert every["short_clean"].shape == (3, 2)
    assert np.unique(every["short_clean"]).size > 2


def test_regimes_that_share_a_program_are_each_run_with_their_own_numbers(monkeypatch):
    """As if each had been run by itself; they differ in steps, noise and learning rate."""
    regimes = {
        "short_clean": Regime(2, num_classes=4, num_train=64),
        "short_noisy": Regime(12, 0.4, num_classes=4, num_train=64, learning_rate=0.03),
    }
    monkeypatch.setattr(module, "REGIMES", regimes)
    config = RehearsalConfig(tuple(regimes), num_tasks=2, rates=(1.0,))
    key, loss = jax.random.key(4), LOSSES["brier"]
    found = jax.jit(lambda key: accuracies(loss, key, config))(key)

    keys = jax.random.split(key, (2, 2))
    for i, (name, regime) in enumerate(regimes.items()):
        for j in range(2):
            task_key, student_key = jax.random.split(keys[i, j])
            task = sample_task(task_key, regime)
            alone = student_accuracy(loss, regime, task, regime.learning_rate, student_key)
            assert float(found[name][j, 0]) == pytest.approx(float(alone), abs=0.005)


def test_a_price_is_paid_where_a_loss_falls_behind_and_only_there():
    gained = {"a": jnp.float32(0.1), "b": jnp.float32(-0.2)}

    assert float(shortfall(gained, RehearsalConfig(price=0.0))) == pytest.approx(0.05)
    assert float(shortfall(gained, RehearsalConfig(price=3.0))) == pytest.approx(0.05 + 0.3)


def test_rehearsal_is_a_term_of_the_objective_and_reports_each_regime():
    config = EvolutionConfig(
        batch_size=32,
        width=2,
        objective=ObjectiveConfig(proper_ranking=0.0, rehearsal=2.0),
        rehearsal=dataclasses.replace(CONFIG, num_tasks=1, rates=(1.0,), regimes=("short_clean",)),
    )
    objective = make_objective(config)
    network = make_network("symmetric", 2, 10)  # one whose scale is found first

    @jax.jit
    def judge(key):
        params = network.init(key)
        return objective.evaluate(
            lambda *pair, **given: network.apply(params, *pair, **given), objective.sample(key)
        )

    fitness, terms = judge(jax.random.key(0))
    gain = float(terms[GAIN + "short_clean"])
    assert -1 <= gain <= 1
    assert float(terms["rehearsal"]) == pytest.approx(-gain + 3 * max(0, -gain), abs=1e-6)
    rest = terms["clean_ranking"] + 0.1 * terms["scale_guard"]
    assert float(fitness) == pytest.approx(float(rest + 2 * terms["rehearsal"]), rel=1e-4)


def test_a_loss_that_teaches_nothing_at_any_scale_falls_behind():
    config = EvolutionConfig(
        objective=ObjectiveConfig(rehearsal=1.0),
        rehearsal=dataclasses.replace(CONFIG, num_tasks=1, rates=(1.0,), regimes=("short_clean",)),
    )
    objective = make_objective(config)
    dead = jax.jit(
        lambda key: objective.evaluate(lambda z, y: 0.0 * z[..., 0], objective.sample(key))[1]
    )(jax.random.key(0))

    assert dead[GAIN + "short_clean"] < -0.2


def test_a_batch_is_shared_by_the_numbers_of_classes_and_terms_are_their_mean():
    one = EvolutionConfig(batch_size=60, num_classes=3)
    both = dataclasses.replace(one, batch_size=120, more_classes=(7,))
    objective = make_objective(both)
    drawn = jax.jit(objective.sample)(jax.random.key(0))
    values = []
    for problem, count in zip(drawn.problems, (3, 7), strict=True):
        alone = make_objective(dataclasses.replace(one, num_classes=count))
        values.append(alone.evaluate(LOSSES["brier"], drawn._replace(problems=(problem,)))[1])
    terms = objective.evaluate(LOSSES["brier"], drawn)[1]

    assert [p.pairs.logits.shape for p in drawn.problems] == [(60, 3), (60, 7)]
    for name in ("clean_ranking", "proper_ranking"):
        mean = np.mean([float(value[name]) for value in values])
        assert float(terms[name]) == pytest.approx(mean, rel=1e-5)


def test_losses_that_read_a_context_are_ranked_at_one_moment_of_training():
    config = EvolutionConfig(network="monotone", batch_size=64)
    objective = make_objective(config)
    drawn = objective.sample(jax.random.key(0))
    seen = []

    def loss(logits, labels, context=None):
        seen.append(context)
        return LOSSES["cross_entropy"](logits, labels)

    objective.evaluate(loss, drawn)
    assert seen and all(context is drawn.context for context in seen)
    confidence, agreement, _ = drawn.context
    assert 0 <= agreement <= confidence <= 1
    assert make_objective(EvolutionConfig()).sample(jax.random.key(0)).context is None
