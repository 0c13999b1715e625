"""Intervals of what was measured over seeds."""

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float], confidence: float = 0.95, num_resamples: int = 10_000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron and Tibshirani, 1993, chapter 13).

    Under about ten values it is too narrow; it then says how much they scatter, not more.

    Args:
      values: independent measurements, e.g. one paired difference a seed.
      confidence: share of the resampled means that lies inside.
      num_resamples: number of resamples; they are the same at every call.

    Returns:
      Lower and upper bound, in the unit of ``values``.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(len(sample), size=(num_resamples, len(sample)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(sample[drawn].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)
