"""The closed-form Hessian against three oracles, and its spectrum against algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian

from awduality.curvature import layer_hessian as module
from awduality.curvature.layer_hessian import layer_hessian, output_hessians
from awduality.curvature.spectrum import spectrum
from awduality.networks import fully_connected
from awduality.probe import LayerProbe


def samples(count, inputs, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    return x, torch.arange(count) % classes


def dense_oracle(model, layer, x, y, loss=nn.functional.cross_entropy):
    """``torch.func`` on the mean loss as a function of the layer's weights, everything else fixed."""
    model = model.double()
    name = f"{layer}.weight"
    weight = model.get_parameter(name).detach()

    def mean_loss(flat):
        return loss(functional_call(model, {name: flat.view_as(weight)}, (x,)), y)

    return hessian(mean_loss)(weight.flatten()).detach()


def hessian_at(probe, data):
    return layer_hessian(probe, probe.see(data))


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


@settings(max_examples=30)
@given(
    widths=st.lists(st.integers(2, 7), min_size=3, max_size=5),
    place=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    count=st.integers(3, 40),
)
def test_the_closed_form_equals_torch_func_for_any_depth_width_and_layer(widths, place, seed, count):
    torch.manual_seed(seed)
    model = fully_connected(widths).double()
    layer = f"fc{min(place, len(widths) - 1)}"
    x, y = samples(count, widths[0], widths[-1], seed)
    expected = dense_oracle(model, layer, x, y)
    found = hessian_at(LayerProbe(model, layer), (x, y))
    assert (found - expected).abs().max() <= 1e-12 * max(expected.abs().max(), 1e-3)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.hidden, self.head = nn.Linear(12, 5), nn.Linear(5, 4)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(self.features(x))))


NETWORKS = {
    "bias": (nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), "0", (5,), 3),
    "tanh": (nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)), "2", (5,), 3),
    "GELU": (nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 3)), "0", (5,), 3),
    "batch norm": (nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), "0", (5,), 3),
    "convolution before": (Convolutional(), "hidden", (1, 6, 6), 4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_closed_form_equals_torch_func_for_other_networks(name):
    model, layer, shape, classes = NETWORKS[name]
    torch.manual_seed(1)
    x = torch.randn(20, *shape, dtype=torch.float64)
    y = torch.arange(20) % classes
    model = model.eval()
    assert relative(hessian_at(LayerProbe(model, layer), (x, y)), dense_oracle(model, layer, x, y)) < 1e-12


def test_the_last_layer_of_softmax_regression_has_its_textbook_hessian():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3, bias=False)).double().eval()
    x, y = samples(25, 4, 3)
    p = torch.softmax(model(x), 1).detach()
    s = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    expected = torch.einsum("kij,ka,kb->iajb", s, x, x).reshape(12, 12) / 25
    assert relative(hessian_at(LayerProbe(model, "0"), (x, y)), expected) < 1e-14


def test_a_loss_linear_in_the_outputs_has_no_curvature():
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    probe = LayerProbe(model, "0", loss=lambda outputs, targets: outputs.sum(1))
    assert not hessian_at(probe, samples(10, 4, 3)).any()


def test_the_squared_error_of_a_linear_network_has_its_textbook_hessian():
    x, _ = samples(15, 4, 3)
    probe = LayerProbe(nn.Sequential(nn.Linear(4, 2)).eval(), "0", loss=lambda f, t: (f - t).square().sum(1) / 2)
    expected = torch.kron(torch.eye(2, dtype=torch.float64), x.T @ x / 15)
    assert relative(hessian_at(probe, (x, torch.zeros(15, 2, dtype=torch.float64))), expected) < 1e-14


def probed(widths, layer, count=50, seed=0):
    torch.manual_seed(seed)
    return LayerProbe(fully_connected(widths), layer), samples(count, widths[0], widths[-1], seed)


def test_the_hessian_is_symmetric_to_the_bit_and_positive_semidefinite_behind_relu():
    probe, data = probed([6, 8, 7, 4], "fc2")
    h = hessian_at(probe, data)
    assert torch.equal(h, h.T)
    assert torch.linalg.eigvalsh(h)[0] > -1e-15 * h.abs().max()


def test_the_trace_is_the_mean_of_trace_times_squared_activity():
    probe, data = probed([6, 8, 7, 4], "fc2")
    ((s, a),) = output_hessians(probe, probe.see(data))
    expected = (s.diagonal(dim1=1, dim2=2).sum(1) * a.square().sum(1)).mean()
    assert torch.trace(hessian_at(probe, data)).item() == pytest.approx(expected.item(), rel=1e-12)


def test_chunks_of_any_size_give_the_same_hessian(monkeypatch):
    probe, data = probed([6, 8, 7, 4], "fc2", count=53)
    whole = hessian_at(probe, data)
    monkeypatch.setattr(module, "_CHUNK", 10)  # the last chunk has 3
    assert relative(hessian_at(probe, data), whole) < 1e-14


def test_eigenpairs_have_small_residuals_and_an_orthonormal_basis():
    probe, data = probed([6, 8, 7, 4], "fc2")
    h = hessian_at(probe, data)
    found = spectrum(h)
    residual = h @ found.eigenvectors - found.eigenvectors * found.eigenvalues
    assert residual.abs().max() < 1e-13 * found.eigenvalues[0]
    assert torch.allclose(found.eigenvectors.T @ found.eigenvectors, torch.eye(56, dtype=torch.float64), atol=1e-12)
    assert (found.eigenvalues.diff() <= 0).all()


def test_dead_units_and_silent_inputs_get_unit_vectors_with_eigenvalue_zero():
    probe, data = probed([6, 5, 4, 3], "fc2")
    probe._model.fc1.weight.data[2] = 0.0  # an input of fc2 that is always zero
    probe._model.fc2.weight.data[1] = -probe._model.fc2.weight.data[1].abs()  # a unit behind it that never fires
    found = spectrum(hessian_at(probe, data))
    assert len(found.eigenvalues) == 20
    zero = found.eigenvectors[:, found.eigenvalues == 0]
    assert zero.shape[1] >= 5 + 3
    assert ((zero == 0) | (zero == 1)).all()
    assert torch.allclose(found.eigenvectors.T @ found.eigenvectors, torch.eye(20, dtype=torch.float64), atol=1e-12)


def test_a_hessian_of_zeros_has_the_unit_vectors_as_basis():
    found = spectrum(torch.zeros(5, 5, dtype=torch.float64))
    assert not found.eigenvalues.any()
    assert torch.equal(found.eigenvectors, torch.eye(5, dtype=torch.float64))


def test_indefinite_matrices_keep_their_negative_eigenvalues_in_order():
    matrix = torch.diag(torch.tensor([0.0, -2.0, 3.0, 0.0, 1.0], dtype=torch.float64))
    assert spectrum(matrix).eigenvalues.tolist() == [3.0, 1.0, 0.0, 0.0, -2.0]


def test_the_hessian_of_a_float32_network_is_computed_in_float64():
    probe, data = probed([6, 8, 7, 4], "fc2")
    single = (data[0].float(), data[1])
    assert hessian_at(probe, single).dtype == torch.float64
    assert relative(hessian_at(probe, single), hessian_at(probe, data)) < 1e-5
    assert np.isfinite(hessian_at(probe, single).numpy()).all()
