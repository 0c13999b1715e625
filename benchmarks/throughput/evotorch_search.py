"""The pretraining problem of :mod:`benchmarks.throughput.problem` with EvoTorch, on the CPU."""

import logging
import warnings

import numpy as np
import torch
from torch.nn import functional

from benchmarks.throughput.problem import Search, layout, shape_components, shuffled, unflatten
from edl_jax.config import EvolutionConfig
from edl_jax.losses.features import LOG_RESOLUTION, LOG_SCALE
from edl_jax.objective.fitness import SCALE_GUARD_WEIGHT
from edl_jax.objective.ranking import NUM_PARTNERS
from edl_jax.startup import num_processors

with warnings.catch_warnings():  # EvoTorch uses what PyTorch deprecates
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    from evotorch import Problem
    from evotorch.algorithms import SNES
    from evotorch.tools.misc import set_default_logger_config


def sample_pairs(config: EvolutionConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``[batch_size, num_classes]`` and labels ``[batch_size]`` of the mixture."""
    size, num_classes = config.batch_size, config.num_classes
    labels = torch.randint(num_classes, (size,))
    others = (labels + torch.randint(1, num_classes, (size,))) % num_classes
    lead = torch.rand(size)
    logits = torch.randn(size, num_classes)
    shape_components(
        config,
        logits,
        torch.arange(size),
        labels,
        others,
        lead,
        normal=torch.randn,
        log_exponential=lambda shape: torch.empty(shape).exponential_().log(),
    )
    order = torch.from_numpy(shuffled(size))
    return logits[order], labels[order]


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Log-probabilities, exact also where p is near 1."""
    largest, top = logits.max(dim=1, keepdim=True)
    shifted = logits - largest
    others = shifted.exp().scatter(1, top, 0.0).sum(dim=1, keepdim=True)
    return shifted - others.log1p()


def features(log_p: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The six features of a prediction and its label, ``[batch_size, 6]``."""
    p, log_p_y = log_p.exp(), log_p.gather(1, labels[:, None])[:, 0]
    largest, top = log_p.topk(2, dim=1)
    log_other = torch.where(labels == top[:, 0], largest[:, 1], largest[:, 0])
    return torch.stack(
        [
            log_p_y.exp(),
            log_other.exp(),
            log_p_y.clamp(min=LOG_RESOLUTION) / LOG_SCALE,
            log_other.clamp(min=LOG_RESOLUTION) / LOG_SCALE,
            -(p * log_p).sum(dim=1),
            p.square().sum(dim=1),
        ],
        dim=1,
    )


def activation(x: torch.Tensor) -> torch.Tensor:
    """x / sqrt(1 + x**2)."""
    return x * torch.rsqrt(1 + x.square())


def losses(population: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Each candidate's loss of each pair, ``[population_size, batch_size]``."""

    def dense(layer: str, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(
            population[f"{layer}/biases"][:, None, :], x, population[f"{layer}/weights"]
        )

    x = x.expand(len(population["mlp/0/biases"]), *x.shape)
    x = activation(dense("mlp/0", x))
    x = activation(dense("mlp/1", x))
    return functional.softplus(dense("mlp/2", x)[..., 0])


def ranking(of_pairs: torch.Tensor, severity: torch.Tensor, margin: float) -> torch.Tensor:
    """Soft ranking inconsistency and the guard of the scale, ``[population_size]``."""
    spread = of_pairs.std(dim=1, correction=0, keepdim=True)
    standard = (of_pairs - of_pairs.mean(dim=1, keepdim=True)) / (spread + 1e-12)
    penalty = torch.zeros(len(of_pairs))
    for shift in range(1, NUM_PARTNERS + 1):
        order = torch.sign(severity - severity.roll(shift))
        hinge = torch.relu(1 - order * (standard - standard.roll(shift, dims=1)) / margin)
        penalty += (hinge * order.abs()).sum(dim=1) / order.abs().sum().clamp(min=1)
    drift = torch.log((spread[:, 0] + 1e-12) / severity.std(correction=0)).abs()
    guard = torch.relu(drift - float(np.log(10)))
    return penalty / NUM_PARTNERS + SCALE_GUARD_WEIGHT * guard


def make_search(config: EvolutionConfig) -> Search:
    """A search with SNES and a vectorised fitness."""
    set_default_logger_config(logger_level=logging.WARNING, override=True)
    torch.set_num_threads(num_processors())
    torch.manual_seed(0)
    shapes, margin = layout(config), config.objective.margin

    @torch.no_grad()
    def evaluate(
        population: dict[str, torch.Tensor], logits: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        log_p = log_softmax(logits)
        severity = -log_p.gather(1, labels[:, None])[:, 0]
        return ranking(losses(population, features(log_p, labels)), severity, margin)

    def fitness(
        population: dict[str, np.ndarray], logits: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        tensors = {name: torch.tensor(array) for name, array in population.items()}
        return evaluate(tensors, torch.tensor(logits), torch.tensor(labels).long()).numpy()

    def objective(candidates: torch.Tensor) -> torch.Tensor:
        # EvoTorch hands out read-only tensors, whose every operation is a little slower.
        candidates = candidates.as_subclass(torch.Tensor)
        return evaluate(unflatten(candidates, shapes), *sample_pairs(config))

    problem = Problem(
        "min",
        objective,
        solution_length=sum(int(np.prod(shape)) for shape in shapes.values()),
        initial_bounds=(-config.step_size, config.step_size),
        dtype=torch.float32,
        vectorized=True,
    )
    searcher = SNES(problem, popsize=config.population_size, stdev_init=config.step_size)
    return Search("SNES", searcher.run, 1, fitness)
