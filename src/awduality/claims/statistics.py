"""Statistics over repeated runs: intervals, trends within seeds, equivalence, several tests at once.

Seeds are the independent repeats. Runs of one seed share initialisation and batch order whatever the value of a factor,
so they are compared within their seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

_ALL_ORDERS = 7  # values per seed up to which all their orders are listed
_ROUNDING = 1e-9  # relative: equal slopes that differ by rounding count as equal


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


def mean_p(samples: np.ndarray) -> float:
    """Two-sided p-value of Student's t-test that the mean of (K,) samples is zero; NaN for fewer than two."""
    from scipy.stats import ttest_1samp

    if len(samples) < 2:
        return float("nan")
    if np.ptp(samples) == 0:  # no spread at all: the test's limit
        return float(samples[0] == 0)
    return float(ttest_1samp(samples, 0.0).pvalue)


def equivalence_p(samples: np.ndarray, margin: float) -> float:
    """P-value of the decision whether the mean of (K,) samples lies within ±margin or beyond; NaN for fewer than two.

    That of the two-sided t-test against the nearer bound: twice the smaller of what two one-sided tests say of a mean
    within and of what a one-sided test says of one beyond. So it is below 0.05 just where the 95% t-interval lies
    wholly within the margin or wholly beyond one end of it. Either decision is wrong only where that interval misses
    the mean: both together keep the level, for every mean and margin, and the interval and p never disagree. The price
    is that of all two-sided tests: to show equivalence alone, half this p would do.
    """
    return mean_p(samples - math.copysign(margin, np.mean(samples))) if len(samples) else float("nan")


def adjusted(p_values: Sequence[float]) -> np.ndarray:
    """P-values adjusted by Holm's method for the whole family; NaN, where nothing was tested, is not counted."""
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, dtype=float)
    tested = np.isfinite(p)
    result = np.full(len(p), np.nan)
    if tested.any():
        result[tested] = multipletests(p[tested], method="holm")[1]
    return result


@dataclass(frozen=True)
class Series:
    """The runs of one seed along a sweep: their positions x, and what was measured of each."""

    x: np.ndarray  # (V,)
    y: np.ndarray  # (V, …)


def at_every_seed(runs: pd.DataFrame, factor: str, good: np.ndarray) -> np.ndarray:
    """(runs,) whether a run has a value of the factor at which all runs of every seed of the table are good.

    Seeds that are left where others ended otherwise were chosen by how they ended, and a trend would run to that value
    through them alone.

    Args:
        runs: with the columns of the factor and the seed.
        factor: the column.
        good: (runs,) whether a run counts.
    """
    found = runs[[factor, "seed"]].assign(good=good)
    per_seed = found.groupby([factor, "seed"])["good"].all().unstack(fill_value=False)
    return np.asarray(found[factor].map(per_seed.all(axis=1)).to_numpy(bool))


def sweep_series(runs: pd.DataFrame, factor: str, y: np.ndarray) -> list[Series]:
    """One series per seed along a sweep: x runs from 0 at the smallest value that is left to 1 at the largest.

    Values are placed by rank, so that x = 1 means the whole sweep whatever the spacing of its values. Seeds with fewer
    than two values tell nothing and are left out.
    """
    levels = {value: place for place, value in enumerate(sorted(runs[factor].unique()))}
    if len(levels) < 2:
        return []
    x = runs[factor].map(levels).to_numpy(float) / (len(levels) - 1)
    seeds = runs["seed"].to_numpy()
    groups = [seeds == seed for seed in np.unique(seeds)]
    return [Series(x[group], y[group]) for group in groups if group.sum() > 1]


def slope_weights(x: np.ndarray) -> np.ndarray:
    """(V,) the weights by which y gives its least-squares slope against x."""
    centred = x - x.mean()
    return np.asarray(centred / (centred @ centred))


def slopes(series: Sequence[Series]) -> np.ndarray:
    """(S, …) the least-squares slope of every seed."""
    return np.array([slope_weights(one.x) @ one.y for one in series])


def permutation_p(series: Sequence[Series], generator: np.random.Generator, draws: int = 19_999) -> float:
    """Two-sided p-value of the mean slope over seeds, the measured values permuted within each seed.

    Exact where there are no more arrangements than ``draws``; else by that many random ones, which counts the data
    itself as one more arrangement, so that the test keeps its level.

    Args:
        series: one entry per seed.
        generator: random numbers.
        draws: number of random arrangements.
    """
    series = [Series(one.x, one.y - one.y[0]) for one in series]  # what never changes has slopes of exactly zero
    observed = float(slopes(series).sum())
    tables = [_permuted_slopes(one, generator, draws) for one in series]
    bound = abs(observed) - _ROUNDING * sum(float(np.abs(table).max()) for table in tables)
    complete = all(len(one.x) <= _ALL_ORDERS for one in series)
    if complete and math.prod(len(table) for table in tables) <= draws:
        sums = np.zeros(1)
        for table in tables:
            sums = np.add.outer(sums, table).ravel()
        return float(np.mean(np.abs(sums) >= bound))
    sums = np.zeros(draws)
    for table in tables:
        sums += table[generator.integers(len(table), size=draws)]
    return float((1 + np.sum(np.abs(sums) >= bound)) / (1 + draws))


def _permuted_slopes(one: Series, generator: np.random.Generator, draws: int) -> np.ndarray:
    """The slopes of one seed for every order of its values, or for random orders where there are too many."""
    count = len(one.x)
    if count <= _ALL_ORDERS:
        orders = np.array(list(itertools.permutations(range(count))))
    else:
        orders = generator.permuted(np.tile(np.arange(count), (draws, 1)), axis=1)
    return np.asarray(one.y[orders] @ slope_weights(one.x))


def bootstrap_interval(
    samples: np.ndarray, generator: np.random.Generator, level: float = 0.95, draws: int = 9_999
) -> tuple[float, float]:
    """Interval of the mean of many samples by the BCa bootstrap, which respects their heavy tails.

    Args:
        samples: (P,) one entry per test sample.
        generator: random numbers.
        level: coverage.
        draws: resamples.
    """
    from scipy.stats import bootstrap

    if np.ptp(samples) == 0:
        return float(samples[0]), float(samples[0])
    found = bootstrap(
        (samples,), np.mean, confidence_level=level, n_resamples=draws, batch=200, method="BCa", rng=generator
    ).confidence_interval
    return float(found.low), float(found.high)
