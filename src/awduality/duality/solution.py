"""Sharpness and size of one solution, without a whole eigenbasis: what many solutions are compared by.

Σ_n σ_g² and Σ_n σ_w² are the same in every orthonormal basis, so that they need none; the largest eigenvalues of the
layer's Hessian come from its products with vectors, its trace is exact.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from awduality.curvature.operators import HessianOperator, top_spectrum
from awduality.duality.changes import PairChanges, pair_changes
from awduality.duality.decomposition import components, decomposition
from awduality.duality.nulls import Weights, balanced
from awduality.duality.pairing import Pairs
from awduality.duality.summary import Row
from awduality.networks import from_weights
from awduality.probe import LayerProbe, Samples

_BALANCED = ("sigma_g_norm", "sigma_w_norm", "top_eigenvalue", "trace", "layer_norm")

SOLUTION_COLUMNS = (
    "run",
    "layer",
    "gap",  # mean test loss − mean training loss, over the samples analysed
    "estimate",  # ⟨ℓ(a′) − ℓ(a)⟩ over the pairs
    "sharp_part",  # of the estimate: directions of largest eigenvalue
    "top_eigenvalue",
    "trace",
    "sigma_g_norm",  # (Σ_n σ_g²)^½
    "sigma_w_norm",  # (Σ_n σ_w²)^½
    "layer_norm",  # |W|, Frobenius
    "weight_norm",  # the same over all layers
    "pairs",
    "dropped",  # pairs without a dual
    "output_error",  # largest |(W + ΔW) a − W a′| over largest |W a′|
    "loss_error",  # largest |ℓ(a; W + ΔW) − ℓ(a′; W)|
    *(f"{name}_balanced" for name in _BALANCED),  # of the same function in its balanced form
)


def solution_row(
    weights: Weights, layer: str, train: Samples, test: Samples, pairs: Pairs, directions: int
) -> tuple[Row, np.ndarray]:
    """Analyse one layer of one solution.

    Args:
        weights: name -> weights of every layer; see ``awduality.networks``.
        layer: the layer's name.
        train: the training samples that the Hessian and the pairs are made of.
        test: the test samples.
        pairs: which of them are compared.
        directions: how many directions of largest eigenvalue are computed, fewer than the layer has weights.

    Returns:
        A row with ``SOLUTION_COLUMNS`` but the first, and the loss of every test sample.
    """
    row, losses = _measured(weights, layer, train, test, pairs, directions)
    other, _ = _measured(balanced(weights), layer, train, test, pairs, directions)
    norm = float(np.sqrt(sum(np.sum(np.square(w, dtype=np.float64)) for w in weights.values())))
    row.update({f"{name}_balanced": other[name] for name in _BALANCED}, layer=layer, weight_norm=norm)
    return row, losses.cpu().numpy()


def _measured(
    weights: Weights, layer: str, train: Samples, test: Samples, pairs: Pairs, directions: int
) -> tuple[Row, Tensor]:
    probe = LayerProbe(from_weights(weights), layer)
    seen, tested = probe.see(train), probe.see(test)
    changes = pair_changes(probe, seen, tested, pairs)
    basis = top_spectrum(HessianOperator(probe, seen), directions)
    result = decomposition(changes, basis, components(changes.dual, basis.eigenvectors))
    sigma_g, sigma_w = spread_norms(changes)
    row: Row = {
        "gap": result.gap,
        "estimate": result.estimate,
        "sharp_part": float(result.contribution.sum()),
        "top_eigenvalue": float(result.eigenvalues[0]),
        "trace": result.trace,
        "sigma_g_norm": sigma_g,
        "sigma_w_norm": sigma_w,
        "layer_norm": float(torch.linalg.vector_norm(probe.weight)),
        "pairs": len(result.test_loss),
        "dropped": result.dropped,
        "output_error": result.output_error,
        "loss_error": float(np.abs(result.dual_loss - result.test_loss).max()),
    }
    return row, tested.losses


def spread_norms(changes: PairChanges) -> tuple[float, float]:
    """(Σ_n σ_g²)^½ and (Σ_n σ_w²)^½ of all directions, from the pairs alone.

    Σ_n σ_w² = ⟨|ΔW|²⟩ − |⟨ΔW⟩|², and the same of g = secant·ΔW; ΔW has rank one, so no ΔW is made.
    """
    squared, count = changes.squared_norm, len(changes.secants)
    found = []
    for scalars in (changes.secants, torch.ones_like(changes.secants)):
        mean = (changes.dual.left * scalars[:, None]).T @ changes.dual.right / count
        variance = float((scalars.square() * squared).mean() - mean.square().sum())
        found.append(max(variance, 0.0) ** 0.5)
    return found[0], found[1]
