"""The prior mass of a function as an integral over weights, and as Laplace has it: fit, size and sharpness.

Under the smooth likelihood exp(−Σ_x softplus(−4 s z(x))), s = 2f − 1, the evidence of f is Z = E_θ exp(−loss). At the
maximum of the posterior −log Z ≈ loss + ½|θ|² + ½ log det(I + G), G the Gauss–Newton matrix of the summed loss, which
is its Hessian inside one linear piece of the network. Arrays are stacks of R networks of M = 7H + 1 parameters; nats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from studies.universality_lens.boolean import BITS, INPUTS, POINTS

STEEPNESS = 4.0


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + eˣ)."""
    found: np.ndarray = np.logaddexp(0, x)
    return found


def evidence(outputs: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) −log Z of truths (P, 32), and the effective number of draws (Σu)²/Σu², from outputs (D, 32) of draws."""
    of_ones = softplus(-STEEPNESS * outputs.astype(float)).sum(axis=1)
    losses = of_ones[:, None] + STEEPNESS * (outputs.astype(float) @ (1.0 - truths.T))  # softplus(x) = x + softplus(−x)
    least = losses.min(axis=0)
    powers = np.exp(least - losses)
    return least - np.log(powers.mean(axis=0)), powers.sum(axis=0) ** 2 / (powers**2).sum(axis=0)


class Stack:
    """R networks, each with a function that it is to have."""

    def __init__(self, truths: np.ndarray, width: int) -> None:
        self.signs = 2.0 * truths - 1  # (R, 32)
        self.width = width

    def hidden(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hidden activities (R, H, 32), the weights v (R, H) that read them, and outputs (R, 32)."""
        h = self.width
        w = theta[:, : BITS * h].reshape(-1, h, BITS)
        b, v = theta[:, BITS * h : (BITS + 1) * h], theta[:, (BITS + 1) * h : -1]
        active = np.maximum(np.matmul(w, INPUTS.T / np.sqrt(BITS)) + b[..., None] / 2, 0)
        return active, v, np.matmul(v[:, None], active)[:, 0] / np.sqrt(h) + theta[:, -1:] / 2

    def losses(self, theta: np.ndarray) -> np.ndarray:
        """(R,) summed over the 32 inputs."""
        found: np.ndarray = softplus(-STEEPNESS * self.signs * self.hidden(theta)[2]).sum(axis=1)
        return found

    def gradient(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R,) losses and (R, M) their gradients."""
        active, v, z = self.hidden(theta)
        margins = -STEEPNESS * self.signs * z
        slope = -STEEPNESS * self.signs * expit(margins) / np.sqrt(self.width)  # of the loss, over √H
        back = slope[:, None] * v[..., None] * (active > 0)
        of_w = np.matmul(back, INPUTS / np.sqrt(BITS)).reshape(len(theta), -1)
        of_v = np.matmul(active, slope[..., None])[..., 0]
        of_c = slope.sum(axis=1, keepdims=True) * np.sqrt(self.width) / 2
        return softplus(margins).sum(axis=1), np.concatenate([of_w, back.sum(axis=2) / 2, of_v, of_c], axis=1)

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        """(R, 32, M) rows whose outer products sum to G."""
        active, v, z = self.hidden(theta)
        back = v[..., None] * (active > 0) / np.sqrt(self.width)  # (R, H, 32)
        of_w = (back[..., None] * INPUTS / np.sqrt(BITS)).transpose(0, 2, 1, 3).reshape(len(theta), POINTS, -1)
        of_v = active.transpose(0, 2, 1) / np.sqrt(self.width)
        rows = np.concatenate([of_w, back.transpose(0, 2, 1) / 2, of_v, np.full((*z.shape, 1), 0.5)], axis=2)
        chance = expit(STEEPNESS * self.signs * z)
        found: np.ndarray = rows * (STEEPNESS * np.sqrt(chance * (1 - chance)))[..., None]
        return found

    def sharpness(self, theta: np.ndarray) -> np.ndarray:
        """(R,) ½ log det(I + G), by the 32 × 32 matrix that has the same determinant."""
        rows = self.gauss_newton(theta)
        found: np.ndarray = np.linalg.slogdet(np.eye(POINTS) + np.matmul(rows, rows.transpose(0, 2, 1)))[1] / 2
        return found


def adam(
    theta: np.ndarray,
    gradient: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    rates: np.ndarray,
    target: float = -np.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Full-batch Adam; a network rests where its loss first comes to the target.

    Args:
        theta: (R, M) where it begins.
        gradient: gives losses (R,) and gradients (R, M).
        rates: (S,) the rate of every step.
        target: of the loss.

    Returns:
        (R, M) where it ends, and (R,) whether the target was reached.
    """
    theta, mean, square = theta.copy(), np.zeros_like(theta), np.zeros_like(theta)
    for step, rate in enumerate(rates, start=1):
        losses, slope = gradient(theta)
        going = losses > target
        if not going.any():
            break
        mean += 0.1 * (slope - mean)
        square += 0.001 * (slope**2 - square)
        move = rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        theta -= move * going[:, None]
    return theta, gradient(theta)[0] <= target


def posterior_maxima(stack: Stack, starts: np.ndarray, steps: int) -> np.ndarray:
    """(R, M) where Adam with a falling rate takes the posterior from starts drawn from the prior."""

    def gradient(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        losses, slope = stack.gradient(theta)
        return losses + 0.5 * (theta**2).sum(axis=1), slope + theta

    return adam(starts, gradient, 0.05 * np.cos(np.pi / 2 * np.arange(steps) / steps) ** 2)[0]


def matched(stack: Stack, theta: np.ndarray, loss: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(R, M) where the mean loss first is so low without a prior, from the posterior's maximum; (R,) whether it was."""
    return adam(theta, stack.gradient, np.full(steps, 0.003), loss * POINTS)
