"""What lies behind a layer, told apart from what lies before it; and what happens where that cannot be done."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from awduality import decompose, probe
from awduality.behind import behind
from awduality.networks import network, weight_shapes


class Residual(nn.Module):
    """A residual block before the last two layers, batch norm, and a size that is asked of the inputs."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
        self.wide, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        hidden = self.norm(x + torch.relu(self.inner(x))).view(x.size(0), -1)
        return self.head(nn.functional.gelu(self.wide(hidden)))


class InPlace(nn.Module):
    """Changes its activity in place, and does not use what that returns."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        hidden = self.first(x)
        hidden.relu_()
        return self.head(hidden)


class Untraceable(InPlace):
    """Its control flow depends on the data."""

    def forward(self, x):
        hidden = self.first(x)
        return self.head(torch.relu(hidden) if hidden.sum() < 1e9 else hidden)


@pytest.fixture
def data(rng):
    def samples(count):
        return rng.normal(size=(count, 6)), np.arange(count) % 3

    return samples(150), samples(12)


@pytest.mark.parametrize("layer", ["wide", "head"])
def test_what_lies_behind_a_layer_computes_the_outputs_from_its_output_alone(layer):
    model = Residual().eval()
    caught = []
    model.get_submodule(layer).register_forward_hook(lambda _module, _args, output: caught.append(output))
    outputs = model(torch.randn(7, 6))
    assert torch.equal(behind(model, layer)(caught[0]), outputs)


def test_nothing_is_told_apart_where_another_path_passes_the_layer():
    assert behind(Residual().eval(), "inner") is None


def test_nothing_is_told_apart_where_control_flow_depends_on_data():
    assert behind(Untraceable().eval(), "first") is None


def test_a_layer_that_is_not_called_has_nothing_behind_it():
    model = Residual()
    model.unused = nn.Linear(3, 3)
    assert behind(model.eval(), "unused") is None


def same(one, other, tolerance=1e-12):
    for field in fields(one):
        a, b = (getattr(result, field.name) for result in (one, other))
        if not isinstance(a, str):
            assert np.allclose(a, b, rtol=tolerance, atol=tolerance), field.name


def test_operations_in_place_behind_the_layer_are_kept(data):
    torch.manual_seed(0)
    model = InPlace().eval()
    plain = nn.Sequential(model.first, nn.ReLU(), model.head).eval()
    same(decompose(model, "first", *data), decompose(plain, "0", *data))


def test_the_result_does_not_depend_on_whether_the_network_can_be_told_apart(data, monkeypatch):
    torch.manual_seed(0)
    model = Residual().eval()
    one = decompose(model, "wide", *data)
    monkeypatch.setattr(probe, "behind", lambda _model, _layer: None)
    same(one, decompose(model, "wide", *data))


def test_a_network_that_cannot_be_traced_gives_what_its_like_gives(data):
    torch.manual_seed(0)
    model = Untraceable().eval()
    plain = nn.Sequential(model.first, nn.ReLU(), model.head).eval()
    same(decompose(model, "first", *data), decompose(plain, "0", *data))


@pytest.fixture
def images(rng):
    def samples(count):
        return rng.normal(size=(count, 64)).astype(np.float32), np.arange(count) % 3

    return samples(300), samples(30)


def test_a_deep_convolutional_network_keeps_its_precision_up_to_the_layer(images, monkeypatch):
    torch.manual_seed(0)
    model = network(weight_shapes(64, 3, 6, 2, convolutions=[4, 5]))
    exact = decompose(model, "fc1", *images)
    monkeypatch.setattr(probe, "_DEEP", 0)
    found = decompose(model, "fc1", *images)
    assert found.estimate != exact.estimate
    assert found.estimate == pytest.approx(exact.estimate, rel=1e-4)
    assert np.allclose(found.eigenvalues, exact.eigenvalues, rtol=1e-4, atol=1e-6 * exact.eigenvalues[0])
    assert found.output_error < 1e-13
    assert np.abs(found.dual_loss - found.test_loss).max() < 1e-12
    same(decompose(model.double(), "fc1", *images), exact)


def test_samples_that_are_seen_in_parts_give_the_same(images, monkeypatch):
    torch.manual_seed(0)
    model = network(weight_shapes(64, 3, 6, 1, convolutions=[4]))
    one = decompose(model, "fc1", *images)
    monkeypatch.setattr(probe, "_IMAGES", 7)
    same(decompose(model, "fc1", *images), one)
