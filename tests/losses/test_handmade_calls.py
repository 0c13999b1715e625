"""The hand-made losses as they are called: labels of each kind, masks, axes, dtypes, edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.errors import EdlError
from edl_jax.losses.handmade import LOSSES, Handmade
from edl_jax.losses.noise_robust import gce
from tests.losses.examples import STATIC, assert_same, batch, differentiate, every_loss


@every_loss
def test_integer_labels_equal_one_hot_labels(name):
    logits, labels = batch(10)
    one_hot = np.eye(10, dtype=np.float32)[labels]
    assert_same(
        differentiate(LOSSES[name], logits, labels),
        differentiate(LOSSES[name], logits, one_hot),
    )


@every_loss
def test_label_dtypes_do_not_matter(name):
    """Image data sets come with uint8 labels; one-hot labels may be integers or booleans."""
    logits, labels = batch(10)
    one_hot = np.eye(10)[labels]
    expected = LOSSES[name](logits, labels)
    for same in (labels.astype(np.uint8), one_hot.astype(int), one_hot.astype(bool)):
        np.testing.assert_allclose(LOSSES[name](logits, same), expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_a_soft_label_is_the_expectation_over_its_classes(name):
    logits, _ = batch(10)
    q = np.random.default_rng(2).dirichlet(np.full(10, 0.3), size=len(logits)).astype(np.float32)
    losses, gradient = differentiate(LOSSES[name], logits, q)
    each = [differentiate(LOSSES[name], logits, np.full(len(logits), k)) for k in range(10)]
    np.testing.assert_allclose(losses, sum(q[:, k] * each[k][0] for k in range(10)), rtol=1e-4)
    expected = sum(q[:, k, None] * each[k][1] for k in range(10))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@every_loss
@pytest.mark.parametrize("soft", [False, True], ids=["integer", "soft"])
def test_where_equals_dropping_the_classes(name, soft):
    """Whatever stands at an absent class, in logits or labels, must not reach the others."""
    logits, labels = batch(10)
    kept = np.array([0, 2, 3, 4, 5, 6, 8, 9, 10, 11])
    if soft:
        labels = np.random.default_rng(3).dirichlet(np.ones(10), size=6).astype(np.float32)
        wide_labels = np.full((6, 12), np.nan, np.float32)
        wide_labels[:, kept] = labels
    else:
        wide_labels = kept[labels]
    expected = differentiate(LOSSES[name], logits, labels)

    masked, unmasked = np.tile(np.isin(np.arange(12), kept), (6, 1)), np.ones((6, 12), bool)
    for absent, where in ((np.nan, masked), (1e30, masked), (-np.inf, masked), (-np.inf, unmasked)):
        wide = np.full((6, 12), absent, np.float32)
        wide[:, kept] = logits
        losses, gradient = differentiate(LOSSES[name], wide, wide_labels, where)
        assert_same((losses, gradient[:, kept]), expected)
        np.testing.assert_array_equal(gradient[:, ~masked[0]], 0)


@every_loss
def test_absent_labels_and_rows_without_classes_cost_nothing(name):
    """Padding: a row of zeros with a mask of zeros must not poison the sum of a batch."""
    logits, labels = batch(12)
    where = np.ones((6, 12), bool)
    where[4] = False
    where[5] = np.arange(12) != labels[5]
    for given in (labels, np.eye(12, dtype=np.float32)[labels]):
        losses, gradient = differentiate(LOSSES[name], logits, given, where)
        np.testing.assert_array_equal(losses[4:], 0)
        np.testing.assert_array_equal(gradient[4:], 0)
        expected = differentiate(LOSSES[name], logits, given, np.ones((6, 12), bool))
        assert_same((losses[:4], gradient[:4]), (expected[0][:4], expected[1][:4]))


@every_loss
def test_a_lone_class_is_certain(name):
    """p_y = 1 and K = 1: a finite loss that nothing can change, and 0 but for two of them."""
    logits, labels = batch(12)
    losses, gradient = differentiate(LOSSES[name], logits, labels, labels[:, None] == np.arange(12))
    # Baikal's 1 / p_y, and JAL's distance from 30 times the label.
    np.testing.assert_allclose(losses, {"baikal": 1, "jal_ce": 29**2}.get(name, 0))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("where", [np.arange(10)[None] < 7, np.arange(6)[:, None] % 2 == 0])
def test_where_broadcasts_along_axes_of_size_1(where):
    logits, labels = batch(10)
    for loss in (LOSSES["cross_entropy"], LOSSES["brier"]):
        full = loss(logits, labels, where=np.broadcast_to(where, logits.shape))
        np.testing.assert_array_equal(loss(logits, labels, where=where), full)


@every_loss
@pytest.mark.parametrize("axis", [0, -2])
def test_axis_equals_moving_the_axis(name, axis):
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(2, 3, 4)).astype(np.float32)  # the class axis: last
    labels = rng.integers(4, size=(2, 3))
    q = rng.dirichlet(np.ones(4), size=(2, 3)).astype(np.float32)
    where = np.arange(4) != (labels[..., None] + 1) % 4

    def moved(x):
        return np.moveaxis(x, -1, axis)

    for given, given_moved in ((labels, labels), (q, moved(q))):
        expected = LOSSES[name](logits, given, where=where)
        actual = LOSSES[name](moved(logits), given_moved, axis=axis, where=moved(where))
        assert actual.shape == (2, 3)
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_jit_vmap_and_eager_agree():
    logits, labels = batch(10)
    one_by_one = jax.vmap(
        lambda z, y: {name: jax.value_and_grad(loss)(z, y) for name, loss in STATIC.items()}
    )
    for name, mapped in jax.jit(one_by_one)(logits, labels).items():
        losses, gradient = differentiate(LOSSES[name], logits, labels)
        assert_same((LOSSES[name](logits, labels), *mapped), (losses, losses, gradient))


def test_a_loss_can_be_a_static_argument():
    """Equal losses share one compilation; a jit over a loss must not retrace at every step."""
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def mean(loss, logits, labels):
        traces.append(loss.name)
        return loss(logits, labels).mean()

    logits, labels = batch(3)
    for loss in (LOSSES["gce"], Handmade("gce", gce), LOSSES["focal"]):
        mean(loss, logits, labels)
    assert traces == ["gce", "focal"]


@every_loss
@pytest.mark.parametrize(
    "num_classes, dtype, one_hot",
    [
        (2, jnp.float32, False),
        (10, jnp.float32, False),
        (10, jnp.float32, True),
        (10, jnp.float16, False),
        (1000, jnp.float32, False),
    ],
)
def test_finite_for_huge_logits(name, num_classes, dtype, one_hot):
    """Diverging networks must show as a large loss, not as NaN in every weight."""
    logits = np.zeros((6, num_classes), np.float32)
    logits[:3, 0], logits[:3, 1] = 1e4, -1e4
    logits[3] = 1e4
    logits[4] = -1e4
    logits[5] = np.linspace(-1e4, 1e4, num_classes)
    labels = np.array([0, 1, num_classes - 1, 0, 0, 0])
    if one_hot:
        labels = np.eye(num_classes, dtype=np.float32)[labels]
    losses, gradient = differentiate(LOSSES[name], jnp.asarray(logits, dtype), labels)
    assert losses.dtype == np.float32
    assert np.isfinite(losses).all()
    # 1 / p_y has a slope of up to 1e7 / K, which float16 cannot hold.
    if not (name == "baikal" and dtype == jnp.float16):
        assert np.isfinite(gradient).all()


@every_loss
def test_half_precision_is_promoted_before_anything_is_computed(name):
    logits, labels = batch(10)
    half = jnp.asarray(logits, jnp.bfloat16)
    assert_same(
        [LOSSES[name](half, labels)], [LOSSES[name](half.astype(jnp.float32), labels)], atol=1e-7
    )


@pytest.mark.parametrize(
    "name, least",
    [
        (name, 0.05)
        for name in ("cross_entropy", "label_smoothing", "focal", "poly1", "symmetric_ce")
    ]
    + [("nce_rce", 2e-4), ("nce_agce", 2e-4), ("anl_ce", 1e-3), ("jal_ce", 2e-4)]
    + [("bi_tempered", 1e-4), ("baikal", 5e5)],
)
def test_a_gradient_is_left_at_tiny_p_y(name, least):
    """From p in place of log p it would vanish, or be NaN, where p_y underflows."""
    logits = np.zeros((6, 10), np.float32)
    logits[:, 1] = 300
    _, gradient = differentiate(LOSSES[name], logits, np.zeros(6, int))
    assert (gradient[:, 0] < -least).all()


@pytest.mark.parametrize(
    "logits, labels, message",
    [
        (np.zeros((2, 3), int), np.zeros(2, int), "logits of dtype int"),
        (np.zeros((2, 3)), np.zeros(2), "expected integer class ids of shape \\(2,\\)"),
        (np.zeros((2, 3)), np.zeros((2, 1), int), "labels of shape \\(2, 1\\)"),
        (np.zeros((2, 3)), np.zeros((2, 4)), "labels of shape \\(2, 4\\)"),
        (np.zeros((2, 3)), np.zeros((), int), "labels of shape \\(\\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_one_line(logits, labels, message):
    """Labels that broadcast by accident would train on something else, silently."""
    with pytest.raises(EdlError, match=message) as error:
        LOSSES["cross_entropy"](jnp.asarray(logits), jnp.asarray(labels))
    assert "\n" not in str(error.value)
