"""How much of a test loss is over-confidence: the loss with logits divided by the best temperature.

A network whose logits are too large loses much on every sample that it gets wrong. Dividing all logits by one number T
mends that, moves no decision, and says how over-confident the network was: T > 1 if it was (Guo, Pleiss, Sun &
Weinberger 2017, arXiv 1706.04599). T is fitted on one half of the test samples and used on the other, both ways, so
that no sample's loss is lowered by a temperature that it helped to choose.

The tempered gap is that of the same function, logits / T, on both sets. With T > 1 its training loss is larger too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from awduality.errors import InputError
from awduality.losses import cross_entropy
from awduality.probe import Samples

TEMPERED_COLUMNS = (
    "temperature",  # geometric mean of those fitted on the two halves of the test samples
    "test_loss_tempered",  # each half's mean loss at the temperature of the other
    "gap_tempered",  # that, minus the mean training loss at the same two temperatures
)

_LARGEST = 1e6  # temperatures are between its inverse and this
_CHUNK = 500  # samples that a network sees at once


@dataclass(frozen=True)
class Tempered:
    """Mean cross-entropies of logits / T; see the module."""

    temperature: float
    train_loss: float
    test_loss: float

    @property
    def gap(self) -> float:
        """Tempered test loss − tempered training loss."""
        return self.test_loss - self.train_loss


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T that minimises the mean cross-entropy of logits / T.

    In β = 1/T the loss is convex; its derivative ⟨E_p[z] − z_true⟩, p the softmax of β·z, has one root at most. Without
    a root there is no best temperature: none is too small if every sample is right, none too large if logits are worse
    than guessing. The result is then an end of the range, 10⁻⁶ or 10⁶; it is 1 for logits that say nothing.

    Args:
        logits: z, (N, C).
        labels: (N,) int64.

    Raises:
        InputError: no samples, or logits that are not finite.
    """
    from scipy.optimize import brentq

    logits = logits.double()
    if len(logits) == 0 or not bool(torch.isfinite(logits).all()):
        raise InputError("a temperature is fitted to the finite logits of some samples: got none, or others")
    logits = logits - logits.mean(1, keepdim=True)  # which no softmax notices
    true = logits.gather(1, labels[:, None])[:, 0]
    if not bool(logits.any()):
        return 1.0

    def slope(log_beta: float) -> float:
        share = (logits * np.exp(log_beta)).softmax(1)
        return float(((share * logits).sum(1) - true).mean())

    end = float(np.log(_LARGEST))
    if slope(-end) >= 0:
        return _LARGEST
    if slope(end) <= 0:
        return 1 / _LARGEST
    return float(np.exp(-brentq(slope, -end, end, xtol=1e-12, rtol=1e-14)))


def tempered(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Tempered:
    """Losses at temperatures that are fitted on one half of the test samples and used on the other, both ways.

    The halves are the samples at even and at odd positions.

    Args:
        train: logits (N, C) and labels (N,) of the training samples.
        test: the same of the test samples, two at least.
    """
    (logits, labels), halves = test, (slice(0, None, 2), slice(1, None, 2))
    temperatures = [fitted_temperature(logits[half], labels[half]) for half in halves]
    total, trained = 0.0, []
    for half, temperature in zip(halves, reversed(temperatures), strict=True):
        total += float(cross_entropy(logits[half].double() / temperature, labels[half]).sum())
        trained.append(float(cross_entropy(train[0].double() / temperature, train[1]).mean()))
    shares = [len(labels[half]) / len(labels) for half in halves]
    return Tempered(float(np.exp(np.mean(np.log(temperatures)))), float(np.dot(shares, trained)), total / len(labels))


def tempered_numbers(model: nn.Module, train: Samples, test: Samples) -> dict[str, float]:
    """``TEMPERED_COLUMNS`` of one network, whose logits are computed in its own precision."""
    parts = [(_logits(model, samples.inputs), samples.targets) for samples in (train, test)]
    found = tempered(*parts)
    return dict(zip(TEMPERED_COLUMNS, (found.temperature, found.test_loss, found.gap), strict=True))


@torch.no_grad()
def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    precision = next(model.parameters()).dtype
    return torch.cat([model(part.to(precision)).double() for part in inputs.split(_CHUNK)])
