"""The pretraining problem of :mod:`benchmarks.throughput.problem` in plain NumPy, all float32.

Candidate by candidate: each one's activations then fit into the cache. The formulas are those of
``edl_jax.losses.networks``, ``edl_jax.objective.synthetic`` and ``edl_jax.objective.terms``; a test
holds the fitness against theirs.
"""

import numpy as np

from benchmarks.throughput.problem import Search, layout, shape_components, shuffled, unflatten
from edl_jax.config import EvolutionConfig
from edl_jax.losses.features import LOG_RESOLUTION, LOG_SCALE
from edl_jax.objective.fitness import SCALE_GUARD_WEIGHT
from edl_jax.objective.ranking import NUM_PARTNERS


def sample_pairs(
    rng: np.random.Generator, config: EvolutionConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``[batch_size, num_classes]`` and labels ``[batch_size]`` of the mixture."""
    size, num_classes = config.batch_size, config.num_classes
    labels = rng.integers(num_classes, size=size)
    others = (labels + rng.integers(1, num_classes, size=size)) % num_classes
    lead = rng.random(size, np.float32)
    logits = rng.standard_normal((size, num_classes), np.float32)
    shape_components(
        config,
        logits,
        np.arange(size),
        labels,
        others,
        lead,
        normal=lambda count: rng.standard_normal(count, np.float32),
        log_exponential=lambda shape: np.log(rng.standard_exponential(shape, np.float32)),
    )
    order = shuffled(size)
    return logits[order], labels[order]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities, exact also where p is near 1."""
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    shifted = logits - logits[rows, top][:, None]
    exponentials = np.exp(shifted)
    exponentials[rows, top] = 0.0
    return shifted - np.log1p(exponentials.sum(axis=1))[:, None]


def features(log_p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The six features of a prediction and its label, ``[batch_size, 6]``."""
    rows, top = np.arange(len(log_p)), log_p.argmax(axis=1)
    p, log_p_y = np.exp(log_p), log_p[rows, labels]
    without_top = log_p.copy()
    without_top[rows, top] = -np.inf
    log_other = np.where(labels == top, without_top.max(axis=1), log_p[rows, top])
    return np.stack(
        [
            np.exp(log_p_y),
            np.exp(log_other),
            np.maximum(log_p_y, LOG_RESOLUTION) / LOG_SCALE,
            np.maximum(log_other, LOG_RESOLUTION) / LOG_SCALE,
            -(p * log_p).sum(axis=1),
            (p * p).sum(axis=1),
        ],
        axis=1,
    )


def activation(x: np.ndarray) -> np.ndarray:
    """x / sqrt(1 + x**2)."""
    return x / np.sqrt(1 + x * x)


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)), also where exp(x) overflows."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def losses(candidate: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """One candidate's loss of each pair, from the features."""
    x = activation(x @ candidate["mlp/0/weights"] + candidate["mlp/0/biases"])
    x = activation(x @ candidate["mlp/1/weights"] + candidate["mlp/1/biases"])
    return softplus((x @ candidate["mlp/2/weights"] + candidate["mlp/2/biases"])[:, 0])


def ranking(of_pairs: np.ndarray, severity: np.ndarray, margin: float) -> float:
    """Soft ranking inconsistency, and the guard of the scale."""
    spread = of_pairs.std()
    standard = (of_pairs - of_pairs.mean()) / (spread + 1e-12)
    penalty = 0.0
    for shift in range(1, NUM_PARTNERS + 1):
        order = np.sign(severity - np.roll(severity, shift))
        hinge = np.maximum(0, 1 - order * (standard - np.roll(standard, shift)) / margin)
        penalty += (hinge * np.abs(order)).sum() / max(np.abs(order).sum(), 1)
    drift = abs(np.log((spread + 1e-12) / severity.std()))
    guard = max(0.0, drift - np.log(10))
    return penalty / NUM_PARTNERS + SCALE_GUARD_WEIGHT * guard


def make_search(config: EvolutionConfig) -> Search:
    """A search with an ES whose mean is that of the best quarter, weighted."""
    shapes, rng = layout(config), np.random.default_rng(0)
    size = config.population_size
    margin = config.objective.margin

    def fitness(
        population: dict[str, np.ndarray], logits: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        log_p = log_softmax(logits)
        x, severity = features(log_p, labels), -log_p[np.arange(len(labels)), labels]
        found = np.empty(len(population["mlp/0/biases"]), np.float32)
        for i in range(len(found)):
            candidate = {name: array[i] for name, array in population.items()}
            found[i] = ranking(losses(candidate, x), severity, margin)
        return found

    mean = np.concatenate(
        [
            (rng.standard_normal(shape, np.float32) / np.sqrt(np.float32(shape[0]))).ravel()
            if len(shape) > 1
            else np.zeros(shape, np.float32)
            for shape in shapes.values()
        ]
    )
    parents = max(1, size // 4)
    weights = (np.log(parents + 0.5) - np.log(np.arange(1, parents + 1))).astype(np.float32)
    weights /= weights.sum()

    def run(generations: int) -> None:
        nonlocal mean
        for _ in range(generations):
            noise = rng.standard_normal((size, len(mean)), np.float32)
            candidates = mean + np.float32(config.step_size) * noise
            ranked = np.argsort(fitness(unflatten(candidates, shapes), *sample_pairs(rng, config)))
            mean = weights @ candidates[ranked[:parents]]

    return Search("ES", run, 1, fitness)
