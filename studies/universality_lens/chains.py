"""Langevin dynamics in the posterior of a classifier, and gradient descents at the same training loss.

Networks are stacks of R; their weights are W = θ·(2/n)^½, n the inputs of a unit, ReLU between layers and no biases.
The potential is U(θ) = Σ cross-entropy + ½|θ|², so that θ ← θ − (η/2) ∇U + (ηT)^½ ξ samples the posterior at T = 1.
Full batches: nothing but ξ is random. Nats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp


@dataclass(frozen=True)
class Networks:
    """Layers of some widths, and examples: inputs (R, N, n), labels (R, N), R = 1 where all have the same."""

    widths: Sequence[int]
    inputs: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        """The number of weights M."""
        return sum(before * after for before, after in pairwise(self.widths))

    def weights(self, theta: np.ndarray) -> list[np.ndarray]:
        """(R, outputs, inputs) of every layer, from parameters (R, M)."""
        found, start = [], 0
        for before, after in pairwise(self.widths):
            part = theta[:, start : (start := start + before * after)]
            found.append(part.reshape(-1, after, before) * theta.dtype.type(np.sqrt(2 / before)))
        return found

    def logits(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """(R, T, K) of inputs (T, n)."""
        return self._forwards(self.weights(theta), inputs.astype(theta.dtype))[-1]

    def gradient(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R,) mean cross-entropy of the training examples, and (R, M) the gradient of its sum."""
        weights = self.weights(theta)
        *seen, logits = self._forwards(weights, self.inputs.astype(theta.dtype))
        powers = np.exp(logits - logits.max(axis=2, keepdims=True))
        chances = powers / powers.sum(axis=2, keepdims=True)
        labels = self.labels[..., None]
        of_labels = np.take_along_axis(chances, np.broadcast_to(labels, (*chances.shape[:2], 1)), axis=2)
        losses = -np.log(np.maximum(of_labels[..., 0], 1e-30)).mean(axis=1)
        signal = chances - (labels == np.arange(self.widths[-1]))
        slopes: list[np.ndarray] = []
        for depth in reversed(range(len(weights))):
            scale = theta.dtype.type(np.sqrt(2 / self.widths[depth]))
            slopes.append((np.matmul(signal.swapaxes(1, 2), seen[depth]) * scale).reshape(len(theta), -1))
            if depth:
                signal = np.matmul(signal, weights[depth]) * (seen[depth] > 0)
        return losses, np.concatenate(slopes[::-1], axis=1)

    @staticmethod
    def _forwards(weights: Sequence[np.ndarray], inputs: np.ndarray) -> list[np.ndarray]:
        seen: list[np.ndarray] = [inputs]
        for matrix in weights[:-1]:
            seen.append(np.maximum(np.matmul(seen[-1], matrix.swapaxes(1, 2)), 0))
        return [*seen, np.matmul(seen[-1], weights[-1].swapaxes(1, 2))]


def langevin(
    theta: np.ndarray, slope: np.ndarray, rate: float, temperatures: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    """One step θ − (η/2) ∇U + (ηT)^½ ξ of R chains, from θ, ∇U and ξ (R, M) and T (R,)."""
    scale = np.sqrt(rate * temperatures).astype(theta.dtype)
    found: np.ndarray = theta - theta.dtype.type(rate / 2) * slope + scale[:, None] * normal
    return found


def sampled(
    networks: Networks,
    generators: Sequence[np.random.Generator],
    temperatures: np.ndarray,
    rate: float,
    steps: int,
    members: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples of R chains, evenly spaced over the second half of the steps: θ (R, M) and mean training losses (R,).

    Args:
        networks: the classifier.
        generators: one per chain, for its start, from the prior, and its noise.
        temperatures: (R,) T of every chain.
        rate: η, the same for all.
        steps: how many.
        members: how many samples; they divide half of the steps.
    """
    theta = np.stack([each.standard_normal(networks.size, dtype=np.float32) for each in generators])
    every = steps // (2 * members)
    first = steps - every * members
    for step in range(1, steps + 1):
        losses, slope = networks.gradient(theta)
        if step > first and (step - first - 1) % every == every - 1:
            yield theta, losses
        normal = np.stack([each.standard_normal(networks.size, dtype=np.float32) for each in generators])
        theta = langevin(theta, slope + theta, rate, temperatures, normal)


def descended(
    networks: Networks, starts: np.ndarray, targets: np.ndarray, rate: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient descent on the mean loss from starts (R, M), followed to where its loss first comes to each target (L,).

    Returns:
        (L, R, M) parameters there, not a number where it never came, and (L, R) training losses.
    """
    theta, size = starts.copy(), networks.labels.shape[1]
    found = np.full((len(targets), *starts.shape), np.nan, dtype=starts.dtype)
    reached = np.full((len(targets), len(starts)), np.nan)
    for _ in range(steps):
        losses, slope = networks.gradient(theta)
        now = np.isnan(reached) & (losses <= targets[:, None])
        for place in range(len(targets)):
            found[place][now[place]] = theta[now[place]]
        reached[now] = np.broadcast_to(losses, now.shape)[now]
        if not np.isnan(reached).any():
            break
        theta -= theta.dtype.type(rate / size) * slope
    return found, reached


def mixture_nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean −log of the mean probability that M networks (M, N, K) give the labels (N,)."""
    logs = logits.astype(float) - logsumexp(logits.astype(float), axis=2, keepdims=True)
    of_labels = logs[:, np.arange(len(labels)), labels]
    return float(-(logsumexp(of_labels, axis=0) - np.log(len(logits))).mean())


def by_members(logits: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Number of members, a power of two → mean NLL of the mixtures of disjoint groups of so many networks."""
    sizes = [2**power for power in range(len(logits).bit_length()) if 2**power <= len(logits)]
    return {
        size: float(
            np.mean(
                [mixture_nll(logits[s : s + size], labels) for s in range(0, len(logits) - len(logits) % size, size)]
            )
        )
        for size in sizes
    }
