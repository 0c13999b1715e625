"""Ranking: severities in closed form, the soft penalty, and the counted figures against SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import kendalltau

from edl_jax import LOSSES
from edl_jax.config import EvolutionConfig
from edl_jax.objective.ranking import held_out, rank_agreement, ranking_penalty, severities

# --- severity ----------------------------------------------------------------------------------


def test_severities_are_their_closed_forms():
    log_p = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]))
    labels = jnp.array([0, 2])
    expected = {
        "log_prob": [-np.log(0.7), -np.log(0.1)],
        "margin": [np.log(0.2 / 0.7), np.log(0.7 / 0.1)],
        "brier": [0.09 + 0.04 + 0.01, 0.49 + 0.04 + 0.81],
    }
    for order, values in expected.items():
        np.testing.assert_allclose(severities(log_p, labels, order), [values], rtol=1e-5)
    every = severities(log_p, labels, "agree")
    np.testing.assert_allclose(every, list(expected.values()), rtol=1e-5)


def test_agree_counts_a_pair_only_where_all_orders_do():
    # The second has less p_y but also less in its strongest rival: the orders disagree.
    disputed = jnp.log(jnp.array([[0.40, 0.38, 0.22], [0.38, 0.31, 0.31]]))
    agreed = jnp.log(jnp.array([[0.40, 0.30, 0.30], [0.10, 0.80, 0.10]]))
    labels = jnp.array([0, 0])
    for losses in (jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0])):
        assert ranking_penalty(losses, severities(disputed, labels, "agree"), 0.1) == 0.0
    assert ranking_penalty(jnp.array([2.0, 1.0]), severities(agreed, labels, "agree"), 0.1) > 1
    assert ranking_penalty(jnp.array([1.0, 2.0]), severities(agreed, labels, "agree"), 0.1) == 0
    # Under one order alone the disputed pair does count.
    margins = severities(disputed, labels, "margin")
    assert ranking_penalty(jnp.array([1.0, 2.0]), margins, 0.1) > 1


# --- soft: what the search minimises -----------------------------------------------------------


def shuffled(size=40, seed=0):
    return jnp.asarray(np.random.default_rng(seed).permutation(size), jnp.float32)


def test_a_perfect_ranking_costs_nothing_and_a_reversed_one_most():
    severity = shuffled()
    rank = functools.partial(ranking_penalty, severity=severity[None], margin=0.01)

    assert float(rank(jnp.exp(severity / 20))) == 0.0
    assert float(rank(jnp.zeros(40))) == pytest.approx(1.0)
    random = float(rank(shuffled(seed=1)))
    assert 1.0 < random < float(rank(-severity))


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_neither_scale_nor_offset_of_the_losses_matters(scale, offset):
    severity = shuffled()
    losses = severity + 8 * jnp.sin(severity)
    penalty = ranking_penalty(losses, severity[None], 0.1)

    assert float(penalty) > 0.05
    moved = ranking_penalty(scale * (losses + offset), severity[None], 0.1)
    assert float(moved) == pytest.approx(float(penalty), rel=1e-3)


def test_the_penalty_is_the_mean_hinge_over_pairs_of_differing_severity():
    losses, severity = np.array([0.0, 3.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0, 2.0])
    standard = (losses - losses.mean()) / losses.std()
    hinges = {}
    for shift in (1, 2, 3, 4):
        costs = []
        for i in range(4):
            j = (i - shift) % 4
            order = np.sign(severity[i] - severity[j])
            if order:
                costs.append(max(0.0, 1 - order * (standard[i] - standard[j]) / 0.5))
        hinges[shift] = np.mean(costs) if costs else 0.0

    found = ranking_penalty(jnp.array(losses), jnp.array(severity)[None], 0.5)
    assert float(found) == pytest.approx(np.mean(list(hinges.values())), rel=1e-5)


# --- counted: what is reported -----------------------------------------------------------------


def brute_force_discordance(losses, severity):
    wrong = total = 0.0
    for i in range(len(losses)):
        for j in range(i):
            if severity[i] != severity[j]:
                total += 1
                agreement = (losses[i] - losses[j]) * (severity[i] - severity[j])
                wrong += 0.5 if agreement == 0 else agreement < 0
    return wrong / total


with_ties = hnp.arrays(np.float32, 12, elements=st.integers(0, 5).map(float))


@settings(deadline=None, max_examples=50)
@given(with_ties, with_ties)
def test_rank_agreement_is_brute_force_discordance_and_kendalls_tau_b(losses, severity):
    assume(np.ptp(losses) > 0 and np.ptp(severity) > 0)
    found = rank_agreement(jnp.array(losses), jnp.array(severity))

    assert float(found.discordance) == pytest.approx(
        brute_force_discordance(losses, severity), abs=1e-6
    )
    assert float(found.tau) == pytest.approx(kendalltau(losses, severity).statistic, abs=1e-6)


def test_rank_agreement_compares_all_pairs_of_a_batch_larger_than_a_block():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=600).astype(np.float32)
    severity = (losses + rng.normal(size=600)).astype(np.float32)
    found = rank_agreement(jnp.array(losses), jnp.array(severity))

    assert float(found.tau) == pytest.approx(kendalltau(losses, severity).statistic, abs=1e-5)
    assert float(found.discordance) == pytest.approx(
        brute_force_discordance(losses, severity), abs=1e-5
    )


def test_held_out_figures_tell_right_from_wrong():
    config = EvolutionConfig()
    figures = jax.jit(
        lambda factor, key: held_out(
            lambda z, y: factor * LOSSES["cross_entropy"](z, y), key, config, 512
        )
    )
    key = jax.random.key(0, impl="unsafe_rbg")
    right, wrong = (figures(factor, key) for factor in (1.0, -1.0))

    assert float(right.discordance) < 1e-3
    assert float(right.tau) > 0.999
    assert float(wrong.discordance) > 0.999
    assert float(wrong.tau) < -0.999
