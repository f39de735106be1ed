"""Gradient descent with noise of one kind at a time, all at one rate: of what shape must it be to flatten?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from studies.sgd_landscape.network import (
    Pass,
    Weights,
    hessian_product,
    norm_squared,
    passed,
    power,
    traces,
    weighted_gradient,
)

LOOKED = 20
"""Steps between two looks at the training loss."""


@dataclass
class Trained:
    """Where a training came to."""

    weights: Weights
    steps: int  # with noise, up to the first target
    cooled: int  # without, from there to the second
    ended: str
    course: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "loss": [], "trace": []})


def noisy_gradient(
    noise: str, weights: Weights, x: np.ndarray, labels: np.ndarray, batch: int, generator: np.random.Generator
) -> Weights:
    """∇L + ξ, the noise ξ of mean zero.

    ``minibatch`` draws with replacement, so that the noise's covariance is Cov(g_i)/B. ``gaussian`` has the same
    covariance. ``shift`` goes as H s and ``isotropic`` as s itself, s ~ N(0, I), both scaled to the power
    tr Cov(g_i)/B that a minibatch would have at these weights.
    """
    count = len(x)
    if noise == "minibatch":
        chosen = generator.integers(count, size=batch)
        return weighted_gradient(passed(weights, x[chosen], labels[chosen]))
    one = passed(weights, x, labels)
    gradient = weighted_gradient(one)
    if noise == "none":
        return gradient
    if noise == "gaussian":
        z = generator.standard_normal(count)
        extra = weighted_gradient(one, (z - z.mean()) / np.sqrt(count * batch))
        return [g + e for g, e in zip(gradient, extra, strict=True)]
    drawn = [generator.standard_normal(part.shape) for part in weights]
    shape = hessian_product(weights, one, drawn) if noise == "shift" else drawn
    scale = np.sqrt(power(one, batch) / max(norm_squared(shape), 1e-300))
    return [g + scale * e for g, e in zip(gradient, shape, strict=True)]


def descended(weights: Weights, rate: float, gradient: Weights) -> Weights:
    """One step."""
    return [w - rate * g for w, g in zip(weights, gradient, strict=True)]


def train(
    weights: Weights,
    samples: tuple[np.ndarray, np.ndarray],
    gradient: Callable[[Weights], Weights],
    rate: float,
    targets: tuple[float, float],
    most: int,
    followed: int = 100,
) -> Trained:
    """Train with noise until the loss is at most the first target, then without, at the same rate, to the second.

    A noisy run stops at a lucky dip; the cool-down brings all runs to one loss without noise.

    Args:
        weights: where it begins.
        samples: inputs and class indices that the loss is averaged over.
        gradient: of weights, with the noise.
        rate: of all steps.
        targets: training losses.
        most: steps in either part.
        followed: steps between two entries of the course.
    """
    found = Trained(weights, 0, 0, "budget")
    for step in range(most + 1):
        if step % LOOKED == 0:
            one = passed(found.weights, *samples)
            loss = float(one.losses.mean())
            if not np.isfinite(loss):
                found.ended = "diverged"
                return found
            if step % followed == 0 or loss <= targets[0]:
                _note(found, step, loss, one)
            if loss <= targets[0]:
                found.steps = step
                return _cooled(found, samples, rate, targets[1], most)
        found.weights = descended(found.weights, rate, gradient(found.weights))
    found.steps = most
    return found


def _cooled(found: Trained, samples: tuple[np.ndarray, np.ndarray], rate: float, target: float, most: int) -> Trained:
    for step in range(most + 1):
        one = passed(found.weights, *samples)
        loss = float(one.losses.mean())
        if loss <= target:
            _note(found, found.steps + step, loss, one)
            found.cooled, found.ended = step, "converged"
            return found
        found.weights = descended(found.weights, rate, weighted_gradient(one))
    found.cooled = most
    return found


def _note(found: Trained, step: int, loss: float, one: Pass) -> None:
    values = {"step": float(step), "loss": loss, "trace": traces(found.weights, one)[0]}
    for name, value in values.items():
        found.course[name].append(value)
