"""Readings of a search's scores: when it reached the target, and whether it stagnated."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CHECKS = 50  # how often a search is scored on its way


class Curve(NamedTuple):
    """The curves of searches.

    Attributes:
      scores: ``(runs, checks)``, the incumbent's score at equal distances, the end included.
      final: ``(runs,)``, its score at the end on more pairs.
    """

    scores: np.ndarray
    final: np.ndarray


def check_every(num_generations: int) -> int:
    """Generations between two scores."""
    return -(-num_generations // CHECKS)


def generations_to(target: float, curve: Curve, num_generations: int) -> list[int | None]:
    """Generations until each search's score first was at the target, or None."""
    every = check_every(num_generations)
    found = []
    for scores in curve.scores:
        reached = np.flatnonzero(scores <= target)
        found.append(int(reached[0] + 1) * every if len(reached) else None)
    return found


def stagnated(target: float, scores: np.ndarray) -> bool:
    """Whether a search ended above the target without progress in its last quarter."""
    late = len(scores) - len(scores) // 4
    return bool(np.min(scores) > target and np.min(scores[late:]) >= 0.95 * np.min(scores[:late]))


def log_generations(generations: Sequence[int | None], num_generations: int) -> np.ndarray:
    """Logarithms of the generations to the target; a search that did not reach it had them all."""
    return np.log([num_generations if g is None else g for g in generations])
