"""Intervals of what was measured over seeds, and figures as JSON can hold them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsFloat

import numpy as np

from edl_jax.errors import EdlError

# With fewer pairs an interval says nothing.
MIN_PAIRS = 3


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    statistic: Callable[..., np.ndarray] = np.mean,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic (Efron and Tibshirani, 1993, chapter 13).

    Under about ten values it is too narrow; it then says how much they scatter, not more.

    Args:
      values: independent measurements, e.g. one paired difference a seed.
      confidence: share of the resampled statistics that lies inside.
      num_resamples: number of resamples; they are the same at every call.
      statistic: reduces an array along ``axis``, e.g. ``np.mean`` or ``np.median``.

    Returns:
      Lower and upper bound, in the unit of ``values``.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    >>> bootstrap_interval([1.0, 2.0, 9.0], statistic=np.median)
    (1.0, 9.0)
    """
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(len(sample), size=(num_resamples, len(sample)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(sample[drawn], axis=1), [tail, 1 - tail])
    return float(low), float(high)


def finite_or_none(value: SupportsFloat) -> float | None:
    """``value`` as JSON can hold it: a finite number, or None.

    >>> finite_or_none(float("nan")), finite_or_none(0.5)
    (None, 0.5)
    """
    number = float(value)
    return number if math.isfinite(number) else None


class Compared(NamedTuple):
    """How far one set of runs is from another, pair by pair.

    Attributes:
      num_pairs: how many.
      mean: of the differences, in the figure's own unit.
      interval: its 95 % bootstrap interval; None with fewer than :data:`MIN_PAIRS` pairs.
      wins: pairs in which the first one's figure is larger.
      losses: pairs in which it is smaller.
    """

    num_pairs: int
    mean: float
    interval: tuple[float, float] | None
    wins: int
    losses: int


def compare(
    a: Sequence[Mapping[str, Any]],
    b: Sequence[Mapping[str, Any]],
    figure: str = "test_accuracy",
    by: Sequence[str] = ("seed",),
) -> Compared:
    """``a`` minus ``b`` in one figure, paired by what the rows have in common.

    Args:
      a: rows, such as those of :func:`edl_jax.read_runs`.
      b: rows with the same values of ``by``.
      figure: what is compared.
      by: the fields by which rows are paired.

    Raises:
      EdlError: a row lacks a field or a finite figure, or its partner is missing or not alone.

    >>> a = [{"seed": 0, "test_accuracy": 0.75}, {"seed": 1, "test_accuracy": 0.5}]
    >>> b = [{"seed": 1, "test_accuracy": 0.25}, {"seed": 0, "test_accuracy": 0.5}]
    >>> compare(a, b)
    Compared(num_pairs=2, mean=0.25, interval=None, wins=2, losses=0)
    """
    of_a, of_b = (_by_key(rows, figure, by) for rows in (a, b))
    alone = of_a.keys() ^ of_b.keys()
    if alone or not of_a:
        first = sorted(alone, key=str)[:3]
        named = ", ".join(f"{' '.join(by)} {' '.join(map(str, key))}" for key in first)
        raise EdlError(f"rows to compare: expected pairs, {named or 'there are none'}")
    differences = np.array([of_a[key] - of_b[key] for key in of_a])
    enough = len(differences) >= MIN_PAIRS
    return Compared(
        num_pairs=len(differences),
        mean=float(np.mean(differences)),
        interval=bootstrap_interval(differences) if enough else None,
        wins=int(np.sum(differences > 0)),
        losses=int(np.sum(differences < 0)),
    )


def _by_key(
    rows: Sequence[Mapping[str, Any]], figure: str, by: Sequence[str]
) -> dict[tuple[Any, ...], float]:
    found: dict[tuple[Any, ...], float] = {}
    for row in rows:
        missing = [name for name in (*by, figure) if name not in row]
        if missing:
            raise EdlError(f"rows to compare: expected {', '.join(missing)} in each row")
        key = tuple(row[name] for name in by)
        if key in found:
            shown = " ".join(map(str, key))
            raise EdlError(f"rows to compare: {' '.join(by)} {shown} occurs twice on a side")
        number = row[figure]
        value = finite_or_none(number) if isinstance(number, int | float | np.number) else None
        if value is None:
            raise EdlError(f"rows to compare: expected a finite {figure}, not {number}")
        found[key] = value
    return found
