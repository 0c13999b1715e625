"""Learned losses: optax's calling convention, the shipped loss, and the scale."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kendalltau

import edl_jax
from edl_jax.errors import EdlError
from edl_jax.losses.base import every_label, log_softmax
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.learned import SHIPPED, LearnedLoss, load_loss, make_learned_loss, resolve_loss
from edl_jax.losses.networks import NetworkSpec
from edl_jax.losses.scale import descent_scale
from edl_jax.objective.properties import loss_profile

K = 4
every_network = pytest.mark.parametrize("name", ["symmetric", "deepset", "concat"])


@functools.cache
def learned(name="symmetric", width=4, num_classes=K, scale=0.7, seed=0):
    spec = NetworkSpec(name, width, num_classes)
    shapes = jax.eval_shape(spec.build().init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    params = {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in shapes.items()}
    return LearnedLoss(params, jnp.float32(scale), spec)


@functools.partial(jax.jit, static_argnames="axis")
def call(loss, logits, labels, axis=-1, where=None):
    """The loss as a jitted step would call it, one compilation for each form of arguments."""
    return loss(logits, labels, axis=axis, where=where)


@jax.jit
def gradient(loss, logits, labels, where=None):
    return jax.grad(lambda z: loss(z, labels, where=where).sum())(logits)


def all_labels(loss):
    return np.stack([call(loss, LOGITS, jnp.full(6, k)) for k in range(K)], axis=-1)


LOGITS = jnp.asarray(np.random.default_rng(1).normal(size=(6, K)) * 2, jnp.float32)
LABELS = jnp.array([0, 1, 2, 3, 1, 0])
SOFT = jnp.asarray(np.random.default_rng(2).dirichlet(np.ones(K), size=6), jnp.float32)


# --- the calling convention --------------------------------------------------------------------


@every_network
def test_losses_are_unreduced_and_the_networks_output_times_the_scale(name):
    loss = learned(name)
    losses = call(loss, LOGITS, LABELS)

    assert losses.shape == (6,)
    assert np.all(losses >= 0)
    expected = 0.7 * jax.jit(loss.spec.build().apply)(loss.params, LOGITS, LABELS)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    for shape in ((2, 3), (6, 1), (3, 1, 2)):
        grouped = jax.eval_shape(loss, LOGITS.reshape(*shape, K), LABELS.reshape(shape))
        assert grouped.shape == shape
    assert jax.eval_shape(loss, LOGITS[0], LABELS[0]).shape == ()
    assert call(loss, LOGITS[:0], LABELS[:0]).shape == (0,)


def test_a_loss_may_be_called_without_jit_and_with_numpy_arrays():
    expected = call(learned(), LOGITS, LABELS)

    np.testing.assert_allclose(learned()(LOGITS, LABELS), expected, rtol=1e-6)
    found = learned()(np.asarray(LOGITS), np.asarray(LABELS))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@every_network
def test_a_one_hot_label_is_its_integer_and_a_soft_one_the_expectation(name):
    loss = learned(name)
    expected = call(loss, LOGITS, LABELS)

    for dtype in (np.float32, np.int32):  # integer dtypes may hold one-hot labels too
        one_hot = np.eye(K, dtype=dtype)[LABELS]
        np.testing.assert_allclose(call(loss, LOGITS, one_hot), expected, rtol=1e-6)
    expectation = (SOFT * all_labels(loss)).sum(-1)
    np.testing.assert_allclose(call(loss, LOGITS, SOFT), expectation, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_integer_labels_of_any_width_will_do(dtype):
    found = call(learned(), LOGITS, np.asarray(LABELS).astype(dtype))

    np.testing.assert_array_equal(found, call(learned(), LOGITS, LABELS))


@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["integer", "soft"])
@pytest.mark.parametrize("name", ["symmetric", "deepset"])
def test_where_is_false_for_classes_that_are_absent(name, labels):
    loss, where = learned(name), np.array([True, True, True, True, False])
    filler = jnp.full((6, 1), 9.0)
    wide = jnp.concatenate([LOGITS, filler], axis=-1)
    wide_labels = labels if labels.ndim == 1 else jnp.pad(labels, ((0, 0), (0, 1)))

    expected = call(loss, LOGITS, labels)
    for mask in (where, np.broadcast_to(where, wide.shape)):
        found = call(loss, wide, wide_labels, where=mask)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    slope = gradient(loss, wide, wide_labels, where)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[:, -1], 0.0)
    assert not np.allclose(call(loss, wide, wide_labels), expected, rtol=1e-3)


@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["integer", "soft"])
@pytest.mark.parametrize("axis", [0, -2])
def test_axis_says_where_the_classes_are(axis, labels):
    logits = jnp.moveaxis(LOGITS.reshape(2, 3, K), -1, axis)
    labels = labels.reshape(2, 3, *labels.shape[1:])
    where = jnp.array([True, True, True, False])
    if labels.ndim == 3:
        labels = jnp.moveaxis(labels, -1, axis)
        expected_labels = SOFT
    else:
        expected_labels = LABELS
    mask = jnp.moveaxis(jnp.broadcast_to(where, (2, 3, K)), -1, axis)

    found = call(learned(), logits, labels, axis=axis)
    expected = call(learned(), LOGITS, expected_labels)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)
    masked = call(learned(), logits, labels, axis=axis, where=mask)
    expected = call(learned(), LOGITS, expected_labels, where=where)
    np.testing.assert_allclose(masked.ravel(), expected, rtol=1e-5)


@every_network
def test_a_closure_and_an_argument_of_a_jitted_function_are_the_same(name):
    loss = learned(name)
    closure = jax.jit(jax.value_and_grad(lambda z: loss(z, LABELS).sum()))

    value, slope = closure(LOGITS)
    np.testing.assert_allclose(value, call(loss, LOGITS, LABELS).sum(), rtol=1e-5)
    np.testing.assert_allclose(slope, gradient(loss, LOGITS, LABELS), rtol=1e-4, atol=1e-6)
    assert np.abs(slope).max() > 1e-3
    # Adding a constant to all logits changes nothing.
    np.testing.assert_allclose(np.sum(slope, axis=-1), 0, atol=1e-6)


def test_losses_of_one_network_share_a_compilation():
    traces = []

    @jax.jit
    def mean(loss):
        traces.append(loss)
        return loss(LOGITS, LABELS).mean()

    values = {float(mean(learned(seed=seed, scale=1.0 + seed))) for seed in range(3)}
    assert len(values) == 3
    assert len(traces) == 1


def test_a_vmap_over_examples_is_the_batch():
    mapped = jax.jit(jax.vmap(learned()))(LOGITS, LABELS)

    np.testing.assert_allclose(mapped, call(learned(), LOGITS, LABELS), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_logits_are_computed_with_in_float32(dtype):
    logits = LOGITS.astype(dtype)
    losses = call(learned(), logits, LABELS)

    assert losses.dtype == jnp.float32
    exact = call(learned(), logits.astype(jnp.float32), LABELS)
    np.testing.assert_allclose(losses, exact, rtol=1e-6)
    slope = gradient(learned(), logits, LABELS)
    assert slope.dtype == dtype
    assert np.isfinite(slope.astype(jnp.float32)).all()


@every_network
def test_float64_logits_give_float64_losses(name):
    expected = np.asarray(call(learned(name), LOGITS, LABELS))
    with jax.enable_x64(True):
        logits = jnp.asarray(np.asarray(LOGITS, np.float64))
        for labels in (np.asarray(LABELS), np.eye(K)[np.asarray(LABELS)]):
            losses = call(learned(name), logits, labels)
            assert losses.dtype == jnp.float64
            np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "labels",
    [
        jnp.zeros(6),  # class ids, but floating
        jnp.zeros(6, bool),
        jnp.zeros(5, int),
        jnp.zeros((6, 1), int),
        jnp.zeros((6, K + 1)),
        jnp.zeros((K, 6)),
        jnp.zeros((1, 6, K)),
        jnp.zeros((), int),
    ],
    ids=str,
)
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(EdlError, match=r"labels of shape .* do not fit logits of shape \(6, 4\)"):
        learned()(LOGITS, labels)


def test_a_concat_loss_refuses_another_number_of_classes():
    with pytest.raises(EdlError, match="evolved for 4 classes got 5"):
        learned("concat")(jnp.zeros((2, 5)), jnp.array([0, 1]))


@every_network
@pytest.mark.parametrize("label", [K, 1000, -1, -K])
def test_a_label_out_of_range_gives_nan(name, label):
    """Not the loss of some class: -1 often stands for "ignore"."""
    losses = call(learned(name), LOGITS[:2], jnp.array([label, 1]))

    assert np.isnan(losses[0])
    assert np.isfinite(losses[1])


@every_network
def test_a_logit_that_is_nan_gives_nan_in_its_example_alone(name):
    losses = call(learned(name), LOGITS.at[2, 3].set(jnp.nan), LABELS)

    assert np.isnan(losses).tolist() == [False, False, True, False, False, False]


# --- loading by name ---------------------------------------------------------------------------


def test_a_loss_is_loaded_from_a_path_or_a_run_directory(tmp_path):
    learned().save(tmp_path / "loss.npz")

    for source in (tmp_path / "loss.npz", str(tmp_path / "loss.npz"), tmp_path, str(tmp_path)):
        found = call(load_loss(source), LOGITS, LABELS)
        np.testing.assert_array_equal(found, call(learned(), LOGITS, LABELS))


def test_an_unknown_name_is_refused_with_what_would_do():
    with pytest.raises(
        EdlError, match="no-such: no such loss; give one of edl-base, edl-robust, the path"
    ):
        load_loss("no-such")
    with pytest.raises(
        EdlError, match="loss no-such: expected one of edl-base, edl-robust, cross_entropy,"
    ):
        resolve_loss("no-such")


def test_resolve_loss_takes_hand_made_losses_too(tmp_path):
    learned().save(tmp_path / "mine.npz")

    assert resolve_loss("brier") is LOSSES["brier"]
    assert resolve_loss(tmp_path / "mine.npz").spec == learned().spec
    assert resolve_loss(SHIPPED[0]).spec == load_loss(SHIPPED[0]).spec


# --- the shipped loss --------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SHIPPED)
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
    # It ranks as cross-entropy does; edl-robust only near the ten classes it was evolved with.
    if shipped.provenance["config"]["preset"] == "robust" and num_classes > 10:
        return
    reference = LOSSES["cross_entropy"](logits, labels)
    assert kendalltau(losses, reference).statistic > 0.7


def test_the_shipped_loss_and_its_gradient_are_finite_for_logits_of_ten_thousand(shipped):
    logits = 1e4 * jnp.array([[1.0, -1, 0], [-1, 1, 0], [1, 1, 1], [-1, 1, 1], [0, 0, -1]])
    for label in range(3):
        assert np.isfinite(call(shipped, logits, jnp.full(5, label))).all()
        assert np.isfinite(gradient(shipped, logits, jnp.full(5, label))).all()


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


def test_the_public_names_lead_here():
    assert edl_jax.load_loss is load_loss
    assert edl_jax.LOSSES is LOSSES
    assert edl_jax.LearnedLoss is LearnedLoss
    assert set(edl_jax.__all__) <= set(dir(edl_jax))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = edl_jax.nonsense


def test_a_shipped_name_is_not_shadowed_by_a_file_of_that_name(tmp_path, monkeypatch):
    learned(seed=5).save(tmp_path / SHIPPED[0])
    monkeypatch.chdir(tmp_path)

    assert load_loss(SHIPPED[0]).provenance != {}
    assert load_loss(tmp_path / SHIPPED[0]).provenance == {}


# --- scale -------------------------------------------------------------------------------------


def scaled(loss, factor):
    return lambda logits, labels: factor * loss(logits, labels)


@pytest.mark.parametrize("factor", [1e-3, 40.0])
def test_the_scale_of_a_multiple_of_cross_entropy_is_its_inverse(factor):
    found = descent_scale(scaled(LOSSES["cross_entropy"], factor), num_classes=5)

    assert found == pytest.approx(1 / factor, rel=1e-4)


def mean_p_y_after_descent(loss, scale, num_classes):
    """20 unit steps from near-uniform logits, written out."""
    logits = 0.1 * jax.random.normal(jax.random.key(5), (400, num_classes))
    labels = jnp.arange(400) % num_classes
    slope = jax.jit(jax.grad(lambda z: jnp.sum(loss(z, labels))))
    for _ in range(20):
        logits = logits - scale * slope(logits)
    return float(jnp.mean(jnp.exp(log_softmax(logits))[jnp.arange(400), labels]))


def test_descent_under_the_scaled_loss_gets_where_cross_entropy_does():
    name = "gce"
    scale = descent_scale(LOSSES[name])
    target = mean_p_y_after_descent(LOSSES["cross_entropy"], 1.0, 10)

    assert mean_p_y_after_descent(LOSSES[name], scale, 10) == pytest.approx(target, abs=0.005)
    assert mean_p_y_after_descent(LOSSES[name], 0.5 * scale, 10) < target - 0.02
    rescaled = descent_scale(scaled(LOSSES[name], 8.0))
    assert rescaled == pytest.approx(scale / 8, rel=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: jnp.full(y.shape, 2.0),
        lambda z, y: 0.0 * LOSSES["cross_entropy"](z, y),
        lambda z, y: -LOSSES["cross_entropy"](z, y),
    ],
    ids=["constant", "zero", "reversed"],
)
def test_a_loss_that_does_not_descend_has_no_scale(loss):
    with pytest.raises(EdlError, match="descends as far"):
        descent_scale(loss, num_classes=3)


def test_a_frozen_loss_has_the_scale_of_its_network():
    """So that its own descent scale is 1."""
    base = load_loss(SHIPPED[0])
    frozen = make_learned_loss(base.spec, base.params, {"seed": 4})

    assert descent_scale(frozen) == pytest.approx(1.0, rel=1e-3)
    assert frozen.provenance == {"seed": 4}
    for name, array in base.params.items():
        np.testing.assert_array_equal(frozen.params[name], array)


def test_every_label_takes_a_learned_loss():
    by_label = jax.jit(lambda: every_label(learned(), LOGITS))()

    np.testing.assert_allclose(by_label, all_labels(learned()), rtol=1e-5)
