"""A layer's Hessian as products with vectors only, for layers whose matrix is too large to be diagonalised."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.layer_hessian import hessian_trace, output_hessians, output_products, parts
from awduality.curvature.spectrum import Spectrum
from awduality.probe import LayerProbe, Seen

MOST_BYTES = 2**31  # of all S_k together


def factor_bytes(probe: LayerProbe, seen: Seen) -> int:
    """The memory that all S_k take, N·m² float64."""
    return 8 * len(seen) * int(probe.weight.shape[0]) ** 2


class HessianOperator:
    """H V from the factors of H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ); the matrix itself is never made.

    Where all S_k fit into ``most_bytes``, they are kept: a product with one vector takes 4·N·m·n + 2·N·m² operations.
    Elsewhere S_k (V a_k) comes from a backward pass through the gradient at the layer's outputs, whatever their number:
    a product takes 4·N·m·n operations, and as much as three forward passes of the network.
    """

    def __init__(self, probe: LayerProbe, seen: Seen, most_bytes: int = MOST_BYTES) -> None:
        self.shape = (probe.weight.numel(), probe.weight.numel())
        self.device = probe.weight.device
        self._probe, self._seen = probe, seen
        self._kept: Tensor | None = None  # every S_k, (N, m, m)
        if factor_bytes(probe, seen) <= most_bytes:
            outputs, first = probe.weight.shape[0], 0
            self._kept = seen.activities.new_empty(len(seen), outputs, outputs)
            for s, _ in output_hessians(probe, seen):
                self._kept[first : first + len(s)] = s
                first += len(s)

    @cached_property
    def trace(self) -> float:
        """The sum of all eigenvalues, mean over the samples of tr S_k |a_k|²; exact."""
        if self._kept is None:
            return hessian_trace(self._probe, self._seen)
        squared = self._seen.activities.square().sum(1)
        return float(self._kept.diagonal(dim1=1, dim2=2).sum(1) @ squared) / self._seen.total

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """H V for V (m·n, k), a vector per column."""
        (outputs, units), count = self._probe.weight.shape, vectors.shape[1]
        blocks = vectors.reshape(outputs, units, count).transpose(0, 1).reshape(units, outputs * count)
        total = vectors.new_zeros(outputs * count, units)
        most = None if self._kept is not None else self._probe.differentiated_at_once
        for part in parts(len(self._seen), 3 * outputs * count, most):
            activities = self._seen.activities[part]
            moved = torch.mm(activities, blocks).view(-1, outputs, count)  # V a
            if self._kept is None:
                curved = output_products(self._probe, self._seen, part, moved)  # S V a
            else:
                curved = torch.bmm(self._kept[part], moved)
            total.addmm_(curved.view(len(activities), -1).T, activities)
        total /= self._seen.total
        return total.view(outputs, count, units).transpose(1, 2).reshape(-1, count)


def top_spectrum(operator: HessianOperator, top: int) -> Spectrum:
    """The eigenpairs of the ``top`` largest eigenvalues, and the exact trace; see ``top_eigenpairs``.

    Raises:
        InputError: ``top`` is not between 1 and the number of weights − 1, or the iteration does not converge.
    """
    return replace(top_eigenpairs(operator, top), trace=operator.trace)
