"""Measures of flatness: how much noise in the weights a network bears, and curvature weighted by the weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from awduality.curvature.layer_hessian import output_hessians
from awduality.errors import InputError
from awduality.measures.capacity import Weights, matrices
from awduality.networks import from_weights
from awduality.probe import Array, LayerProbe

_SMALLEST, _LARGEST = 1e-6, 1e3  # noise between which the bisection looks


def relative_flatness(weights: Weights, layer: str, samples: tuple[Array, Array]) -> float:
    """Σ_{s,s′} ⟨w_s, w_s′⟩ tr H_{s,s′}, w_s the rows of a layer's weights W, H_{s,s′} blocks of its Hessian; nats.

    Petzka, Kamp, Adilova, Sminchisescu & Boley (2021), "Relative flatness and generalization", arXiv 2001.00939: their
    κ_Tr of one layer, at the training samples. Since H = (1/N) Σ_k S_k ⊗ a_k a_kᵀ, it is (1/N) Σ_k |a_k|² tr(W Wᵀ S_k):
    exact, and no block is made. Rescaling whole layers, or the layer's own output units, leaves it; rescaling the units
    before it does not.

    Args:
        weights: name -> weights of every layer.
        layer: the layer's name.
        samples: training inputs (N, n) and class indices (N,).

    Raises:
        InputError: the network, the layer or the samples cannot be used.
    """
    probe = LayerProbe(from_weights({name: np.asarray(w, dtype=np.float64) for name, w in weights.items()}), layer)
    seen = probe.see(samples)
    gram = probe.weight @ probe.weight.T
    total = torch.zeros((), dtype=torch.float64, device=gram.device)
    for curvatures, activities in output_hessians(probe, seen):
        total += activities.square().sum(1) @ (curvatures * gram).sum((1, 2))
    return float(total) / len(seen)


def pac_bayes_flatness(
    weights: Weights,
    samples: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
    relative: bool = False,
    deviation: float = 0.1,
    draws: int = 10,
    halvings: int = 16,
) -> float:
    """1/σ², σ the largest Gaussian noise on all weights that raises the training error by no more than 0.1 on average.

    Jiang et al. (2020), arXiv 1912.02178, who look for σ by bisection too. The noise of every weight has the standard
    deviation σ; or, where it is ``relative``, σ|w|: their magnitude-aware form without the small constant that they
    add, so that no rescaling changes it. The same draws serve all σ, which makes the mean error nearly monotone in σ.

    Args:
        weights: name -> weights of every layer of a fully connected ReLU network without biases.
        samples: training inputs (N, n) and class indices (N,).
        generator: of the noise.
        relative: whether noise is relative to each weight.
        deviation: by how much the error may rise.
        draws: of the noise, over which the error is averaged.
        halvings: of the interval of log σ, from 10⁻⁶ to 10³.

    Returns:
        1/σ²; in the absolute form in units of 1/weight².

    Raises:
        InputError: noise of 10³ does no harm, or noise of 10⁻⁶ does too much.
    """
    error = error_under_noise(weights, samples, generator, relative, draws)
    bound = error(0.0) + deviation
    low, high = np.log(_SMALLEST), np.log(_LARGEST)
    if error(_SMALLEST) > bound or error(_LARGEST) <= bound:
        raise InputError(
            f"no noise between {_SMALLEST:g} and {_LARGEST:g} raises the training error by {deviation:g}: got "
            f"{error(_SMALLEST) - bound + deviation:+.3g} and {error(_LARGEST) - bound + deviation:+.3g} at its ends; "
            "wanted a trained network whose error can rise so far"
        )
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if error(float(np.exp(middle))) <= bound else (low, middle)
    return float(np.exp(-2 * low))


def error_under_noise(
    weights: Weights,
    samples: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
    relative: bool,
    draws: int,
) -> Callable[[float], float]:
    """The function σ -> mean error over fixed draws of the noise, on samples (N, n), (N,).

    The first layer is linear in σ, so that its products with the samples are made once.
    """
    layers = matrices(weights)
    inputs, labels = np.asarray(samples[0], dtype=np.float64), np.asarray(samples[1])
    noises = [
        generator.standard_normal((draws, *layer.shape)) * (np.abs(layer) if relative else 1.0) for layer in layers
    ]
    still = inputs @ layers[0].T  # (N, H)
    moving = np.matmul(inputs, noises[0].swapaxes(1, 2))  # (draws, N, H)

    def error(sigma: float) -> float:
        activity = still + sigma * moving
        for layer, noise in zip(layers[1:], noises[1:], strict=True):
            activity = np.matmul(np.maximum(activity, 0.0), (layer + sigma * noise).swapaxes(1, 2))
        return float((activity.argmax(axis=2) != labels).mean())

    return error
