"""Controls: what the analysis gives when the thing that a claim is about is taken away.

*Shuffled scalars.* g_k is a scalar Δℓ_k/|ΔW_k|² times ΔW_k, so σ_g inherits the anisotropy of σ_w. Exchanging the
scalars between the pairs keeps that, and removes what ties a loss difference to its own change of weights.

*Random basis.* The sum over directions is an identity in any orthonormal basis; what the eigenvectors of the Hessian
add shows against a random one.

*Rescaling.* A ReLU network computes the same function when a layer, or the input weights of a hidden unit, are
multiplied by a positive number and what follows is divided by it. Whole layers: every product c·σ_g·σ_w stays, while
σ_w and σ_g move in opposite ways. Single units: the sum over directions stays, its parts do not. Of all networks that
differ by rescaling, the balanced one can stand for all.

A run's controls come from streams of its own seed index, so they depend on no other run.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from awduality.duality.result import Directions
from awduality.networks import in_order, outgoing
from awduality.streams import stream

Null = Literal["shuffled_scalars", "random_basis", "layerwise", "neuronwise"]
NULLS: tuple[str, ...] = get_args(Null)

_FACTOR_RANGE = np.log(4.0)  # rescaling factors are drawn between 1/4 and 4, evenly on a logarithmic scale

_SWEEPS = 1_000  # over the hidden layers, at most
_BALANCED = 1e-12  # largest logarithm of a factor in a sweep after which the network counts as balanced

Weights = Mapping[str, np.ndarray]


def null_stream(root_seed: int, seed: int, null: Null) -> np.random.Generator:
    """The random stream of one null for one seed index; no two nulls share one."""
    return stream(root_seed, "null", len(NULLS) * seed + NULLS.index(null))


def shuffled_scalars(
    projected: Tensor, secants: Tensor, generator: np.random.Generator, draws: int
) -> list[Directions]:
    """The moments with the scalars exchanged between the pairs at random.

    Args:
        projected: (P, M) components of every ΔW along every direction.
        secants: (P,) the scalars Δℓ/|ΔW|².
        generator: random numbers.
        draws: number of independent shuffles.
    """
    count = len(secants)
    order = np.stack([generator.permutation(count) for _ in range(draws)])
    scalars = secants[torch.from_numpy(order).to(secants.device)]
    squares = projected.square()
    mean_w = projected.mean(0)
    sigma_w = (squares.mean(0) - mean_w.square()).clamp(min=0).sqrt()
    mean_g = scalars @ projected / count
    sigma_g = (scalars.square() @ squares / count - mean_g.square()).clamp(min=0).sqrt()
    covariance = scalars @ squares / count - mean_g * mean_w
    varies = sigma_g * sigma_w > 0
    c = torch.where(varies, covariance / (sigma_g * sigma_w).masked_fill(~varies, 1.0), 0.0)
    g, w, mu_g, mu_w, correlation = (tensor.cpu().numpy() for tensor in (sigma_g, sigma_w, mean_g, mean_w, c))
    return [Directions(g[draw], w, mu_g[draw], mu_w, correlation[draw]) for draw in range(draws)]


def random_basis(size: int, generator: np.random.Generator) -> Tensor:
    """An orthonormal basis of (size,) space, uniformly distributed: (size, size), a direction per column."""
    q, r = torch.linalg.qr(torch.from_numpy(generator.normal(size=(size, size))))
    basis: Tensor = q * torch.sign(torch.diagonal(r))  # the signs make it uniform
    return basis


def rescaled_layers(weights: Weights, layer: str, factor: float) -> dict[str, np.ndarray]:
    """The same function with one layer multiplied by ``factor`` and its neighbour divided by it.

    Args:
        weights: name -> weights of every layer of a ReLU network without biases, see ``awduality.networks``.
        layer: the layer to multiply; the one before it is divided, or the one after the first.
        factor: a positive number.
    """
    names = in_order(weights)
    place = names.index(layer)
    scaled = {name: np.asarray(matrix, dtype=np.float64) for name, matrix in weights.items()}
    scaled[layer] = scaled[layer] * factor
    neighbour = names[place - 1] if place else names[1]
    scaled[neighbour] = scaled[neighbour] / factor
    return scaled


def rescaled_neurons(weights: Weights, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """The same function with the input weights of every hidden unit multiplied by a random factor of its own."""
    names = in_order(weights)
    scaled = {name: np.array(matrix, dtype=np.float64) for name, matrix in weights.items()}
    for before, after in pairwise(names):
        factors = random_factors(generator, len(scaled[before]))
        _rescale(scaled, before, after, factors)
    return scaled


def random_factors(generator: np.random.Generator, count: int) -> np.ndarray:
    """(count,) rescaling factors between 1/4 and 4, evenly on a logarithmic scale."""
    return np.exp(generator.uniform(-_FACTOR_RANGE, _FACTOR_RANGE, count))


def balanced(weights: Weights) -> dict[str, np.ndarray]:
    """The same function in its balanced form: the input and output weights of every hidden unit have one norm.

    Of all rescalings of a ReLU network the one of least weight norm; it exists and is unique where every unit has both,
    and all layers then have the same Frobenius norm. What is measured there, no rescaling changes.

    Args:
        weights: name -> weights of every layer of a ReLU network without biases, see ``awduality.networks``.

    Returns:
        The rescaled weights, float64. A unit without input or without output weights is left as it is.
    """
    names = in_order(weights)
    scaled = {name: np.array(weights[name], dtype=np.float64) for name in names}
    for _ in range(_SWEEPS):
        largest = 0.0
        for before, after in pairwise(names):
            into, out = _unit_norms(scaled[before], scaled[after])
            alive = (into > 0) & (out > 0)
            factors = np.where(alive, np.sqrt(np.where(alive, out, 1.0) / np.where(alive, into, 1.0)), 1.0)
            _rescale(scaled, before, after, factors)
            largest = max(largest, float(np.abs(np.log(factors)).max()))
        if largest < _BALANCED:
            break
    return scaled


def _unit_norms(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The norms of the input and of the output weights of every hidden unit, or channel."""
    out = outgoing(after, len(before)).swapaxes(1, 2).reshape(-1, len(before))
    return np.linalg.norm(before.reshape(len(before), -1), axis=1), np.linalg.norm(out, axis=0)


def _rescale(weights: dict[str, np.ndarray], before: str, after: str, factors: np.ndarray) -> None:
    """Multiply the input weights of every hidden unit, or channel, by its factor; divide its output weights by it."""
    weights[before] *= factors.reshape(-1, *[1] * (weights[before].ndim - 1))
    away = outgoing(weights[after], len(factors))
    away /= factors[:, None]
