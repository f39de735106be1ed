"""Measures of a fully connected ReLU network without biases that need no noise and no curvature: norms and the margin.

Networks are given as name -> weights of every layer, (outputs, inputs), see ``awduality.networks``; all work is done in
float64. Larger stands for a looser bound, so for a larger gap, except for the margin itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from awduality.errors import InputError
from awduality.networks import in_order

Weights = Mapping[str, np.ndarray]


def matrices(weights: Weights) -> list[np.ndarray]:
    """The layers from the input to the output, (outputs, inputs) float64 each.

    Raises:
        InputError: a layer that is no matrix, or does not fit the one before it.
    """
    layers = [np.asarray(weights[name], dtype=np.float64) for name in in_order(weights)]
    shapes = [layer.shape for layer in layers]
    fits = all(len(shape) == 2 for shape in shapes) and all(before[0] == after[1] for before, after in pairwise(shapes))
    if not layers or not fits:
        raise InputError(
            f"wanted the weights of a fully connected network, (outputs, inputs) per layer: got the shapes {shapes}; "
            "these measures are not defined for convolutions here"
        )
    return layers


def outputs(weights: Weights, inputs: np.ndarray) -> np.ndarray:
    """The network's outputs (N, classes) of inputs (N, n), in float64."""
    *hidden, last = matrices(weights)
    activity = np.asarray(inputs, dtype=np.float64)
    for layer in hidden:
        activity = np.maximum(activity @ layer.T, 0.0)
    found: np.ndarray = activity @ last.T
    return found


def path_norm(weights: Weights) -> float:
    """The square root of the sum, over all paths from an input to an output, of the product of squared weights.

    Neyshabur, Tomioka & Srebro (2015), arXiv 1503.00036, with exponent 2: a network of squared weights, applied to
    ones, sums over the paths. No rescaling of units changes it.
    """
    layers = matrices(weights)
    reached = np.ones(layers[0].shape[1])
    for layer in layers:
        reached = np.square(layer) @ reached
    return float(np.sqrt(reached.sum()))


def spectral_product(weights: Weights) -> float:
    """Π_l |W_l|₂² · Σ_l |W_l|_F²/|W_l|₂²: squared spectral norms, times the sum of the layers' stable ranks.

    The bound of Neyshabur, Bhojanapalli & Srebro (2018), arXiv 1707.09564, without depth, width and samples; over the
    squared margin it is ``fro-over-spec`` with the product of norms of Jiang et al. (2020). Bartlett, Foster &
    Telgarsky (2017), arXiv 1706.08498, have another norm in place of Frobenius's. Rescaling whole layers leaves it,
    rescaling single units does not. A network with a layer of zeros has 0.
    """
    layers = matrices(weights)
    spectral = np.array([np.linalg.norm(layer, 2) for layer in layers]) ** 2
    frobenius = np.array([np.sum(np.square(layer)) for layer in layers])
    if not spectral.all():
        return 0.0
    return float(np.prod(spectral) * np.sum(frobenius / spectral))


def output_margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) the output of a sample's label minus the largest other output, of logits (N, classes)."""
    others = np.array(logits, dtype=np.float64)
    rows = np.arange(len(labels))
    own = others[rows, labels]
    others[rows, labels] = -np.inf
    return np.asarray(own - others.max(axis=1))


def margin(weights: Weights, samples: tuple[np.ndarray, np.ndarray], quantile: float = 0.1) -> float:
    """A low quantile of the output margins over training samples, in units of the outputs.

    Jiang et al. (2020), "Fantastic generalization measures and where to find them", arXiv 1912.02178, take the tenth
    percentile and predict the gap by 1/margin². No rescaling changes it.

    Args:
        weights: of the network.
        samples: training inputs (N, n) and class indices (N,).
        quantile: which.
    """
    inputs, labels = samples
    return float(np.quantile(output_margins(outputs(weights, inputs), labels), quantile))
