"""Particles against a discriminator: one run, step by step.

Particles q_i climb D under the coupling Γ_ii = 1, Γ_ij = φ:  q_i ← q_i + r_G [(1−φ) ∇D(q_i) + φ Σ_j ∇D(q_j)].
Relative motion has rate 1 − φ, the centre of mass 1 + φ(N − 1). The discriminator D(x) = v·σ(W x + b) climbs, at rate
r_D,

    E_data D − ⟨D(q)⟩ − (ρ/2) (E_data |∇D|² + ⟨|∇D(q)|²⟩) − ½·10⁻⁴ |θ|².

Both use the discriminator of before the step. A real generator takes the particles' place with
G(z) = V relu(A z)/H^½ and a step of gradient ascent on Σ_i D(G(z_i)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DECAY = 1e-4
"""Weight decay of the discriminator."""


@dataclass
class Discriminator:
    """D(x) = v·σ(W x + b): W (H, 2), b (H,), v (H,); ``smooth``: σ is tanh, else ReLU."""

    w: np.ndarray
    b: np.ndarray
    v: np.ndarray
    smooth: bool = False

    def slopes(self, x: np.ndarray) -> np.ndarray:
        """(P, 2) ∇D at every point."""
        return np.asarray((self._activity(x)[1] * self.v) @ self.w)

    def values(self, x: np.ndarray) -> np.ndarray:
        """(P,) D at every point."""
        return np.asarray(self._activity(x)[0] @ self.v)

    def _activity(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """σ and σ′ of every unit at every point, (P, H) each."""
        before = x @ self.w.T + self.b
        if self.smooth:
            active = np.tanh(before)
            return active, 1 - active**2
        return np.maximum(before, 0.0), (before > 0).astype(float)

    def ascent(self, data: np.ndarray, q: np.ndarray, rho: float) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """The gradient of the objective in (W, b, v), and (N, 2) ∇D at the particles.

        With s = σ′, s′ = σ″ and g = Wᵀ(v s) at a point, ½|g|² has the gradients s (W g) in v, v s g + v s′ (W g) x in W
        and v s′ (W g) in b.
        """
        x = np.concatenate([data, q])
        share = np.concatenate([np.full(len(data), 1 / len(data)), np.full(len(q), 1 / len(q))])
        sign = np.where(np.arange(len(x)) < len(data), share, -share)
        active, s = self._activity(x)
        slopes = (s * self.v) @ self.w
        per_unit = (sign[:, None] * s) * self.v  # ∂/∂(pre-activation) of the first two terms
        dv = sign @ active - DECAY * self.v
        dw = -DECAY * self.w
        if rho:
            along = slopes @ self.w.T
            dv = dv - rho * (share @ (s * along))
            dw = dw - rho * self.v[:, None] * (s.T @ (share[:, None] * slopes))
            if self.smooth:
                per_unit = per_unit - rho * share[:, None] * self.v * (-2 * active * s) * along
        dw = dw + per_unit.T @ x
        return (dw, per_unit.sum(0) - DECAY * self.b, dv), slopes[len(data) :]

    def moved(self, rate: float, gradient: tuple[np.ndarray, ...]) -> None:
        """One step upwards."""
        self.w += rate * gradient[0]
        self.b += rate * gradient[1]
        self.v += rate * gradient[2]


def discriminator(units: int, smooth: bool, generator: np.random.Generator) -> Discriminator:
    """A fresh one: W and b standard normal, v of standard deviation H^(−½)."""
    w, b = generator.standard_normal((units, 2)), generator.standard_normal(units)
    return Discriminator(w, b, generator.standard_normal(units) / np.sqrt(units), smooth)


@dataclass
class Particles:
    """N particles in the plane, coupled by φ; ``centred``: the centre of mass has the same rate at every φ."""

    q: np.ndarray
    coupling: float
    centred: bool = False

    def climb(self, rate: float, slopes: np.ndarray) -> None:
        """One step along (N, 2) slopes of D."""
        phi, count = self.coupling, len(self.q)
        step = (1 - phi) * slopes + phi * slopes.sum(0)
        self.q = self.q + rate * step / (1 + phi * (count - 1) if self.centred else 1.0)


@dataclass
class Generator:
    """G(z) = V relu(A z)/H^½: A (H, d), V (2, H), z (N, d); its outputs are the particles."""

    a: np.ndarray
    v: np.ndarray
    z: np.ndarray

    @property
    def q(self) -> np.ndarray:
        """(N, 2) the outputs."""
        return np.asarray(np.maximum(self.z @ self.a.T, 0.0) @ self.v.T / np.sqrt(len(self.a)))

    def climb(self, rate: float, slopes: np.ndarray) -> None:
        """One step of gradient ascent on Σ_i D(G(z_i)), both layers."""
        before, root = self.z @ self.a.T, np.sqrt(len(self.a))
        active = np.maximum(before, 0.0)
        dv = slopes.T @ active / root
        da = ((slopes @ self.v) * (before > 0)).T @ self.z / root
        self.v = self.v + rate * dv
        self.a = self.a + rate * da


def train(
    cloud: Particles | Generator,
    against: Discriminator,
    batch: Callable[[], np.ndarray],
    rates: tuple[float, float],
    rho: float,
    steps: int,
    look: Callable[[int, np.ndarray], bool],
) -> bool:
    """Train both at once.

    Args:
        cloud: the particles or the generator.
        against: the discriminator.
        batch: draws data points, (B, 2).
        rates: of the cloud and of the discriminator.
        rho: strength of the gradient penalty.
        steps: how many.
        look: called with the step and the particles before each; it says whether to go on.

    Returns:
        Whether all steps were made.
    """
    for step in range(steps):
        q = cloud.q
        if not look(step, q):
            return False
        gradient, slopes = against.ascent(batch(), q, rho)
        against.moved(rates[1], gradient)
        cloud.climb(rates[0], slopes)
    return look(steps, cloud.q)
