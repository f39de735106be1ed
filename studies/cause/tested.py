"""How well a network does on the test set, beside its loss: errors, and the loss that its confidence does not make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_SCALES = (-7.0, 3.0)  # logarithms between which the best one is sought


class Tested(NamedTuple):
    """What is measured on the test set."""

    test_error: float  # share of the samples that are classified wrongly
    tempered_loss: float  # nats: the least mean cross-entropy that any scale of the logits gives
    temperature: float  # one over that scale


def logits(weights: Sequence[np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """(T, C) the outputs, float64, of a ReLU network without biases for inputs (T, n)."""
    activity = inputs.astype(np.float64)
    for matrix in weights[:-1]:
        activity = np.maximum(activity @ matrix.T.astype(np.float64), 0)
    found: np.ndarray = activity @ weights[-1].T.astype(np.float64)
    return found


def measured(outputs: np.ndarray, labels: np.ndarray) -> Tested:
    """Measure logits (T, C) of samples with labels (T,).

    A network that is surer of itself pays more for each error. The scale of its logits, which leaves every decision as
    it is, is chosen on the test samples themselves: the loss there is a control, no estimate of a loss to be expected.
    """
    rows = np.arange(len(labels))

    def loss(log_scale: float) -> float:
        return float(-log_softmax(np.exp(log_scale) * outputs, axis=1)[rows, labels].mean())

    best = minimize_scalar(loss, bounds=_SCALES, method="bounded", options={"xatol": 1e-6})
    error = float((outputs.argmax(1) != labels).mean())
    return Tested(error, float(best.fun), float(np.exp(-best.x)))
