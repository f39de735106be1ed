"""Stacks of small ReLU networks of one shape, trained by plain gradient descent on the cross-entropy.

Activations are (R, units, samples). Products are NumPy's, which calls the matrix library once per network, so that a
run's numbers do not depend on its neighbours in the stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Layers = list[np.ndarray]
"""Per layer (R, outputs, inputs); with biases these are the last column, and inputs are one more."""


@dataclass
class Course:
    """How one network was trained."""

    ended: str = "budget"  # converged, budget, diverged
    steps: int = 0
    loss: float = float("nan")  # mean over all samples, where it was last measured
    gradient: float = float("nan")  # its norm there, of full batches only
    weights: Layers = field(default_factory=list)  # at the end, without the leading dimension
    levels: dict[float, tuple[int, float, Layers]] = field(default_factory=dict)  # level → step, loss, weights


def he_init(widths: Sequence[int], biases: bool, generator: np.random.Generator) -> Layers:
    """One network's weights, float32: normal of variance 2 / inputs (He et al. 2015), biases zero."""
    layers = []
    for before, after in pairwise(widths):
        layer = generator.standard_normal((after, before)) * np.sqrt(2 / before)
        layers.append(np.hstack([layer, np.zeros((after, 1))]) if biases else layer)
    return [layer.astype(np.float32) for layer in layers]


def stacked(networks: Sequence[Layers]) -> Layers:
    """Networks of one shape as one stack."""
    return [np.stack(layers) for layers in zip(*networks, strict=True)]


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """(…, k, B) float32 of labels (…, B)."""
    return np.ascontiguousarray(np.moveaxis(np.eye(classes, dtype=np.float32)[labels], -1, -2))


def forward(layers: Layers, inputs: np.ndarray) -> list[np.ndarray]:
    """Activations of every layer from the inputs (R or 1, n, B) on; the last are the logits (R, k, B)."""
    found = [inputs]
    for place, layer in enumerate(layers):
        if place:
            np.maximum(found[-1], 0, out=found[-1])
        below = found[-1]
        if layer.shape[2] == below.shape[1]:
            found.append(layer @ below)
        else:
            found.append(layer[:, :, :-1] @ below + layer[:, :, -1:])
    return found


def softmax_losses(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean cross-entropy of every network, (R,), and p (R, k, B), which takes the place of the logits."""
    logits -= logits.max(axis=1, keepdims=True)
    true = (logits * targets).sum(axis=1)
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    losses = (np.log(total[:, 0]) - true).mean(axis=1, dtype=np.float64)
    logits /= total
    return losses, logits


def mean_losses(layers: Layers, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean cross-entropy of every network, (R,)."""
    return softmax_losses(forward(layers, inputs)[-1], targets)[0]


def gradients(layers: Layers, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, Layers]:
    """The mean cross-entropy of every network, (R,), and its gradient, shaped as the layers.

    Args:
        layers: of R networks.
        inputs: (R or 1, n, B).
        targets: (R or 1, k, B), one-hot.
    """
    activations = forward(layers, inputs)
    losses, error = softmax_losses(activations.pop(), targets)
    error -= targets
    error /= inputs.shape[2]
    found: Layers = []
    for place in reversed(range(len(layers))):
        layer, below = layers[place], activations[place]
        slope = error @ below.swapaxes(1, 2)
        biased = layer.shape[2] > below.shape[1]
        found.append(np.concatenate([slope, error.sum(axis=2, keepdims=True)], axis=2) if biased else slope)
        if place:
            error = (layer[:, :, :-1] if biased else layer).swapaxes(1, 2) @ error
            error *= below > 0
    return losses, found[::-1]


def descend(
    layers: Layers,
    inputs: np.ndarray,
    targets: np.ndarray,
    rates: Sequence[float],
    steps: int,
    levels: Sequence[float] = (),
    tolerance: float = 0.0,
    batches: Sequence[Iterator[np.ndarray]] = (),
    every: int = 1,
) -> list[Course]:
    """Train a stack until each network is below its last level, or its gradient below the tolerance.

    Args:
        layers: of R networks; not changed.
        inputs: (R or 1, n, N).
        targets: (R or 1, k, N), one-hot.
        rates: (R,) learning rates.
        steps: at most.
        levels: of the full training loss, descending; the weights where it is first seen below each are kept.
        tolerance: of the gradient's norm, with full batches.
        batches: per network the samples of every step; without them every step sees all.
        every: steps between two looks at the full training loss, where there are batches.

    Returns:
        A course per network.
    """
    layers = [layer.copy() for layer in layers]
    courses, alive = [Course() for _ in rates], np.arange(len(rates))
    speed = np.asarray(rates, dtype=np.float32)[:, None, None]
    for step in range(steps + 1):
        full = not batches
        if full:
            losses, slopes = gradients(layers, _of_rows(inputs, alive), _of_rows(targets, alive))
        elif step % every == 0 or step == steps:
            losses = mean_losses(layers, _of_rows(inputs, alive), _of_rows(targets, alive))
        if full or step % every == 0 or step == steps:
            norms = _norms(slopes) if full else np.full(len(alive), np.nan)
            going = np.ones(len(alive), dtype=bool)
            for row, run in enumerate(alive):
                course = courses[run]
                course.steps, course.loss, course.gradient = step, float(losses[row]), float(norms[row])
                for level in levels:
                    if losses[row] < level and level not in course.levels:
                        course.levels[level] = (step, float(losses[row]), [layer[row].copy() for layer in layers])
                if not np.isfinite(losses[row]):
                    course.ended = "diverged"
                elif len(course.levels) == len(levels) > 0 or norms[row] < tolerance:
                    course.ended = "converged"
                going[row] = course.ended == "budget" and step < steps
                if not going[row]:
                    course.weights = [layer[row].copy() for layer in layers]
            if not going.all():
                alive, speed, layers = alive[going], speed[going], [layer[going] for layer in layers]
                slopes = [slope[going] for slope in slopes] if full else []
            if not len(alive):
                break
        if not full:
            drawn = np.stack([next(batches[int(run)]) for run in alive])
            _, slopes = gradients(layers, _batch(inputs, alive, drawn), _batch(targets, alive, drawn))
        for layer, slope in zip(layers, slopes, strict=True):
            slope *= speed
            layer -= slope
    return courses


def _of_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those networks' part of what may be shared by all."""
    return array if len(array) == 1 or len(array) == len(rows) else array[rows]


def _batch(array: np.ndarray, rows: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    shared = len(array) == 1
    return np.stack([array[0 if shared else row][:, batch] for row, batch in zip(rows, drawn, strict=True)])


def _norms(slopes: Layers) -> np.ndarray:
    squares = [np.square(slope, dtype=np.float64).sum(axis=(1, 2)) for slope in slopes]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)))


def epochs(samples: int, batch: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches (batch,) without end, every sample once per epoch; what an epoch leaves over is left out."""
    while True:
        order = generator.permutation(samples)
        yield from order[: samples - samples % batch].reshape(-1, batch)
