"""SGD whose minibatch loss is the overall loss shifted at random: how fast it comes to flat places, and when it fails.

Derived from the supplement's model (arXiv 2206.01246). L = ½ λ(x) y², λ = 0.2 + 0.2 x². A step takes g = ∇L + H s, s ~
N(0, σ² I) fresh each time, so that the noise's covariance is σ² H² exactly. At fixed x, ⟨y²⟩ = η λ σ²/(2 − η λ), and x
drifts by −(η/2) λ′ ⟨y²⟩ a step: (η σ)² T = ∫ 2 (2 − η λ)/(λ λ′) dx.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad

START, FLAT = 2.0, 0.5
"""Where x begins (λ = 1), and the curvature that counts as flat."""
LOST = 1e3
"""A walker beyond this is lost."""
_A, _B = 0.2, 0.2


def curvature(x: np.ndarray) -> np.ndarray:
    """λ(x)."""
    return _A + _B * x**2


def stepped(x: np.ndarray, y: np.ndarray, rate: float, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step from (x, y), each (walkers,), with the gradient ∇L + H s, s (2, walkers)."""
    lam, slope = curvature(x), 2 * _B * x
    along = 0.5 * slope * y**2 + _B * y**2 * shift[0] + slope * y * shift[1]
    across = lam * y + slope * y * shift[0] + lam * shift[1]
    return x - rate * along, y - rate * across


def stationary(lam: float, rate: float, sigma: float) -> float:
    """⟨y²⟩ at fixed x."""
    return rate * lam * sigma**2 / (2 - rate * lam)


def bound(rate: float) -> float:
    """σ_c, beyond which the second moment of y grows at the start: λ (2 − η λ)/(η λ′²) = σ_c²."""
    lam, slope = float(curvature(np.array(START))), 2 * _B * START
    return float(np.sqrt(lam * (2 - rate * lam) / (rate * slope**2)))


def predicted_time(rate: float, sigma: float) -> float:
    """Steps from the start to λ = ``FLAT``, by the drift of x."""

    def integrand(x: float) -> float:
        lam = _A + _B * x**2
        return 2 * (2 - rate * lam) / (lam * 2 * _B * x)

    low = float(np.sqrt((FLAT - _A) / _B))
    return float(quad(integrand, low, START)[0]) / (rate * sigma) ** 2


def beginning(walkers: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where walkers begin."""
    return np.full(walkers, START), 0.1 * generator.standard_normal(walkers)


def time_to_flat(rate: float, sigma: float, walkers: int, most: int, generator: np.random.Generator) -> int | None:
    """The first step at which the median curvature over the walkers is at most ``FLAT``; None within ``most`` steps."""
    x, y = beginning(walkers, generator)
    for step in range(1, most + 1):
        x, y = stepped(x, y, rate, sigma * generator.standard_normal((2, walkers)))
        if np.median(curvature(x)) <= FLAT:
            return step
    return None


def share_lost(rate: float, sigma: float, walkers: int, steps: int, generator: np.random.Generator) -> float:
    """The share of the walkers that are beyond ``LOST`` at some step; those stay where they were lost."""
    x, y = beginning(walkers, generator)
    lost = np.zeros(walkers, dtype=bool)
    for _ in range(steps):
        new_x, new_y = stepped(x, y, rate, sigma * generator.standard_normal((2, walkers)))
        x, y = np.where(lost, x, new_x), np.where(lost, y, new_y)
        lost |= (np.abs(x) > LOST) | (np.abs(y) > LOST)
    return float(lost.mean())
