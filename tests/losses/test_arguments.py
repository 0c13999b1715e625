"""What all losses are called with: labels of any dtype and value, masks and axes as optax has them.

Each test goes over the hand-made losses, the shipped ones, and one of each network.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import EdlError
from edl_jax.losses.arguments import called_with, read_examples
from edl_jax.losses.artifact import SHIPPED
from edl_jax.losses.base import Context
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.loading import load_loss
from edl_jax.losses.networks import NetworkSpec

NETWORKS = ("symmetric", "deepset", "concat", "taylor", "monotone")
NAMES = (*LOSSES, *SHIPPED, *NETWORKS)
K = 6
# Where losses of other examples are compared: how far training has come is then the same.
CONTEXT = Context(0.4, 0.2, 0.3)
INTEGERS = ("int4", "uint4", "int8", "uint8", "int16", "uint16", "int32", "uint32")
every_loss = pytest.mark.parametrize("name", NAMES)


@functools.cache
@jax.ensure_compile_time_eval()  # a loss that is first asked for in a traced function is kept too
def loss_called(name, num_classes=K):
    """A loss by its name; one of a network has random weights."""
    if name in LOSSES:
        return LOSSES[name]
    if name in SHIPPED:
        return load_loss(name)
    spec = NetworkSpec(name, 4, num_classes)
    shapes = jax.eval_shape(spec.build().init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in shapes.items()}
    return LearnedLoss(params, jnp.float32(0.7), spec)


@functools.partial(jax.jit, static_argnames="names")
def values(logits, labels, where=None, names=NAMES):
    """Losses of all names at once: compiling is what takes the time."""
    losses = (loss_called(name, logits.shape[-1]) for name in names)
    return {n: loss(logits, labels, where=where) for n, loss in zip(names, losses, strict=True)}


# --- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*INTEGERS, "int64", "uint64"])
@pytest.mark.parametrize("num_classes", [2, 7, 8, 16, 127, 128, 255, 256, 257, 65_536, 65_537])
def test_labels_of_any_integer_dtype_mean_themselves_with_any_number_of_classes(dtype, num_classes):
    with jax.enable_x64(dtype.endswith("64")):
        limits = jnp.iinfo(dtype)
        given = {0, 1, num_classes - 1, num_classes, int(limits.max), int(limits.min), -1}
        given = sorted(label for label in given if limits.min <= label <= limits.max)
        labels = jnp.asarray(given, dtype)
        examples = read_examples(called_with(jnp.zeros((len(given), num_classes)), labels))

    expected = [0 <= label < num_classes for label in given]
    assert examples.valid.tolist() == expected
    ids = [label if known else 0 for label, known in zip(given, expected, strict=True)]
    assert examples.ids.tolist() == ids


@pytest.mark.parametrize(("dtype", "num_classes"), [("uint8", 256), ("int8", 200)])
def test_every_loss_takes_narrow_labels_of_many_classes(dtype, num_classes):
    logits = np.random.default_rng(0).normal(size=(3, num_classes)).astype(np.float32)
    labels = np.array([0, 5, np.iinfo(dtype).max])
    expected = values(logits, labels)

    for name, found in values(logits, labels.astype(dtype)).items():
        assert np.isfinite(found).all(), name
        np.testing.assert_array_equal(found, expected[name], err_msg=name)


# A row of each kind: sound, ignored by 255 and by -1, its label absent, no class at all.
ROWS = np.array([3, 255, -1, 2, -1])
MASK = np.ones((5, K), bool)
MASK[3, 2], MASK[4] = False, False
LOGITS = np.random.default_rng(1).normal(size=(5, K)).astype(np.float32)


@functools.cache
def ignoring():
    """Losses of the rows, the gradient of their sum, and that of the sum without what is 255."""

    def differentiate(logits, loss):
        def total(z):
            losses = loss(z, ROWS, where=MASK, context=CONTEXT)
            return losses.sum(), losses

        def kept(z):
            return jnp.where(ROWS == 255, 0, loss(z, ROWS, context=CONTEXT)).at[2].set(0).sum()

        gradient, losses = jax.grad(total, has_aux=True)(logits)
        return losses, gradient, jax.grad(kept)(logits)

    every = jax.jit(lambda logits: {n: differentiate(logits, loss_called(n)) for n in NAMES})
    return jax.device_get(every(LOGITS))


@every_loss
def test_a_label_out_of_range_gives_nan_and_a_gradient_of_0_there_alone(name):
    losses, gradient, _ = ignoring()[name]

    assert np.isnan(losses).tolist() == [False, True, True, False, False]
    np.testing.assert_array_equal(losses[3:], 0)  # an absent label, and no class: whatever label
    np.testing.assert_array_equal(gradient[1:], 0)
    assert np.isfinite(gradient).all()
    assert np.any(gradient[0] != 0)


@every_loss
def test_ignored_examples_leave_the_gradient_of_the_others_finite(name):
    _, gradient, ignored = ignoring()[name]

    assert np.isfinite(ignored).all()
    np.testing.assert_array_equal(ignored[1:3], 0)
    np.testing.assert_allclose(ignored[0], gradient[0], rtol=1e-5, atol=1e-7)


@functools.cache
def soft_slopes():
    """Gradients with respect to soft labels, some of them 0, and the loss at each class."""
    soft = np.eye(K, dtype=np.float32)[[3, 1, 0, 0, 5]]

    def differentiate(loss):
        one = functools.partial(loss, LOGITS, where=MASK, context=CONTEXT)
        return jax.grad(lambda q: one(q).sum())(soft), [one(jnp.full(5, k)) for k in range(K)]

    every = jax.jit(lambda: {n: differentiate(loss_called(n)) for n in (*SHIPPED, *NETWORKS)})
    return jax.device_get(every())


@pytest.mark.parametrize("name", [*SHIPPED, *NETWORKS])
def test_the_gradient_of_a_soft_label_is_the_loss_at_its_class_also_where_it_weighs_nothing(name):
    gradient, by_label = soft_slopes()[name]

    np.testing.assert_allclose(gradient, np.stack(by_label, -1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(gradient[~MASK], 0)
    assert np.all(gradient[MASK] != 0)


@pytest.mark.parametrize("place", [0, 3])
def test_an_infinite_logit_is_nan_wherever_it_stands(place):
    logits = np.zeros((2, K), np.float32)
    logits[0, place] = np.inf

    for name, losses in values(logits, np.array([3, 3])).items():
        assert np.isnan(losses).tolist() == [True, False], name


@pytest.mark.parametrize("logits_dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("labels_dtype", ["uint8", "int64", "bool", "float16", "float64"])
def test_the_dtype_of_the_result_is_float32_or_float64_with_the_logits(logits_dtype, labels_dtype):
    with jax.enable_x64(True):
        shape = (2,) if labels_dtype in ("uint8", "int64") else (2, K)
        logits = jax.ShapeDtypeStruct((2, K), logits_dtype)
        found = jax.eval_shape(values, logits, jax.ShapeDtypeStruct(shape, labels_dtype))

    expected = "float64" if logits_dtype == "float64" else "float32"
    assert {name: str(losses.dtype) for name, losses in found.items()} == dict.fromkeys(
        NAMES, expected
    )


@pytest.mark.parametrize("dtype", ["int8", "int32", "float32"])
def test_every_loss_passes_jaxs_strict_modes(dtype):
    labels = jnp.eye(K, dtype=dtype)[:5] if dtype == "float32" else jnp.arange(5, dtype=dtype)

    def total(logits):
        losses = [loss_called(name)(logits, labels, where=MASK) for name in NAMES]
        return sum(of_loss.sum() for of_loss in losses)

    for logits_dtype in ("float16", "float32"):
        logits = jax.ShapeDtypeStruct((5, K), logits_dtype)
        with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
            assert jax.eval_shape(jax.grad(total), logits).dtype == logits_dtype


# --- masks and axes ----------------------------------------------------------------------------


def test_a_mask_of_the_batchs_shape_is_one_of_examples():
    """With as many examples as classes nothing but the rule tells the two apart."""
    logits, labels = LOGITS[:4, :4], np.arange(4)
    where = np.array([True, True, False, True])
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels, where=where)

    np.testing.assert_allclose(
        LOSSES["cross_entropy"](logits, labels, where=where), expected, rtol=1e-6
    )
    for name in ("edl-base", "taylor", "brier"):
        losses = loss_called(name)(logits, labels, where=where)
        assert (losses[2], np.count_nonzero(losses)) == (0, 3)


@pytest.mark.parametrize("shape", [(3,), (3, 3), (2, 3, 4)])
def test_masks_of_exactly_optaxs_shapes_are_taken(shape):
    """Shapes alone: what both of optax's functions take is taken, what neither takes is refused."""

    def taken(loss, where, labels_shape, axis, dtype):
        given = [jax.ShapeDtypeStruct(*of) for of in ((shape, "float32"), (labels_shape, dtype))]
        try:
            return jax.eval_shape(functools.partial(loss, axis=axis), *given, where=where).shape
        except (ValueError, TypeError, AssertionError, EdlError) as error:
            assert loss is not LOSSES["cross_entropy"] or isinstance(error, EdlError)
            return None

    masks = {s for n in range(4) for s in itertools.product((1, 2, 3, 4), repeat=n)}
    axes = [-1, 0] if len(shape) < 3 else [-1, 1, (1, 2), (2, 0)]
    for axis, mask in itertools.product(axes, sorted(masks)):
        where = np.ones(mask, bool)
        of_classes = np.array(axis if isinstance(axis, tuple) else (axis,)) % len(shape)
        ids = tuple(size for i, size in enumerate(shape) if i not in of_classes)
        integer = taken(optax.softmax_cross_entropy_with_integer_labels, where, ids, axis, "int32")
        soft = taken(optax.softmax_cross_entropy, where, shape, axis, "float32")
        for labels_shape, dtype in ((ids, "int32"), (shape, "float32")):
            found = taken(LOSSES["cross_entropy"], where, labels_shape, axis, dtype)
            if found is None:
                assert integer != ids or soft != ids, (axis, mask)
            else:
                assert found == ids
                assert ids in (integer, soft), (axis, mask)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"where": np.ones(3, bool)}, r"where of shape \(3,\): expected \(2, 3\), or \(2,\)"),
        ({"where": np.ones((2, 2), bool)}, r"where of shape \(2, 2\)"),
        ({"where": np.ones((1, 2, 3), bool)}, r"where of shape \(1, 2, 3\)"),
        ({"axis": 2}, r"axis 2: expected one axis, or a tuple of axes, of logits \(2, 3\)"),
        ({"axis": (1, -1)}, r"axis \(1, -1\)"),
        ({"axis": ()}, r"axis \(\)"),
        ({"axis": "1"}, "axis 1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["cross_entropy", "edl-base"])
def test_a_mask_or_axis_that_does_not_fit_is_refused_in_one_line(name, wrong, message):
    with pytest.raises(EdlError, match=message) as error:
        loss_called(name)(jnp.zeros((2, 3)), jnp.zeros(2, int), **wrong)
    assert "\n" not in str(error.value)


# --- any arguments -----------------------------------------------------------------------------

# Shapes of logits, and where their K classes lie.
LAYOUTS = [
    ((6,), -1),
    ((4, 6), -1),
    ((6, 4), 0),
    ((2, 6, 3), -2),
    ((2, 4, 3), (2, 0)),
    ((2, 3), None),
]


@st.composite
def calls(draw):
    """Logits, labels, a mask, axes; and logits, labels and mask again with the classes last."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, axis = draw(st.sampled_from(LAYOUTS))
    axes = (
        tuple(range(len(shape))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    )
    axes = tuple(i % len(shape) for i in axes)
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    batch = tuple(shape[i] for i in rest)

    def last(x):
        return np.transpose(x, (*rest, *axes)).reshape(*batch, K)

    logits = np.clip(rng.normal(size=shape) * draw(st.sampled_from([0.1, 1.0, 3.0])), -6, 6)
    logits = np.asarray(jnp.asarray(logits, draw(st.sampled_from(["float16", "float32"]))))
    if draw(st.booleans()):
        labels = rng.integers(K, size=batch)
        dtype = draw(st.sampled_from(["int8", "uint8", "int32"]))
        if draw(st.booleans()):
            out_of_range = 100 if dtype == "uint8" else -1
            labels = np.where(rng.random(batch) < 0.3, out_of_range, labels)
        labels = labels_last = np.asarray(labels, dtype)
    else:
        labels = rng.random(shape).astype(draw(st.sampled_from(["float16", "float32"])))
        labels_last = last(labels)
    kind = draw(st.sampled_from(["none", "examples", "classes", "broadcast"]))
    where_shape = {"none": (), "examples": batch, "classes": shape, "broadcast": (1, *shape[1:])}
    where = rng.random(where_shape[kind]) < 0.7
    full = np.expand_dims(where, axes) if kind == "examples" else where
    present = last(np.broadcast_to(full | (kind == "none"), shape))
    return (logits, labels, None if kind == "none" else where, axis), (
        last(logits),
        labels_last,
        present,
    )


@functools.partial(jax.jit, static_argnames=("name", "axis"))
def call(name, logits, labels, where, axis=-1):
    return loss_called(name)(logits, labels, axis=axis, where=where)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(calls())
def test_cross_entropy_is_optaxs_for_any_arguments(example):
    (logits, labels, where, axis), (_, _, present) = example
    found = call("cross_entropy", logits, labels, where, axis)

    exact = jnp.asarray(logits.astype(np.float32))
    # Optax takes no mask of no axes beside None, and broadcasts none over several axes.
    axes = tuple(range(logits.ndim)) if axis is None else axis
    if where is not None and where.ndim == logits.ndim:
        where = np.broadcast_to(where, logits.shape)
    if labels.dtype.kind == "f":
        soft = labels.astype(np.float32)
        expected = optax.softmax_cross_entropy(exact, soft, axes, where)
    else:
        valid = (labels >= 0) & (labels < K)
        safe = jnp.where(valid, labels.astype(np.int32), 0)
        integer = optax.softmax_cross_entropy_with_integer_labels
        expected = integer(exact, safe, axes, None if where is None else jnp.asarray(where))
        expected = np.where(valid | ~present.any(-1), expected, np.nan)
        # An absent label costs nothing here; optax's value for it has no meaning.
        here = np.take_along_axis(present, np.asarray(safe)[..., None], -1)[..., 0]
        expected = np.where(valid & ~here, 0, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.sampled_from(NAMES), calls())
def test_every_loss_is_its_own_float64_value_for_any_arguments(name, example):
    given_arguments, (logits, labels, present) = example
    logits_given, labels_given, where, axis = given_arguments
    found = call(name, logits_given, labels_given, where, axis)

    assert found.dtype == jnp.float32
    with jax.enable_x64(True):
        exact = jnp.asarray(logits.astype(np.float64))
        soft = labels.dtype.kind == "f"
        wide = labels.astype(np.float64 if soft else np.int64)
        expected = call(name, exact, wide, present)
        assert expected.dtype == jnp.float64
        np.testing.assert_allclose(found, np.asarray(expected), rtol=2e-4, atol=5e-5)
