"""Properties and shapes of losses: figures that are known in closed form for known losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.networks import make_network
from edl_jax.objective import properties
from edl_jax.objective.properties import (
    PROPERTY_TITLES,
    SHAPE_TICKS,
    Properties,
    largest_rise,
    loss_profile,
    loss_shape,
    measure_properties,
    profile_logits,
)

K = 4
P_Y = [1e-6, 0.001, 0.25, 0.9, 0.999]


@pytest.mark.parametrize("num_classes", [2, 10])
def test_profile_logits_give_the_probabilities_asked_for(num_classes):
    p = np.asarray(jax.nn.softmax(profile_logits(jnp.array(P_Y), num_classes)))

    np.testing.assert_allclose(p[:, 0], P_Y, rtol=1e-4)
    rest = (1 - np.array(P_Y)) / (num_classes - 1)
    np.testing.assert_allclose(p[:, 1:], rest[:, None].repeat(num_classes - 1, 1), rtol=1e-3)


def test_the_profile_of_a_known_loss_is_its_closed_form():
    p = np.array(P_Y)
    values, gradients = loss_profile(LOSSES["cross_entropy"], P_Y)
    np.testing.assert_allclose(values, -np.log(p), rtol=1e-4)
    np.testing.assert_allclose(gradients, p - 1, rtol=1e-4)

    values, gradients = loss_profile(LOSSES["one_minus_p"], P_Y, num_classes=3)
    np.testing.assert_allclose(values, 1 - p, rtol=1e-3)
    np.testing.assert_allclose(gradients, -p * (1 - p), rtol=1e-3, atol=1e-7)


def test_the_shape_of_a_known_loss_is_its_profile_less_the_value_at_the_right_end():
    shape = loss_shape(LOSSES["cross_entropy"], num_classes=3)

    np.testing.assert_allclose(shape.p_y, 1 / (1 + np.exp(-shape.logit)))
    np.testing.assert_allclose(shape.values, np.log(shape.p_y[-1] / shape.p_y), atol=1e-4)
    np.testing.assert_allclose(shape.gradients, shape.p_y - 1, atol=1e-5)
    # All ticks stand on the axis, where its probabilities are.
    places = np.interp(list(SHAPE_TICKS.values()), shape.logit, shape.p_y, left=0, right=0)
    np.testing.assert_allclose(places, list(SHAPE_TICKS), rtol=0.01)


# --- properties --------------------------------------------------------------------------------


@functools.cache
def measured(name):
    if name == "reversed":
        return measure_properties(lambda z, y: -LOSSES["cross_entropy"](z, y), K)
    if name == "concat":
        network = make_network("concat", 4, K)
        return measure_properties(
            functools.partial(network.apply, network.init(jax.random.key(0))), K
        )
    if name == "overflowing":
        return measure_properties(lambda z, y: LOSSES["cross_entropy"](1e37 * z, y), K)
    return measure_properties(LOSSES[name], K)


@pytest.fixture(autouse=True, scope="module")
def few_samples():
    """Fewer predictions than a report has."""
    patch = pytest.MonkeyPatch()
    patch.setattr(properties, "NUM_SAMPLES", 256)
    yield
    patch.undo()


def test_cross_entropy_is_proper_monotone_and_not_robust():
    found = measured("cross_entropy")

    assert found.permutation_error < 1e-4
    assert found.monotonicity == 1.0
    assert found.calibration == 1.0
    assert found.properness_gap < 1e-3
    assert found.symmetry_gap > 0.5
    assert found.gradient_uniform == pytest.approx(1 / K - 1, rel=1e-4)
    assert found.gradient_wrong == pytest.approx(-1, rel=1e-4)
    assert found.gradient_right == pytest.approx(-0.001, rel=1e-2)
    assert found.finite is True


def test_1_minus_p_is_robust_and_not_proper():
    found = measured("one_minus_p")

    assert found.symmetry_gap < 1e-5
    assert found.monotonicity == 1.0
    # Its minimiser puts everything on the most probable class.
    assert found.properness_gap > 0.3
    assert found.calibration > 0.9
    assert -1e-6 < found.gradient_wrong <= 0


def test_a_loss_upside_down_is_neither_monotone_nor_calibrated():
    found = measured("reversed")

    assert found.monotonicity == 0.0
    assert found.calibration < 0.5


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
@pytest.mark.parametrize("name", ["cross_entropy", "gce", "one_minus_p", "focal", "nce_rce"])
def test_losses_that_prefer_a_larger_p_y_everywhere_do_not_rise(name, num_classes):
    assert largest_rise(LOSSES[name], num_classes) < 1e-5


def test_the_rise_of_a_loss_is_a_share_of_its_range():
    def with_a_bump(logits, labels):  # from 1 down to 0, but up by 0.25 on its way
        p_y = jnp.exp(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1))[
            ..., 0
        ]
        return jnp.interp(p_y, jnp.array([0.0, 0.2, 0.8, 1.0]), jnp.array([1.0, 0.25, 0.5, 0.0]))

    assert largest_rise(with_a_bump, K) == pytest.approx(0.25, abs=0.02)
    assert largest_rise(lambda z, y: -LOSSES["cross_entropy"](z, y), K) == 1.0


def test_a_loss_that_rises_near_certainty_alone_is_found_out():
    def log_odds(logits, labels):  # as an unbounded feature does
        at = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
        return LOSSES["cross_entropy"](logits, labels) + 0.01 * jnp.maximum(at - 20.0, 0.0)

    assert largest_rise(log_odds, K) == 1.0


def test_a_loss_that_knows_the_classes_by_name_is_not_permutation_invariant():
    assert measured("concat").permutation_error > 0.01


def test_a_loss_that_overflows_is_not_finite():
    assert measured("overflowing").finite is False


def test_every_property_has_a_title():
    assert set(PROPERTY_TITLES) == set(Properties._fields)
