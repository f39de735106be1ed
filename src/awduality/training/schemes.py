"""What each factor does to a run: one small function per regularization scheme, with its source.

Batch size and training size need no function: they are the shape of the index table in ``batch_order``. Label noise is
in ``awduality.data.label_noise``. "Authors' code" is the demonstration that accompanies Feng, Zhang & Tu (2023).

Every random number comes from a named stream of the run's seed index, so runs of one seed share them whatever else
differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from awduality.networks import fan_in
from awduality.streams import stream


def initial_weights(shapes: Iterable[Sequence[int]], scale: float, root_seed: int, seed: int) -> list[np.ndarray]:
    """PyTorch's default initialisation of all layers, multiplied by the factor ``init_scale`` s (authors' code).

    Layer weights are uniform in s·(−1/√n, 1/√n), n the number of inputs of a unit.

    Args:
        shapes: of each layer's weights, (outputs, inputs) or (channels out, channels in, height, width).
        scale: s.
        root_seed: the config's root seed.
        seed: the run's seed index.

    Returns:
        One float32 array per layer.
    """
    generator = stream(root_seed, "init", seed)
    weights = []
    for shape in shapes:
        uniform = generator.random(tuple(shape), dtype=np.float32)
        weights.append(np.float32(scale / np.sqrt(fan_in(shape))) * (2 * uniform - 1))
    return weights


def batch_order(samples: int, root_seed: int, seed: int) -> Iterator[np.ndarray]:
    """A fresh permutation of the training samples for every epoch; batches are consecutive parts of it.

    The last batch of an epoch is smaller where the batch size does not divide the number of samples.
    """
    generator = stream(root_seed, "order", seed)
    while True:
        yield generator.permutation(samples)


def dropout_uniforms(samples: int, width: int, root_seed: int, seed: int) -> Iterator[np.ndarray]:
    """For every epoch, (samples, width) uniform numbers in [0, 1), by position in the epoch, for dropout."""
    generator = stream(root_seed, "dropout", seed)
    while True:
        yield generator.random((samples, width), dtype=np.float32)


def dropout_mask(uniforms: Tensor, rates: Tensor) -> Tensor:
    """Inverted dropout on the first hidden layer (authors' code): 0 with probability d, else 1/(1 − d).

    Args:
        uniforms: (R, H, B) uniform numbers.
        rates: (R, 1, 1) dropout rate d of each run.
    """
    return (uniforms >= rates) / (1 - rates)


def norm_decay(weights: Sequence[Tensor], decay: Tensor) -> Tensor:
    """β/‖w‖₂: times w, it is the gradient of the penalty β·‖w‖₂, the unsquared norm (authors' code).

    The norm is over the weights of all layers. The penalty acts in the first epochs only (200 in the authors' code).

    Args:
        weights: per layer (R, outputs, inputs).
        decay: (R, 1, 1) β, zero for runs without it.
    """
    squares = torch.stack([torch.linalg.vector_norm(layer, dim=(1, 2)).square() for layer in weights])
    return decay / squares.sum(0).sqrt().view(-1, 1, 1)


def l2_decay(decay: Tensor) -> Tensor:
    """λ₂: times w, it is the gradient of the usual penalty λ₂/2·‖w‖₂² (``weight_decay`` of ``torch.optim.SGD``)."""
    return decay
