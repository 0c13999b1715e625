"""Certificates of losses: known in closed form for known losses, and true of small problems."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.errors import OptionError
from edl_jax.losses.base import every_label
from edl_jax.losses.handmade import LOSSES, Handmade, gce
from edl_jax.losses.networks import make_network
from edl_jax.objective import certificates
from edl_jax.objective.certificates import (
    CERTIFICATE_TITLES,
    Certificates,
    certify,
    excess_risk_bound,
    label_sum_spread,
)


def gce_spread(num_classes, q):
    return (num_classes ** (1 - q) - 1) / q


# --- the sum over the labels -------------------------------------------------------------------


@pytest.mark.parametrize(("num_classes", "q"), [(2, 0.7), (10, 0.3)])
def test_the_label_sum_of_gce_varies_as_published(num_classes, q):
    loss = Handmade("gce", functools.partial(gce, q=q))
    found = label_sum_spread(loss, num_classes)
    assert found == pytest.approx(gce_spread(num_classes, q), rel=1e-4)


def test_the_spread_has_the_scale_of_the_loss_and_not_its_offset():
    found = label_sum_spread(lambda z, y: 3 * LOSSES["gce"](z, y) + 5, 4)
    assert found == pytest.approx(3 * gce_spread(4, 0.7), rel=1e-4)


def slow(logits, labels):
    """Unbounded, but only as the logarithm of the logits."""
    return jnp.log1p(LOSSES["cross_entropy"](logits, labels))


def reversed_loss(logits, labels):
    """Unbounded below."""
    return -LOSSES["cross_entropy"](logits, labels)


@pytest.mark.parametrize("loss", [slow, reversed_loss])
def test_a_label_sum_that_grows_without_end_has_no_finite_spread(loss):
    assert label_sum_spread(loss, 3) == math.inf


def test_a_label_sum_that_comes_to_rest_late_has_a_finite_one():
    def bounded(logits, labels):  # rises to 1 as 1 - 1 / log-odds
        x = LOSSES["cross_entropy"](logits, labels)
        return x / (1 + x)

    log_p = np.stack([-np.log1p(np.exp(-(z := np.linspace(-700, 700, 200_001)))), -z])
    log_p[1] += log_p[0]
    label_sum = (log_p / (log_p - 1)).sum(0)
    found = label_sum_spread(bounded, 2)
    assert found == pytest.approx(1 - label_sum.min(), rel=1e-3)


def test_the_search_climbs_to_what_no_structured_prediction_shows():
    def peak(logits, labels):  # narrow, and nowhere in particular
        p, at = jax.nn.softmax(logits), jnp.array([0.61, 0.28, 0.11])
        far = jnp.sum(jnp.square(p - jnp.broadcast_to(at, p.shape)), axis=-1)
        return jnp.exp(-2000 * far)

    points, rays = certificates._predictions(3)
    seen = jnp.max(peak(jnp.concatenate([points, rays.reshape(-1, 3)]), 0))
    assert seen < 0.99
    assert label_sum_spread(peak, 3) == pytest.approx(3, rel=1e-3)


# --- the bound ---------------------------------------------------------------------------------


def test_the_bound_is_nothing_without_noise_and_refuses_a_rate_of_1():
    assert excess_risk_bound(math.inf, 0.0, 3) == 0.0
    assert excess_risk_bound(2.0, 0.5, 4) == pytest.approx(0.5)
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(OptionError, match="noise_rate"):
            excess_risk_bound(1.0, rate, 3)


def largest_excess(name, noise_rate):
    """The excess risk over 200 problems of one input each, minimised over a grid of 3 classes."""
    steps = 40
    first, second = np.indices((steps + 1, steps + 1)).reshape(2, -1)
    p = np.stack([first, second, steps - first - second], -1)[first + second <= steps] / steps
    log_p = np.log(np.maximum(p, 1e-30)).astype(np.float32)
    values = np.asarray(every_label(LOSSES[name], jnp.asarray(log_p)), np.float64)
    q = np.random.default_rng(0).dirichlet(np.full(3, 0.7), 200)
    risks = q @ values.T
    chosen = np.argmin((1 - noise_rate) * risks + noise_rate * values.mean(-1), axis=-1)
    excess = risks[np.arange(200), chosen] - risks.min(-1)
    return excess.max()


def test_no_problem_on_a_grid_has_a_larger_excess_risk_than_the_bound():
    for noise_rate in (0.2, 0.4, 0.8):
        bound = excess_risk_bound(gce_spread(3, 0.7), noise_rate, 3)
        assert largest_excess("one_minus_p", noise_rate) < 1e-6
        assert 0.1 * bound < largest_excess("gce", noise_rate) <= bound
    # A loss whose label sum varies more is not held by it.
    assert largest_excess("cross_entropy", 0.2) > excess_risk_bound(gce_spread(3, 0.7), 0.2, 3)


# --- the most probable class -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cross_entropy", "one_minus_p"])
def test_losses_that_keep_the_most_probable_class_in_theory_do_so_at_all_noise(name):
    found = certify(LOSSES[name], 3, (3,))

    assert found.kept_classes == (3,)
    assert found.kept_noise == 0.9
    # The label sum of 1 - p_y is K - 1 everywhere, that of cross-entropy grows without end.
    assert found.spread == found.excess_share == (0.0 if name == "one_minus_p" else math.inf)


def weighted(logits, labels):
    """Cross-entropy that counts class 0 twice and class 2 five times: p is as w q."""
    return jnp.array([2.0, 1.0, 5.0])[labels] * LOSSES["cross_entropy"](logits, labels)


def test_the_class_is_kept_up_to_the_noise_that_closed_form_says(monkeypatch):
    q = {2: [0.2, 0.8], 3: [0.28, 0.68, 0.04]}
    monkeypatch.setattr(
        certificates, "_label_distributions", lambda k: jnp.array([q[k]], jnp.float32)
    )

    # w q under noise is 0.56 (1 - eta) + 2 eta / 3, 0.68 (1 - eta) + eta / 3 and
    # 0.2 (1 - eta) + 5 eta / 3: the second leads up to eta = 0.26.
    found = certify(weighted, 3, (2, 3))
    assert found.kept_noise == 0.2
    assert found.kept_classes == (2, 3)


def test_a_loss_that_prefers_a_class_by_its_name_keeps_it_at_no_number_of_classes():
    found = certify(weighted, 3, (3,))

    assert found.kept_classes == ()
    assert found.kept_noise is None


def test_a_loss_that_says_nothing_keeps_no_class():
    found = certify(lambda z, y: jnp.zeros_like(z[..., 0]), 3, (3,))

    assert found.kept_classes == ()
    assert found.kept_noise is None
    assert found.spread == 0.0
    assert math.isnan(found.excess_share)


def test_a_loss_that_is_bound_to_its_number_of_classes_is_asked_at_no_other():
    network = make_network("concat", 4, 3)
    params = network.init(jax.random.key(0))

    def bound(logits, labels):  # so small a part of it that the class is kept
        part = 1e-3 * network.apply(params, logits, labels)
        return part + LOSSES["cross_entropy"](logits, labels)

    assert certify(bound, 3, (2, 3)).kept_classes == (3,)


def test_the_most_probable_class_leads_by_a_fifth_in_every_label_distribution():
    q = np.sort(np.asarray(certificates._label_distributions(5)), axis=-1)

    np.testing.assert_allclose(q.sum(-1), 1, rtol=1e-6)
    ratio = q[:, -1] / q[:, -2]
    assert ratio.min() == pytest.approx(1.2, rel=1e-5)
    assert ratio.max() > 5


def test_every_certificate_has_a_title():
    assert list(CERTIFICATE_TITLES) == list(Certificates._fields)
