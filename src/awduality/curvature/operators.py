"""A layer's Hessian as products with vectors only, for layers whose matrix is too large to be diagonalised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from awduality.curvature.layer_hessian import output_hessians
from awduality.curvature.spectrum import Spectrum
from awduality.errors import InputError
from awduality.probe import LayerProbe, Seen

MOST_BYTES = 2**31  # of all S_k together


def factor_bytes(probe: LayerProbe, seen: Seen) -> int:
    """The memory that all S_k take, N·m² float64."""
    return 8 * len(seen) * int(probe.weight.shape[0]) ** 2


class HessianOperator:
    """H V from the factors of H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ); the matrix itself is never made.

    Memory: N·(m² + n) float64. Time of a product with one vector: 4·N·m·n + 2·N·m² operations.

    Raises:
        InputError: the S_k of all samples would take more than 2 GiB.
    """

    def __init__(self, probe: LayerProbe, seen: Seen) -> None:
        outputs, units = probe.weight.shape
        if (size := factor_bytes(probe, seen)) > MOST_BYTES:
            fewer = MOST_BYTES // (size // len(seen))
            remedy = f"pass at most {fewer:,} of them, or choose a smaller layer" if fewer else "choose a smaller layer"
            raise InputError(
                f"the curvature of layer {probe.name!r} with its {outputs:,} outputs takes {size / 2**30:.1f} GiB on "
                f"{len(seen):,} training samples: {remedy}"
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

    Converged to the rounding of float64. Start and restarts are fixed, so that the same input gives the same result.

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

    start = np.cos(np.arange(size))
    if not times(start).any():  # a layer without curvature; the iteration would have nothing to start from
        return Spectrum(*(array.to(device) for array in (torch.zeros(top).double(), torch.eye(size, top).double())))
    linear = LinearOperator(operator.shape, times, dtype=np.float64)
    try:
        values, vectors = eigsh(linear, top, which="LA", v0=start, rng=0)
    except ArpackNoConvergence as error:
        raise InputError(
            f"of the {top} largest eigenvalues only {len(error.eigenvalues)} converged, since they do not separate "
            "from the others: ask for fewer"
        ) from error
    found = (torch.from_numpy(array.copy()).to(device) for array in (values[::-1], vectors[:, ::-1]))
    return Spectrum(*found)
