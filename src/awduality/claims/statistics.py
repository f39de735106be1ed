"""Statistics over repeated runs."""

from __future__ import annotations

import numpy as np


def mean_interval(samples: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis, and the half-width of its two-sided Student t-interval.

    A t-interval, since percentile bootstrap intervals are too narrow for five to ten repeats. One sample has no
    interval: its half-width is NaN.

    Args:
        samples: (K, …) one entry per repeat.
        level: coverage of the interval.

    Returns:
        Two arrays of shape (…).
    """
    from scipy.stats import t

    count = len(samples)
    mean = np.mean(samples, axis=0)
    if count < 2:
        return mean, np.full_like(mean, np.nan)
    quantile = t.ppf((1 + level) / 2, count - 1)
    return mean, quantile * np.std(samples, axis=0, ddof=1) / np.sqrt(count)
