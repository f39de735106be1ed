"""The data, a ring of Gaussians in the plane, and what is said of a cloud beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MODES, SPREAD = 8, 0.05
"""Gaussians on the ring of radius one, and their standard deviation."""
NEAR = 0.25
"""A mode is covered by a particle that is nearer than this."""
FAR = 5.0
"""A particle farther than this from the middle has run away: the run has diverged."""

_ANGLES = 2 * np.pi * np.arange(MODES) / MODES
CENTRES = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def points(count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, 2) data points."""
    found: np.ndarray = CENTRES[generator.integers(MODES, size=count)]
    return found + SPREAD * generator.standard_normal((count, 2))


def coverage(q: np.ndarray) -> int:
    """How many of the modes have a particle that is nearest to them of all modes, and near."""
    away = np.linalg.norm(q[:, None] - CENTRES, axis=2)
    nearest = away.argmin(1)
    return len(set(nearest[away.min(1) < NEAR].tolist()))


def cloud_size(q: np.ndarray) -> float:
    """Root mean square distance from the centre of mass."""
    return float(np.sqrt(((q - q.mean(0)) ** 2).sum(1).mean()))


def energy_distance(reference: np.ndarray) -> Callable[[np.ndarray], float]:
    """Q → the energy distance 2E|q − x| − E|q − q′| − E|x − x′| to some data points; zero for equal samples."""
    own = _mean_distance(reference, reference)
    return lambda q: 2 * _mean_distance(q, reference) - _mean_distance(q, q) - own


def _mean_distance(one: np.ndarray, other: np.ndarray) -> float:
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return float(np.sqrt(np.maximum(squares, 0.0)).mean())
