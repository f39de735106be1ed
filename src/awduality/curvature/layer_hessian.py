"""The exact Hessian of the mean loss with respect to one linear layer's weights, in closed form.

For z_k = W a_k and any network behind it that treats each sample on its own,

    H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ),    S_k = ∂²ℓ_k/∂z_k²  (m × m),

with row-major vec(W): weight (i, j) has index i·n + j. The bias, if there is one, is held fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from awduality.errors import InputError
from awduality.probe import Array, LayerProbe

_MOST_WEIGHTS = 12_000  # a dense Hessian of 1.1 GiB, and eigenvectors of as much again
_CHUNK = 1024  # samples whose packed outer products are held at once


def output_hessians(probe: LayerProbe, inputs: Tensor, targets: Tensor, activities: Tensor) -> Tensor:
    """S_k = ∂²ℓ_k/∂z_k² for every sample, (N, m, m).

    Since samples do not mix, row i of every S_k comes from one backward pass through the gradient of Σ_k ℓ_k with
    respect to the outputs z: m passes for all samples together.
    """
    output = torch.nn.functional.linear(activities, probe.weight) + probe.bias
    hessians = output.new_zeros(*output.shape, output.shape[1])
    with torch.enable_grad():
        output.requires_grad_(True)
        total = probe.losses_at_output(inputs, targets, output).sum()
        (gradient,) = torch.autograd.grad(total, output, create_graph=True, materialize_grads=True)
        if gradient.requires_grad:
            for unit in range(output.shape[1]):
                (row,) = torch.autograd.grad(gradient[:, unit].sum(), output, retain_graph=True, materialize_grads=True)
                hessians[:, unit] = row
    return (hessians + hessians.transpose(1, 2)) / 2


def layer_hessian(probe: LayerProbe, samples: tuple[Array, Array]) -> Tensor:
    """H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ), (m·n, m·n) float64, symmetric to the bit.

    Both factors are symmetric, so only their upper triangles are multiplied: K = S_packedᵀ·A_packed holds every entry
    of H once, at m(m+1)/2 · n(n+1)/2 products per sample instead of (mn)².

    Args:
        probe: the network, opened at the layer.
        samples: training inputs and targets.

    Raises:
        InputError: the layer has more than 12,000 weights, so that the matrix would not fit into memory.
    """
    inputs, targets = probe.tensors(samples)
    outputs, units = probe.weight.shape
    if (weights := outputs * units) > _MOST_WEIGHTS:
        raise InputError(
            f"layer {probe.name!r} has {weights:,} weights, whose Hessian would take {8 * weights**2 / 2**30:.1f} GiB: "
            f"layers of up to {_MOST_WEIGHTS:,} weights can be analysed; choose a smaller layer"
        )
    rows, columns = torch.triu_indices(outputs, outputs), torch.triu_indices(units, units)
    packed = torch.zeros(rows.shape[1], columns.shape[1], dtype=torch.float64, device=inputs.device)
    for x, y in zip(inputs.split(_CHUNK), targets.split(_CHUNK), strict=True):
        a = probe.activities(x)
        s = output_hessians(probe, x, y, a)
        packed.addmm_(s[:, rows[0], rows[1]].T, a[:, columns[0]] * a[:, columns[1]])
    packed /= len(inputs)
    return (
        packed[_unpacking(outputs)][:, :, _unpacking(units)].transpose(1, 2).reshape(outputs * units, outputs * units)
    )


def _unpacking(size: int) -> Tensor:
    """(size, size): the position of entry (i, j) of a symmetric matrix in its packed upper triangle."""
    table = torch.zeros(size, size, dtype=torch.long)
    upper = torch.triu_indices(size, size)
    table[upper[0], upper[1]] = torch.arange(upper.shape[1])
    return torch.maximum(table, table.T)
