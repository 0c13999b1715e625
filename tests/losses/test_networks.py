"""Loss networks: invariance to relabelling, absent classes, and gradients that last."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax.errors import EdlError
from edl_jax.losses.base import Context
from edl_jax.losses.features import label_features, log_probs
from edl_jax.losses.networks import NetworkSpec, activation, make_network
from tests.losses import references

NAMES = ["symmetric", "deepset", "concat", "taylor", "monotone"]
FREE = ["symmetric", "deepset", "taylor", "monotone"]
# What monotone reads of a batch; tests/losses/test_context.py says what it is of itself.
CONTEXT = Context(0.4, 0.2, 0.3)
every_network = pytest.mark.parametrize("name", NAMES)
every_free_network = pytest.mark.parametrize("name", FREE)


@functools.partial(jax.jit, static_argnums=0)
def differentiate(apply, params, logits, labels):
    """Losses and the gradient of their sum; compiled once for each network and shape."""

    def total(logits):
        losses = apply(params, logits, labels, CONTEXT)
        return losses.sum(), losses

    gradient, losses = jax.grad(total, has_aux=True)(logits)
    return losses, gradient


@functools.cache
def made(name, num_classes):
    return make_network(name, 8, num_classes)


@functools.cache
def network(name, num_classes=10, width=8, seed=0):
    """The jitted network with random weights and biases: ``(logits, labels) -> losses``."""
    net = make_network(name, width, num_classes)
    return jax.jit(functools.partial(net.apply, random_params(net, seed), context=CONTEXT))


def random_params(net, seed=0):
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    # Larger than what init draws, and biases that are not zero, so that nothing hides behind 0.
    return {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in shapes.items()}


def batch(num_classes, size=32, seed=0, spread=4.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(size, num_classes)) * np.linspace(0.1, spread, size)[:, None]
    return logits.astype(np.float32), rng.integers(num_classes, size=size).astype(np.int32)


# --- the contract ------------------------------------------------------------------------------


@every_network
def test_losses_have_one_value_an_example(name):
    loss = network(name)
    logits, labels = batch(10, size=6)
    losses = loss(logits, labels)

    assert losses.shape == (6,)
    assert losses.dtype == jnp.float32
    # Leading axes are independent of each other.
    grouped = loss(logits.reshape(2, 3, -1), labels.reshape(2, 3))
    np.testing.assert_allclose(grouped, losses.reshape(2, 3), rtol=1e-5)
    np.testing.assert_allclose(loss(logits[1], labels[1]), losses[1], rtol=1e-5)
    assert np.unique(losses).size > 3


@pytest.mark.parametrize("name", [n for n in NAMES if n != "taylor"])  # a polynomial has any sign
@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=10, max_size=10),
    st.integers(0, 9),
    st.integers(0, 3),
)
def test_losses_are_never_negative(name, logits, label, seed):
    value = float(network(name, seed=seed)(jnp.array(logits), jnp.int32(label)))

    assert value >= 0
    assert np.isfinite(value)


@every_free_network
@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_relabelling_the_classes_changes_nothing(name, num_classes):
    logits, labels = batch(num_classes)
    order = np.random.default_rng(1).permutation(num_classes)
    if num_classes == 2:
        order = np.array([1, 0])
    loss = network(name)

    relabelled = loss(logits[:, order], np.argsort(order)[labels].astype(np.int32))
    np.testing.assert_allclose(relabelled, loss(logits, labels), rtol=1e-5)


def test_concat_is_not_invariant_to_relabelling():
    """What the other two have and this one lacks; it also shows that the test above can fail."""
    logits, labels = batch(10)
    shifted = network("concat")(np.roll(logits, 1, axis=1), (labels + 1) % 10)

    assert not np.allclose(shifted, network("concat")(logits, labels), rtol=1e-2)


@every_free_network
@pytest.mark.parametrize("num_classes", [2, 4])
def test_classes_of_logit_minus_infinity_are_as_if_dropped(name, num_classes):
    logits, labels = batch(num_classes, size=6)
    absent = np.full((6, 1), -np.inf, np.float32)
    widened = np.concatenate([absent, logits, absent], axis=1)
    apply, params = made(name, 4).apply, random_params(made(name, 4))

    losses, gradient = differentiate(apply, params, widened, labels + 1)
    expected, expected_gradient = differentiate(apply, params, logits, labels)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient[:, 1:-1], expected_gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(gradient[:, [0, -1]], 0.0)


@every_free_network
def test_a_constant_added_to_all_logits_changes_nothing(name):
    logits, labels = batch(10)

    shifted = network(name)(logits + 3.0, labels)
    np.testing.assert_allclose(shifted, network(name)(logits, labels), rtol=2e-5)


@pytest.mark.parametrize("num_classes", [2, 9, 11])
def test_concat_refuses_another_number_of_classes_than_it_was_made_for(num_classes):
    logits, labels = batch(num_classes)
    with pytest.raises(EdlError, match=f"evolved for 10 classes got {num_classes}"):
        network("concat")(logits, labels)


# --- gradients ---------------------------------------------------------------------------------


@every_network
def test_the_gradient_is_that_of_float64_differences(name):
    logits, labels = batch(4, size=6)
    net = made(name, 4)
    _, in_float32 = differentiate(net.apply, random_params(net), logits, labels)

    with jax.enable_x64(True):
        z = np.asarray(logits, np.float64)
        params = {k: np.asarray(v, np.float64) for k, v in random_params(net).items()}
        losses, gradient = differentiate(net.apply, params, z, labels)
        assert losses.dtype == jnp.float64
        step = 1e-6
        slopes = []
        for e in np.eye(4):
            above, _ = differentiate(net.apply, params, z + step * e, labels)
            below, _ = differentiate(net.apply, params, z - step * e, labels)
            slopes.append((np.asarray(above) - np.asarray(below)) / (2 * step))

    np.testing.assert_allclose(gradient, np.stack(slopes, axis=1), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(in_float32, gradient, rtol=1e-3, atol=1e-5)
    assert np.abs(gradient).max() > 1e-3


@every_network
def test_value_and_gradient_are_finite_for_logits_of_ten_thousand(name):
    extremes = [[1, -1, 0, 0], [-1, 1, 0, 0], [1, 1, -1, -1], [-1, -1, -1, -1], [1, 0, 0, 0]]
    logits = np.array([*extremes, [0, 0, 0, 0]], np.float32) * 1e4
    net = made(name, 4)
    for label in range(4):
        labels = np.full(6, label, np.int32)
        losses, gradient = differentiate(net.apply, random_params(net), logits, labels)
        assert np.isfinite(losses).all()
        assert np.isfinite(gradient).all()


@every_network
def test_the_gradient_survives_log_probabilities_that_are_computed_twice(name):
    """XLA may compute an operand anew in each fusion, each time rounded differently.

    Whether a log-probability *is* the largest one must then not be asked by comparing the two:
    no class would be, and the gradient of a maximum 0 / 0. Without optimisation it happens on a
    CPU; on a GPU the autotuner decides.
    """
    net = made(name, 4)
    candidates = [random_params(net, seed) for seed in range(8)]
    population = {k: np.stack([c[k] for c in candidates]) for k in candidates[0]}
    labels = np.zeros(16, np.int32)

    def gradients(key):
        logits = 2.0 * jax.random.normal(key, (16, 4))
        return logits, jax.vmap(
            lambda params: jax.grad(lambda z: net.apply(params, z, labels, CONTEXT).sum())(logits)
        )(population)

    compiled = jax.jit(gradients, compiler_options={"xla_backend_optimization_level": 0})
    logits, found = compiled(jax.random.key(0))
    for candidate, gradient in zip(candidates, found, strict=True):
        _, expected = differentiate(net.apply, candidate, logits, labels)
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_activation_is_x_over_the_root_of_1_plus_x_squared():
    x = np.array([-1e6, -30.0, -1.0, 0.0, 0.5, 20.0], np.float32)

    np.testing.assert_allclose(activation(x), x / np.sqrt(1 + x.astype(np.float64) ** 2), rtol=1e-6)


# --- features ----------------------------------------------------------------------------------


features_of = jax.jit(lambda logits, labels: label_features(log_probs(logits), labels))


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_label_features_are_those_of_a_plain_reference(num_classes):
    logits, labels = batch(num_classes)
    features = features_of(logits, labels)

    expected = [references.label_features(z, y) for z, y in zip(logits, labels, strict=True)]
    assert features.shape == (6, len(labels))
    np.testing.assert_allclose(features.T, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["symmetric", "deepset", "concat"])
def test_losses_are_those_of_a_plain_reference(name):
    params = random_params(made(name, 5))
    logits, labels = batch(5)

    expected = [
        references.network_loss(name, params, z, y) for z, y in zip(logits, labels, strict=True)
    ]
    found = jax.jit(made(name, 5).apply)(params, logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.ptp(expected) > 0.1 * np.max(expected)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_label_features_are_right_at_ties(label):
    logits = np.array([[2, 2, 0], [1, 1, 1], [2, 0, 0], [0, 2, 2], [0, 2, -3]], np.float32)
    features = features_of(logits, np.full(5, label, np.int32))

    expected = [references.label_features(z, label) for z in logits]
    np.testing.assert_allclose(features.T, expected, rtol=1e-5)


TIED = [[2, 2, 0, 0], [1, 1, 1, 1], [0, 0, 0, -3], [0, 2, 2, -1], [3, 1, 1, 1]]


@every_free_network
def test_classes_that_tie_are_pushed_alike(name):
    """An order of the classes is no reason to push one of two and not the other."""
    net = made(name, 4)
    logits = np.array(TIED, np.float32)
    for label in range(4):
        _, gradient = differentiate(
            net.apply, random_params(net), logits, np.full(len(TIED), label)
        )
        for row, pushed in zip(TIED, np.asarray(gradient), strict=True):
            for value in {row[k] for k in range(4) if k != label}:
                tied = [k for k in range(4) if row[k] == value and k != label]
                np.testing.assert_allclose(pushed[tied], pushed[tied].mean(), atol=1e-6)


@pytest.mark.parametrize("name", ["symmetric", "deepset", "concat"])
def test_nothing_changes_beyond_what_a_probability_resolves(name):
    far, farther = (1e2 * np.eye(3, dtype=np.float32), 1e4 * np.eye(3, dtype=np.float32))
    for label in range(3):
        labels = np.full(3, label)
        found = (network(name, 3)(logits, labels) for logits in (far, farther))
        np.testing.assert_allclose(*found, rtol=1e-6)


# --- parameters --------------------------------------------------------------------------------


@every_network
def test_a_vmapped_population_is_a_loop_over_its_candidates(name):
    net = made(name, 10)
    logits, labels = batch(10)
    candidates = [random_params(net, seed) for seed in range(3)]
    population = {k: np.stack([c[k] for c in candidates]) for k in candidates[0]}

    apply_all = jax.jit(jax.vmap(net.apply, in_axes=(0, None, None, None)))
    together = apply_all(population, logits, labels, CONTEXT)
    for i in range(3):
        alone = network(name, seed=i)(logits, labels)
        np.testing.assert_allclose(together[i], alone, rtol=1e-5)
    assert np.ptp(together[:, 0]) > 0


@pytest.mark.parametrize("name", ["symmetric", "deepset", "concat"])  # taylor has no layers
def test_initial_weights_are_scaled_by_their_fan_in_and_biases_are_zero(name):
    params = jax.jit(make_network(name, 64, 10).init)(jax.random.key(0))

    assert any(k.endswith("biases") for k in params)
    for key, value in params.items():
        assert value.dtype == jnp.float32
        if key.endswith("biases"):
            np.testing.assert_array_equal(value, 0.0)
        else:
            # 4 standard errors of a standard deviation.
            error = 4 / np.sqrt(2 * value.size)
            assert float(jnp.std(value)) * np.sqrt(value.shape[0]) == pytest.approx(1, abs=error)


@every_free_network
def test_the_parameters_do_not_depend_on_the_number_of_classes(name):
    few, many = (jax.eval_shape(make_network(name, 4, k).init, jax.random.key(0)) for k in (2, 99))

    assert few == many


def test_a_spec_is_hashable_and_survives_json():
    spec = NetworkSpec("deepset", 8, 3)
    again = NetworkSpec(**json.loads(json.dumps(dataclasses.asdict(spec))))

    assert again == spec
    assert hash(again) == hash(spec)
    shapes = jax.eval_shape(again.build().init, jax.random.key(0))
    assert shapes == jax.eval_shape(made("deepset", 3).init, jax.random.key(0))


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(EdlError, match="network mlp: expected one of symmetric, deepset, concat"):
        make_network("mlp", 4, 3)


def test_taylor_is_the_published_polynomial_less_what_does_not_depend_on_p():
    logits, labels = batch(5, size=6)
    net = made("taylor", 5)
    params = random_params(net)
    t = np.asarray(params["theta"], np.float64)
    p = np.exp(np.asarray(log_probs(logits), np.float64))

    x, y = np.eye(5)[labels] - t[0], p - t[1]
    f = t[2] * y + t[3] * y**2 / 2 + t[4] * y**3 / 6
    f += t[5] * x * y + t[6] * x * y**2 / 2 + t[7] * x**2 * y / 2
    np.testing.assert_allclose(net.apply(params, logits, labels), -f.sum(axis=1), rtol=1e-5)
