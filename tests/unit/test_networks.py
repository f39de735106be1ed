import numpy as np
import pytest
import torch
from torch import nn

from awduality.errors import InputError
from awduality.layers import layer_names, weight_names
from awduality.networks import from_weights, fully_connected, in_order, network, weight_shapes


def test_layers_are_named_in_order_and_have_no_bias():
    network = fully_connected([4, 5, 6, 3])
    assert [name for name, _ in network.named_parameters()] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert layer_names(2) == ["fc1", "fc2", "fc3"]
    assert not network.training


def test_a_network_from_weights_computes_with_them(rng):
    weights = {"fc1": rng.normal(size=(5, 4)), "fc2": rng.normal(size=(3, 5))}
    x = rng.normal(size=(7, 4))
    expected = np.maximum(x @ weights["fc1"].T, 0) @ weights["fc2"].T
    assert np.allclose(from_weights(weights)(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-12)


def test_a_convolutional_network_computes_what_its_parts_do(rng):
    shapes = weight_shapes(3 * 8 * 8, 4, width=6, hidden_layers=2, first_width=9, convolutions=[5, 7])
    assert shapes == {
        "conv1": (5, 3, 3, 3),
        "conv2": (7, 5, 3, 3),
        "fc1": (9, 7 * 2 * 2),
        "fc2": (6, 9),
        "fc3": (4, 6),
    }
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x = torch.from_numpy(rng.normal(size=(11, 3 * 8 * 8)))
    conv1, conv2, *matrices = (torch.from_numpy(weights[name]) for name in shapes)
    hidden = x.view(11, 3, 8, 8)
    for kernel in (conv1, conv2):
        hidden = nn.functional.conv2d(hidden, kernel, stride=2, padding=1).relu()
    hidden = hidden.reshape(11, -1)
    for matrix in matrices[:-1]:
        hidden = (hidden @ matrix.T).relu()
    assert torch.allclose(from_weights(weights)(x), hidden @ matrices[-1].T, rtol=1e-12)


def test_weights_are_ordered_from_the_input_to_the_output_however_many_there_are():
    names = weight_names(hidden_layers=11, convolutions=12)
    assert in_order(dict.fromkeys(sorted(names))) == names


def test_initial_weights_have_the_range_of_pytorchs_own():
    model = network(weight_shapes(3 * 16 * 16, 10, 20, 1, convolutions=[16, 32]))
    for layer in (model.conv2, model.fc1):
        assert layer.weight.detach().abs().max() == pytest.approx(layer.weight[0].numel() ** -0.5, rel=0.02)


@pytest.mark.parametrize(
    ("features", "convolutions", "match"),
    [
        (50, [4], "square images, grey or of three colours: got inputs of 50 numbers"),
        (64, [4, 4, 4, 4], "4 convolutions halve the side of an image as often, but 8 pixels cannot"),
    ],
)
def test_convolutions_on_inputs_that_do_not_fit_are_refused(features, convolutions, match):
    with pytest.raises(InputError, match=match):
        weight_shapes(features, 10, 8, 1, convolutions=convolutions)
