"""Interpolators by training: Adam on all samples, with a flatness penalty or wrong labels beside, then Gauss–Newton.

Adam alone takes most of its steps for the last decades of the loss. Here it takes a fixed number, and Gauss–Newton
steps of least norm end the training: they move the weights as little as interpolation of the training samples asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from studies.flattest_interpolators.flatness import Network

FLAT_SHARE = 0.85  # of the steps have the flatness penalty, the others none; all, with wrong labels beside
_DAMPINGS = (0.0, 1e-3, 1e-1)  # of Gauss–Newton, over the mean squared length of a sample's gradient
_BETAS, _TINY = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    steps: int
    rate: float
    penalty: float = 0.0  # μ: of the trace of the Hessian on the training samples
    wrong_weight: float = 0.0  # of each further sample with a wrong label, beside 1 of a training sample


def initial(generator: np.random.Generator, hidden: int, d: int, scale: float) -> Network:
    """Gaussian weights: of standard deviation scale/√d in, scale/√H out."""
    w = generator.standard_normal((hidden, d)) * scale / np.sqrt(d)
    return Network(w, generator.standard_normal(hidden) * scale / np.sqrt(hidden))


def gradients(
    network: Network, x: np.ndarray, y: np.ndarray, weights: np.ndarray, n: int, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of (1/2n) Σ_i weights_i (f − y)² + μ tr H, by w, (H, d), and a, (H,); the trace is over the first n samples.

    Where a unit's activity on a sample changes the trace jumps; that is no part of the gradient.
    """
    w, a = network.w, network.a
    before = x @ w.T
    active = before > 0
    after = before * active
    residual = weights * (after @ a - y) / n
    by_after = np.outer(residual, a)
    by_a = residual @ after
    if penalty:
        by_after[:n] += 2 * penalty / n * after[:n]
        by_a += 2 * penalty * a * ((x[:n] ** 2).sum(axis=1) @ active[:n]) / n
    by_after *= active
    return by_after.T @ x, by_a


def adam(
    network: Network, samples: tuple[np.ndarray, np.ndarray], wrong: tuple[np.ndarray, np.ndarray], recipe: Recipe
) -> Network:
    """The network after a fixed number of full-batch steps; the rate falls linearly to a hundredth of itself."""
    n = len(samples[1])
    x, y, weights = (*samples, np.ones(n))
    if recipe.wrong_weight:
        x, y = (np.concatenate(pair) for pair in zip(samples, wrong, strict=True))
        weights = np.concatenate([weights, np.full(len(wrong[1]), recipe.wrong_weight)])
    values = [network.w.copy(), network.a.copy()]
    first, second = ([np.zeros_like(value) for value in values] for _ in range(2))
    for step in range(1, recipe.steps + 1):
        freed = step > FLAT_SHARE * recipe.steps and not recipe.wrong_weight
        penalty = 0.0 if freed else recipe.penalty
        rate = recipe.rate * (1 - 0.99 * step / recipe.steps)
        for place, gradient in enumerate(gradients(Network(values[0], values[1]), x, y, weights, n, penalty)):
            first[place] += (1 - _BETAS[0]) * (gradient - first[place])
            second[place] += (1 - _BETAS[1]) * (gradient**2 - second[place])
            size = np.sqrt(second[place] / (1 - _BETAS[1] ** step)) + _TINY
            values[place] -= rate / (1 - _BETAS[0] ** step) * first[place] / size
    return Network(values[0], values[1])


def jacobian(network: Network, x: np.ndarray) -> np.ndarray:
    """(n, H d + H) the derivatives of f(x_i) by all weights."""
    before = x @ network.w.T
    by_w = ((before > 0) * network.a)[:, :, None] * x[:, None, :]
    return np.concatenate([by_w.reshape(len(x), -1), np.maximum(before, 0)], axis=1)


def finished(network: Network, x: np.ndarray, y: np.ndarray, goal: float, most: int = 200) -> Network:
    """Gauss–Newton steps of least norm until the loss is at most ``goal``, or until none makes it smaller.

    Where a step would raise the loss, since units change their activity on the way, it is damped, and then halved.
    """

    def loss(candidate: Network) -> float:
        return float(np.mean((candidate(x) - y) ** 2) / 2)

    here = loss(network)
    for _ in range(most):
        if here <= goal:
            break
        for candidate in _candidates(network, x, y):
            if (reached := loss(candidate)) < here:
                break
        else:
            break
        network, here = candidate, reached
    return network


def _candidates(network: Network, x: np.ndarray, y: np.ndarray) -> Iterator[Network]:
    """Networks a Gauss–Newton step away, from the boldest to the most timid."""
    slopes, missing = jacobian(network, x), y - network(x)
    lengths, vectors = np.linalg.eigh(slopes @ slopes.T)
    for share in 0.25 ** np.arange(7):
        for damping in _DAMPINGS:
            damped = np.maximum(lengths, 0) + damping * lengths.mean()
            inverse = np.divide(1, damped, out=np.zeros_like(damped), where=damped > 1e-10 * lengths[-1])
            step = share * slopes.T @ (vectors @ (inverse * (vectors.T @ missing)))
            by_w, by_a = step[: network.w.size].reshape(network.w.shape), step[network.w.size :]
            yield Network(network.w + by_w, network.a + by_a)


def random_features(generator: np.random.Generator, x: np.ndarray, y: np.ndarray, hidden: int) -> Network:
    """Interpolation by output weights of least norm on random directions."""
    w = generator.standard_normal((hidden, x.shape[1])) / np.sqrt(x.shape[1])
    return Network(w, np.linalg.lstsq(np.maximum(x @ w.T, 0), y, rcond=None)[0])
