"""Learned losses: optax's calling convention, and how a loss is found by its name."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import edl_jax
from edl_jax.errors import EdlError
from edl_jax.losses.artifact import EARLIER, SHIPPED
from edl_jax.losses.base import Context, every_label
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.learned import LearnedLoss, make_learned_loss
from edl_jax.losses.loading import load_loss, resolve_loss
from edl_jax.losses.networks import NetworkSpec
from edl_jax.losses.scale import descent_scale
from tests.losses.examples import call, gradient

K = 4
every_network = pytest.mark.parametrize("name", ["symmetric", "deepset", "concat", "monotone"])


@functools.cache
def learned(name="symmetric", width=4, num_classes=K, scale=0.7, seed=0):
    spec = NetworkSpec(name, width, num_classes)
    shapes = jax.eval_shape(spec.build().init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    params = {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in shapes.items()}
    return LearnedLoss(params, jnp.float32(scale), spec)


def in_a_context(loss):
    """A loss that is the same whatever batch it is called with."""
    return jax.tree_util.Partial(loss, context=Context(0.4, 0.2, 0.3))


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
    loss = in_a_context(learned(name))
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
@pytest.mark.parametrize("name", ["symmetric", "deepset", "monotone"])
def test_where_is_false_for_classes_that_are_absent(name, labels):
    loss, where = learned(name), np.array([[True, True, True, True, False]])
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
    where = jnp.array([[True, True, True, False]])
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


def test_losses_made_in_other_ways_are_one_tree_and_stacked_one_program():
    base, robust = (load_loss(name) for name in EARLIER)
    assert base.provenance != robust.provenance
    assert jax.tree.structure(base) == jax.tree.structure(robust)
    assert hash(jax.tree.structure(base)) == hash(jax.tree.structure(robust))
    assert jax.tree.structure(base) != jax.tree.structure(learned())
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), base, robust)

    together = jax.jit(jax.vmap(lambda loss: loss(LOGITS, LABELS)))(both)
    for loss, losses in zip((base, robust), together, strict=True):
        np.testing.assert_allclose(losses, call(loss, LOGITS, LABELS), rtol=1e-5)
    traces = []

    @jax.jit
    def mean(loss):
        traces.append(loss)
        return loss(LOGITS, LABELS).mean()

    assert float(mean(base)) != float(mean(robust))
    assert len(traces) == 1


def test_a_tree_keeps_the_provenance_of_the_first_loss_and_a_compiled_function_no_ones():
    base, robust = (load_loss(name) for name in EARLIER)

    assert jax.tree.map(np.asarray, robust).provenance_json == robust.provenance_json
    mixed = jax.tree.map(lambda a, b: (a + b) / 2, robust, base)
    assert mixed.provenance_json == robust.provenance_json
    doubled = jax.jit(lambda loss: jax.tree.map(lambda leaf: 2 * leaf, loss))
    assert doubled(base).provenance == {}
    # Compiled for one loss, it serves another, and says nothing of where that comes from.
    assert doubled(robust).provenance == {}
    assert dataclasses.replace(doubled(base), provenance_json='{"a": 1}').provenance == {"a": 1}


def test_the_leaves_of_a_loss_have_names():
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(learned("taylor"))]

    assert paths == [".params['theta']", ".scale"]


def test_a_loss_is_shown_in_one_short_line():
    assert repr(load_loss("edl-robust")) == (
        "LearnedLoss(monotone, width 3, 10 classes, preset robust)"
    )
    assert repr(learned("concat")) == "LearnedLoss(concat, width 4, 4 classes)"


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
    with pytest.raises(EdlError, match=r"labels of shape .*: expected .* shape \(6, 4\)"):
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


def test_a_loaded_monotone_loss_is_the_one_that_was_saved(tmp_path):
    learned("monotone").save(tmp_path / "loss.npz")
    found = load_loss(tmp_path / "loss.npz")

    assert repr(found) == "LearnedLoss(monotone, width 4, 4 classes)"
    jax.tree.map(np.testing.assert_array_equal, found, learned("monotone"))


def test_an_unknown_name_is_refused_with_what_would_do():
    with pytest.raises(
        EdlError, match="loss no-such: expected one of edl-base, edl-robust, edl-base-1, "
    ):
        load_loss("no-such")
    with pytest.raises(
        EdlError, match=r"loss no-such: expected one of .*, edl-robust-1, cross_entropy, "
    ):
        resolve_loss("no-such")


def test_resolve_loss_takes_hand_made_losses_too(tmp_path):
    learned().save(tmp_path / "mine.npz")

    assert resolve_loss("brier") is LOSSES["brier"]
    assert resolve_loss(tmp_path / "mine.npz").spec == learned().spec
    assert resolve_loss(SHIPPED[0]).spec == load_loss(SHIPPED[0]).spec


def test_the_public_names_lead_here():
    assert edl_jax.load_loss is load_loss
    assert edl_jax.LOSSES is LOSSES
    assert edl_jax.LearnedLoss is LearnedLoss
    assert set(edl_jax.__all__) <= set(dir(edl_jax))
    with pytest.raises(AttributeError, match="No edl_jax attribute nonsense"):
        _ = edl_jax.nonsense


def test_a_shipped_name_is_not_shadowed_by_a_file_of_that_name(tmp_path, monkeypatch):
    learned(seed=5).save(tmp_path / SHIPPED[0])
    monkeypatch.chdir(tmp_path)

    assert load_loss(SHIPPED[0]).provenance != {}
    assert load_loss(tmp_path / SHIPPED[0]).provenance == {}


# --- freezing ----------------------------------------------------------------------------------


def test_a_frozen_loss_has_the_scale_of_its_network():
    """So that its own descent scale is 1."""
    base = load_loss("edl-base-1")
    frozen = make_learned_loss(base.spec, base.params, {"seed": 4})

    assert descent_scale(frozen) == pytest.approx(1.0, rel=1e-3)
    assert frozen.provenance == {"seed": 4}
    for name, array in base.params.items():
        np.testing.assert_array_equal(frozen.params[name], array)


def test_a_monotone_loss_keeps_its_own_scale():
    """It is scaled by construction, whatever the context of the pairs that a scale is found on."""
    loss = learned("monotone")

    assert make_learned_loss(loss.spec, loss.params).scale == 1


def test_every_label_takes_a_learned_loss():
    by_label = jax.jit(lambda: every_label(learned(), LOGITS))()

    np.testing.assert_allclose(by_label, all_labels(learned()), rtol=1e-5)


@every_network
@pytest.mark.parametrize("form", ["integer", "soft"])
def test_losses_lie_as_their_examples_do_on_an_explicit_mesh(name, form):
    examples = jax.sharding.PartitionSpec("examples")
    mesh = jax.make_mesh((1,), ("examples",), axis_types=(jax.sharding.AxisType.Explicit,))
    labels = jnp.arange(2) if form == "integer" else jnp.full((2, K), 1 / K)
    with jax.set_mesh(mesh):
        logits, labels = jax.device_put((jnp.zeros((2, K)), labels), examples)
        losses = learned(name)(logits, labels)

    assert losses.sharding.spec == examples


def test_every_listed_name_is_loaded():
    from edl_jax import list_losses, load_loss

    names = list_losses()
    assert {"edl-base", "edl-robust", "cross_entropy", "nce_agce"} <= set(names)
    assert len(set(names)) == len(names)
    for name in names:
        value = load_loss(name)(jnp.zeros(3), jnp.array(1))
        assert np.isfinite(float(value))
    assert load_loss("gce:q=0.3").name == "gce:q=0.3"
    with pytest.raises(EdlError, match="did you mean cross_entropy"):
        load_loss("cross-entropy")
