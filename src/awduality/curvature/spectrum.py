"""Eigenvalues and eigen-directions of a layer's Hessian, always all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-10
"""Directions of smaller eigenvalue, relative to the largest, span the null space. The basis is arbitrary there, and so
is what is measured along a single direction: it counts in sums that are the same in every basis, and in no others."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenpairs of a symmetric matrix."""

    eigenvalues: Tensor  # (M,) descending
    eigenvectors: Tensor  # (M, M), direction n is column n


def above_tolerance(eigenvalues: np.ndarray) -> np.ndarray:
    """(M,) bool: the directions that are not in the null space, for (M,) descending eigenvalues."""
    return np.asarray(eigenvalues > TOLERANCE * eigenvalues[0])


def spectrum(hessian: Tensor) -> Spectrum:
    """All eigenpairs of a symmetric (M, M) matrix.

    Dead units and inputs that are always zero leave exactly zero rows. They are taken out of the eigenvalue problem,
    and their unit vectors complete the basis with eigenvalue zero: the loss is flat along them, but dual weights are
    not zero there.
    """
    support = (hessian != 0).any(1).nonzero()[:, 0]
    empty = (hessian == 0).all(1).nonzero()[:, 0]
    values = hessian.new_zeros(len(hessian))
    vectors = torch.zeros_like(hessian)
    if len(support):
        block_values, block_vectors = torch.linalg.eigh(hessian[support][:, support])
        values[: len(support)] = block_values
        vectors[support, : len(support)] = block_vectors
    vectors[empty, torch.arange(len(support), len(hessian), device=hessian.device)] = 1.0
    order = values.argsort(descending=True, stable=True)
    return Spectrum(values[order], vectors[:, order])
