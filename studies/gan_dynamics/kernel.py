"""The tangent kernel of a wide generator: how far a step that moves one output moves another.

G(z) = V σ(A z) / H^½, with standard normal A (H, d) and V (D, H), and latents z of length one. A gradient step on both
layers moves the outputs by rate · Σ_j Γ_ij ∇D(G(z_j)), where Γ_ij = ∂G(z_i)/∂θ ∂G(z_j)/∂θᵀ is (D, D), and for a wide
network close to a number times the identity. For ReLU that number is a function of u = z·z′ alone (arc-cosine kernels,
Cho & Saul 2009):

    Γ(u) = (2u (π − arccos u) + (1 − u²)^½) / 2π,  Γ(1) = 1,  Γ(0) = 1/2π.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

_Function = Callable[[np.ndarray], np.ndarray]


def _positive(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(x, 0.0))


def _step(x: np.ndarray) -> np.ndarray:
    return (x > 0).astype(float)


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.tanh(x))


def _bell(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 - np.tanh(x) ** 2)


ACTIVATIONS: Mapping[str, tuple[_Function, _Function]] = {"relu": (_positive, _step), "tanh": (_tanh, _bell)}
"""Name → σ and σ′."""

_NODES = 80  # of Gauss–Hermite quadrature


def closed(u: np.ndarray | float) -> np.ndarray:
    """Γ(u) of a ReLU generator of infinite width, for cosines u of any shape."""
    u = np.clip(u, -1.0, 1.0)
    found: np.ndarray = (2 * u * (np.pi - np.arccos(u)) + np.sqrt(1 - u**2)) / (2 * np.pi)
    return found


def by_quadrature(activation: str, u: float) -> float:
    """Γ(u) of infinite width by quadrature over the two pre-activations, of correlation u."""
    sigma, slope = ACTIVATIONS[activation]
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    x, y = nodes[:, None], u * nodes[:, None] + np.sqrt(max(0.0, 1 - u**2)) * nodes[None, :]
    y = np.broadcast_to(y, (_NODES, _NODES))
    values = sigma(x) * sigma(y) + u * slope(np.broadcast_to(x, y.shape)) * slope(y)
    return float(weights @ values @ weights)


def cosine_of(coupling: float) -> float:
    """The cosine u ≥ 0 at which Γ(u) is a number from 1/2π to 1, for ReLU."""
    from scipy.optimize import brentq

    low, high = float(closed(0.0)), 1.0
    if not low <= coupling <= high:
        raise ValueError(f"latents of cosine 0 to 1 are coupled by {low:.4f} to 1: got {coupling}")
    if coupling in (low, high):
        return 0.0 if coupling == low else 1.0
    return float(brentq(lambda u: float(closed(u)) - coupling, 0.0, 1.0, xtol=1e-14))


def latents(count: int, dimension: int, common: float, generator: np.random.Generator) -> np.ndarray:
    """(count, dimension) latents of length one, of cosine near ``common`` in high dimensions.

    Normal vectors with a common part: common^½ m + (1 − common)^½ ζ.
    """
    m = generator.standard_normal(dimension)
    z = np.sqrt(common) * m + np.sqrt(1 - common) * generator.standard_normal((count, dimension))
    found: np.ndarray = z / np.linalg.norm(z, axis=1, keepdims=True)
    return found


def of_network(a: np.ndarray, v: np.ndarray, z: np.ndarray, activation: str) -> np.ndarray:
    """(N, N) the mean over outputs of the tangent kernel's blocks, ∂G_o(z_i)/∂θ · ∂G_o(z_j)/∂θ.

    Args:
        a: (H, d) first layer.
        v: (D, H) second layer.
        z: (N, d) latents.
        activation: a name in ``ACTIVATIONS``.
    """
    sigma, slope = ACTIVATIONS[activation]
    before = z @ a.T
    weighted = slope(before) * np.sqrt((v**2).mean(0))
    active, moved = sigma(before), (weighted @ weighted.T) * (z @ z.T)
    found: np.ndarray = (active @ active.T + moved) / a.shape[0]
    return found


def couplings(kernel: np.ndarray) -> tuple[float, float]:
    """Mean coupling of different latents over mean self-coupling, g₂/g₁, and the spread of the former over g₁."""
    own = float(np.diag(kernel).mean())
    others = kernel[np.triu_indices(len(kernel), 1)]
    return float(others.mean()) / own, float(others.std()) / own
