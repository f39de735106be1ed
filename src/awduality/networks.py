"""Fully connected ReLU networks without biases, from a list of widths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from awduality.plan import layer_names


def fully_connected(widths: Sequence[int]) -> nn.Sequential:
    """A network ``widths[0]``–…–``widths[-1]`` with ReLU between the layers, in eval mode.

    Its linear layers are called ``fc1``, ``fc2``, … and have no bias, as in the authors' code.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    names = layer_names(len(widths) - 2)
    for name, (inputs, outputs) in zip(names, pairwise(widths), strict=True):
        layers[name] = nn.Linear(inputs, outputs, bias=False)
        if name != names[-1]:
            layers[name.replace("fc", "relu")] = nn.ReLU()
    return nn.Sequential(layers).eval()


def from_weights(weights: Mapping[str, np.ndarray]) -> nn.Sequential:
    """The network whose layer ``fcN`` has the (outputs, inputs) matrix ``weights["fcN"]``."""
    names = layer_names(len(weights) - 1)
    matrices = [torch.from_numpy(np.array(weights[name])) for name in names]
    network = fully_connected([matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)])
    network = network.to(matrices[0].dtype)
    network.load_state_dict({f"{name}.weight": matrix for name, matrix in zip(names, matrices, strict=True)})
    return network
