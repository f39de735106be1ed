import numpy as np
import torch

from awduality.networks import from_weights, fully_connected
from awduality.plan import layer_names


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
