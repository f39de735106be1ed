"""Whether two solutions lie in one basin: the loss along a segment, along a bent path, and permuted copies.

A path's barrier is the largest excess of the loss over the chord of its ends, at 21 points. A bent path has one
corner, trained to lower the mean loss of both halves (one-corner case of Garipov et al. 2018, arXiv 1802.10026).
"""

from __future__ import annotations

import numpy as np

from studies.hessian_spectrum.stack import Layers, gradients, mean_losses

POINTS = 21  # of a path, both ends included
_EVERY = 2  # of these points are seen while the corner is trained
RATE = 0.5  # of the corner


def along(first: Layers, corner: Layers, last: Layers, places: np.ndarray) -> Layers:
    """The stack of networks at places t in [0, 1] of the path first → corner (t = ½) → last."""
    t = np.asarray(places)[:, None, None]
    a, b, c = np.maximum(1 - 2 * t, 0), 1 - np.abs(2 * t - 1), np.maximum(2 * t - 1, 0)
    return [(a * x + b * y + c * z).astype(np.float32) for x, y, z in zip(first, corner, last, strict=True)]


def midpoint(first: Layers, last: Layers) -> Layers:
    """The corner of the straight path."""
    return [(x + y) / 2 for x, y in zip(first, last, strict=True)]


def path_losses(first: Layers, corner: Layers, last: Layers, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean training loss at the 21 points of a path."""
    return mean_losses(along(first, corner, last, np.linspace(0, 1, POINTS)), inputs, targets)


def barrier(losses: np.ndarray) -> float:
    """The largest excess over the chord between the ends; zero where there is none."""
    return float((losses - np.linspace(losses[0], losses[-1], len(losses))).max())


def bent(first: Layers, last: Layers, inputs: np.ndarray, targets: np.ndarray, steps: int) -> Layers:
    """The corner of a bent path, by gradient descent from the midpoint of the segment."""
    corner = midpoint(first, last)
    places = np.linspace(0, 1, POINTS)[1:-1:_EVERY]
    shares = ((1 - np.abs(2 * places - 1)) / len(places)).astype(np.float32)[:, None, None]
    for _ in range(steps):
        _, slopes = gradients(along(first, corner, last, places), inputs, targets)
        corner = [x - RATE * (shares * slope).sum(axis=0) for x, slope in zip(corner, slopes, strict=True)]
    return corner


def distance(first: Layers, last: Layers) -> float:
    """|w_B − w_A| / |w_A|."""
    squares = [np.square(y - x, dtype=np.float64).sum() for x, y in zip(first, last, strict=True)]
    return float(np.sqrt(sum(squares) / sum(np.square(x, dtype=np.float64).sum() for x in first)))


def permuted(layers: Layers, generator: np.random.Generator) -> Layers:
    """The same function with the hidden units in another order; layers without biases."""
    found = [layer.copy() for layer in layers]
    for place in range(len(layers) - 1):
        order = generator.permutation(len(layers[place]))
        found[place] = found[place][order]
        found[place + 1] = found[place + 1][:, order]
    return found
