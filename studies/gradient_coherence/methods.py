"""How a step is made of per-example gradients: means, means winsorised by coordinate, medians of minibatches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from awduality.errors import InputError
from studies.gradient_coherence.stack import Layer, Pass, Weights, inner, mean_gradient

MINIBATCHES = {"m3": 3, "mean3": 3}
"""Method → minibatches per update, if more than one."""


def clipped(size: int, per_cent: float) -> int:
    """How many of a minibatch's values are clipped on either side of a coordinate.

    Raises:
        InputError: that would leave no value as it is.
    """
    count = round(per_cent * size / 100)
    if 2 * count >= size:
        raise InputError(f"winsorising {per_cent:g}% of {size} examples leaves none: choose less than 50%")
    return count


def winsorised_mean(layers: Sequence[Layer], per_cent: float) -> Weights:
    """The mean of the gradients of a minibatch after each coordinate is clipped between two of its own values.

    These are, of B values, the (k+1)-th smallest and the (k+1)-th largest, k = round(cB/100), as the authors' code has
    it (percentiles c and 100 − c, nearest).

    Args:
        layers: the per-example gradients of M networks.
        per_cent: c; nothing is clipped where k is 0.
    """
    size = layers[0].signals.shape[1]
    count = clipped(size, per_cent)
    if not count:
        return mean_gradient(layers)
    found = []
    for layer in layers:
        pairs = zip(
            layer.signals, np.broadcast_to(layer.inputs, (len(layer.signals), *layer.inputs.shape[1:])), strict=True
        )
        found.append(
            np.stack([_winsorised(np.ascontiguousarray(d.T), np.ascontiguousarray(a.T), count) for d, a in pairs])
        )
    return found


def _winsorised(signals: np.ndarray, inputs: np.ndarray, count: int) -> np.ndarray:
    """(outputs, inputs) of one layer of one network, from (outputs, B) and (inputs, B)."""
    each = signals[:, None, :] * inputs[None, :, :]
    each.sort(axis=-1)
    size = each.shape[-1]
    ends = each[..., count] + each[..., size - 1 - count]
    return np.asarray((each[..., count : size - count].sum(axis=-1) + count * ends) / np.asarray(size, each.dtype))


def normed(layers: Sequence[Layer], per_cent: float) -> Weights:
    """The plain mean, with the length of the winsorised one: does winsorising do more than make steps shorter?"""
    plain, short = mean_gradient(layers), winsorised_mean(layers, per_cent)
    length = inner(plain, plain)
    factor = np.sqrt(np.divide(inner(short, short), length, out=np.zeros_like(length), where=length > 0))
    return [np.asarray(gradient * factor.astype(gradient.dtype)[:, None, None]) for gradient in plain]


def median_of_three(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """The median of three numbers, coordinate by coordinate."""
    return np.asarray(np.maximum(np.minimum(first, second), np.minimum(np.maximum(first, second), third)))


class Update:
    """The direction that a method takes from each minibatch, or three."""

    def __init__(self, method: str, per_cent: float) -> None:
        self._method, self._per_cent = method, per_cent
        self._last: deque[Weights] = deque(maxlen=3)

    @property
    def minibatches(self) -> int:
        """How many minibatches an update reads."""
        return MINIBATCHES.get(self._method, 1)

    def __call__(self, seen: Pass) -> Weights:
        """The direction, whose negative is gone along; ``seen`` has the examples of all minibatches in order."""
        if self._method == "normed":
            return normed(seen.layers, self._per_cent)
        if self._method == "m3":
            size = seen.losses.shape[1] // 3
            parts = [mean_gradient(seen.of(slice(i * size, (i + 1) * size)).layers) for i in range(3)]
            return [median_of_three(*layer) for layer in zip(*parts, strict=True)]
        if self._method == "rm3":
            self._last.append(mean_gradient(seen.layers))
            if len(self._last) < 3:  # ours: until three minibatches are there, the last one counts alone
                return self._last[-1]
            return [median_of_three(*layer) for layer in zip(*self._last, strict=True)]
        return winsorised_mean(seen.layers, self._per_cent if self._method == "mean" else 0.0)

    def keep(self, rows: np.ndarray) -> None:
        """Forget all networks but these."""
        self._last = deque(([layer[rows] for layer in kept] for kept in self._last), maxlen=3)
