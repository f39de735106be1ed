"""One row and a few arrays per run, layer and pairing: what the pipeline keeps of a decomposition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.spectrum import spectrum
from awduality.data.splits import Split
from awduality.duality.decomposition import Decomposition, decompose_in_basis
from awduality.duality.pairing import Pairing, Pairs, nearest_pairs
from awduality.networks import from_weights
from awduality.probe import LayerProbe

TOLERANCE = 1e-10
"""Directions of smaller eigenvalue, relative to the largest, span the null space. The basis is arbitrary there, and so
is what is measured along a single direction: it counts in sums that are the same in every basis, and in no others."""

Row = dict[str, float | int | str]

COLUMNS = (
    "run",
    "layer",
    "pairing",
    "gap",  # mean test loss − mean training loss
    "estimate",  # Σ_n (c σ_g σ_w + μ_g μ_w)
    "sharp_part",  # of the estimate: directions of largest σ_g
    "flat_part",  # all other directions
    "mean_term",  # Σ_n μ_g μ_w
    "sigma_g_total",  # Σ_n σ_g over the directions above the tolerance
    "sigma_w_total",  # Σ_n σ_w over the same, the end of the cumulative curve
    "sigma_g_norm",  # (Σ_n σ_g²)^½, the same in every orthonormal basis
    "sigma_w_norm",  # (Σ_n σ_w²)^½
    "c_median",  # over the directions above the tolerance
    "top_eigenvalue",
    "trace",
    "rank",  # number of directions above the tolerance
    "layer_norm",  # |W|, Frobenius
    "weight_norm",  # the same over all layers
    "pairs",
    "dropped",  # pairs without a dual
    "output_error",  # largest |(W + ΔW) a − W a′| over largest |W a′|
    "loss_error",  # largest |ℓ(a; W + ΔW) − ℓ(a′; W)|
)


class Analysis:
    """The decomposition of many networks on one split; pairs are found once per training size and pairing."""

    def __init__(self, split: Split, layers: Sequence[str], pairings: Sequence[Pairing], sharp_directions: int) -> None:
        self._split = split
        self._layers = layers
        self._pairings = pairings
        self._sharp = sharp_directions
        self._pairs: dict[tuple[int, Pairing], Pairs] = {}

    def network(
        self, run: str, weights: Mapping[str, np.ndarray], train_size: int
    ) -> tuple[list[Row], dict[str, np.ndarray]]:
        """Analyse every layer of one network.

        Args:
            run: the run's id, the first part of every array's name.
            weights: layer name -> (outputs, inputs) matrix.
            train_size: the number of clean training samples of the run.

        Returns:
            A row per layer and pairing, and arrays named ``<run>/<layer>/eigenvalues`` and
            ``<run>/<layer>/<pairing>/<array>``.
        """
        model = from_weights(weights)
        train, test = self._split.train(train_size), self._split.test
        weight_norm = float(np.sqrt(sum(np.sum(np.square(w, dtype=np.float64)) for w in weights.values())))
        rows, arrays = [], {}
        for layer in self._layers:
            probe = LayerProbe(model, layer)
            basis = spectrum(layer_hessian(probe, train))
            norms = {"layer_norm": float(torch.linalg.vector_norm(probe.weight)), "weight_norm": weight_norm}
            arrays[f"{run}/{layer}/eigenvalues"] = basis.eigenvalues.numpy()
            for pairing in self._pairings:
                result = decompose_in_basis(probe, basis, train, test, self._find_pairs(train_size, pairing))
                rows.append({"run": run, "layer": layer, "pairing": pairing, **summary(result, self._sharp), **norms})
                arrays |= {f"{run}/{layer}/{pairing}/{name}": array for name, array in _kept(result).items()}
        return rows, arrays

    def _find_pairs(self, train_size: int, pairing: Pairing) -> Pairs:
        key = (train_size, pairing)
        if key not in self._pairs:
            self._pairs[key] = nearest_pairs(self._split.train(train_size), self._split.test, pairing)
        return self._pairs[key]


def summary(result: Decomposition, sharp_directions: int) -> Row:
    """The numbers of a decomposition that fit in a table's row; see ``COLUMNS``."""
    above = result.eigenvalues > TOLERANCE * result.eigenvalues[0]
    return {
        "gap": result.gap,
        "estimate": result.estimate,
        "sharp_part": result.sharp_part(sharp_directions),
        "flat_part": result.flat_part(sharp_directions),
        "mean_term": float(result.mean_term.sum()),
        "sigma_g_total": float(result.sigma_g[above].sum()),
        "sigma_w_total": float(result.sigma_w[above].sum()),
        "sigma_g_norm": float(np.linalg.norm(result.sigma_g)),
        "sigma_w_norm": float(np.linalg.norm(result.sigma_w)),
        "c_median": float(np.median(result.c[above])) if above.any() else 0.0,
        "top_eigenvalue": float(result.eigenvalues[0]),
        "trace": float(result.eigenvalues.sum()),
        "rank": int(above.sum()),
        "pairs": len(result.test_loss),
        "dropped": result.dropped,
        "output_error": result.output_error,
        "loss_error": float(np.abs(result.dual_loss - result.test_loss).max()),
    }


def _kept(result: Decomposition) -> dict[str, np.ndarray]:
    names = ("sigma_g", "sigma_w", "mean_g", "mean_w", "c", "train_loss", "test_loss", "dual_loss", "dual_norm")
    return {name: getattr(result, name) for name in names}
