"""Synthetic tasks: their shapes, what varies from one to the next, which labels are wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax import config
from edl_jax.objective.tasks import REGIMES, Regime, sample_task

SMALL = Regime(num_steps=10, num_train=1500, num_classes=5)


def drawn(regime, seed=0):
    return jax.jit(sample_task, static_argnums=1)(jax.random.key(seed), regime)


def clean_and_noisy(regime):
    """The same task twice, told truly and with wrong labels; the keys do not depend on the rate."""
    return drawn(dataclasses.replace(regime, label_noise=0.0)), drawn(regime)


def test_the_names_that_options_take_are_those_of_the_regimes():
    assert set(config.REGIMES) == set(REGIMES)
    assert len(config.REGIMES) == len(REGIMES)


@pytest.mark.parametrize("name", REGIMES)
def test_a_task_has_the_shapes_of_its_regime_and_all_its_classes(name):
    regime = dataclasses.replace(REGIMES[name], num_train=4096)
    task = drawn(regime)

    assert task.inputs.shape == (4096, regime.num_inputs)
    assert task.test_inputs.shape == (512, regime.num_inputs)
    assert task.given.dtype == task.test_labels.dtype == jnp.int32
    assert set(np.unique(task.given)) == set(range(regime.num_classes))
    assert 0.5 < float(jnp.std(task.inputs)) < 1.5 * np.exp(regime.unevenness**2)


def test_tasks_differ_in_how_far_apart_classes_lie():
    def separation(seed):
        task = drawn(SMALL, seed)
        means = [task.inputs[task.given == k].mean(0) for k in range(5)]
        return float(np.std(means))

    assert len({round(separation(seed), 3) for seed in range(4)}) == 4


def test_in_an_uneven_task_some_clusters_lie_far_out_and_others_in_the_middle():
    """The largest distance of an example from the middle is many times the median one."""

    def ratio(unevenness):
        regime = Regime(1, num_clusters=8, num_train=4096, unevenness=unevenness)
        distances = jnp.linalg.norm(sample_task(jax.random.key(3), regime).inputs, axis=1)
        return float(jnp.max(distances) / jnp.median(distances))

    assert ratio(0.0) < 2.5
    assert ratio(1.5) > 6


@pytest.mark.parametrize("kind", ["symmetric", "class", "instance"])
def test_a_quarter_more_or_less_of_the_mean_rate_is_replaced(kind):
    regime = dataclasses.replace(SMALL, label_noise=0.4, noise_kind=kind)
    true, noisy = clean_and_noisy(regime)
    rate = float(jnp.mean(true.given != noisy.given))
    # A random class is the old one for one in five.
    rate /= 0.8 if kind == "symmetric" else 1.0

    assert 0.25 < rate < 0.55
    np.testing.assert_array_equal(true.test_labels, noisy.test_labels)


def test_noise_by_class_takes_the_next_class_and_symmetric_noise_any():
    regime = dataclasses.replace(SMALL, label_noise=0.4, noise_kind="class")
    true, noisy = clean_and_noisy(regime)
    wrong = true.given != noisy.given
    np.testing.assert_array_equal(noisy.given[wrong], (true.given[wrong] + 1) % 5)

    true, noisy = clean_and_noisy(dataclasses.replace(SMALL, label_noise=0.4))
    wrong = true.given != noisy.given
    steps = np.bincount((noisy.given - true.given)[wrong] % 5, minlength=5)
    assert steps[0] == 0 and steps[1:].min() > 0.5 * steps[1:].max()


def test_noise_by_instance_hits_the_examples_that_lie_close_to_another_class():
    regime = dataclasses.replace(SMALL, label_noise=0.3, noise_kind="instance", num_inputs=2)
    true, noisy = clean_and_noisy(regime)
    wrong = np.asarray(true.given != noisy.given)
    means = np.stack([true.inputs[true.given == k].mean(0) for k in range(5)])
    distance = np.linalg.norm(np.asarray(true.inputs)[:, None] - means, axis=-1)
    own = np.take_along_axis(distance, np.asarray(true.given)[:, None], 1)[:, 0]
    margin = np.sort(distance, axis=1)[:, 0] - own  # 0 where the own class's mean is nearest

    assert margin[wrong].mean() < margin[~wrong].mean()


def test_classes_are_as_unequal_as_the_regime_says_at_most():
    equal = np.bincount(drawn(SMALL).given)
    unequal = np.bincount(drawn(dataclasses.replace(SMALL, imbalance=6.0), seed=3).given)

    assert equal.min() > 0.7 * equal.max()
    assert unequal[-1] < 0.5 * unequal[0]
