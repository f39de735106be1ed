"""The exact Hessian of the mean loss with respect to one linear layer's weights, in closed form.

For z_k = W a_k and any network behind it that treats each sample on its own,

    H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ),    S_k = ∂²ℓ_k/∂z_k²  (m × m),

with row-major vec(W): weight (i, j) has index i·n + j. The bias, if there is one, is held fixed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from awduality.errors import InputError
from awduality.probe import LayerProbe, Seen

MOST_WEIGHTS = 12_000  # a dense Hessian of 1.1 GiB; with eigenvectors and work space about 7
_CHUNK = 1024  # samples whose packed outer products are held at once
_PART_BYTES = 2**27  # of S_k, or of vectors at the outputs, that are held at once


def output_hessians(probe: LayerProbe, seen: Seen) -> Iterator[tuple[Tensor, Tensor]]:
    """S_k = ∂²ℓ_k/∂z_k², (samples, m, m), and the activities a_k, (samples, n), part by part.

    Since samples do not mix, row i of every S_k comes from one backward pass through the gradient of Σ_k ℓ_k with
    respect to the outputs z: m passes for all samples together.
    """
    outputs = probe.weight.shape[0]
    for part in parts(len(seen), outputs**2, probe.differentiated_at_once):
        hessians = seen.activities.new_zeros(part.stop - part.start, outputs, outputs)
        for unit, row in enumerate(_rows(probe, seen, part)):
            hessians[:, unit] = row
        _check_finite(hessians, probe.name)
        yield (hessians + hessians.mT) / 2, seen.activities[part]


def output_products(probe: LayerProbe, seen: Seen, part: slice, vectors: Tensor) -> Tensor:
    """S_k U_k for some samples and U_k (samples, m, k), at one backward pass per column; no S_k is made."""
    products = torch.zeros_like(vectors)
    output, gradient = _gradient(probe, seen, part)
    if gradient.requires_grad:
        for column, along in enumerate(vectors.unbind(2)):
            (product,) = _grad(probe, gradient, output, along, retain_graph=True)
            products[:, :, column] = product
    _check_finite(products, probe.name)
    return products


def hessian_trace(probe: LayerProbe, seen: Seen) -> float:
    """The exact trace of H, (1/N) Σ_k tr S_k |a_k|², at m backward passes; neither H nor any S_k is made."""
    total = seen.activities.new_zeros(())
    for part in parts(len(seen), 1, probe.differentiated_at_once):
        squared = seen.activities[part].square().sum(1)
        for unit, row in enumerate(_rows(probe, seen, part)):
            total += row[:, unit] @ squared
    _check_finite(total, probe.name)
    return float(total) / seen.total


def parts(samples: int, entries: int, most: int | None = None) -> Iterator[slice]:
    """Consecutive samples, at most 1,024 (and ``most``) at a time, and no more than fit at ``entries`` float64 each."""
    step = min(_CHUNK, most or _CHUNK, max(1, _PART_BYTES // (8 * entries)))
    return (slice(first, min(first + step, samples)) for first in range(0, samples, step))


def _rows(probe: LayerProbe, seen: Seen, part: slice) -> Iterator[Tensor]:
    """Row i of every S_k of some samples, (samples, m), for i = 1 … m; none where all S_k are zero."""
    output, gradient = _gradient(probe, seen, part)
    if gradient.requires_grad:
        with torch.enable_grad():
            sums = [column.sum() for column in gradient.unbind(1)]
        for total in sums:
            yield _grad(probe, total, output, None, retain_graph=True)[0]


def _gradient(probe: LayerProbe, seen: Seen, part: slice) -> tuple[Tensor, Tensor]:
    """The layer's outputs z for some samples, and the gradient of Σ_k ℓ_k there, differentiable once more."""
    output = torch.nn.functional.linear(seen.activities[part], probe.weight) + probe.bias
    # Of the kernels of attention only this one can be differentiated twice.
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        output.requires_grad_(True)
        total = probe.losses_at_output(*seen.rows(part), output).sum()
        if not total.requires_grad:
            raise InputError(
                f"the loss cannot be differentiated with respect to the outputs of layer {probe.name!r}: the network "
                "or the loss leaves autograd (detach, no_grad, NumPy), or does not depend on them"
            )
        (gradient,) = _grad(probe, total, output, None, create_graph=True)
    return output, gradient


def _grad(probe: LayerProbe, of: Tensor, place: Tensor, along: Tensor | None, **graph: bool) -> tuple[Tensor, ...]:
    """A backward pass, of which errors are the network's or the loss's."""
    try:
        return torch.autograd.grad(of, place, along, materialize_grads=True, **graph)
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"the loss cannot be differentiated twice with respect to the outputs of layer {probe.name!r}: {error}. "
            "Write the operation in others that can, in the network or the loss"
        ) from error


def _check_finite(found: Tensor, layer: str) -> None:
    if not bool(torch.isfinite(found).all()):
        raise InputError(
            f"the second derivatives of the loss with respect to the outputs of layer {layer!r} are not finite, though "
            "the losses are: it has a root, a norm or a logarithm at zero, say"
        )


def layer_hessian(probe: LayerProbe, seen: Seen) -> Tensor:
    """H = (1/N) Σ_k S_k ⊗ (a_k a_kᵀ), (m·n, m·n) float64, symmetric to the bit.

    Both factors are symmetric, so only their upper triangles are multiplied: K = S_packedᵀ·A_packed holds every entry
    of H once, at m(m+1)/2 · n(n+1)/2 products per sample instead of (mn)².

    Args:
        probe: the network, opened at the layer.
        seen: the training samples.

    Raises:
        InputError: the layer has more than 12,000 weights, so that the matrix would not fit into memory.
    """
    outputs, units = probe.weight.shape
    if (weights := outputs * units) > MOST_WEIGHTS:
        raise InputError(
            f"layer {probe.name!r} has {weights:,} weights, whose Hessian would take {8 * weights**2 / 2**30:.1f} GiB: "
            f"all directions can be had of layers of up to {MOST_WEIGHTS:,} weights; choose a smaller layer, or ask "
            "awduality.decompose for the sharpest ones only, top=20 say"
        )
    device = probe.weight.device
    upper = torch.triu_indices(outputs, outputs, device=device)
    flat = upper[0] * outputs + upper[1]
    packed = torch.zeros(len(flat), units * (units + 1) // 2, dtype=torch.float64, device=device)
    for s, a in output_hessians(probe, seen):
        left = s.flatten(1).index_select(1, flat)
        packed.addmm_(left.T, _products(a))
    packed /= seen.total
    hessian = packed.new_empty(outputs, units, outputs, units)
    of_outputs, of_units = _unpacking(outputs).to(device), _unpacking(units).to(device)
    for unit in range(outputs):  # one row of blocks after the other: no second array of the Hessian's size
        hessian[unit] = packed[of_outputs[unit]][:, of_units].transpose(0, 1)
    return hessian.view(weights, weights)


def _products(activities: Tensor) -> Tensor:
    """a_i a_j for i ≤ j, (samples, n(n+1)/2), in the order of a packed upper triangle; nothing is gathered."""
    samples, units = activities.shape
    products = activities.new_empty(samples, units * (units + 1) // 2)
    for unit, part in enumerate(products.split([*range(units, 0, -1)], 1)):
        torch.mul(activities[:, unit : unit + 1], activities[:, unit:], out=part)
    return products


def _unpacking(size: int) -> Tensor:
    """(size, size): the position of entry (i, j) of a symmetric matrix in its packed upper triangle."""
    table = torch.zeros(size, size, dtype=torch.long)
    upper = torch.triu_indices(size, size)
    table[upper[0], upper[1]] = torch.arange(upper.shape[1])
    return torch.maximum(table, table.T)
