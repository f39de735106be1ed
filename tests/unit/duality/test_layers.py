"""Every layer of a network in one call."""

import numpy as np
import pytest
import torch
from torch import nn

import awduality
from awduality import decompose, decompose_layers
from awduality.duality import layers as module
from awduality.errors import InputError
from awduality.networks import fully_connected
from tests.unit.test_probe import OverPositions, Residual, Twice, Unused


@pytest.fixture
def data(rng):
    def samples(count):
        return rng.normal(size=(count, 6)), np.arange(count) % 3

    return samples(30), samples(12)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return fully_connected([6, 5, 4, 3])


def test_every_layer_is_decomposed_as_by_itself(model, data):
    found = decompose_layers(model, *data)
    assert list(found) == ["fc1", "fc2", "fc3"]
    for name, result in found.items():
        alone = decompose(model, name, *data)
        assert result.layer == name
        assert np.array_equal(result.eigenvalues, alone.eigenvalues)
        assert np.array_equal(result.sigma_g, alone.sigma_g)
        assert result.estimate == alone.estimate


def test_samples_are_paired_once(model, data, monkeypatch):
    calls = []
    pair = module.pairs_of_inputs
    monkeypatch.setattr(module, "pairs_of_inputs", lambda *sets: calls.append(1) or pair(*sets))
    decompose_layers(model, *data)
    assert calls == [1]


def test_options_are_those_of_decompose(model, data):
    pairs = (np.array([0, 1, 2]), np.array([0, 1, 2]))
    found = decompose_layers(model, *data, layers=["fc3", "fc1"], loss="mse", pairs=pairs, top=2)
    assert list(found) == ["fc3", "fc1"]
    expected = decompose(model, "fc1", *data, loss="mse", pairs=pairs, top=2)
    assert np.array_equal(found["fc1"].sigma_w, expected.sigma_w)
    assert len(found["fc1"].test_loss) == 3


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.head(torch.relu(self.two(torch.relu(self.one(x)))))


REFUSED = {
    "bypassed": (Residual, ["inner"]),
    "called 2 times": (Twice, ["shared"]),
    "called 0 times": (Unused, ["forgotten"]),
    r"input of shape \(30, 2, 3\)": (OverPositions, ["mix"]),
    "are shared": (Shared, ["one", "two"]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_layers_without_a_duality_are_left_out_with_the_reason(reason, data, caplog):
    make, refused = REFUSED[reason]
    torch.manual_seed(0)
    network = make().eval()
    assert list(decompose_layers(network, *data)) == ["head"]
    assert len(caplog.records) == len(refused)
    for name, record in zip(refused, caplog.records, strict=True):
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith(f"layer {name!r} is left out: ")
        assert record.exc_info is None
    with pytest.raises(InputError, match=reason):
        decompose_layers(network, *data, layers=["head", *refused])


def test_what_is_wrong_with_the_network_or_the_data_is_an_error_and_no_warning(model, data, caplog):
    with pytest.raises(InputError, match="train mode"):
        decompose_layers(model.train(), *data)
    (x, y), test = data
    with pytest.raises(InputError, match="are not finite"):
        decompose_layers(model.eval(), (np.where(x == x[0, 0], np.nan, x), y), test, pairs=([1], [1]))
    assert not caplog.records


def test_networks_without_layers_and_lists_without_names_are_refused(model, data):
    with pytest.raises(InputError, match=r"the network has no nn.Linear"):
        decompose_layers(nn.Sequential(nn.ReLU()).eval(), *data)
    with pytest.raises(InputError, match="none was named"):
        decompose_layers(model, *data, layers=[])
    with pytest.raises(InputError, match=r"write \['fc1'\]"):
        decompose_layers(model, *data, layers="fc1")


def test_it_is_public():
    assert awduality.decompose_layers is module.decompose_layers


def test_a_layer_of_fewer_directions_than_asked_for_gives_all(model, data):
    found = decompose_layers(model, *data, top=20)
    assert [len(result.eigenvalues) for result in found.values()] == [20, 20, 12]
    assert found["fc3"].remainder == 0
