"""Clusters made here, and images from the split, as networks take them: features before samples, float32."""

from __future__ import annotations

from math import isqrt

import numpy as np

from awduality.data.splits import Split

FEATURES = 10  # of clusters
_SIDE = 20.0  # of the cube that centres are drawn from, as in scikit-learn's make_blobs
_POOLED = 784  # features of images that are pooled, 28 × 28 …
_POOL = 4  # … by means of so many pixels squared, to 7 × 7

Samples = tuple[np.ndarray, np.ndarray]
"""Inputs (N, n) float32 and labels (N,)."""


def clusters(classes: int, deviation: float, samples: int, generator: np.random.Generator) -> Samples:
    """Gaussian clusters of equal size around random centres, every input standardised.

    Args:
        classes: k.
        deviation: the standard deviation of a cluster before the inputs are standardised.
        samples: N.
        generator: the centres do not depend on ``deviation``, nor does the place of a point relative to its centre.
    """
    labels = np.arange(samples) % classes
    noise = generator.standard_normal((samples, FEATURES))
    centres = generator.uniform(-_SIDE / 2, _SIDE / 2, (classes, FEATURES))
    points = centres[labels] + deviation * noise
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    return points.astype(np.float32), labels


def images(split: Split, samples: int) -> tuple[Samples, Samples]:
    """Training and test samples; images of 28 × 28 pixels become 7 × 7, so that a dense Hessian is possible."""
    inputs, labels = split.train(samples)
    return (pooled(inputs), labels), (pooled(split.test_inputs), split.test_labels)


def pooled(inputs: np.ndarray) -> np.ndarray:
    """(N, n) → (N, n / 16) for images of 28 × 28, means of 4 × 4 pixels; other inputs as they are."""
    if inputs.shape[1] != _POOLED:
        return inputs
    side = isqrt(_POOLED) // _POOL
    return np.ascontiguousarray(inputs.reshape(-1, side, _POOL, side, _POOL).mean(axis=(2, 4)).reshape(-1, side**2))
