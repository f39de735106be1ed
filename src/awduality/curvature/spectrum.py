"""Eigenvalues and eigen-directions of a layer's Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-10
"""Directions of smaller eigenvalue, by magnitude and relative to the largest, span the null space. The basis is
arbitrary there, and so is what is measured along a single direction: it counts in sums that are the same in every
basis, and in no others."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenpairs of a symmetric matrix: all M of them, or the K of largest eigenvalue."""

    eigenvalues: Tensor  # (K,) descending
    eigenvectors: Tensor  # (M, K), direction n is column n
    trace: float | None = None  # the sum of all M eigenvalues, where only some of them are here


def above_tolerance(eigenvalues: np.ndarray) -> np.ndarray:
    """(M,) bool: the directions that are not in the null space, of negative curvature too, for (M,) eigenvalues."""
    curvature = np.abs(eigenvalues)
    return np.asarray(curvature > TOLERANCE * curvature.max(initial=0.0))


def spectrum(hessian: Tensor) -> Spectrum:
    """All eigenpairs of a symmetric (M, M) matrix.

    Dead units and inputs that are always zero leave exactly zero rows. They are taken out of the eigenvalue problem,
    and their unit vectors complete the basis with eigenvalue zero: the loss is flat along them, but dual weights are
    not zero there.
    """
    filled = (hessian != 0).any(1)
    support, empty = filled.nonzero()[:, 0], (~filled).nonzero()[:, 0]
    values = hessian.new_zeros(len(hessian))
    vectors = torch.zeros_like(hessian)
    if len(support):
        block = hessian if len(support) == len(hessian) else hessian[support][:, support]
        block_values, block_vectors = _eigh(block)
        values[: len(support)] = block_values
        vectors[support, : len(support)] = block_vectors
    vectors[empty, torch.arange(len(support), len(hessian), device=hessian.device)] = 1.0
    order = values.argsort(descending=True, stable=True)
    return Spectrum(values[order], vectors[:, order])


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """All eigenpairs, ascending; on the CPU by NumPy's LAPACK, which needs two thirds of the time of torch's."""
    if matrix.is_cuda:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    found = np.linalg.eigh(matrix.numpy())
    return torch.from_numpy(found.eigenvalues), torch.from_numpy(found.eigenvectors)
