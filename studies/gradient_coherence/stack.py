"""Many small ReLU networks without biases at once: their weights are stacked, their products batched.

NumPy multiplies a stack matrix by matrix, so that what a network gets does not depend, to the bit, on its neighbours.
Per-example gradients are never made here: that of a layer is the outer product of two vectors, a *signal* δ and an
input a, and norms and means of gradients follow from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Weights = list[np.ndarray]
"""One array (M, outputs, inputs) per layer, of M networks."""


class Layer(NamedTuple):
    """What makes the per-example gradients δ aᵀ of one layer in M networks."""

    signals: np.ndarray  # (M, N, outputs): derivatives of an example's loss in the layer's outputs
    inputs: np.ndarray  # (M, N, inputs), or (1, N, inputs) where all networks see the same


class Pass(NamedTuple):
    """Loss and prediction of every example, and its gradient as outer products."""

    losses: np.ndarray  # (M, N) cross-entropy, nats
    correct: np.ndarray  # (M, N) whether the largest output is the label's
    layers: list[Layer]  # none where only forwards

    def of(self, examples: slice) -> Pass:
        """The same of some of the examples."""
        layers = [Layer(layer.signals[:, examples], layer.inputs[:, examples]) for layer in self.layers]
        return Pass(self.losses[:, examples], self.correct[:, examples], layers)


def initial_weights(widths: Sequence[int], generator: np.random.Generator) -> list[np.ndarray]:
    """PyTorch's default: uniform in (−1/√n, 1/√n), n the inputs of a unit; one (outputs, inputs) per layer, float32."""
    return [
        ((2 * generator.random((after, before), dtype=np.float32) - 1) / np.float32(np.sqrt(before)))
        for before, after in pairwise(widths)
    ]


def outputs(weights: Weights, inputs: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The outputs (M, N, K) of M networks, and the inputs of every layer.

    Args:
        weights: of M networks.
        inputs: (M, N, n), or (1, N, n) for all networks.
    """
    seen = [inputs]
    for matrix in weights[:-1]:
        seen.append(np.maximum(np.matmul(seen[-1], matrix.swapaxes(1, 2)), 0))
    return np.matmul(seen[-1], weights[-1].swapaxes(1, 2)), seen


def passed(weights: Weights, inputs: np.ndarray, labels: np.ndarray, backwards: bool = True) -> Pass:
    """Pass examples forwards and backwards.

    Args:
        weights: of M networks.
        inputs: (M, N, n), or (1, N, n) for all networks.
        labels: (M, N) class indices.
        backwards: whether gradients are wanted too.
    """
    logits, seen = outputs(weights, inputs)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    powers = np.exp(shifted)
    totals = powers.sum(axis=-1)
    places = labels[..., None]
    losses = np.log(totals) - np.take_along_axis(shifted, places, axis=-1)[..., 0]
    layers: list[Layer] = []
    if backwards:
        signals = powers / totals[..., None]
        np.put_along_axis(signals, places, np.take_along_axis(signals, places, axis=-1) - 1, axis=-1)
        for depth in reversed(range(len(weights))):
            layers.append(Layer(signals, seen[depth]))
            if depth:
                signals = np.matmul(signals, weights[depth]) * (seen[depth] > 0)
    return Pass(losses, logits.argmax(axis=-1) == labels, layers[::-1])


def accuracy(weights: Weights, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(M,) the share of the examples, inputs (N, n) and labels (N,), that each network classifies rightly."""
    logits, _ = outputs(weights, inputs[None])
    return np.asarray((logits.argmax(axis=-1) == labels).mean(axis=-1))


def mean_gradient(layers: Sequence[Layer], weighted: np.ndarray | None = None) -> Weights:
    """The mean over examples of their gradients, each multiplied by its number in ``weighted`` (M, N) if given."""
    found = []
    for layer in layers:
        signals = layer.signals if weighted is None else layer.signals * weighted[..., None]
        found.append(np.matmul(signals.swapaxes(1, 2), layer.inputs) / np.float32(signals.shape[1]))
    return found


def inner(left: Weights, right: Weights) -> np.ndarray:
    """(M,) the inner products of gradients, over all layers."""
    return np.asarray(
        sum((a.astype(float) * b).reshape(len(a), -1).sum(axis=-1) for a, b in zip(left, right, strict=True))
    )


def squared_norms(layers: Sequence[Layer]) -> np.ndarray:
    """(M, N) the squared length of every example's gradient, Σ_l |δ_l|²|a_l|²."""
    return np.asarray(
        sum(
            np.square(layer.signals, dtype=float).sum(axis=-1) * np.square(layer.inputs, dtype=float).sum(axis=-1)
            for layer in layers
        )
    )


def minibatches(examples: int, size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices (size,) of one minibatch after the other: consecutive parts of a fresh permutation for every epoch."""
    while True:
        order = generator.permutation(examples)
        yield from order[: examples - examples % size].reshape(-1, size)
