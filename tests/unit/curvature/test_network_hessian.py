"""The whole network's Hessian: against torch.func.hessian, finite differences, closed forms, and the layer's own."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian

from awduality.curvature.density import spectral_density
from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.layer_hessian import hessian_trace, layer_hessian
from awduality.curvature.network_hessian import NetworkHessian
from awduality.errors import InputError
from awduality.losses import cross_entropy
from awduality.probe import LayerProbe
from tests.unit.curvature.test_architectures import network


def small(widths=(3, 4, 4, 2), samples=9, seed=3, bias=True):
    """A ReLU network of these widths in float64, and samples."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
        model = nn.Sequential(*layers[:-1]).double().eval()
        return model, (torch.randn(samples, widths[0]).double(), torch.randint(widths[-1], (samples,)))


def by_torch(model, data, loss=cross_entropy):
    """The Hessian by forward over reverse mode of torch, block by block."""
    x, y = data
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    blocks = hessian(lambda given: loss(functional_call(model, given, (x,)), y).mean())(parameters)
    sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    rows = [torch.cat([blocks[a][b].reshape(sizes[a], sizes[b]) for b in sizes], 1) for a in sizes]
    return torch.cat(rows)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_dense_hessian_is_that_of_torch(loss):
    model, data = small()
    expected = by_torch(model, data, {"cross_entropy": cross_entropy, "mse": _mse}[loss])
    assert torch.allclose(NetworkHessian(model, data, loss).dense(), expected, rtol=0, atol=1e-14)


def _mse(outputs, targets):
    return (outputs - nn.functional.one_hot(targets, outputs.shape[1])).square().mean(1)


@pytest.mark.parametrize("name", ["4 layers", "tanh", "convolutions, batch norm", "residual"])
def test_products_of_any_architecture_are_finite_differences_of_the_gradient(name):
    model, data = network(name)
    operator = NetworkHessian(model, data)
    along = torch.randn(operator.shape[0], 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    step, ends = 1e-6, []
    for sign in (1, -1):
        moved = NetworkHessian(model, data)
        moved.parameters = operator.parameters + sign * step * along[:, 0]
        ends.append(moved.gradient)
    difference = (ends[0] - ends[1]) / (2 * step)
    product = (operator @ along)[:, 0]
    assert (product - difference).norm() < 1e-6 * product.norm()


def test_softmax_regression_has_the_closed_form():
    model, (x, y) = small((5, 3), samples=20, bias=False)
    p = torch.softmax(x @ model[0].weight.detach().T, 1)
    s = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    expected = torch.einsum("nab,ni,nj->aibj", s, x, x).reshape(15, 15) / 20
    operator = NetworkHessian(model, (x, y))
    for found in (operator.dense(), operator.gauss_newton()):
        assert torch.allclose(found, expected, rtol=0, atol=1e-15)


def test_gauss_newton_part_and_residual_part_add_up_to_the_whole():
    model, (x, y) = small()
    operator = NetworkHessian(model, (x, y))
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    slope = (torch.softmax(model(x), 1) - nn.functional.one_hot(y, 2)).detach()
    blocks = hessian(lambda given: (slope * functional_call(model, given, (x,))).sum(1).mean())(parameters)
    sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    residual = torch.cat([torch.cat([blocks[a][b].reshape(sizes[a], sizes[b]) for b in sizes], 1) for a in sizes])
    assert residual.abs().max() > 1e-3
    assert torch.allclose(operator.gauss_newton() + residual, operator.dense(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_a_layers_block_is_the_librarys_closed_form(layer):
    model, data = small((6, 5, 4, 3), samples=30)
    operator, probe = NetworkHessian(model, data), LayerProbe(model, layer)
    part = operator.block(f"{layer}.weight")
    expected = layer_hessian(probe, probe.see(data))
    assert torch.allclose(operator.dense()[part, part], expected, rtol=0, atol=1e-14)


def test_without_biases_the_trace_is_the_sum_of_the_layers():
    model, data = small((6, 5, 4, 3), samples=30, bias=False)
    traces = [hessian_trace(probe, probe.see(data)) for probe in (LayerProbe(model, name) for name in "024")]
    assert float(NetworkHessian(model, data).dense().trace()) == pytest.approx(sum(traces), rel=1e-12)


@given(
    samples=st.integers(1, 12),
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    classes=st.integers(2, 5),
    seed=st.integers(0, 99),
)
@given_settings(max_examples=25)
def test_the_gauss_newton_part_is_the_second_moment_of_factors_and_its_rank_has_the_bound(
    samples, widths, classes, seed
):
    operator = NetworkHessian(*small((*widths, classes), samples, seed))
    factors = torch.cat([part for _, part in operator.softmax_factors()])
    assert factors.shape == (samples, classes, operator.shape[0])
    flat, found = factors.flatten(0, 1), operator.gauss_newton()
    assert torch.allclose(flat.T @ flat / samples, found, rtol=0, atol=1e-13)
    values = torch.linalg.eigvalsh(found)
    assert values[0] >= -1e-12 * values[-1]
    assert int((values > 1e-10 * values[-1]).sum()) <= samples * (classes - 1)


def test_the_gauss_newton_part_of_few_samples_is_theirs():
    model, (x, y) = small()
    found = NetworkHessian(model, (x, y)).gauss_newton(4)
    assert torch.allclose(found, NetworkHessian(model, (x[:4], y[:4])).gauss_newton(), rtol=0, atol=1e-15)


def test_lanczos_and_quadrature_on_the_operator_agree_with_the_exact_spectrum():
    operator = NetworkHessian(*small((8, 10, 10, 4), samples=60))
    values = torch.linalg.eigvalsh(operator.dense()).flip(0)
    assert torch.allclose(top_eigenpairs(operator, 5).eigenvalues, values[:5], rtol=1e-11, atol=0)
    density = spectral_density(operator, 200, 10, np.random.default_rng(0))
    for order in (1, 2):
        exact = float((values**order).mean())
        assert abs(density.moment(order) - exact) < 5 * density.moment_error(order)
    whole = spectral_density(operator, 1, 10_000, np.random.default_rng(0))
    assert whole.nodes.max() == pytest.approx(float(values[0]), rel=1e-10)


def test_permuted_hidden_units_leave_the_spectrum_as_it_is():
    model, data = small((6, 5, 4, 3), samples=30)
    values = torch.linalg.eigvalsh(NetworkHessian(model, data).dense())
    with torch.no_grad():
        order = torch.tensor([3, 0, 4, 1, 2])
        for tensor in (model[0].weight, model[0].bias):
            tensor.copy_(tensor[order])
        model[2].weight.copy_(model[2].weight[:, order])
    other = NetworkHessian(model, data)
    assert torch.allclose(torch.linalg.eigvalsh(other.dense()), values, rtol=0, atol=1e-13)


def test_the_spectrum_of_a_multiple_of_the_loss_is_that_multiple():
    model, data = small()
    tripled = NetworkHessian(model, data, lambda outputs, targets: 3 * cross_entropy(outputs, targets))
    assert torch.allclose(tripled.dense(), 3 * NetworkHessian(model, data).dense(), rtol=1e-13, atol=1e-15)


def test_the_callers_network_is_left_as_it_was():
    model, (x, y) = small()
    model.float()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    NetworkHessian(model, (x, y)).dense()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())


def test_what_cannot_be_analysed_is_refused():
    model, (x, y) = small()
    with pytest.raises(InputError, match="train mode"):
        NetworkHessian(model.train(), (x, y))
    model.eval()
    with pytest.raises(InputError, match="as many targets"):
        NetworkHessian(model, (x, y[:-1]))
    with pytest.raises(InputError, match="no parameters"):
        NetworkHessian(nn.ReLU().eval(), (x, y))
    with pytest.raises(InputError, match="no parameter 'fc9'"):
        NetworkHessian(model, (x, y)).block("fc9")
    wide = nn.Linear(3, 4001).eval()
    with pytest.raises(InputError, match=r"16,004 parameters.*operator"):
        NetworkHessian(wide, (x, y)).dense()
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        NetworkHessian(model, (x, y))
