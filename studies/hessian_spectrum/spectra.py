"""What is read from the spectrum of a whole network's Hessian: shares, counts, gaps, and the span of class means.

Thresholds are ours: the paper's are not on record.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from awduality.curvature.density import SpectralDensity, spectral_density
from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.network_hessian import NetworkHessian
from studies.hessian_spectrum.stack import Layers

NEAR_ZERO = {"": 1e-3, "_loose": 1e-2, "_strict": 1e-4}
"""Suffix of a column → |λ| / λ₁ below which an eigenvalue counts as nearly zero."""

OUTLIER = 0.1  # λ / λ₁ above which an eigenvalue counts as large
PROBES, STEPS = 10, 60  # of the quadrature
_NULL = 1e-10  # |λ| / λ₁ that is rounding

Numbers = dict[str, float]


def network(layers: Layers) -> nn.Sequential:
    """The ReLU network of these weights, fc1, fc2, …; biases, where it has them, are each layer's last column."""
    found: OrderedDict[str, nn.Module] = OrderedDict()
    biases = len(layers) > 1 and layers[1].shape[1] > layers[0].shape[0]
    for number, layer in enumerate(layers, 1):
        matrix = torch.from_numpy(layer[:, :-1].copy() if biases else layer.copy())
        made = nn.Linear(matrix.shape[1], matrix.shape[0], bias=biases)
        with torch.no_grad():
            made.weight.copy_(matrix)
            if biases:
                made.bias.copy_(torch.from_numpy(layer[:, -1].copy()))
        found[f"fc{number}"] = made
        if number < len(layers):
            found[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(found).eval()


def gap_index(values: np.ndarray, classes: int, first: int = 2) -> int:
    """The i ≥ ``first`` ≤ 2k + 4 with the largest λ_i / λ_(i+1), of eigenvalues in descending order, (M,).

    That some gap is largest says nothing by itself: the index is compared with that of controls.
    """
    top = np.maximum(values[: 2 * classes + 5], _NULL * values[0])
    return first + int(np.argmax(top[first - 1 : -1] / top[first:]))


def outliers(values: np.ndarray) -> int:
    """How many eigenvalues are above a tenth of the largest."""
    return int((values > OUTLIER * values.max()).sum())


def near_zero(values: np.ndarray, threshold: float = NEAR_ZERO[""]) -> float:
    """The share of |λ| below this multiple of λ₁."""
    return float((np.abs(values) < threshold * values.max()).mean())


def summary(values: np.ndarray, classes: int) -> Numbers:
    """The numbers of one spectrum, all M eigenvalues, descending; ranks and ratios have no threshold."""
    trace, square = float(values.sum()), float(np.square(values).sum())
    return {
        "top_eigenvalue": float(values[0]),
        "trace": trace,
        **{f"zeros{suffix}": near_zero(values, threshold) for suffix, threshold in NEAR_ZERO.items()},
        "stable_rank": trace / float(values[0]),
        "effective_rank": trace**2 / square,
        "negative": float(values[-1] / values[0]),
        "outliers": outliers(values),
        "gap_index": gap_index(values, classes),
        "gap_index_raw": gap_index(values, classes, first=1),
    }


def density_summary(
    operator: NetworkHessian, classes: int, generator: np.random.Generator
) -> tuple[Numbers, np.ndarray]:
    """The same from products alone: counts from the 4k largest eigenvalues, shares from the quadrature.

    The trace is that of the Gauss–Newton part, which is exact: of a ReLU network the residual part has a diagonal of
    zeros, since every output is piecewise linear in every single weight. In tr H² only what lies below the known
    eigenvalues is the quadrature's.

    Returns:
        The numbers, and M eigenvalues, descending, as the density has them, the first 4k as they are.
    """
    top = top_eigenpairs(operator, 4 * classes).eigenvalues.cpu().numpy()
    density = spectral_density(operator, PROBES, STEPS, generator)
    nodes, shares = density.nodes.ravel(), density.weights.ravel()
    trace, below = gauss_newton_trace(operator), nodes < top[-1]
    square = float(np.square(top).sum() + density.size * (shares[below] @ np.square(nodes[below])))
    found = {
        "top_eigenvalue": float(top[0]),
        "trace": trace,
        **{
            f"zeros{suffix}": float(shares[np.abs(nodes) < threshold * top[0]].sum())
            for suffix, threshold in NEAR_ZERO.items()
        },
        "stable_rank": trace / float(top[0]),
        "effective_rank": trace**2 / square,
        "negative": float(nodes[shares > 0].min() / top[0]),
        "outliers": outliers(top),
        "gap_index": gap_index(top, classes),
        "gap_index_raw": gap_index(top, classes, first=1),
    }
    return found, _quantiles(density, top)


def gauss_newton_trace(operator: NetworkHessian) -> float:
    """Tr G = (1/N) Σ_ic |v_ic|², exact."""
    return sum(float(factors.square().sum()) for _, factors in operator.softmax_factors()) / len(operator)


def _quantiles(density: SpectralDensity, top: np.ndarray) -> np.ndarray:
    order = np.argsort(density.nodes.ravel())
    nodes, shares = density.nodes.ravel()[order], density.weights.ravel()[order].cumsum()
    places = (np.arange(density.size) + 0.5) / density.size
    found = nodes[np.minimum(np.searchsorted(shares, places), len(nodes) - 1)][::-1].copy()
    found[: len(top)] = top
    found[len(top) :] = np.minimum(found[len(top) :], top[-1])
    return found


def exact(operator: NetworkHessian, vectors: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """All eigenvalues, descending (M,), and that many of their eigenvectors (M, vectors)."""
    matrix = operator.dense().numpy()
    if not vectors:
        return np.linalg.eigvalsh(matrix)[::-1].copy(), np.zeros((len(matrix), 0))
    values, basis = np.linalg.eigh(matrix)
    return values[::-1].copy(), basis[:, ::-1][:, :vectors].copy()


def span_of_class_means(operator: NetworkHessian, groups: Sequence[np.ndarray], classes: int) -> Iterator[np.ndarray]:
    """An orthonormal basis (M, r) of the span of the means of v_ic over the samples of each group.

    v are the factors of the Gauss–Newton part (``NetworkHessian.softmax_factors``); k groups make k² means of which
    k(k − 1) at most are independent, since Σ_c √p_ic v_ic = 0 for every sample, not for means.

    Args:
        operator: the whole network.
        groups: each (N,), a division of the samples into k groups: their classes, or these permuted.
        classes: k.
    """
    sums = [np.zeros((classes, classes, operator.shape[0])) for _ in groups]
    for part, factors in operator.softmax_factors():
        block = factors.numpy()
        for total, group in zip(sums, groups, strict=True):
            total += np.einsum("ng,ncm->gcm", np.eye(classes)[group[part]], block, optimize=True)
    for total, group in zip(sums, groups, strict=True):
        count = np.bincount(group, minlength=classes).clip(min=1)
        means = (total / count[:, None, None]).reshape(-1, operator.shape[0])
        _, sizes, rows = np.linalg.svd(means, full_matrices=False)
        yield rows[sizes > _NULL * sizes[0]].T


def overlap(vectors: np.ndarray, basis: np.ndarray) -> float:
    """The mean squared part of unit vectors (M, K) in the span of an orthonormal basis (M, r)."""
    return float(np.square(basis.T @ vectors).sum(axis=0).mean())


def rank_excess(operator: NetworkHessian, classes: int) -> float:
    """λ_(n(k−1)+1) / λ₁ of the Gauss–Newton part of the first n samples: zero but for rounding, whatever the network.

    n is the largest number of samples for which the bound n(k − 1) leaves at least half of all directions.
    """
    samples = min(len(operator), operator.shape[0] // (2 * (classes - 1)))
    values = np.linalg.eigvalsh(operator.gauss_newton(samples).numpy())[::-1]
    return float(np.abs(values[samples * (classes - 1) :]).max() / values[0])
