"""The shipped losses: what anyone who trains with them relies on."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kendalltau

from edl_jax.losses.artifact import NAMES
from edl_jax.losses.base import Context
from edl_jax.losses.context import STAGES
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.loading import load_loss
from edl_jax.objective.properties import largest_rise, loss_profile
from tests.losses import references
from tests.losses.examples import call, gradient


@pytest.fixture(scope="module", params=NAMES)
def shipped(request):
    return load_loss(request.param)


def pairs(num_classes, size=64):
    rng = np.random.default_rng(num_classes)
    logits = rng.normal(size=(size, num_classes)) * np.linspace(0.1, 5, size)[:, None]
    return logits.astype(np.float32), rng.integers(num_classes, size=size)


@pytest.mark.parametrize("num_classes", [2, 10, 100, 1000])
def test_the_shipped_loss_serves_any_number_of_classes(shipped, num_classes):
    logits, labels = pairs(num_classes)
    losses = np.asarray(call(shipped, logits, labels))
    order = np.random.default_rng(0).permutation(num_classes)
    order = np.roll(order, 1) if np.all(order == np.arange(num_classes)) else order

    assert np.isfinite(losses).all()
    assert np.all(losses >= 0)
    relabelled = call(shipped, logits[:, order], np.argsort(order)[labels])
    np.testing.assert_allclose(relabelled, losses, rtol=1e-5)
    # It ranks as cross-entropy does; edl-robust-1 only near the ten classes it was evolved with.
    is_first_robust = (
        shipped.provenance["config"]["preset"] == "robust" and not shipped.reads_context
    )
    if is_first_robust and num_classes > 10:
        return
    reference = LOSSES["cross_entropy"](logits, labels)
    assert kendalltau(losses, reference).statistic > 0.7


def test_the_shipped_loss_and_its_gradient_are_finite_for_logits_of_ten_thousand(shipped):
    logits = 1e4 * jnp.array([[1.0, -1, 0], [-1, 1, 0], [1, 1, 1], [-1, 1, 1], [0, 0, -1]])
    for label in range(3):
        assert np.isfinite(call(shipped, logits, jnp.full(5, label))).all()
        assert np.isfinite(gradient(shipped, logits, jnp.full(5, label))).all()


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100, 1000])
def test_the_shipped_loss_prefers_a_larger_p_y_up_to_certainty(shipped, num_classes):
    assert largest_rise(shipped, num_classes) < 0.01

    certain = jnp.zeros((1, num_classes)).at[0, 0].set(1e4)
    logits, _ = pairs(num_classes)
    least = np.asarray(call(shipped, 4 * logits, jnp.zeros(len(logits), int))).min()
    assert call(shipped, certain, jnp.zeros(1, int))[0] <= least + 1e-3


def test_descent_on_the_shipped_loss_always_raises_the_true_logit():
    """That of edl-base: edl-robust lets go of examples that look mislabelled."""
    p_y = np.concatenate([np.geomspace(1e-6, 0.1, 60), np.linspace(0.1, 0.99, 60)])
    _, slope = loss_profile(load_loss("edl-base"), p_y, 10)

    assert np.all(slope < 0)
    # Usably so: an example that is entirely wrong is not given up.
    assert np.all(slope[p_y < 0.5] < -0.1)


def test_the_shipped_loss_says_how_it_was_made_and_is_small(shipped, tmp_path):
    provenance = shipped.provenance

    assert {"config", "environment", "figures"} <= provenance.keys()
    assert isinstance(provenance["config"]["seed"], int)
    assert {"jax", "edl_jax", "evosax"} <= provenance["environment"].keys()
    assert provenance["figures"]["held_out_discordance"] < 0.05
    assert provenance["figures"]["scale"] == pytest.approx(float(shipped.scale))
    shipped.save(tmp_path / "loss.npz")
    assert (tmp_path / "loss.npz").stat().st_size < 100_000


def test_edl_robust_is_close_to_cross_entropy_until_its_gate_opens_and_then_lets_go():
    """Under wrong labels a network is sure, and not of the labels that it is given."""
    loss = load_loss("edl-robust")
    labels = jnp.zeros(64, int)
    unsure = jnp.zeros((64, 10)).at[:, 0].set(jnp.linspace(-1, 3, 64))
    sure = jnp.zeros((64, 10)).at[jnp.arange(64), jnp.where(jnp.arange(64) < 36, 0, 1)].set(9.0)

    early, late = gradient(loss, unsure, labels), gradient(loss, sure, labels)
    assert np.all(np.asarray(early)[:16, 0] < -0.5)
    # Under cross-entropy an example that looks mislabelled pulls with nearly 1.
    assert np.all(np.abs(np.asarray(late)[36:, 0]) < 0.1)


@pytest.mark.parametrize("num_classes", [2, 10, 150])
@pytest.mark.parametrize("stage", STAGES)
def test_edl_robust_is_what_a_float64_reference_computes(num_classes, stage):
    loss = load_loss("edl-robust")
    logits, labels = pairs(num_classes)
    context = Context(*map(jnp.float32, STAGES[stage]))
    params = {name: np.asarray(array, np.float64) for name, array in loss.params.items()}
    expected = [
        references.monotone_loss(params, z.astype(np.float64), y, STAGES[stage])
        for z, y in zip(logits, labels, strict=True)
    ]

    np.testing.assert_allclose(
        loss(logits, labels, context=context), expected, rtol=2e-5, atol=1e-5
    )
