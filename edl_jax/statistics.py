"""Intervals of what was measured over seeds, and figures as JSON can hold them."""

import math
from collections.abc import Callable, Sequence
from typing import SupportsFloat

import numpy as np


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
