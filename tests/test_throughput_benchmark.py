"""The benchmark of throughput: that all implementations do the same work, and its bookkeeping."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from benchmarks import numpy_search, searches
from edl_jax.networks import make_network
from edl_jax.synthetic import sample_pairs

# EvoTorch's, on import.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
TINY = replace(searches.PROBLEM, population_size=8, batch_size=256, width=4)


def search(name, config=TINY):
    if searches.missing(name):
        pytest.skip(f"needs {searches.missing(name)}")
    return searches.SEARCHES[name](config)


def test_every_implementation_gives_the_same_fitness_of_the_same_parameters_and_pairs():
    network = make_network(TINY.network, TINY.width, TINY.num_classes)
    population = jax.vmap(network.init)(jax.random.split(jax.random.key(1), TINY.population_size))
    # Biases that are not 0, and a candidate whose scale has drifted: the guard counts.
    population = {name: np.asarray(x) + 0.1 for name, x in population.items()}
    population["mlp/2/weights"][0] *= 1e-3
    pairs = jax.device_get(sample_pairs(jax.random.key(2), TINY.mixture, TINY.batch_size, 10))
    expected = search("edl_jax").fitness(population, pairs.logits, pairs.labels)

    assert expected.shape == (TINY.population_size,)
    assert len(set(np.round(expected, 3))) == TINY.population_size
    for name in searches.SEARCHES:
        if not searches.missing(name):
            found = search(name).fitness(population, pairs.logits, pairs.labels)
            np.testing.assert_allclose(found, expected, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("name", ["numpy", "evotorch"])
def test_every_implementation_draws_the_same_mixture(name):
    """Each component by itself: means and spreads of logits and log-probabilities."""
    config = replace(TINY, batch_size=60_000)
    sample = sample_pairs(jax.random.key(0), config.mixture, config.batch_size, 10)
    if name == "numpy":
        found = numpy_search.sample_pairs(np.random.default_rng(0), config)
    else:
        pytest.importorskip("evotorch")
        from benchmarks import evotorch_search

        found = [tensor.numpy() for tensor in evotorch_search.sample_pairs(config)]
    unshuffled = np.argsort(numpy_search.shuffled(config.batch_size))
    for component, part in numpy_search.component_slices(config):
        rows = unshuffled[part]
        np.testing.assert_allclose(
            moments(*(array[rows] for array in found)),
            moments(np.asarray(sample.logits)[rows], np.asarray(sample.labels)[rows]),
            rtol=0.05,
            atol=0.05,
            err_msg=component,
        )


def moments(logits, labels):
    rows = np.arange(len(labels))
    log_p = numpy_search.log_softmax(logits)
    of_label, rest = log_p[rows, labels], log_p.copy()
    rest[rows, labels] = -np.inf
    values = [logits, of_label, rest.max(axis=1), np.sort(log_p, axis=1)[:, -2], labels / 10]
    return np.array([f(value) for value in values for f in (np.mean, np.std)])


@pytest.mark.parametrize("name", searches.SEARCHES)
def test_every_implementation_goes_on(name):
    found = search(name)
    found.run(2 * found.chunk)
