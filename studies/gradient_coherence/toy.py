"""The paper's toy: linear regression on five rows whose own features say nothing about one another.

Row i has its own feature, y_i, and in the "real" data a sixth that all rows share, also y_i. Gradient descent from zero
on the first four rows finds the solution of least norm; what it makes of the fifth depends on the common feature alone.
"""

from __future__ import annotations

import numpy as np

TARGETS = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
LIMITS = {"common": 0.02, "none": 0.5}
"""Feature that rows share → loss ½(y − w·x)² of the fifth row in the limit; with it w₆ = 4/5, without it w·x = 0."""


def features(common: bool) -> np.ndarray:
    """(5, 6) the rows."""
    return np.column_stack([np.diag(TARGETS), TARGETS * common])


def descended(rows: np.ndarray, targets: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """(6,) the weights after full-batch gradient descent from zero on Σ ½(y − w·x)²."""
    weights = np.zeros(rows.shape[1])
    for _ in range(steps):
        weights += rate * (targets - rows @ weights) @ rows
    return weights


def unseen_loss(common: bool, rate: float = 0.1, steps: int = 1000) -> float:
    """The loss of the fifth row after training on the first four."""
    rows = features(common)
    weights = descended(rows[:4], TARGETS[:4], rate, steps)
    return float(0.5 * (TARGETS[4] - rows[4] @ weights) ** 2)
