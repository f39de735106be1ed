"""Numbers of one solution: what published measures are made of, and the determinants of one layer."""

from __future__ import annotations

import numpy as np
import torch

from awduality.curvature.layer_hessian import layer_hessian
from awduality.duality.changes import PairChanges, matrices_at_once, pair_changes
from awduality.duality.nulls import balanced
from awduality.duality.pairing import Pairs
from awduality.duality.solution import spread_norms
from awduality.measures.capacity import Weights, margin, matrices, path_norm
from awduality.measures.flatness import pac_bayes_flatness
from awduality.networks import from_weights
from awduality.probe import Array, LayerProbe

LAYER = "fc2"
CAPACITY = (
    *("parameters", "margin", "log_spectral", "log_frobenius", "stable_ranks"),
    *("distance", "norm", "path", "precision"),
)
DUALITY = ("estimate", "top_eigenvalue", "trace", "sharpness", "size", "quadratic")

Samples = tuple[Array, Array]


def capacity_numbers(
    weights: Weights, initial: Weights, samples: tuple[np.ndarray, np.ndarray], noise: np.random.Generator, most: int
) -> dict[str, float]:
    """What the published measures are made of.

    Args:
        weights: name → weights of every layer.
        initial: the same before the first step.
        samples: training inputs (N, n) and class indices (N,).
        noise: for PAC-Bayes flatness.
        most: samples that flatness is measured on, at most.

    Returns:
        The number of weights; the tenth percentile of the margins; log Π_l ‖W_l‖₂² and log Π_l ‖W_l‖_F²; Σ_l
        ‖W_l‖_F²/‖W_l‖₂²; ‖w − w₀‖² and ‖w‖²; the squared path norm; 1/σ², σ the noise on all weights that raises the
        training error by 0.1.
    """
    layers, before = matrices(weights), matrices(initial)
    spectral = np.array([np.linalg.norm(layer, 2) for layer in layers]) ** 2
    frobenius = np.array([np.square(layer).sum() for layer in layers])
    some = (samples[0][:most], samples[1][:most])
    return {
        "parameters": float(sum(layer.size for layer in layers)),
        "margin": margin(weights, samples),
        "log_spectral": float(np.log(spectral).sum()),
        "log_frobenius": float(np.log(frobenius).sum()),
        "stable_ranks": float((frobenius / spectral).sum()),
        "distance": float(sum(np.square(one - two).sum() for one, two in zip(layers, before, strict=True))),
        "norm": float(frobenius.sum()),
        "path": path_norm(weights) ** 2,
        "precision": pac_bayes_flatness(weights, some, noise),
    }


def quadratic(hessian: torch.Tensor, changes: PairChanges) -> float:
    """½ ⟨ΔWᵀ H ΔW⟩ = ½ Σ_n λ_n ⟨ΔW_n²⟩ over the pairs, nats: the second order of the loss along the dual changes."""
    total = 0.0
    for part in matrices_at_once(len(changes.secants), len(hessian)):
        flat = changes.dual[part].matrices().flatten(1)
        total += float(((flat @ hessian) * flat).sum())
    return total / (2 * len(changes.secants))


def duality_numbers(weights: Weights, train: Samples, test: Samples, pairs: Pairs, own: Pairs) -> dict[str, float]:
    """The determinants of layer fc2, plain, balanced (``_balanced``), and with training samples alone (``_own``).

    Args:
        weights: name → weights of every layer.
        train: training inputs (N, n) and class indices (N,).
        test: test inputs and class indices, of those that are paired.
        pairs: each test sample with the nearest training sample of its class.
        own: each training sample with the nearest other one of its class; see ``nearest_others``.

    Returns:
        ``DUALITY``: the estimate of the gap over the pairs, λ₁ and trace of the Hessian on the training samples,
        sharpness (Σσ_g²)^½, size (Σσ_w²)^½ and ½ ⟨ΔWᵀ H ΔW⟩; of ``own`` the last two alone.
    """
    found: dict[str, float] = {}
    for ending, network in {"": weights, "_balanced": balanced(weights)}.items():
        probe = LayerProbe(from_weights({name: np.asarray(w, dtype=np.float64) for name, w in network.items()}), LAYER)
        seen = probe.see(train)
        changes = pair_changes(probe, seen, probe.see(test), pairs)
        hessian = layer_hessian(probe, seen)
        sharpness, size = spread_norms(changes)
        numbers = {
            "estimate": float((changes.test_loss - changes.train_loss).mean()),
            "top_eigenvalue": float(np.linalg.eigvalsh(hessian.numpy())[-1]),
            "trace": float(hessian.trace()),
            "sharpness": sharpness,
            "size": size,
            "quadratic": quadratic(hessian, changes),
        }
        found |= {f"{name}{ending}": value for name, value in numbers.items()}
        if not ending:
            among = pair_changes(probe, seen, seen, own)
            found |= {"size_own": spread_norms(among)[1], "quadratic_own": quadratic(hessian, among)}
    return found


def nearest_others(train: Samples) -> Pairs:
    """Each training sample with the nearest other one of its class; none for the only one of a class.

    Of the pair, the neighbour stands where the training sample does and the sample where the test sample does.
    """
    inputs, labels = torch.as_tensor(train[0]).double().flatten(1), torch.as_tensor(train[1])
    distances = torch.cdist(inputs, inputs)
    distances[labels[:, None] != labels[None, :]] = torch.inf
    distances.fill_diagonal_(torch.inf)
    least, nearest = distances.min(1)
    partnered = torch.isfinite(least).nonzero()[:, 0]
    return Pairs(train=nearest[partnered], test=partnered)
