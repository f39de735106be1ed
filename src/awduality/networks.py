"""ReLU networks without biases: fully connected, or convolutional with fully connected layers behind.

Every network is made from the shapes of its weights: ``fc1``, ``fc2``, … (outputs, inputs), and, where it has
convolutions, ``conv1``, ``conv2``, … (channels out, channels in, 3, 3), each of stride two, so that it halves the side
of the image. Inputs are vectors of pixels, (N, n); for a convolution they are square images, channels first.

Convolutions, ReLU and what follows are positively homogeneous, as without convolutions: multiplying a layer by a
positive number and dividing another by it leaves the function as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isqrt, prod

import numpy as np
import torch
from torch import nn

from awduality.errors import InputError
from awduality.layers import layer_names, weight_names

KERNEL = 3
_COLOURS = (1, 3)  # channels of a grey image, of one in colour

Shapes = Mapping[str, tuple[int, ...]]


def weight_shapes(
    features: int,
    classes: int,
    width: int,
    hidden_layers: int,
    first_width: int | None = None,
    convolutions: Sequence[int] = (),
) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a network, from the input to the output.

    Args:
        features: n, the number of inputs; channels × side × side where there are convolutions.
        classes: the number of outputs.
        width: units of each fully connected hidden layer …
        hidden_layers: … and how many there are.
        first_width: units of the first of them, if it is not ``width``.
        convolutions: the channels of each convolution.

    Raises:
        InputError: convolutions on inputs that are no square images, or whose side cannot be halved so often.
    """
    kernels: list[tuple[int, ...]] = []
    if convolutions:
        channels, side = _image(features)
        if side % 2 ** len(convolutions):
            raise InputError(
                f"{len(convolutions)} convolutions halve the side of an image as often, but {side} pixels cannot be "
                "halved so often: use fewer convolutions, or images of another size"
            )
        kernels = [(after, before, KERNEL, KERNEL) for before, after in pairwise([channels, *convolutions])]
        features = convolutions[-1] * (side // 2 ** len(convolutions)) ** 2
    hidden = [first_width or width, *[width] * (hidden_layers - 1)]
    matrices = [(after, before) for before, after in pairwise([features, *hidden, classes])]
    names = weight_names(hidden_layers, len(convolutions))
    return dict(zip(names, [*kernels, *matrices], strict=True))


def _image(features: int) -> tuple[int, int]:
    """Channels and side of a square image of so many numbers; there is one answer at most, since √3 is irrational."""
    for channels in _COLOURS:
        side = isqrt(features // channels)
        if channels * side**2 == features:
            return channels, side
    raise InputError(
        f"convolutions need square images, grey or of three colours: got inputs of {features} numbers; "
        "leave network.convolutions empty for such data"
    )


def network(shapes: Shapes) -> nn.Sequential:
    """The network whose weights have these shapes, in eval mode; layers are called as their weights are."""
    names = in_order(shapes)
    kernels = [name for name in names if name.startswith("conv")]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if kernels:
        side = isqrt(shapes[names[len(kernels)]][1] // shapes[kernels[-1]][0]) * 2 ** len(kernels)
        layers["image"] = nn.Unflatten(1, (shapes[kernels[0]][1], side, side))
    for name in names:
        after, before, *kernel = shapes[name]
        if kernel:
            layers[name] = nn.Conv2d(before, after, KERNEL, stride=2, padding=KERNEL // 2, bias=False)
            layers[f"{name}_relu"] = nn.ReLU()
            if name == kernels[-1]:
                layers["flat"] = nn.Flatten()
        else:
            layers[name] = nn.Linear(before, after, bias=False)
            if name != names[-1]:
                layers[name.replace("fc", "relu")] = nn.ReLU()
    return nn.Sequential(layers).eval()


def fully_connected(widths: Sequence[int]) -> nn.Sequential:
    """A network ``widths[0]``–…–``widths[-1]`` with ReLU between the layers, in eval mode.

    Its linear layers are called ``fc1``, ``fc2``, … and have no bias, as in the authors' code.
    """
    shapes = ((outputs, inputs) for inputs, outputs in pairwise(widths))
    return network(dict(zip(layer_names(len(widths) - 2), shapes, strict=True)))


def from_weights(weights: Mapping[str, np.ndarray]) -> nn.Sequential:
    """The network with these weights, in their precision."""
    tensors = {name: torch.from_numpy(np.array(weights[name])) for name in in_order(weights)}
    made = network({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    made = made.to(next(iter(tensors.values())).dtype)
    made.load_state_dict({f"{name}.weight": tensor for name, tensor in tensors.items()})
    return made


def in_order(weights: Mapping[str, object]) -> list[str]:
    """The names of a network's weights from the input to the output: convolutions first."""
    return sorted(weights, key=lambda name: (name.rstrip("0123456789"), int(name.lstrip("convf"))))


def outgoing(matrix: np.ndarray, units: int) -> np.ndarray:
    """A layer's weights by the unit or channel that they come from: a view of shape (outputs, units, …).

    Behind a convolution, a fully connected layer has as many columns per channel as the image has pixels.
    """
    return matrix.reshape(len(matrix), units, -1)


def fan_in(shape: Sequence[int]) -> int:
    """The number of inputs of a unit of a layer with weights of this shape."""
    return prod(shape[1:])
