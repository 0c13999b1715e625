"""The rows of ``metrics.jsonl`` as curves that any library can draw."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edl_jax.runs.history import Row


class Curve(NamedTuple):
    """A figure of a search over its generations.

    Attributes:
      generations: those in which it was measured, int64 of shape (n,).
      values: float64 of shape (n,), NaN where the figure was not finite.
    """

    generations: np.ndarray
    values: np.ndarray


def search_curve(history: Iterable[Row], name: str, factor: float = 1.0) -> Curve:
    """The figure ``name`` of a search, times ``factor``.

    >>> rows = [{"generation": 1}, {"generation": 2, "a": 0.5}, {"generation": 3, "a": None}]
    >>> search_curve(rows, "a", factor=100)
    Curve(generations=array([2, 3]), values=array([50., nan]))
    """
    rows = [row for row in history if name in row]
    generations = np.array([row["generation"] for row in rows], int)
    return Curve(generations, factor * np.array([row[name] for row in rows], float))


class SeedCurves(NamedTuple):
    """A figure of the runs of one loss over the epochs, a column a seed.

    Attributes:
      epochs: those in which some seed's figure was measured, int64 of shape (n,).
      values: float64 of shape (n, seeds), NaN where a seed has no finite figure.
    """

    epochs: np.ndarray
    values: np.ndarray

    def complete(self) -> "SeedCurves":
        """Only the epochs in which every seed has a figure.

        A mean over other seeds than in the epoch before would make a step that no run took.
        """
        whole = np.isfinite(self.values).all(axis=1)
        return SeedCurves(self.epochs[whole], self.values[whole])


def seed_curves(
    history: Iterable[Row], loss: str, seeds: Sequence[int], name: str, factor: float = 1.0
) -> SeedCurves:
    """The figure ``name`` of the runs of ``loss``, one a seed, times ``factor``.

    >>> rows = [
    ...     {"loss": "a", "seed": 0, "epoch": 1, "nll": 2.0},
    ...     {"loss": "a", "seed": 0, "epoch": 2, "nll": 1.0},
    ...     {"loss": "a", "seed": 1, "epoch": 1, "nll": 4.0},
    ... ]
    >>> seed_curves(rows, "a", (0, 1), "nll").complete().values.mean(axis=1)
    array([3.])
    """
    rows = [row for row in history if row["loss"] == loss and name in row]
    epochs = sorted({row["epoch"] for row in rows})
    values = np.full((len(epochs), len(seeds)), np.nan)
    for row in rows:
        values[epochs.index(row["epoch"]), seeds.index(row["seed"])] = row[name]
    return SeedCurves(np.array(epochs, int), factor * values)


def short_name(name: str, longest: int) -> str:
    """The end of a name of a run or loss that is too long for a legend.

    >>> short_name("runs/a/long/path", 10)
    '…long/path'
    """
    return name if len(name) <= longest else "…" + name[1 - longest :]


def short_names(names: Sequence[str], longest: int) -> list[str]:
    """Each of ``names`` as :func:`short_name` cuts it, or whole where that would make two equal.

    >>> short_names(["runs/a/seed0", "runs/b/seed0", "runs/c/seed1"], 6)
    ['runs/a/seed0', 'runs/b/seed0', '…seed1']
    """
    short = [short_name(name, longest) for name in names]
    return [name if short.count(cut) > 1 else cut for name, cut in zip(names, short, strict=True)]
