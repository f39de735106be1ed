"""What only samples can tell of a network: samples that are coupled, chance, weights that do more than W a + b."""

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from awduality import decompose, layer_density
from awduality.errors import InputError


class Net(nn.Module):
    """8–6–5–3, with something before or behind the layer ``fc``."""

    def __init__(self, before=None, behind=None):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.fc, self.out = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 3)
        self.before, self.behind = before or nn.Identity(), behind or nn.Identity()

    def forward(self, x):
        return self.out(torch.tanh(self.behind(self.fc(self.before(self.first(x))))))


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Noisy(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5)  # as people forget: in eval mode too


class Tied(nn.Module):
    """An autoencoder whose decoder is the encoder's transpose."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return nn.functional.linear(torch.tanh(self.fc(x)), self.fc.weight.t())


class TiedBefore(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.fc(x @ self.fc.weight)))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Clamped(nn.Module):
    """Changes the layer's output in place where it is large, which it rarely is."""

    def __init__(self, in_place, most=1.5):
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.out, self.in_place, self.most = nn.Linear(8, 5), nn.Linear(5, 3), in_place, most

    def forward(self, x):
        z = self.fc(x)
        if self.in_place:
            z.clamp_(max=self.most)
        else:
            z = z.clamp(max=self.most)
        return self.out(z)


@pytest.fixture
def data(rng):
    def samples(count):
        return rng.normal(size=(count, 8)), np.arange(count) % 3

    return samples(200), samples(30)


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("part", [Centred, Noisy, lambda: nn.BatchNorm1d(6, track_running_stats=False)])
def test_coupled_samples_and_chance_are_refused(place, part, data):
    module = part()
    if place == "behind" and isinstance(module, nn.BatchNorm1d):
        module = nn.BatchNorm1d(5, track_running_stats=False)
    model = Net(**{place: module}).eval()
    for use in (lambda: decompose(model, "fc", *data), lambda: layer_density(model, "fc", data[0])):
        with pytest.raises(InputError, match=r"couples samples .* or is random"):
            use()


@pytest.mark.parametrize("model", [Tied, TiedBefore])
def test_weights_that_are_used_a_second_time_are_refused(model, data):
    if model is Tied:
        (x, _), (x_test, _) = data
        data, pairs = [(x, x.copy()), (x_test[:1], x[:1].copy())], ([0], [0])
    else:
        pairs = None
    with pytest.raises(InputError, match="do more than to turn its input a into W a"):
        decompose(model().eval(), "fc", *data, loss="mse" if model is Tied else "cross_entropy", pairs=pairs)


def test_layers_with_a_forward_or_a_hook_of_their_own_are_refused(data):
    doubled = Net().eval()
    doubled.fc = Doubled(6, 5).eval()
    hooked = Net().eval()
    hooked.fc.register_forward_hook(lambda _module, _args, output: 2 * output)
    for model in (doubled, hooked):
        for use in (lambda model=model: decompose(model, "fc", *data), lambda m=model: layer_density(m, "fc", data[0])):
            with pytest.raises(InputError, match="a hook changes the output, or the layer has a forward of its own"):
                use()


def test_a_parametrized_layer_is_analysed_with_the_weights_that_it_computes(data):
    model = Net().eval()
    plain = decompose(copy.deepcopy(model), "fc", *data)
    nn.utils.parametrizations.weight_norm(model.fc)
    model.eval()
    assert decompose(model, "fc", *data).trace == pytest.approx(plain.trace, rel=1e-6)


def test_rare_changes_in_place_behind_the_layer_count(data):
    (x, y), test = data
    with torch.no_grad():
        large = (Clamped(True).fc(torch.from_numpy(x).float()) > 1.5).any(1).numpy()
    order = np.argsort(large, kind="stable")  # none of the first samples, on which networks are tried, is changed
    train = (x[order], y[order])
    assert 2 <= large.sum() <= 60
    one, other = (decompose(Clamped(in_place).eval(), "fc", train, test) for in_place in (True, False))
    assert one.trace == pytest.approx(other.trace, rel=1e-12)
    unclamped = decompose(Clamped(True, most=1e9).eval(), "fc", train, test)
    assert abs(unclamped.trace / one.trace - 1) > 1e-4


def test_a_network_that_keeps_what_it_computed_is_analysed_as_one_that_does_not(data):
    model = Net().eval()
    expected = decompose(model, "fc", *data)
    model.kept = model.first(torch.randn(2, 8))  # as a forward pass with gradients leaves behind
    assert decompose(model, "fc", *data) == expected


def test_a_network_that_cannot_be_copied_says_so(data):
    model = Net().eval()
    model.lock = threading.Lock()
    with pytest.raises(InputError, match="the network cannot be copied .*lock"):
        decompose(model, "fc", *data)


def test_tracing_leaves_no_marks_on_the_network_that_is_analysed(data):
    class Lazy(Net):
        scale = None

        def forward(self, x):
            if self.scale is None:
                self.scale = x.new_ones(())
            return super().forward(x * self.scale)

    assert decompose(Lazy().eval(), "fc", *data).trace == pytest.approx(decompose(Net().eval(), "fc", *data).trace)


def test_attention_behind_the_layer_is_differentiated_twice(data):
    class Attending(Net):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(5, 1, batch_first=True)

        def forward(self, x):
            z = torch.relu(self.fc(self.first(x)))[:, None]
            tokens = torch.cat([z, 2 * z, z.square()], 1)
            return self.out(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    result = decompose(Attending().eval(), "fc", *data, top=5)
    assert np.isfinite(result.eigenvalues).all()
    assert result.eigenvalues[0] > 0


def test_a_loss_that_leaves_autograd_is_refused(data):
    def detached(outputs, targets):
        return nn.functional.cross_entropy(outputs.detach(), targets, reduction="none")

    with pytest.raises(InputError, match=r"cannot be differentiated .* leaves autograd"):
        decompose(Net().eval(), "fc", *data, loss=detached)


def test_negative_curvature_is_no_null_space(data):
    (x, y), test = data
    result = decompose(Net().eval(), "fc", (x, y), test, loss=lambda outputs, _: -outputs.square().sum(1))
    assert result.eigenvalues[-1] < -0.01
    assert result.above.sum() > 10
    assert not result.above[np.abs(result.eigenvalues) < 1e-12 * np.abs(result.eigenvalues).max()].any()


def test_complex_samples_and_a_negative_number_of_directions_are_refused(data):
    (x, y), test = data
    with pytest.raises(InputError, match="real numbers: got complex ones"):
        decompose(Net().eval(), "fc", (x + 1j, y), test, pairs=([0], [0]))
    with pytest.raises(InputError, match="of some directions, or of none: got -3"):
        decompose(Net().eval(), "fc", *data).sharp_part(-3)
    with pytest.raises(InputError, match=r"got \(1, 2\), \(1, 2\)"):
        decompose(Net().eval(), "fc", *data, pairs=([[0, 1]], [[0, 1]]))
