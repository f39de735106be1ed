"""Never silently wrong: derivatives that a trace loses, weights used twice, losses that are not finite, bypasses."""

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn.functional import cross_entropy, gelu, linear, silu
from torch.nn.utils import parametrizations, parametrize

from awduality import InputError, decompose, decompose_layers, layer_density
from awduality.curvature.layer_hessian import layer_hessian
from awduality.probe import LayerProbe


@pytest.fixture
def data(rng):
    def samples(count):
        return rng.normal(size=(count, 6)), np.arange(count) % 3

    return samples(60), samples(25)


class Network(nn.Module):
    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.activation = nn.Linear(6, 4), nn.Linear(4, 3), activation

    def forward(self, x):
        return self.last(self.activation(self.first(x)))


class Sigmoidal(torch.autograd.Function):
    """SiLU, whose own derivatives are right, by a forward that autograd would differentiate wrongly."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x.detach())

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return gradient * (s + x * s * (1 - s))


class Clipped(torch.autograd.Function):
    """The identity, whose gradient is cut only where the activity is large: in few samples."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 3)


class Straight(torch.autograd.Function):
    """Rounding, with the gradient of the identity."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(4 * x) / 4

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def detached(x):
    return x + (torch.round(4 * x) / 4 - x).detach()


def without_gradient(x):
    with torch.no_grad():
        step = torch.round(4 * x) / 4 - x
    return x + step


class NotWhileTraced(nn.Module):
    """Cuts its activity, in few samples, but for what is no tensor."""

    def forward(self, x):
        return x.clamp(max=1.5) if isinstance(x, torch.Tensor) else x


class Reversed(torch.autograd.Function):
    """Of the newer form: context apart from the forward."""

    @staticmethod
    def forward(x):
        return x * 1.0

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return -0.5 * gradient


def listened_to(x):
    x = x.tanh()
    if torch.is_tensor(x) and x.requires_grad:
        x.register_hook(lambda gradient: 0.3 * gradient)
    return x


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.tanh = nn.Tanh()

    def forward(self, x):
        return self.tanh(x)


def with_a_backward_hook():
    module = Inner()
    module.register_full_backward_hook(lambda module, before, after: (0.25 * before[0],))
    return module


def recomputed(x):
    return torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=False)


ACTIVATIONS = {
    "a gradient turned round": Reversed.apply,
    "a hook of a tensor": listened_to,
    "a backward hook of a module": with_a_backward_hook(),
    "activities computed again": recomputed,
    "values without a graph": lambda x: x.tanh() * x.data.sigmoid(),
    "a function with derivatives of its own": Sigmoidal.apply,
    "a gradient cut in few samples": Clipped.apply,
    "straight-through rounding by a function": Straight.apply,
    "straight-through rounding by detach": detached,
    "straight-through rounding without gradients": without_gradient,
    "another branch for tensors": NotWhileTraced(),
    "SiLU": silu,
    "GELU": gelu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("large", [False, True])
def test_the_hessian_is_that_of_the_derivatives_that_training_uses(name, large, data):
    (x, y), _ = data
    x = 4 * x if large else x
    model = Network(ACTIVATIONS[name]).eval().double()
    probe = LayerProbe(model, "first")
    found = layer_hessian(probe, probe.see((x, y)))
    columns, weight = [], model.first.weight
    (gradient,) = torch.autograd.grad(
        cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)), weight, create_graph=True
    )
    for entry in gradient.flatten():
        columns.append(torch.autograd.grad(entry, weight, retain_graph=True)[0].flatten())
    expected = torch.stack(columns)
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_a_function_with_derivatives_of_its_own_gives_what_the_built_in_one_gives(data):
    one, other = (decompose(Network(act).eval(), "first", *data) for act in (Sigmoidal.apply, nn.SiLU()))
    assert np.allclose(one.eigenvalues, other.eigenvalues, rtol=1e-10, atol=1e-14)
    assert np.allclose(one.contribution, other.contribution, rtol=1e-10, atol=1e-14)


def test_plain_networks_are_still_told_apart(data):
    probe = LayerProbe(Network(silu).eval(), "first")
    probe.see(data[0])
    assert probe._behind is not None


class Tied(nn.Module):
    """Uses the transposed weights of its first layer once more."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(linear(torch.tanh(self.first(x)), self.first.weight.T))


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def by_own_parametrization(model):
    parametrize.register_parametrization(model.first, "weight", Doubled())
    return model


def by_a_shared_original(model):
    model.second = nn.Linear(6, 6)
    for layer in (model.first, model.second):
        parametrize.register_parametrization(layer, "weight", Doubled())
    model.second.parametrizations.weight.original = model.first.parametrizations.weight.original
    return model


def by_shared_memory(model):
    model.second = nn.Linear(6, 6)
    model.second.weight = nn.Parameter(model.first.weight.data)
    return model


def by_memory_of_a_buffer(model):
    model.register_buffer("table", model.first.weight.data[2:4])
    return model


@pytest.mark.parametrize(
    "make",
    [
        by_own_parametrization,
        lambda model: by_own_parametrization(by_own_parametrization(model)),
        lambda model: setattr(model, "first", parametrizations.weight_norm(model.first)) or model,
        lambda model: setattr(model, "first", parametrizations.spectral_norm(model.first)) or model,
        lambda model: setattr(model, "first", parametrizations.orthogonal(model.first)) or model,
        by_a_shared_original,
        by_shared_memory,
        by_memory_of_a_buffer,
        lambda model: model,
    ],
)
def test_weights_that_are_used_twice_are_refused_however_they_are_made(make, data):
    with pytest.raises(InputError, match=r"are shared \(|do more than to turn its input a into W a \+ b"):
        decompose(make(Tied()).eval(), "first", *data)


@pytest.mark.parametrize(
    "parametrized",
    [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal],
)
def test_parametrized_weights_that_are_used_once_are_analysed(parametrized, data):
    model = Network(torch.tanh)
    model.first = parametrized(model.first)
    model.eval()
    model(torch.zeros(1, 6))
    plain = Network(torch.tanh).eval().double()
    with torch.no_grad():
        for parameter, other in zip(plain.last.parameters(), model.last.parameters(), strict=True):
            parameter.copy_(other)
        plain.first.bias.copy_(model.first.bias)
        model.double()(torch.zeros(1, 6, dtype=torch.float64))
        plain.first.weight.copy_(model.first.weight)
        one, other = decompose(model.float(), "first", *data), decompose(plain, "first", *data)
    assert np.allclose(one.eigenvalues, other.eigenvalues, rtol=1e-5, atol=1e-7)


def last_infinite(outputs, labels):
    return -torch.log(torch.relu(outputs[:, 0]))


def some_nan(outputs, labels):
    return cross_entropy(outputs, labels, reduction="none") * torch.where(labels == 2, torch.nan, 1.0)


@pytest.mark.parametrize("loss", [last_infinite, some_nan])
def test_a_loss_that_is_not_finite_is_named_with_its_samples(loss, data):
    model = Network(torch.relu).eval()
    wanted = r"train: the loss of \d+ samples is not finite, of 60"
    for analyse in (decompose, decompose_layers):
        with pytest.raises(InputError, match=wanted):
            analyse(model, *(("first",) if analyse is decompose else ()), *data, loss=loss)
    with pytest.raises(InputError, match=wanted):
        layer_density(model, "first", data[0], loss=loss)


def test_a_test_loss_that_is_not_finite_is_that_of_the_test_samples(data):
    train, test = data
    few = train[0], np.where(train[1] == 2, 0, train[1])
    with pytest.raises(InputError, match="^test: the loss of 8 samples is not finite, of 25"):
        decompose(Network(torch.relu).eval(), "first", few, test, loss=some_nan, pairs=([0], [0]))


def test_curvatures_that_are_not_finite_are_named(data):
    def root(outputs, labels):
        return (outputs - outputs.detach()).square().sum(1).sqrt()

    model = Network(torch.relu).eval()
    with pytest.raises(InputError, match="second derivatives .* are not finite, though the losses are"):
        decompose(model, "first", *data, loss=root)
    with pytest.raises(InputError, match="second derivatives .* are not finite"):
        layer_density(model, "first", data[0], loss=root)


@pytest.mark.parametrize("share", [1.0, 1e-3])
def test_a_bypass_is_named_however_weak(share, data):
    class Residual(Network):
        def forward(self, x):
            return self.last(torch.relu(self.first(x)) + share * x[:, :4])

    with pytest.raises(InputError, match="'first' is bypassed"):
        decompose(Residual(torch.relu).eval(), "first", *data)


def test_rounding_that_a_steep_loss_enlarges_is_no_bypass(data):
    def steep(outputs, labels):
        return torch.sin(1e10 * outputs[:, 0])

    with pytest.raises(InputError, match="so steep at the outputs of layer 'first'"):
        decompose(Network(torch.relu).eval(), "first", *data, loss=steep)


def test_operations_without_a_second_derivative_are_refused(data):
    with pytest.raises(InputError, match="cannot be differentiated twice"):
        decompose(Network(nn.Hardsigmoid()).eval(), "first", *data)
    with pytest.raises(InputError, match="cannot be differentiated twice"):
        decompose(Network(torch.relu).eval(), "first", *data, loss=nn.MultiMarginLoss(reduction="none"))
