"""Protects the noise put on labels: its rates, what it replaces by what, and bad matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import EdlError, OptionError
from edl_jax.training.config import NOISE_KINDS
from edl_jax.training.noise import (
    asymmetric_noise,
    check_matrix,
    instance_noise,
    matrix_noise,
    noisy_labels,
    read_matrix,
    symmetric_noise,
)

SIZE = 20_000
MATRIX = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
INPUTS = np.random.default_rng(0).normal(size=(4000, 3, 5)).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0, 1), st.sampled_from([2, 10, 100]))
def test_noise_rates_are_the_expected_ones(seed, rate, num_classes):
    """Five standard deviations of a binomial: a false alarm in a million."""
    key = jax.random.key(seed)
    labels = jnp.arange(SIZE) % num_classes
    wrong_share = {
        symmetric_noise: rate * (num_classes - 1) / num_classes,
        asymmetric_noise: rate,
    }
    for noise, expected in wrong_share.items():
        noisy = noise(key, labels, rate, num_classes)
        assert noisy.dtype == jnp.int32 and noisy.shape == labels.shape
        assert int(noisy.min()) >= 0 and int(noisy.max()) < num_classes
        tolerance = 5 * np.sqrt(expected * (1 - expected) / SIZE) + 1e-6
        assert abs(float(jnp.mean(noisy != labels)) - expected) <= tolerance
    changed = noisy != labels
    assert bool(jnp.all(noisy[changed] == (labels[changed] + 1) % num_classes))


def test_symmetric_noise_draws_every_class_alike():
    noisy = symmetric_noise(jax.random.key(0), jnp.zeros(SIZE, jnp.int32), 1.0, 10)
    counts = np.bincount(np.asarray(noisy), minlength=10)
    assert np.all(np.abs(counts - SIZE / 10) < 5 * np.sqrt(SIZE * 0.1 * 0.9))


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_a_matrix_says_what_replaces_each_class(rate):
    labels = np.arange(SIZE) % 3
    noisy = np.asarray(matrix_noise(jax.random.key(0), labels, rate, MATRIX))
    for label, row in enumerate(MATRIX):
        own = noisy[labels == label]
        expected = (1 - rate) * np.eye(3)[label] + rate * row
        found = np.bincount(own, minlength=3) / len(own)
        assert np.all(np.abs(found - expected) <= 5 * np.sqrt(0.25 / len(own)) * (expected > 0))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.95])
def test_instance_noise_has_its_rate_and_always_errs(rate):
    labels = np.arange(len(INPUTS)) % 5
    noisy = np.asarray(instance_noise(jax.random.key(1), labels, rate, 5, INPUTS))
    assert noisy.dtype == np.int32 and noisy.min() >= 0 and noisy.max() < 5
    tolerance = 5 * np.sqrt(rate * (1 - rate) / len(labels))
    assert abs(np.mean(noisy != labels) - rate) <= tolerance
    all_wrong = np.asarray(instance_noise(jax.random.key(2), labels, 1.0, 5, INPUTS))
    assert np.all(all_wrong != labels)


def test_the_poor_labeller_judges_an_example_by_itself():
    """Alike for alike examples, whatever lies beside them, and however bright they are."""
    labels = np.zeros(len(INPUTS), np.int32)
    keys = jax.random.split(jax.random.key(0))
    one, other = (np.asarray(instance_noise(key, labels, 1.0, 10, 4 * INPUTS)) for key in keys)
    # 15 numbers leave the labeller little doubt: two draws agree far more often than by chance.
    assert np.mean(one == other) > 0.5
    few = np.asarray(instance_noise(keys[0], labels, 1.0, 10, INPUTS + 7))
    assert np.mean(one == few) > 0.99
    shares = np.bincount(one, minlength=10) / len(one)
    assert shares[0] == 0 and np.max(shares) < 0.5


NOISES = {
    "symmetric": lambda *of: symmetric_noise(*of, 5),
    "asymmetric": lambda *of: asymmetric_noise(*of, 5),
    "instance": lambda *of: instance_noise(*of, 5, INPUTS),
    "matrix": lambda *of: matrix_noise(*of, np.roll(np.eye(5), 1, axis=1)),
}


@pytest.mark.parametrize("kind", NOISES)
def test_less_noise_is_a_part_of_more_noise(kind):
    """So two noise levels of one seed differ in the added noise alone."""
    labels = jnp.arange(len(INPUTS)) % 5
    none, less, more = (NOISES[kind](jax.random.key(3), labels, rate) for rate in (0.0, 0.2, 0.5))
    assert bool(jnp.all(none == labels))
    touched = less != labels
    assert bool(jnp.all(jnp.where(touched, less == more, True)))
    assert int(jnp.sum(touched)) < int(jnp.sum(more != labels))


def test_the_command_line_offers_every_kind_of_noise():
    assert {*NOISE_KINDS, "matrix"} == set(NOISES)
    for kind in NOISE_KINDS:
        noisy = noisy_labels(jax.random.key(0), INPUTS, np.zeros(len(INPUTS)), 0.5, kind, 5)
        assert noisy.any()


# --- matrices ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_a_matrix_is_read_from_a_file(tmp_path, suffix):
    path = tmp_path / f"matrix{suffix}"
    if suffix == ".npy":
        np.save(path, MATRIX)
    else:
        np.savetxt(path, MATRIX, delimiter=", ", footer="\n", comments="")
    np.testing.assert_array_equal(read_matrix(path), MATRIX)


@pytest.mark.parametrize(
    ("matrix", "line"),
    [
        ([[0.5, 0.5]], "of shape [1, 2]: expected [classes, classes]"),
        ([0.5, 0.5], "of shape [2]"),
        ([[1.0]], "of shape [1, 1]"),
        ([[0.5, 0.5], [0.5]], "expected numbers [classes, classes]"),
        ([["a", "b"], ["c", "d"]], "expected numbers"),
        ([[1.5, -0.5], [0, 1]], "holds -0.5: expected probabilities"),
        ([[float("nan"), 1], [0, 1]], "holds nan: expected probabilities"),
        ([[0.5, 0.5], [0.5, 0.6]], "row 1 sums to 1.1: expected probabilities, which sum to 1"),
    ],
)
def test_what_is_no_matrix_of_noise_is_refused_in_one_line(matrix, line):
    with pytest.raises(EdlError) as caught:
        check_matrix(matrix)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_holds_none_is_named(tmp_path):
    path = tmp_path / "mine.csv"
    with pytest.raises(EdlError, match=r"cannot read .*mine\.csv"):
        read_matrix(path)
    for content in ("", "a,b\nc,d\n", "1,0\n0\n"):
        path.write_text(content)
        with pytest.raises(EdlError, match=r"mine\.csv"):
            read_matrix(path)
    (tmp_path / "mine.npy").write_bytes(b"no array")
    with pytest.raises(EdlError, match=r"mine\.npy"):
        read_matrix(tmp_path / "mine.npy")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"kind": "pink"}, OptionError), ({"rate": 1.5}, OptionError), ({"kind": MATRIX}, EdlError)],
)
def test_wrong_noise_is_refused(wrong, error):
    given = {"rate": 0.5, "kind": "symmetric", **wrong}
    with pytest.raises(error):
        noisy_labels(jax.random.key(0), INPUTS, np.zeros(len(INPUTS)), num_classes=5, **given)
