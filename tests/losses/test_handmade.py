"""The hand-made losses: each against its published formula, and the contract they share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import brentq

from edl_jax.errors import EdlError
from edl_jax.losses import handmade
from edl_jax.losses.handmade import LOSSES, Handmade

NAMES = list(LOSSES)
every_loss = pytest.mark.parametrize("name", NAMES)


def bi_tempered_reference(p, y, t1=0.8, t2=1.2):
    """The Bregman divergence as the paper writes it, its normaliser by bracketing."""

    def log_t(u, t):
        return (u ** (1 - t) - 1) / (1 - t)

    def tempered(c):
        return np.maximum(1 + (1 - t2) * (np.log(p) - c), 0) ** (1 / (1 - t2))

    top = np.log(p).max()
    widest = -log_t(1 / len(p), t2)
    r = tempered(brentq(lambda c: tempered(c).sum() - 1, top - 1e-9, top + widest + 1e-9))
    return (y * (log_t(y, t1) - log_t(r, t1)) - (y ** (2 - t1) - r ** (2 - t1)) / (2 - t1)).sum()


def reverse_ce_reference(p, y):
    return -(p * np.where(y == 1, 0.0, -4.0)).sum()


# The published formulas for the probabilities and the one-hot label of one example, both [K].
REFERENCES = {
    "cross_entropy": lambda p, y: -(y * np.log(p)).sum(),
    "label_smoothing": lambda p, y: -((0.9 * y + 0.1 / len(y)) * np.log(p)).sum(),
    "focal": lambda p, y: -(y * (1 - p) ** 2 * np.log(p)).sum(),
    "poly1": lambda p, y: -(y * np.log(p)).sum() + 1 - (y * p).sum(),
    "brier": lambda p, y: ((p - y) ** 2).sum(),
    "one_minus_p": lambda p, y: np.abs(p - y).sum() / 2,
    "gce": lambda p, y: (1 - (y * p).sum() ** 0.7) / 0.7,
    "symmetric_ce": lambda p, y: -0.1 * (y * np.log(p)).sum() + reverse_ce_reference(p, y),
    "nce_rce": lambda p, y: (y * np.log(p)).sum() / np.log(p).sum() + reverse_ce_reference(p, y),
    "bi_tempered": bi_tempered_reference,
    "baikal": lambda p, y: -(np.log(p) - y / p).mean(),
}


def reference(name, logits, label):
    """The loss of one example at an integer label, in float64."""
    z = np.asarray(logits, np.float64)
    p = np.exp(z - z.max())
    return REFERENCES[name](p / p.sum(), 1.0 * (np.arange(len(z)) == label))


def batch(num_classes, size=6, seed=0, dtype=np.float32):
    """Random logits [size, K], from nearly uniform to confident; p_y stays above 1e-7."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(0.1, 2, size)[:, None]
    logits = (scale * rng.normal(size=(size, num_classes))).astype(dtype)
    return logits, rng.integers(num_classes, size=size)


@functools.partial(jax.jit, static_argnums=0)
def _losses_and_gradients(group, logits, labels, where):
    def total(logits, loss):
        losses = loss(logits, labels, where=where)
        return losses.sum(), losses

    return [jax.grad(total, has_aux=True)(logits, loss)[::-1] for loss in group]


def differentiate(loss, logits, labels, where=None):
    """The losses and the gradient of their sum."""
    # Compilation is what these tests take time for: all of the registry at once, once a shape.
    group = tuple(LOSSES.values()) if loss in LOSSES.values() else (loss,)
    results = _losses_and_gradients(group, logits, labels, where)
    return jax.device_get(results[group.index(loss)])


def variant(name, **constants):
    return Handmade(name, functools.partial(getattr(handmade, name), **constants))


def assert_same(actual, expected, rtol=1e-5, atol=1e-6):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol)


def test_every_loss_of_the_registry_has_a_reference():
    assert list(REFERENCES) == NAMES
    assert all(name == loss.name for name, loss in LOSSES.items())


# Values and gradients


@every_loss
@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_values_and_gradients_follow_the_published_formula(name, num_classes):
    logits, labels = batch(num_classes, seed=num_classes)
    losses, gradient = differentiate(LOSSES[name], logits, labels)

    expected = [reference(name, z, y) for z, y in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=3e-5, atol=3e-6)

    rng = np.random.default_rng(1)
    directions = np.eye(num_classes) if num_classes <= 10 else rng.normal(size=(3, num_classes))
    step = 1e-4
    slopes = [
        [
            (reference(name, z + step * d, y) - reference(name, z - step * d, y)) / (2 * step)
            for d in directions
        ]
        for z, y in zip(logits.astype(np.float64), labels, strict=True)
    ]
    np.testing.assert_allclose(gradient @ directions.T, slopes, rtol=1e-4, atol=1e-5)


@every_loss
def test_float64_logits_are_evaluated_in_float64(name):
    logits, labels = batch(10, dtype=np.float64)
    with jax.enable_x64(True):
        losses = np.asarray(LOSSES[name](logits, labels))
    assert losses.dtype == np.float64
    expected = [reference(name, z, y) for z, y in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("t1, t2", [(0.8, 1.2), (0.2, 2.0)])
def test_bi_tempered_is_differentiable_twice(t1, t2):
    """The rule for the normaliser is written by hand, so its own derivative needs a check."""
    logits, labels = batch(5, size=1, dtype=np.float64)
    step = 1e-5
    with jax.enable_x64(True):
        loss = variant("bi_tempered", t1=t1, t2=t2)
        gradient = jax.jit(jax.grad(lambda z: loss(z, labels[0])))
        hessian = jax.jit(jax.jacfwd(gradient))(logits[0])
        slopes = [
            (gradient(logits[0] + step * d) - gradient(logits[0] - step * d)) / (2 * step)
            for d in np.eye(5)
        ]
    np.testing.assert_allclose(hessian, slopes, rtol=1e-6, atol=1e-9)


def test_bi_tempered_normalises_the_hardest_distributions():
    """Groups of equal logits far apart take Newton's method longest; exp_t then sums to 1."""
    for num_classes in (2, 1000):
        for gap in (0.5, 5.0, 40.0, 2e4):
            log_p = np.zeros((3, num_classes), np.float32)
            for row, size in enumerate((1, num_classes // 2, num_classes - 1)):
                log_p[row, :size] = -gap
            c = handmade._tempered_normaliser(1.2, log_p, np.ones_like(log_p, bool))
            total = ((1 + 0.2 * (np.asarray(c, np.float64) - log_p)) ** -5).sum(axis=-1)
            np.testing.assert_allclose(total, 1, atol=2e-5)


# Relations between the losses


@pytest.mark.parametrize(
    "special_case, general",
    [
        (variant("focal", gamma=0.0), "cross_entropy"),
        (variant("label_smoothing", alpha=0.0), "cross_entropy"),
        (variant("poly1", epsilon=0.0), "cross_entropy"),
        (variant("gce", q=0.0), "cross_entropy"),
        (variant("gce", q=1.0), "one_minus_p"),
        (variant("symmetric_ce", alpha=1.0, beta=0.0), "cross_entropy"),
        (variant("bi_tempered", t1=1.0, t2=1.0), "cross_entropy"),
    ],
    ids=lambda loss: getattr(loss, "name", loss),
)
def test_special_cases(special_case, general):
    logits, labels = batch(10)
    logits[0] = 1e4 * np.eye(10)[labels[0]]  # p_y = 1, where powers of 1 - p_y are delicate
    actual = differentiate(special_case, logits, labels)
    assert_same(actual, differentiate(LOSSES[general], logits, labels))


@pytest.mark.parametrize(
    "near_limit",
    [variant("gce", q=1e-4), variant("bi_tempered", t1=0.9999, t2=1.0001)],
    ids=lambda loss: loss.name,
)
def test_tempered_losses_approach_cross_entropy_continuously(near_limit):
    """The formula for t != 1 divides by 1 - t; near the limit it must lose no digits."""
    logits, labels = batch(10)
    expected = differentiate(LOSSES["cross_entropy"], logits, labels)
    assert_same(differentiate(near_limit, logits, labels), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_symmetric_losses_sum_to_a_constant_over_the_labels(num_classes):
    """What makes a loss tolerant of uniform label noise (arXiv 1712.09482)."""
    logits, _ = batch(num_classes)
    everywhere = np.ones_like(logits)
    constants = {"one_minus_p": num_classes - 1, "nce_rce": 1 + 4 * (num_classes - 1)}
    for name, constant in constants.items():
        np.testing.assert_allclose(LOSSES[name](logits, everywhere), constant, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_baikal_is_least_where_its_definition_over_all_classes_says(num_classes):
    """With the logarithm of p_y alone, the minimum would be at p_y = 1."""
    p_y = num_classes**-0.5
    p = np.full((6, num_classes), (1 - p_y) / (num_classes - 1), np.float32)
    p[:, 0] = p_y
    _, gradient = differentiate(LOSSES["baikal"], np.log(p), np.zeros(6, int))
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_baikal_continues_along_its_tangent_below_the_smallest_p():
    log_p_y = np.log(1e-7) + np.array([1e-3, 0, -1e-3, -1, -2, -3], np.float32)
    logits = np.stack([log_p_y, np.log1p(-np.exp(log_p_y))], axis=-1)
    losses, gradient = differentiate(LOSSES["baikal"], logits, np.zeros(6, int))
    np.testing.assert_allclose(losses[:3], 1e7 / 2 * np.array([1 - 1e-3, 1, 1 + 1e-3]), rtol=1e-5)
    np.testing.assert_allclose(losses[3:], 1e7 / 2 * np.array([2, 3, 4]), rtol=1e-5)
    np.testing.assert_allclose(gradient[1:, 0], -1e7 / 2, rtol=1e-5)


def test_values_of_optax():
    logits, labels = batch(10)
    where = np.arange(10) != (labels[:, None] + 3) % 10
    one_hot = jnp.asarray(np.eye(10, dtype=np.float32)[labels])
    smooth = optax.smooth_labels(one_hot, 0.1, where=where)
    expected = {
        "cross_entropy": optax.softmax_cross_entropy(logits, one_hot, where=where),
        "label_smoothing": optax.softmax_cross_entropy(logits, smooth, where=where),
        "poly1": optax.losses.poly_loss_cross_entropy(logits, one_hot, epsilon=1.0, where=where),
    }
    for name, losses in expected.items():
        actual = LOSSES[name](logits, labels, where=where)
        np.testing.assert_allclose(actual, losses, rtol=1e-6, atol=1e-6)


# The contract


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
    """p_y = 1 and K = 1: a finite loss that nothing can change, and 0 but for baikal's 1/p_y."""
    logits, labels = batch(12)
    losses, gradient = differentiate(LOSSES[name], logits, labels, labels[:, None] == np.arange(12))
    np.testing.assert_allclose(losses, 1 if name == "baikal" else 0)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("where", [np.arange(10) < 7, np.arange(6)[:, None] % 2 == 0])
def test_where_broadcasts_as_in_numpy(where):
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
        lambda z, y: {name: jax.value_and_grad(loss)(z, y) for name, loss in LOSSES.items()}
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
    for loss in (LOSSES["gce"], Handmade("gce", handmade.gce), LOSSES["focal"]):
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
    + [("nce_rce", 2e-4), ("bi_tempered", 1e-4), ("baikal", 5e5)],
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


@pytest.mark.parametrize("wrong", [{"where": np.ones(2, bool)}, {"axis": 2}])
def test_a_mask_or_axis_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError):
        LOSSES["cross_entropy"](jnp.zeros((2, 3)), jnp.zeros(2, int), **wrong)
