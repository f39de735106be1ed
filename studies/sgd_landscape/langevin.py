"""Langevin dynamics in a valley whose curvature varies along it, on a ring: what noise in the sharp direction does.

Derived from the abstract's model (arXiv 2206.01246). L = ½ λ(x) y², λ = exp(−cos x) on x ∈ [−π, π), so that the
flatness F = λ^(−½) has ln F = ½ cos x. Noise Δ in the sharp direction y, Δ/κ along the valley. For fast y the marginal
of x goes as F^κ: a von Mises density of concentration κ/2. At κ = 1 it is Boltzmann's, and the exponent 1 is mere
entropy.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ive

BURN_IN = 5.0
"""Relaxation times along the valley, κ/Δ each, that are left out."""


def curvature(x: np.ndarray) -> np.ndarray:
    """λ(x), and so L = ½ λ y²."""
    found: np.ndarray = np.exp(-np.cos(x))
    return found


def sharp_step(y: np.ndarray, curvatures: np.ndarray, noise: float, dt: float, normal: np.ndarray) -> np.ndarray:
    """One exact Ornstein–Uhlenbeck step of y at fixed x: stationary variance Δ/λ for any ``dt``."""
    decay = np.exp(-curvatures * dt)
    found: np.ndarray = y * decay + np.sqrt(noise / curvatures * (1 - decay**2)) * normal
    return found


def cosines(
    kappa: float,
    noise: float,
    both: bool,
    walkers: int,
    steps: int,
    dt: float,
    generator: np.random.Generator,
    bins: int,
) -> tuple[float, np.ndarray]:
    """Walk on the ring.

    Args:
        kappa: κ, by how much noise along the valley is weaker than across it.
        noise: Δ.
        both: whether there is noise across the valley; else y stays at zero.
        walkers: how many walk at once, from places drawn uniformly.
        steps: of length ``dt``, after the burn-in.
        dt: of a step, in units of time.
        generator: of all random numbers.
        bins: of the histogram over the ring.

    Returns:
        ⟨cos x⟩ over walkers and steps, and the density (bins,) of x.
    """
    x = generator.uniform(-np.pi, np.pi, walkers)
    y = np.zeros(walkers)
    along = np.sqrt(2 * noise / kappa * dt)
    total, counts = 0.0, np.zeros(bins)
    burn = int(BURN_IN * kappa / noise / dt)
    for step in range(burn + steps):
        normal = generator.standard_normal((2, walkers))
        curvatures = curvature(x)
        if both:
            y = sharp_step(y, curvatures, noise, dt, normal[0])
        x = x - 0.5 * np.sin(x) * curvatures * y**2 * dt + along * normal[1]
        x = (x + np.pi) % (2 * np.pi) - np.pi
        if step >= burn:
            total += float(np.cos(x).mean())
            counts += np.bincount(((x + np.pi) * (bins / (2 * np.pi))).astype(int) % bins, minlength=bins)
    return total / steps, counts / counts.sum() * bins / (2 * np.pi)


def slope_of(mean_cosine: float) -> float:
    """The exponent s of a density that goes as F^s, from ⟨cos x⟩ = I₁(s/2)/I₀(s/2); no bins are needed."""

    def excess(concentration: float) -> float:
        return float(np.sign(concentration) * ive(1, abs(concentration)) / ive(0, abs(concentration))) - mean_cosine

    return 2 * float(brentq(excess, -50.0, 50.0))


def predicted(x: np.ndarray, exponent: float) -> np.ndarray:
    """(…) the density that goes as F^exponent: von Mises, concentration exponent/2."""
    concentration = exponent / 2
    found: np.ndarray = np.exp(concentration * (np.cos(x) - 1)) / (2 * np.pi * ive(0, concentration))
    return found
