"""Losses of ``torch.nn``: one per sample, averaged as they average themselves; outputs of any structure."""

from collections import namedtuple
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.nn.functional import cross_entropy

from awduality import InputError, decompose, decompose_layers, layer_density
from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.operators import HessianOperator
from awduality.probe import LayerProbe

RNG = np.random.default_rng(0)
X, XT = RNG.normal(size=(60, 6)), RNG.normal(size=(25, 6))
Y, YT = np.arange(60) % 3, np.repeat([0, 1, 2], [15, 7, 3])
W = torch.tensor([1.0, 5.0, 0.2])


def network(outputs=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, outputs)).eval()


def without(labels, every):
    return np.where(np.arange(len(labels)) % every == 0, -100, labels)


def many(labels):
    return np.stack([labels > 0, labels < 2, labels == 1], 1)


def vectors(labels):
    return np.eye(3)[labels] * 0.8 + 0.05


CASES = {
    "cross-entropy": (nn.CrossEntropyLoss, {}, 3, lambda y: y),
    "class weights": (nn.CrossEntropyLoss, {"weight": W}, 3, lambda y: y),
    "class weights, smoothed": (nn.CrossEntropyLoss, {"weight": W, "label_smoothing": 0.1}, 3, lambda y: y),
    "ignored labels": (nn.CrossEntropyLoss, {}, 3, lambda y: without(y, 4)),
    "an ignored class": (nn.CrossEntropyLoss, {"ignore_index": 1}, 3, lambda y: y),
    "ignored labels and class weights": (nn.CrossEntropyLoss, {"weight": W}, 3, lambda y: without(y, 5)),
    "shares of classes": (nn.CrossEntropyLoss, {"weight": W}, 3, vectors),
    "BCE of one logit": (nn.BCEWithLogitsLoss, {}, 1, lambda y: y > 0),
    "BCE of one logit, integers": (nn.BCEWithLogitsLoss, {}, 1, lambda y: (y > 0).astype(int)),
    "BCE of one logit, a column": (nn.BCEWithLogitsLoss, {}, 1, lambda y: (y > 0).astype(np.float32)[:, None]),
    "BCE of many labels": (nn.BCEWithLogitsLoss, {"pos_weight": W}, 3, many),
    "BCE with weights": (nn.BCEWithLogitsLoss, {"weight": W}, 3, many),
    "squared error": (nn.MSELoss, {}, 3, lambda y: np.eye(3)[y]),
    "squared error of one": (nn.MSELoss, {}, 1, lambda y: y.astype(float)),
    "Huber": (nn.HuberLoss, {}, 1, lambda y: y.astype(float)[:, None]),
    "Poisson": (nn.PoissonNLLLoss, {}, 1, lambda y: y),
}


def problem(name):
    make, options, outputs, targets = CASES[name]
    mean = make(**{key: value.double() if torch.is_tensor(value) else value for key, value in options.items()})
    return network(outputs), make(**options, reduction="none"), mean, targets(Y), targets(YT)


def of_torch(mean, model, inputs, targets):
    """The loss module's own mean, by the definitions."""
    outputs = model(torch.from_numpy(inputs))
    targets = torch.from_numpy(targets)
    elementwise = not isinstance(mean, nn.CrossEntropyLoss)
    return mean(outputs, targets.to(outputs).reshape(outputs.shape) if elementwise else targets)


@pytest.mark.parametrize("name", CASES)
def test_gap_and_curvature_are_those_of_the_losses_own_mean(name):
    model, loss, mean, y, yt = problem(name)
    precise = network(CASES[name][2]).double()
    weight = precise[0].weight.detach()

    def of_weights(flat):
        return of_torch(mean, lambda x: functional_call(precise, {"0.weight": flat.view_as(weight)}, (x,)), X, y)

    expected = hessian(of_weights)(weight.flatten()).detach()
    probe = LayerProbe(model, "0", loss)
    seen = probe.see((X, y))
    assert (layer_hessian(probe, seen) - expected).abs().max() <= 1e-10 * expected.abs().max()
    for most in (2**31, 0):
        operator = HessianOperator(probe, seen, most)
        assert (operator @ torch.eye(24).double() - expected).abs().max() <= 1e-10 * expected.abs().max()
        assert operator.trace == pytest.approx(float(expected.trace()), rel=1e-10)
    result = decompose(model, "0", (X, y), (XT, yt), loss=loss)
    wanted = float((of_torch(mean, precise, XT, yt) - of_torch(mean, precise, X, y)).detach())
    assert result.gap == pytest.approx(wanted, abs=1e-10)
    assert result.estimate == pytest.approx(np.mean(result.test_loss - result.train_loss), abs=1e-10)
    assert np.allclose(result.dual_loss, result.test_loss, rtol=1e-10, atol=1e-12)
    assert result.test_loss.mean() == pytest.approx(float(of_torch(mean, precise, XT, yt).detach()), abs=1e-10)


def test_positions_count_as_the_loss_counts_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 12), nn.Unflatten(1, (3, 4))).eval()
    labels = RNG.integers(0, 3, (60, 4))
    labels[RNG.random((60, 4)) < 0.3] = -100
    test = (XT, labels[:25])
    loss = nn.CrossEntropyLoss(weight=W, reduction="none")
    result = decompose(model, "0", (X, labels), test, loss=loss)
    mean, precise = nn.CrossEntropyLoss(weight=W.double()), model.double()
    means = [mean(precise(torch.from_numpy(x)), torch.from_numpy(y)).item() for x, y in (test, (X, labels))]
    assert result.gap == pytest.approx(means[0] - means[1], abs=1e-10)


@pytest.mark.parametrize(
    ("loss", "targets", "match"),
    [
        ("cross_entropy", Y.astype(float), "class indices, integers"),
        ("cross_entropy", Y[:, None], "flatten labels"),
        ("cross_entropy", np.eye(3)[Y], "for shares of classes"),
        (nn.CrossEntropyLoss, Y, r"loss is a class: make one of it, CrossEntropyLoss\(reduction"),
        (nn.CrossEntropyLoss(weight=W[:2], reduction="none"), Y, "weight tensor should be defined"),
        (nn.BCEWithLogitsLoss(reduction="none"), Y, "wanted targets of the outputs' shape"),
    ],
)
def test_targets_that_the_loss_does_not_mean_are_refused_with_the_way_out(loss, targets, match):
    with pytest.raises(InputError, match=match) as caught:
        decompose(network(), "0", (X, targets), (XT, targets[:25]), loss=loss, pairs=([0], [0]))
    assert "float64 copy" not in str(caught.value)


def test_a_function_with_keywords_weighs_as_its_module_does():
    loss = partial(cross_entropy, weight=W, reduction="none")
    module = nn.CrossEntropyLoss(weight=W, reduction="none")
    one, other = (decompose(network(), "0", (X, Y), (XT, YT), loss=one) for one in (loss, module))
    assert one == other


def test_weights_of_samples_are_those_that_a_loss_of_ones_own_names():
    def loss(outputs, targets):
        return W.to(outputs)[targets] * cross_entropy(outputs, targets, reduction="none")

    plain = decompose(network(), "0", (X, Y), (XT, YT), loss=loss)
    loss.weights = lambda targets: W[targets]
    assert plain.gap != decompose(network(), "0", (X, Y), (XT, YT), loss=loss).gap
    module = nn.CrossEntropyLoss(weight=W, reduction="none")
    assert decompose(network(), "0", (X, Y), (XT, YT), loss=loss) == decompose(
        network(), "0", (X, Y), (XT, YT), loss=module
    )
    loss.weights = lambda targets: -W[targets]
    with pytest.raises(InputError, match="finite, not negative, and not all zero"):
        decompose(network(), "0", (X, Y), (XT, YT), loss=loss)


def test_ignored_samples_take_no_part_in_pairs():
    y, yt = without(Y, 4), without(YT, 3)
    loss = nn.CrossEntropyLoss(reduction="none")
    result = decompose(network(), "0", (X, y), (XT, yt), loss=loss)
    kept, kept_test = y >= 0, yt >= 0
    alone = decompose(network(), "0", (X[kept], y[kept]), (XT[kept_test], yt[kept_test]), loss=loss)
    assert np.allclose(result.eigenvalues, alone.eigenvalues, rtol=1e-10, atol=1e-14)
    assert np.allclose(result.sigma_g, alone.sigma_g, rtol=1e-6, atol=1e-10)
    assert result.estimate == pytest.approx(alone.estimate, abs=1e-12)
    with pytest.raises(InputError, match="pairs name 1 training samples of weight zero"):
        decompose(network(), "0", (X, y), (XT, yt), loss=loss, pairs=([0], [0]))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_that_reduces_is_refused_with_the_way_out(reduction):
    for loss in (nn.CrossEntropyLoss(reduction=reduction), nn.MSELoss(reduction=reduction)):
        with pytest.raises(InputError, match=r'reduction="none"'):
            decompose(network(), "0", (X, Y), (XT, YT), loss=loss)
    with pytest.raises(InputError, match=r'got \(\), .*reduction="none"'):
        decompose(network(), "0", (X, Y), (XT, YT), loss=lambda f, t: cross_entropy(f, t, reduction=reduction))


def test_the_users_loss_is_left_alone():
    loss = nn.CrossEntropyLoss(weight=W.clone(), reduction="none")
    decompose(network(), "0", (X, Y), (XT, YT), loss=loss)
    assert loss.weight.dtype == torch.float32


def test_a_tensor_of_single_precision_in_a_function_is_named_with_the_copy():
    with pytest.raises(InputError, match="float64 copy"):
        decompose(network(), "0", (X, Y), (XT, YT), loss=lambda f, t: cross_entropy(f, t, W, reduction="none"))

    class Single(nn.Sequential):
        def forward(self, x):
            return super().forward(x.float())

    with pytest.raises(InputError, match="the network does not accept .*float64 copy"):
        decompose(Single(*network()).eval(), "0", (X, Y), (XT, YT))


def test_a_tensor_that_is_no_buffer_is_copied_to_float64_too():
    class Scaled(nn.Sequential):
        def forward(self, x):
            return super().forward(x * self.scale)

    model = Scaled(*network()).eval()
    model.scale = torch.full((6,), 0.5)
    found = decompose(model, "0", (X, Y), (XT, YT))
    assert found.gap == pytest.approx(decompose(network(), "0", (X / 2, Y), (XT / 2, YT)).gap, abs=1e-12)
    assert model.scale.dtype == torch.float32


@dataclass
class Output:
    logits: torch.Tensor
    features: torch.Tensor
    note: str = "made by hand"


Pair = namedtuple("Pair", ["features", "scores"])

OUTPUTS = {
    "a tuple": (lambda z, h: (z, h), 0, lambda o: o[0]),
    "a list": (lambda z, h: [h, z], 1, lambda o: o[1]),
    "a mapping": (lambda z, h: {"z": z, "h": h}, "z", lambda o: o["z"]),
    "a mapping with logits": (lambda z, h: {"logits": z, "h": h}, None, lambda o: o["logits"]),
    "a data class": (Output, None, lambda o: o.logits),
    "an object": (lambda z, h: SimpleNamespace(logits=z, h=h, loss=None), "logits", lambda o: o.logits),
    "a named tuple": (lambda z, h: Pair(h, z), "scores", lambda o: o.scores),
    "one in a tuple": (lambda z, h: (z,), None, lambda o: o[0]),
    "depths": (lambda z, h: {"a": (h, {"b": z})}, lambda o: o["a"][1]["b"], lambda o: o["a"][1]["b"]),
}


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.net, self.make = network(), make

    def forward(self, x):
        features = self.net[1](self.net[0](x))
        return self.make(self.net[2](features), features)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_loss_takes_its_part_of_any_output(name):
    make, output, pick = OUTPUTS[name]
    model, expected = Returns(make).eval(), decompose(network(), "0", (X, Y), (XT, YT))
    picked = decompose(model, "net.0", (X, Y), (XT, YT), output=output)
    whole = decompose(model, "net.0", (X, Y), (XT, YT), loss=lambda o, t: cross_entropy(pick(o), t, reduction="none"))
    for found in (picked, whole, decompose_layers(model, (X, Y), (XT, YT), output=output)["net.0"]):
        assert np.allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-10, atol=1e-14)
        assert found.estimate == pytest.approx(expected.estimate, abs=1e-12)
    assert layer_density(model, "net.0", (X, Y), output=output).size == 24


@pytest.mark.parametrize(
    ("make", "output", "match"),
    [
        (lambda z, h: (z, h), None, "say which part the loss takes, by output="),
        (lambda z, h: {"z": z, "h": h}, None, "say which part the loss takes, by output="),
        (lambda z, h: (z, h), 2, "output=2 picks nothing"),
        (lambda z, h: {"z": z}, "logits", "output='logits' picks nothing"),
        (lambda z, h: z, 0, "one tensor, of which no part"),
        (lambda z, h: (z, h), lambda o: 1 / 0, "picks nothing .*ZeroDivisionError"),
        (lambda z, h: z, 1.5, "output must be an index, a key, or a function"),
    ],
)
def test_outputs_of_which_no_part_can_be_told_are_refused(make, output, match):
    with pytest.raises(InputError, match=match):
        decompose(Returns(make).eval(), "net.0", (X, Y), (XT, YT), output=output)
