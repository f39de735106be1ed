"""A layer's Hessian as products with vectors only, for layers whose matrix is too large to be diagonalised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from awduality.curvature.layer_hessian import output_hessians
from awduality.curvature.spectrum import Spectrum
from awduality.errors import InputError
from awduality.probe import LayerProbe, Seen

_MOST_BYTES = 2**31  # of all S_k together


class HessianOperator:
    """H V from the factors of H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ); the matrix itself is never made.

    Memory: N·(m² + n) float64. Time of a product with one vector: 4·N·m·n + 2·N·m² operations.

    Raises:
        InputError: the S_k of all samples would take more than 2 GiB.
    """

    def __init__(self, probe: LayerProbe, seen: Seen) -> None:
        outputs, units = probe.weight.shape
        if (size := 8 * len(seen) * outputs**2) > _MOST_BYTES:
            raise InputError(
                f"the curvature of layer {probe.name!r} with its {outputs} outputs takes {size / 2**30:.1f} GiB on "
                f"{len(seen):,} training samples: pass at most {_MOST_BYTES // (8 * outputs**2):,} of them, or choose "
                "a smaller layer"
            )
        self.shape = (outputs * units, outputs * units)
        self.activities = seen.activities
        self.output_hessians = seen.activities.new_empty(len(seen), outputs, outputs)
        first = 0
        for s, _ in output_hessians(probe, seen):
            self.output_hessians[first : first + len(s)] = s
            first += len(s)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """H V for V (m·n, k), a vector per column."""
        samples, outputs = self.output_hessians.shape[:2]
        count = vectors.shape[1]
        blocks = vectors.view(outputs, -1, count)  # (m, n, k)
        moved = torch.mm(self.activities, blocks.transpose(0, 1).reshape(-1, outputs * count))  # V a, (N, m·k)
        curved = torch.bmm(self.output_hessians, moved.view(samples, outputs, count))  # S V a
        summed = torch.mm(curved.view(samples, -1).T, self.activities) / samples  # (m·k, n)
        return summed.view(outputs, count, -1).transpose(1, 2).reshape(-1, count)


def top_spectrum(operator: HessianOperator, top: int) -> Spectrum:
    """The eigenpairs of the ``top`` largest eigenvalues, by implicitly restarted Lanczos iteration (ARPACK).

    Converged to the rounding of float64. The start is fixed, so that the same input gives the same result.

    Raises:
        InputError: ``top`` is not between 1 and the number of weights − 1, or the iteration does not converge.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    size, device = operator.shape[0], operator.activities.device
    if not 1 <= top < size:
        raise InputError(f"top must be between 1 and {size - 1}, one less than the layer's weights: got {top}")

    def times(vector: np.ndarray) -> np.ndarray:
        product: np.ndarray = (operator @ torch.as_tensor(vector, device=device).view(-1, 1))[:, 0].cpu().numpy()
        return product

    start = torch.cos(torch.arange(size, dtype=torch.float64)).numpy()
    try:
        values, vectors = eigsh(LinearOperator(operator.shape, times, dtype=np.float64), top, which="LA", v0=start)
    except ArpackNoConvergence as error:
        raise InputError(
            f"of the {top} largest eigenvalues only {len(error.eigenvalues)} converged, since they do not separate "
            "from the others: ask for fewer"
        ) from error
    found = (torch.from_numpy(array.copy()).to(device) for array in (values[::-1], vectors[:, ::-1]))
    return Spectrum(*found)
