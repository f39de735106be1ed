"""The change of a layer's weights that equals a change of its input (Feng, Zhang & Tu 2023).

For a training activity a and a test activity a′ = a + Δa, the dual weights W + ΔW give a the output of a′:

    (W + ΔW) a = W a′,    ΔW = (W Δa) aᵀ / |a|²,

of all such ΔW the one of least Frobenius norm, |ΔW| = |W Δa| / |a|. It has rank one, so it is kept as two vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DualWeights:
    """ΔW_k = left_k right_kᵀ for P pairs."""

    left: Tensor  # (P, m): W Δa
    right: Tensor  # (P, n): a / |a|²
    exists: Tensor  # (P,) bool: False where a = 0 but W Δa ≠ 0, since no weights turn zero input into that output

    def __getitem__(self, pairs: slice | Tensor) -> DualWeights:
        """The dual weights of some pairs."""
        return DualWeights(self.left[pairs], self.right[pairs], self.exists[pairs])

    def matrices(self) -> Tensor:
        """ΔW of every pair as a matrix, (P, m, n)."""
        return self.left[:, :, None] * self.right[:, None, :]


def dual_weights(weight: Tensor, train_activities: Tensor, test_activities: Tensor) -> DualWeights:
    """The dual weight change of every pair.

    Args:
        weight: W, (m, n).
        train_activities: a, (P, n).
        test_activities: a′, (P, n).

    Returns:
        The least-norm ΔW; ``right`` is zero where a = 0.
    """
    left = (test_activities - train_activities) @ weight.T
    squared = train_activities.square().sum(1, keepdim=True)
    silent = squared[:, 0] == 0
    right = train_activities / squared.masked_fill(silent[:, None], 1.0)
    return DualWeights(left, right, ~(silent & (left != 0).any(1)))


def other_dual(dual: DualWeights, activities: Tensor, direction: Tensor) -> DualWeights:
    """Another member of the family of duals, not of least norm: every ΔW′ along one direction v of the inputs.

    ΔW′ = (W Δa) vᵀ / (v·a) differs from the least-norm ΔW by an N with N a = 0, so (W + ΔW′) a = W a′ as well.

    Args:
        dual: the least-norm dual.
        activities: a, (P, n).
        direction: v, (n,), the same for all pairs.

    Returns:
        The other dual; it does not exist where v·a = 0 but W Δa ≠ 0.
    """
    overlap = activities @ direction
    right = direction / overlap.masked_fill(overlap == 0, 1.0)[:, None]
    right = torch.where((overlap == 0)[:, None], 0.0, right)
    return DualWeights(dual.left, right, dual.exists & ~((overlap == 0) & (dual.left != 0).any(1)))
