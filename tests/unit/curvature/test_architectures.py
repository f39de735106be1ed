"""The Hessian of every fully connected layer of many architectures and losses, against ``torch.func`` in float64."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from awduality.curvature.operators import HessianOperator
from awduality.errors import InputError
from awduality.losses import smoothed_cross_entropy
from awduality.probe import LayerProbe
from tests.unit.curvature.test_curvature import dense_oracle, hessian_at

SAMPLES, CLASSES = 16, 3


def mlp(depth, activation=nn.ReLU, bias=True):
    widths = [4, 6, 5, 4][:depth]
    layers = []
    for inputs, outputs in zip(widths, [*widths[1:], CLASSES], strict=True):
        layers += [nn.Linear(inputs, outputs, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


class ConvolutionalNetwork(nn.Module):
    def __init__(self, batch_norm):
        super().__init__()
        norm = nn.BatchNorm2d(3) if batch_norm else nn.Identity()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), norm, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        norm = nn.BatchNorm1d(5) if batch_norm else nn.Identity()
        self.classifier = nn.Sequential(nn.Linear(12, 5), norm, nn.ReLU(), nn.Linear(5, CLASSES))

    def forward(self, x):
        return self.classifier(self.features(x))


class ResidualNetwork(nn.Module):
    """Two residual blocks; the layer in front of them and the one behind them are on every path."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, CLASSES)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5)) for _ in range(2)
        )

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(torch.relu(x))


class ResidualConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.block = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        return self.fc(torch.relu(x + self.block(x)).mean((2, 3)))


ARCHITECTURES = {
    **{f"{depth} layers": (lambda depth=depth: mlp(depth), (4,)) for depth in (1, 2, 3, 4)},
    "no biases": (lambda: mlp(3, bias=False), (4,)),
    "tanh": (lambda: mlp(3, nn.Tanh), (4,)),
    "GELU": (lambda: mlp(4, nn.GELU), (4,)),
    "convolutions": (lambda: ConvolutionalNetwork(batch_norm=False), (1, 6, 6)),
    "convolutions, batch norm": (lambda: ConvolutionalNetwork(batch_norm=True), (1, 6, 6)),
    "residual": (ResidualNetwork, (4,)),
    "residual convolutions": (ResidualConvolutions, (1, 4, 4)),
}

LOSSES = {
    "cross_entropy": ("cross_entropy", cross_entropy),
    "mse": ("mse", lambda f, t: nn.MSELoss()(f, one_hot(t, CLASSES).double())),
    "smoothed": (smoothed_cross_entropy(0.2), lambda f, t: cross_entropy(f, t, label_smoothing=0.2)),
}


def network(name):
    """The network in eval mode, its batch norms with the statistics of some data, and samples."""
    torch.manual_seed(7)
    make, shape = ARCHITECTURES[name]
    model = make().double()
    with torch.no_grad():
        model(3 * torch.randn(50, *shape, dtype=torch.float64) + 1)
    return model.eval(), (torch.randn(SAMPLES, *shape, dtype=torch.float64), torch.arange(SAMPLES) % CLASSES)


def cases():
    for name in ARCHITECTURES:
        for layer, module in ARCHITECTURES[name][0]().named_modules():
            if isinstance(module, nn.Linear):
                yield name, layer


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("name", "layer"), [*cases()])
def test_the_hessian_its_products_and_its_trace_are_those_of_torch_func(name, layer, loss):
    model, (x, y) = network(name)
    ours, of_torch = LOSSES[loss]
    expected = dense_oracle(model, layer, x, y, of_torch)
    probe = LayerProbe(model, layer, ours)
    scale = expected.abs().max()
    assert scale > 1e-3
    if "blocks" not in layer:  # a layer inside a residual block has a Hessian, though no duality
        assert probe.see((x, y)).losses.mean().item() == pytest.approx(of_torch(model(x), y).item(), rel=1e-12)
    assert (hessian_at(probe, (x, y)) - expected).abs().max() <= 1e-12 * scale
    unit = torch.eye(len(expected), dtype=torch.float64)
    for most_bytes in (2**31, 0):
        operator = HessianOperator(probe, probe.see((x, y)), most_bytes)
        assert (operator @ unit - expected).abs().max() <= 1e-12 * scale
        assert operator.trace == pytest.approx(float(torch.trace(expected)), rel=1e-12)


def test_the_hessian_in_float64_of_inputs_in_float32_is_that_of_their_exact_values():
    model, (x, y) = network("convolutions, batch norm")
    single = x.float()
    expected = dense_oracle(model, "classifier.0", single.double(), y)
    found = hessian_at(LayerProbe(model.float(), "classifier.0"), (single, y))
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()  # the weights were rounded


@pytest.mark.parametrize("name", ["convolutions, batch norm", "residual"])
def test_train_mode_is_refused(name):
    model, _ = network(name)
    layer = next(layer for other, layer in cases() if other == name)
    with pytest.raises(InputError, match=r"train mode, where batch norm couples samples .* call model.eval\(\) first"):
        LayerProbe(model.train(), layer)


def test_images_of_another_size_are_refused_with_their_shape():
    model, (x, y) = network("convolutions")
    probe = LayerProbe(model, "classifier.0")
    with pytest.raises(InputError, match=r"the network does not accept inputs of shape \(16, 1, 5, 6\)"):
        probe.see((x[:, :, :5], y))
