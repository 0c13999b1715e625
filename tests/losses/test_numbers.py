"""Every shipped loss, hand-made or learned: its numbers, against float64 and at the edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.losses.artifact import EARLIER
from edl_jax.losses.loading import resolve_loss
from tests.losses.examples import STATIC
from tests.losses.references import REFERENCES, handmade_loss, network_loss

NAMES = (*STATIC, *EARLIER)
every_loss = pytest.mark.parametrize("name", NAMES)
LOADED = {name: resolve_loss(name) for name in NAMES}
HALF = (jnp.float16, jnp.bfloat16)


# --- a float64 reference -----------------------------------------------------------------------


def at_label(name, z, label):
    """The loss of the present classes' logits ``z`` [K] at one of them."""
    if name in REFERENCES:
        return handmade_loss(name, z, label)
    loss = LOADED[name]
    return float(loss.scale) * network_loss(loss.spec.name, loss.params, z, label)


def reference(name, logits, labels, present):
    """Losses [n] of logits [n, K], integer labels [n] or soft ones [n, K], and a mask [n, K]."""
    soft = labels if labels.ndim == 2 else np.eye(logits.shape[-1])[labels]
    losses = np.zeros(len(logits))
    for i, (z, q, here) in enumerate(zip(logits.astype(np.float64), soft, present, strict=True)):
        kept = np.flatnonzero(here)
        losses[i] = sum(q[k] * at_label(name, z[kept], j) for j, k in enumerate(kept) if q[k])
    return losses


def test_every_shipped_loss_has_a_reference():
    for name in NAMES:
        assert name in REFERENCES or LOADED[name].spec.name in ("symmetric", "deepset")


@functools.partial(jax.jit, static_argnames=("names", "axis"))
def call(logits, labels, where, names=NAMES, axis=-1):
    """Losses of all names at once: compiling is what takes the time."""
    return {name: LOADED[name](logits, labels, axis=axis, where=where) for name in names}


@st.composite
def examples(draw):
    """Random logits [6, 5], labels, mask, and how they are given."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_classes = 5  # and, by the mask, any number down to none
    spread = draw(st.sampled_from([0.1, 1.0, 3.0]))
    # Down to p of 10**-6: below 10**-7 baikal is not what was published.
    logits = np.clip(rng.normal(size=(6, num_classes)) * spread, -6, 6)
    labels = rng.integers(num_classes, size=6)
    if draw(st.booleans()):
        labels = rng.dirichlet(np.ones(num_classes), size=6)
    present = rng.random((6, num_classes)) < draw(st.sampled_from([0.6, 1.0]))
    # How an absent class is told: by the mask, or by its logit.
    by_logit = draw(st.booleans())
    dtype = draw(st.sampled_from(["float16", "bfloat16", "float32", "float64"]))
    return logits, labels, present, by_logit, dtype, draw(st.sampled_from([-1, 0]))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(examples())
def test_random_examples_agree_with_float64(example):
    logits, labels, present, by_logit, dtype, axis = example
    with jax.enable_x64(dtype == "float64"):
        given_logits = jnp.asarray(logits, dtype)
        exact = np.asarray(given_logits.astype("float64" if dtype == "float64" else "float32"))
        absent = -jnp.inf if by_logit else 7.0
        given_logits = jnp.where(present, given_logits, jnp.asarray(absent, dtype))
        where = np.ones_like(present) if by_logit else present
        moved = [np.moveaxis(x, -1, axis) for x in (given_logits, where)]
        given_labels = np.moveaxis(labels, -1, axis) if labels.ndim == 2 else labels
        found = jax.device_get(call(moved[0], given_labels, moved[1], axis=axis))

    for name, losses in found.items():
        assert losses.dtype == ("float64" if dtype == "float64" else "float32")
        expected = reference(name, exact, labels, present)
        precise = dtype == "float64" and name in REFERENCES
        rtol, atol = (1e-9, 1e-9) if precise else (1e-4, 2e-5)
        # Baikal's 1 / p_y, and a network's steepest places, multiply float32's rounding.
        np.testing.assert_allclose(losses, expected, rtol=rtol, atol=atol, err_msg=name)


# --- edges -------------------------------------------------------------------------------------

INF, NAN = np.inf, np.nan
# Logits, label, and what the documentation says of it.
EDGES = {
    "usual": ([1, -0.5, 2, 0], 1, "positive"),
    "absent label": ([1, -INF, 2, 0], 1, "nothing"),
    "no class at all": ([-INF, -INF, -INF, -INF], 1, "nothing"),
    "p_y = 0": ([0, 200, 0, 0], 0, "positive"),
    "p_y = 0, and all but one other": ([0, 1e4, -1e4, 0], 0, "positive"),
    "p_y = 0, far out": ([0, 1e30, 0, 0], 0, "positive"),
    "p_y = 1": ([1e4, 0, 0, 0], 0, "finite"),
    "a tie": ([3, 3, 3, 3], 0, "positive"),
    "a lone class": ([-INF, 1, -INF, -INF], 1, "finite"),
    "label -1": ([1, -0.5, 2, 0], -1, "nan"),
    "label -K": ([1, -0.5, 2, 0], -4, "nan"),
    "label K": ([1, -0.5, 2, 0], 4, "nan"),
    "label 1000": ([1, -0.5, 2, 0], 1000, "nan"),
    "label -1 among absent classes": ([1, -INF, -INF, -INF], -1, "nan"),
    "logit NaN": ([1, -0.5, 2, NAN], 1, "nan"),
    "logit of the label NaN": ([1, NAN, 2, 0], 1, "nan"),
    "logit +inf": ([1, -0.5, 2, INF], 1, "nan"),
}
LOGITS = np.array([logits for logits, _, _ in EDGES.values()], np.float32)
LABELS = np.array([label for _, label, _ in EDGES.values()])


@functools.cache
def edges(one_hot=False, dtype=jnp.float32):
    """Losses and gradients of all names at all edges."""
    known = (LABELS >= 0) & (LABELS < 4)
    labels = np.eye(4, dtype=np.float32)[np.where(known, LABELS, 0)] if one_hot else LABELS

    @jax.jit
    def differentiate(logits):
        def total(z, name):
            losses = LOADED[name](z, labels)
            return losses.sum(), losses

        return {name: jax.grad(total, has_aux=True)(logits, name)[::-1] for name in NAMES}

    return differentiate(jnp.asarray(LOGITS).astype(dtype))


@every_loss
@pytest.mark.parametrize("one_hot", [False, True], ids=["integer", "one-hot"])
def test_every_edge_has_its_documented_result_and_spoils_no_other_example(name, one_hot):
    losses, gradients = edges(one_hot)[name]

    for (logits, label, expected), loss, gradient in zip(
        EDGES.values(), losses, gradients, strict=True
    ):
        if expected == "nan":
            in_range = 0 <= label < 4
            assert np.isnan(loss) or (one_hot and not in_range), (logits, label)
        else:
            assert np.isfinite(loss) and np.isfinite(gradient).all(), (logits, label)
            assert loss >= 0
        if expected == "positive":
            assert loss > 0
        if expected == "nothing":
            assert loss == 0 and np.all(gradient == 0), (logits, label)
        assert np.all(gradient[np.isneginf(logits)] == 0) or expected == "nan"


@every_loss
@pytest.mark.parametrize("dtype", HALF, ids=["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32_and_its_gradient_has_its_own_type(name, dtype):
    usual = slice(0, 1)  # exact in half precision
    losses, gradients = edges(dtype=dtype)[name]
    exact, exact_gradients = edges()[name]

    assert (losses.dtype, gradients.dtype) == (jnp.float32, dtype)
    np.testing.assert_allclose(losses[usual], exact[usual], rtol=1e-6)
    rounded = np.asarray(exact_gradients[usual].astype(dtype), np.float32)
    np.testing.assert_allclose(np.asarray(gradients[usual], np.float32), rounded, rtol=0.01)


def test_nothing_makes_a_nan_on_the_way():
    """Masked classes, absent labels, empty rows, certainty: no NaN that is then hidden."""
    sound = np.array([expected != "nan" for _, _, expected in EDGES.values()])
    logits, labels = LOGITS[sound], LABELS[sound]

    def total(z, name, given):
        return LOADED[name](z, given).sum()

    with jax.debug_nans(True):
        for name in NAMES:
            jax.grad(total)(logits, name, labels).block_until_ready()
        for name in ("cross_entropy", *EARLIER):
            jax.grad(total)(logits, name, np.eye(4, dtype=np.float32)[labels]).block_until_ready()
