"""The terms of the objective: they sort the known losses as theory does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax import LOSSES
from edl_jax.config import EvolutionConfig, MixtureConfig, ObjectiveConfig
from edl_jax.losses.base import every_label, log_softmax
from edl_jax.objective.fitness import SCALE_GUARD_WEIGHT, Generation, make_objective
from edl_jax.objective.ranking import rank_agreement, severities
from edl_jax.objective.terms import (
    TERMS,
    Candidate,
    clean_ranking,
    noisy_losses,
    noisy_ranking,
    proper_ranking,
    sample_problem,
    scale_guard,
    trainability,
)

CONFIG = ObjectiveConfig(margin=0.1, label_noise=0.4)


def gce(q):
    """Generalised cross-entropy (1 - p_y^q) / q."""

    def loss(logits, labels):
        log_p = jnp.take_along_axis(log_softmax(logits), labels[..., None], axis=-1)[..., 0]
        return -jnp.expm1(q * log_p) / q

    return loss


def constant(logits, labels):
    return jnp.full(labels.shape, 3.0)


def reversed_loss(logits, labels):
    return -LOSSES["cross_entropy"](logits, labels)


def scaled(factor):
    return lambda logits, labels: factor * LOSSES["cross_entropy"](logits, labels)


LADDER = {  # from the least to the most tolerant of label noise
    "cross_entropy": LOSSES["cross_entropy"],
    "brier": LOSSES["brier"],
    "gce(0.3)": gce(0.3),
    "gce(0.7)": gce(0.7),
    "one_minus_p": LOSSES["one_minus_p"],
}


def draw_problem(seed):
    # This generator compiles in a fraction of the time of the default one.
    return draw(jax.random.key(seed, impl="unsafe_rbg"))


@jax.jit
def draw(key):
    return sample_problem(key, MixtureConfig(), 2048, 10)


@pytest.fixture(scope="module")
def problem():
    return draw_problem(0)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def jitted(term, loss, problem, config):
    return term(Candidate(loss, problem), config)


def value_of(term, loss, problem, config=CONFIG):
    """A term's value as a float; compiled once for each loss and configuration."""
    return float(jitted(term, loss, problem, config))


# --- the loss under every label ----------------------------------------------------------------


def test_every_label_and_its_noisy_mean_are_plain_expectations():
    logits = jax.random.normal(jax.random.key(0), (6, 4))
    labels = jnp.array([0, 1, 2, 3, 1, 1])
    loss = LOSSES["brier"]
    by_label = jax.jit(lambda: every_label(loss, logits))()

    one_label = jax.jit(loss)
    expected = np.stack([one_label(logits, jnp.full(6, k)) for k in range(4)], axis=-1)
    np.testing.assert_allclose(by_label, expected, rtol=1e-5)
    noisy = 0.7 * expected[np.arange(6), labels] + 0.3 * expected.mean(axis=-1)
    np.testing.assert_allclose(noisy_losses(by_label, labels, 0.3), noisy, rtol=1e-5)


# --- what the terms select for -----------------------------------------------------------------


def test_label_noise_sorts_the_known_losses_as_practice_does(problem):
    pairs = jax.tree.map(lambda leaf: leaf[:1024], problem.pairs)
    severity = severities(log_softmax(pairs.logits), pairs.labels)[0]

    @functools.partial(jax.jit, static_argnums=0)
    def discordance(loss):
        losses = noisy_losses(every_label(loss, pairs.logits), pairs.labels, 0.4)
        return rank_agreement(losses, severity).discordance

    found = {name: float(discordance(loss)) for name, loss in LADDER.items()}
    assert list(found) == sorted(found, key=found.get, reverse=True), found
    assert found["cross_entropy"] > 0.1
    # Constant when summed over the labels, so that noise only adds a constant.
    assert found["one_minus_p"] < 0.005


def test_the_noisy_term_sorts_them_so_too(problem):
    # A narrow hinge: a wide one also charges 1 - p_y for the flat ends of its range.
    narrow = ObjectiveConfig(margin=0.001, label_noise=0.4)
    found = {name: value_of(noisy_ranking, loss, problem, narrow) for name, loss in LADDER.items()}

    assert list(found) == sorted(found, key=found.get, reverse=True), found
    certain = ObjectiveConfig(margin=0.001, label_noise=0.0)
    without_noise = value_of(noisy_ranking, LOSSES["cross_entropy"], problem, certain)
    assert without_noise < 0.1 * found["cross_entropy"]


@pytest.mark.parametrize("proper", ["cross_entropy", "brier"])
def test_the_proper_term_prefers_proper_losses(problem, proper):
    of_proper = value_of(proper_ranking, LOSSES[proper], problem)

    assert of_proper < 0.7 * value_of(proper_ranking, LOSSES["one_minus_p"], problem)


def test_cross_entropy_orders_expected_losses_exactly_by_kl(problem):
    """E_q L = KL(q || p) + H(q), and both predictions of a pair share q."""
    tight = ObjectiveConfig(margin=1e-5)
    assert value_of(proper_ranking, LOSSES["cross_entropy"], problem, tight) < 0.01
    assert value_of(proper_ranking, LOSSES["brier"], problem, tight) > 0.1


@pytest.fixture(scope="module")
def clean(problem):
    """The clean term by order and loss, with a hinge that tolerates almost nothing."""
    losses = {name: LOSSES[name] for name in ("cross_entropy", "brier")} | {"bad": reversed_loss}

    @jax.jit
    def evaluate(problem):
        candidates = {name: Candidate(loss, problem) for name, loss in losses.items()}
        orders = ("log_prob", "margin", "brier", "agree")
        configs = {order: ObjectiveConfig(margin=1e-4, severity=order) for order in orders}
        return {
            order: {name: clean_ranking(c, config) for name, c in candidates.items()}
            for order, config in configs.items()
        }

    return jax.tree.map(float, evaluate(problem))


def test_the_clean_term_is_smallest_for_the_loss_that_is_its_order(clean):
    for order, own in {"log_prob": "cross_entropy", "brier": "brier"}.items():
        assert clean[order][own] < 0.03
        assert min(clean[order].values()) == clean[order][own]
    assert clean["brier"]["cross_entropy"] > 100
    assert clean["log_prob"]["brier"] > 100
    # The margin is neither, and "agree" asks only for what all of them ask.
    assert clean["margin"]["cross_entropy"] > 10
    assert max(clean["agree"][name] for name in ("cross_entropy", "brier")) < 0.03
    assert min(values["bad"] for values in clean.values()) > 100


def test_training_under_cross_entropy_is_faster_than_under_1_minus_p(problem):
    found = {name: value_of(trainability, loss, problem) for name, loss in LADDER.items()}

    assert found["cross_entropy"] < 0.25
    assert found["one_minus_p"] > found["cross_entropy"]
    assert found["one_minus_p"] > found["gce(0.3)"]
    assert value_of(trainability, reversed_loss, problem) > 0.95


@pytest.mark.parametrize("loss", [*LOSSES.values(), constant], ids=[*LOSSES, "constant"])
def test_trainability_is_a_share(problem, loss):
    value = value_of(trainability, loss, problem)

    assert 0 <= value <= 1
    if loss is constant:  # nothing moves
        p_y = jnp.exp(-severities(log_softmax(problem.start.logits), problem.start.labels)[0])
        assert value == pytest.approx(1 - float(p_y.mean()), rel=1e-5)


@pytest.mark.parametrize("factor", [1e-5, 1e5])
def test_trainability_does_not_depend_on_the_scale(problem, factor):
    expected = value_of(trainability, LOSSES["cross_entropy"], problem)

    assert value_of(trainability, scaled(factor), problem) == pytest.approx(expected, rel=1e-2)


def test_the_scale_guard_is_free_within_a_factor_of_10_and_then_grows(problem):
    factors = (1e-5, 1e-3, 0.2, 1.0, 5.0, 1e3)
    guard = {f: float(scale_guard(Candidate(scaled(f), problem))) for f in factors}

    assert guard[0.2] == guard[1.0] == guard[5.0] == 0.0
    assert guard[1e3] == pytest.approx(np.log(100), rel=1e-4)
    assert guard[1e-3] == pytest.approx(np.log(100), rel=1e-4)
    assert guard[1e-5] == pytest.approx(np.log(1e4), rel=1e-4)
    assert np.isfinite(float(scale_guard(Candidate(constant, problem))))


# --- what is drawn -----------------------------------------------------------------------------


def test_a_problem_holds_distributions_and_predictions_near_and_far(problem):
    q = np.asarray(problem.distributions)
    p = np.exp(np.asarray(log_softmax(problem.predictions)))

    assert problem.pairs.logits.shape == (2048, 10)
    assert q.shape == (512, 10)
    assert problem.predictions.shape == (2, 512, 10)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    # From nearly uniform to nearly one-hot.
    assert q.max(axis=1).min() < 0.3
    assert q.max(axis=1).max() > 0.95
    distance = np.abs(p - q).sum(axis=-1)
    assert np.quantile(distance, 0.02) < 0.2
    assert np.quantile(distance, 0.98) > 1.0
    # Descent starts where the predictions know nothing of the labels.
    right = severities(log_softmax(problem.start.logits), problem.start.labels)[0]
    assert problem.start.logits.shape == (512, 10)
    assert float(jnp.mean(jnp.exp(-right))) == pytest.approx(0.1, abs=0.03)


def test_the_key_decides_the_problem(problem):
    again, other = draw_problem(0), draw_problem(1)

    leaves = [jax.tree.leaves(tree) for tree in (problem, again, other)]
    for first, second, third in zip(*leaves, strict=True):
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, third)


# --- the objective -----------------------------------------------------------------------------


def test_the_objective_is_the_weighted_sum_of_the_terms_that_have_a_weight(problem):
    config = ObjectiveConfig(clean_ranking=2.0, proper_ranking=0.5, margin=0.1)
    objective = make_objective(EvolutionConfig(batch_size=64, num_classes=4, objective=config))
    loss = scaled(1e-3)
    drawn = Generation((problem,))
    fitness, terms = jax.jit(lambda drawn: objective.evaluate(loss, drawn))(drawn)

    assert set(terms) == {"clean_ranking", "proper_ranking", "scale_guard"}
    total = SCALE_GUARD_WEIGHT * np.log(100)
    for name, weight in {"clean_ranking": 2.0, "proper_ranking": 0.5}.items():
        expected = value_of(TERMS[name], loss, problem, config)
        assert float(terms[name]) == pytest.approx(expected, rel=1e-4)
        total += weight * expected
    assert float(terms["scale_guard"]) == pytest.approx(np.log(100), rel=1e-3)
    assert float(fitness) == pytest.approx(total, rel=1e-4)
    shape = jax.eval_shape(objective.sample, jax.random.key(0)).problems[0].pairs.logits.shape
    assert shape == (64, 4)


@pytest.mark.parametrize("name", TERMS)
def test_each_weight_is_that_of_the_term_of_its_name(problem, name):
    # Some ranking is required.
    weights = dict.fromkeys(TERMS, 0.0) | {"clean_ranking": 1e-9} | {name: 1.0}
    config = EvolutionConfig(objective=ObjectiveConfig(**weights))
    fitness, terms = jax.eval_shape(
        lambda problem: make_objective(config).evaluate(LOSSES["brier"], Generation((problem,))),
        problem,
    )

    assert name in terms
    assert terms.keys() <= {name, "scale_guard", "clean_ranking"}
    assert fitness.shape == ()


def test_terms_that_share_a_batch_share_its_losses():
    """The ranking and the guard of the scale look at the same pairs: one evaluation for both."""
    seen = []

    def loss(logits, labels):
        seen.append(logits.shape)
        return LOSSES["cross_entropy"](logits, labels)

    config = EvolutionConfig(batch_size=64, objective=ObjectiveConfig(proper_ranking=0.0))
    objective = make_objective(config)
    problem = objective.sample(jax.random.key(0))
    _, terms = jax.eval_shape(lambda: objective.evaluate(loss, problem))

    assert terms.keys() == {"clean_ranking", "scale_guard"}
    assert seen == [(64, 10)]


def test_a_candidate_computes_no_losses_that_no_term_asks_for(problem):
    seen = []

    def loss(logits, labels):
        seen.append(logits.shape)
        return LOSSES["cross_entropy"](logits, labels)

    jax.eval_shape(lambda: trainability(Candidate(loss, problem), CONFIG))

    assert set(seen) == {problem.start.logits.shape}
