"""The generalization gap as a sum over eigen-directions of the Hessian: sharpness × size (Feng, Zhang & Tu 2023).

For pair k with loss difference Δℓ_k = ℓ(a′_k) − ℓ(a_k) = ℓ(a_k; W + ΔW_k) − ℓ(a_k; W), the secant g_k = (Δℓ_k/|ΔW_k|²)
ΔW_k has g_k·ΔW_k = Δℓ_k. In an orthonormal basis of directions n, over the pairs,

    ⟨Δℓ⟩ = Σ_n (μ_g,n μ_w,n + c_n σ_g,n σ_w,n),

where μ are means, σ population standard deviations and c the correlation of the components of g and ΔW. This is an
identity in any orthonormal basis; the eigenvectors of the Hessian give σ_g the meaning of sharpness. σ_w is called
size.
"""

from __future__ import annotations

import logging
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from awduality.arguments import shown
from awduality.curvature.layer_hessian import MOST_WEIGHTS, layer_hessian
from awduality.curvature.operators import MOST_BYTES, HessianOperator, factor_bytes, top_spectrum
from awduality.curvature.spectrum import Spectrum, spectrum
from awduality.duality.changes import CHUNK, PairChanges, matrices_at_once, pair_changes
from awduality.duality.dual_weights import DualWeights
from awduality.duality.result import Decomposition, Directions
from awduality.duality.rules import Chosen, check_pairs, pairs_at_layer, pairs_of_inputs
from awduality.errors import InputError
from awduality.losses import PerSampleLoss
from awduality.opening import Output
from awduality.probe import LayerProbe, Seen
from awduality.samples import Brought

# All directions cost less than the top ones alone in layers of up to so many weights, and where more than one direction
# in so many is wanted (docs/performance.md).
_DENSE = 1_500
_SHARE = 30

AUTOMATIC_TOP = 100  # directions of a layer that is too large for all, where their number is left to decompose

log = logging.getLogger(__name__)


@torch.inference_mode(False)
def decompose(
    model: nn.Module,
    layer: str,
    train: Brought,
    test: Brought,
    loss: str | PerSampleLoss | nn.Module = "cross_entropy",
    pairs: Chosen = None,
    top: int | None = None,
    *,
    output: Output = None,
    tolerance: float = 0.0,
) -> Decomposition:
    """Split a network's generalization gap over the eigen-directions of one layer's Hessian.

    Memory: the samples in float64 and their inputs to the layer; for all directions, about seven matrices of
    (weights)²; for the top ones, 3·top + 20 vectors of as many numbers as the layer has weights, and 2 GiB at most for
    curvatures.

    Args:
        model: any network in eval mode; the work is done on a float64 copy.
        layer: dotted name of an ``nn.Linear`` that is called once per forward on an (N, n) input, and through which
            every path from input to loss passes. Weights only; a bias is held fixed.
        train: training inputs (N, …) and targets (N, …): arrays of any kind, several inputs as a tuple or a mapping, a
            ``Dataset`` or a ``DataLoader``; class indices for the cross-entropy.
        test: test inputs (T, …) and targets (T, …).
        loss: ``"cross_entropy"``, ``"mse"``, a loss of ``torch.nn`` with ``reduction="none"``, or a function (outputs,
            targets) -> losses of shape (N,), such as ``awduality.smoothed_cross_entropy(0.1)``.
        pairs: positions (train, test) of the samples to compare, each (P,), of equal targets; or a function of the
            samples as seen at the layer that returns them; or ``"activities"``, the nearest at the layer. By default
            each test sample with the nearest training sample of its target in input space.
        top: keep only this many directions of largest eigenvalue; the others are summed in ``remainder``. By default
            all directions of a layer of up to 12,000 weights, else the top 100, which is logged.
        output: which part of what the network returns the loss takes, where that is no tensor: an index, a key or a
            function; by default ``logits``, or all of it for a loss of your own.
        tolerance: by how much the targets of a pair may differ, for targets that are no classes.

    Returns:
        Everything per direction and per pair. Where few directions of a wide layer are asked for, they come from
        products of its Hessian with vectors, and the matrix is never made.

    Raises:
        InputError: the layer, the data or the pairs cannot be used, or the largest eigenvalues do not converge.
    """
    probe = LayerProbe(model, layer, loss, output)
    weights = probe.weight.numel()
    if top is not None:
        top = _top(top, weights)
    check_pairs(pairs)
    ours, theirs = probe.tensors(train, "train"), probe.tensors(test, "test")
    if pairs is None or (isinstance(pairs, str) and pairs == "inputs"):
        pairs = pairs_of_inputs(model, ours, theirs, probe.loss, tolerance)
    seen, tested = probe.see(ours, "train"), probe.see(theirs, "test")
    changes = pair_changes(probe, seen, tested, pairs_at_layer(pairs, seen, tested, tolerance), tolerance)
    if top is None and weights > MOST_WEIGHTS:
        top = AUTOMATIC_TOP
        log.info(
            "layer %r has %s weights: its %d sharpest directions, and the sum of the others", layer, f"{weights:,}", top
        )
    return decompose_in_basis(changes, _basis(probe, seen, top), top)


def _basis(probe: LayerProbe, train: Seen, top: int | None) -> Spectrum:
    """All directions, or the top ones alone where they cost less."""
    weights = probe.weight.numel()
    if top is None:
        return spectrum(layer_hessian(probe, train))
    cheaper = weights > _DENSE and _SHARE * top <= weights and factor_bytes(probe, train) <= MOST_BYTES
    if cheaper or weights > MOST_WEIGHTS:
        return top_spectrum(HessianOperator(probe, train), top)
    return spectrum(layer_hessian(probe, train))


def decompose_in_basis(changes: PairChanges, basis: Spectrum, top: int | None = None) -> Decomposition:
    """The same for pairs and a basis that are known: several pairings share one Hessian.

    Raises:
        InputError: ``top`` is not between 1 and the number of directions.
    """
    if top is not None:
        _top(top, len(basis.eigenvalues))
    return decomposition(changes, basis, components(changes.dual, basis.eigenvectors[:, :top]))


def _top(top: int, weights: int) -> int:
    if isinstance(top, bool) or not isinstance(top, Integral) or not 1 <= top <= weights:
        raise InputError(f"top must be an integer between 1 and the layer's {weights} weights: got {shown(top)}")
    return int(top)


def decomposition(changes: PairChanges, basis: Spectrum, projected: Tensor) -> Decomposition:
    """The decomposition from the components of every ΔW, ``projected`` (P, M), along the first M directions."""
    found = moments(projected, changes.secants)
    kept = projected.shape[1]
    remainder, eigenvalues = 0.0, _numpy(basis.eigenvalues)
    if kept < len(basis.eigenvectors):
        varied = changes.squared_norm > 0
        change = changes.test_loss - changes.train_loss
        remainder = float(change[varied].sum() / len(change)) - found.estimate
    return Decomposition(
        **vars(found),
        layer=changes.layer,
        weights=len(basis.eigenvectors),
        eigenvalues=eigenvalues[:kept],
        trace=float(eigenvalues.sum()) if basis.trace is None else basis.trace,
        gap=changes.gap,
        remainder=remainder,
        dropped=changes.dropped,
        train_loss=_numpy(changes.train_loss),
        test_loss=_numpy(changes.test_loss),
        dual_loss=_numpy(changes.dual_loss),
        dual_norm=_numpy(changes.squared_norm.sqrt()),
        output_error=changes.output_error,
        target_shift=changes.target_shift,
    )


def components(dual: DualWeights, directions: Tensor) -> Tensor:
    """The components of every ΔW along every direction, (P, M)."""
    parts = matrices_at_once(len(dual.left), len(directions))
    return torch.cat([dual[part].matrices().flatten(1) @ directions for part in parts])


def moments(projected: Tensor, secants: Tensor) -> Directions:
    """Means and standard deviations over pairs of w and g = secant·w, and their correlation.

    The deviations are summed in chunks of pairs: no second array of the size of ``projected``, (P, M), is made.
    """
    count = len(projected)
    mean_w, mean_g = projected.mean(0), secants @ projected / count
    square_w, square_g, product = (torch.zeros_like(mean_w) for _ in range(3))
    for w, secant in zip(projected.split(CHUNK), secants.split(CHUNK), strict=True):
        deviation_w, deviation_g = w - mean_w, secant[:, None] * w - mean_g
        square_w += deviation_w.square().sum(0)
        square_g += deviation_g.square().sum(0)
        product += (deviation_w * deviation_g).sum(0)
    sigma_w, sigma_g = (square_w / count).sqrt(), (square_g / count).sqrt()
    varies = sigma_g * sigma_w > 0
    c = torch.where(varies, product / count / (sigma_g * sigma_w).masked_fill(~varies, 1.0), 0.0)
    return Directions(*(_numpy(array) for array in (sigma_g, sigma_w, mean_g, mean_w, c)))


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
