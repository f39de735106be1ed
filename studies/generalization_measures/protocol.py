"""How a measure is judged: by the sign of what it says of two settings that differ in one hyper-parameter.

Dziugaite et al. (2020), arXiv 2010.11924. A *pair* is two runs of such settings, an *environment* all pairs of two
settings: S seeds of the one crossed with S of the other. A measure C errs by (1 − sgn ΔC · sgn Δgap)/2 in a pair; so it
errs by ½ where it says nothing. Pairs weigh by how certain the sign of Δgap is over test samples, and environments in
which too few of them are certain do not count.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

LEAST_EFFECTIVE = 0.48
"""Of the pairs of an environment: the published code asks for 12 of 25 pairs of five seeds."""

CERTAIN = 0.5  # the weight that a pair must exceed; what is above it counts


@dataclass(frozen=True)
class Environment:
    """Two settings that differ along one axis."""

    axis: str
    first: int  # positions of the two settings
    second: int


def environments(settings: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> Iterator[Environment]:
    """All unordered pairs of settings that differ in exactly one of the axes, in the order of the settings."""
    for (i, one), (j, other) in itertools.combinations(enumerate(settings), 2):
        differing = [axis for axis in axes if one[axis] != other[axis]]
        if len(differing) == 1:
            yield Environment(differing[0], i, j)


def sign_errors(measure: np.ndarray, other: np.ndarray, gap: np.ndarray, other_gap: np.ndarray) -> np.ndarray:
    """(…, S, S) the error in every pair of seeds, for measures (…, S) and gaps (S,) of both settings; ½ for a tie."""
    said = np.sign(measure[..., :, None] - other[..., None, :])
    found: np.ndarray = (1 - said * np.sign(gap[:, None] - other_gap[None, :])) / 2
    return found


def above(weights: np.ndarray) -> np.ndarray:
    """What of a weight is above the one that counts as certain."""
    return np.asarray(np.where(weights > CERTAIN, weights - CERTAIN, 0.0))


def paired_weights(wrong: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(S, S) (2Φ(|d̄|/s) − 1)² of two settings on the same test samples.

    d is the difference of 0–1 losses of a test sample, s the standard error of its mean: ours, since both networks see
    the same samples, of which the published weight knows nothing.

    Args:
        wrong: (S, T) whether a run errs on a test sample.
        other: the same of the other setting.
    """
    samples = wrong.shape[1]
    one, two = wrong.astype(float), other.astype(float)
    mean = one.mean(1)[:, None] - two.mean(1)[None, :]
    squares = one.mean(1)[:, None] + two.mean(1)[None, :] - 2 * (one @ two.T) / samples  # ⟨d²⟩
    error = np.sqrt(np.maximum(squares - mean**2, 0.0) / (samples - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, np.abs(mean) / error, np.where(mean != 0, np.inf, 0.0))
    return np.asarray((2 * ndtr(z) - 1) ** 2)


def published_weights(gap: np.ndarray, other: np.ndarray, samples: int) -> np.ndarray:
    """(S, S) max(0, 1 − 2 exp(−2n(Δgap/2)²))², Hoeffding's bound as the public code of Dziugaite et al. uses it."""
    difference = gap[:, None] - other[None, :]
    return np.asarray(np.maximum(0.0, 1 - 2 * np.exp(-2 * samples * (difference / 2) ** 2)) ** 2)


def effective(weights: np.ndarray) -> float:
    """(Σw)²/Σw², the number of pairs that weights amount to."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def weighted(errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(…,) the weighted mean of errors (…, S, S); NaN where nothing has weight."""
    total = weights.sum()
    if not total:
        return np.full(errors.shape[:-2], np.nan)
    return np.asarray((errors * weights).sum((-2, -1)) / total)


def without(array: np.ndarray, seed: int | None) -> np.ndarray:
    """(…, S − 1, S − 1) what is left of (…, S, S) if a seed is taken from both settings; all of it if none is."""
    if seed is None:
        return array
    return np.delete(np.delete(array, seed, axis=-1), seed, axis=-2)


def pseudo_values(whole: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """(S, …) θ + (S − 1) (mean of θ₋ₛ − θ₋ₛ): the jackknife's pseudo-values, centred at the statistic of all seeds.

    Their mean is θ and their standard error the jackknife's. The usual ones are centred at θ less the jackknife's
    estimate of its bias, which of maxima and of few seeds is mostly noise.

    Args:
        whole: (…) a statistic of all seeds, θ.
        left_out: (S, …) the same without each of them, θ₋ₛ.
    """
    return np.asarray(whole[None] + (len(left_out) - 1) * (left_out.mean(0) - left_out))


def jackknife(statistic: Callable[[np.ndarray], np.ndarray], cubes: np.ndarray) -> np.ndarray:
    """(S, …) pseudo-values of a statistic of environments' errors, from those of all seeds and without each.

    Args:
        statistic: (E, M) errors of environments and measures → (…).
        cubes: (1 + S, E, M), first that of all seeds.
    """
    return pseudo_values(statistic(cubes[0]), np.stack([statistic(cube) for cube in cubes[1:]]))


def axis_means(errors: np.ndarray, axes: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(A, M) the mean over the environments of every axis, of errors (E, M); NaN for an axis without one."""
    of = np.array(axes)
    found = [errors[of == name].mean(0) if (of == name).any() else np.full(errors.shape[1], np.nan) for name in names]
    return np.stack(found)
