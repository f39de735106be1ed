"""The copy on which the work is done: hooks, inference mode, how layers are called, kinds of layers, batches."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from awduality import InputError, batches, decompose, decompose_layers, layer_density, probe
from awduality.probe import LayerProbe

FEATURES, COUNTS = [], {"calls": 0}


def collect(module, args, output):
    COUNTS["calls"] += 1
    keep(output)


def keep(output):
    FEATURES.append(output)


class Store:
    def __init__(self):
        self.kept = []

    def hook(self, module, args, output):
        self.kept.append(output)


@pytest.fixture
def data(rng):
    def samples(count):
        return rng.normal(size=(count, 6)), np.arange(count) % 3

    return samples(60), samples(25)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).eval()


def test_hooks_that_collect_features_collect_none_of_the_analysis(model, data):
    expected = decompose(model, "0", *data)
    mine, nested, store = [], {}, Store()

    def named(name):
        def hook(module, args, output):
            nested.setdefault(name, []).append(output)

        return hook

    model[1].register_forward_hook(lambda module, args, output: mine.append(output))
    model[1].register_forward_hook(collect)
    model[2].register_forward_hook(named("scores"))
    model[0].register_forward_hook(store.hook)
    model[0].register_forward_pre_hook(lambda module, args: mine.append(args[0]))
    model.register_forward_hook(lambda module, args, output: mine.append(output))
    model(torch.randn(5, 6))  # with a graph, so that what is kept cannot be copied as a whole

    def kept():
        return len(mine), len(FEATURES), COUNTS["calls"], len(nested["scores"]), len(store.kept)

    before = kept()
    assert decompose(model, "0", *data) == expected
    assert list(decompose_layers(model, *data)) == ["0", "2"]
    layer_density(model, "0", data[0])
    assert kept() == before


def test_a_hook_that_changes_an_activity_is_a_part_of_the_network(model, data):
    factor = torch.tensor(2.0)
    doubled = nn.Sequential(model[0], model[1], nn.Linear(4, 3)).eval()
    doubled[2].weight.data, doubled[2].bias.data = 2 * model[2].weight.data, model[2].bias.data
    expected = decompose(doubled, "0", *data)
    model[1].register_forward_hook(lambda module, args, output: output * factor)
    assert np.allclose(decompose(model, "0", *data).eigenvalues, expected.eigenvalues, rtol=1e-10, atol=1e-14)


def test_it_works_in_inference_mode_and_on_networks_made_there(model, data):
    expected = decompose(model, "0", *data)
    with torch.inference_mode():
        samples = [tuple(map(torch.tensor, part)) for part in data]
        assert decompose(model, "0", *samples) == expected
        assert decompose_layers(model, *samples)["0"] == expected
        layer_density(model, "0", samples[0])
        made = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 3)).double().eval()
        inside = decompose(made, "0", *samples, top=3)
    assert decompose(made, "0", *samples, top=3) == inside


class ByKeyword(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.first, self.last = model[0], model[2]

    def forward(self, x):
        return self.last(input=torch.relu(self.first(input=x)))


def test_layers_that_are_called_by_keyword_are_analysed(model, data):
    found = decompose_layers(ByKeyword(model).eval(), *data)
    assert np.allclose(found["first"].eigenvalues, decompose(model, "0", *data).eigenvalues, rtol=1e-10, atol=1e-14)
    assert list(found) == ["first", "last"]


@pytest.mark.filterwarnings("ignore")
def test_layers_that_are_no_linear_layers_of_torch_are_refused_by_their_kind(model, data):
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(InputError, match=r"quantized.*Linear, not a torch.nn.Linear"):
        decompose(quantized, "2", *data)
    with pytest.raises(InputError, match=r"no nn.Linear, but '0', a .*quantized"):
        decompose_layers(quantized, *data)
    scripted = torch.jit.script(model)
    with pytest.raises(InputError, match="'2' is a scripted Linear, whose inside cannot be opened"):
        decompose(scripted, "2", *data)
    with pytest.raises(InputError, match="no nn.Linear, but '0', a scripted Linear"):
        decompose_layers(scripted, *data)


def test_a_device_without_float64_is_refused_with_what_to_do(model, data, monkeypatch):
    def none(self, *args, **kwargs):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    monkeypatch.setattr(nn.Module, "double", none)
    with pytest.raises(InputError, match=r"move it to the CPU first, by model.cpu\(\)"):
        decompose(model, "0", *data)


class Attention(nn.Module):
    """A linear layer, then attention over positions that are made of its output."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(4, 3)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        h = self.first(x).view(-1, 2, 4)
        return self.last(self.attention(h, h, h, need_weights=False)[0].mean(1))


def test_a_network_sees_so_many_samples_at_once_and_gives_the_same(data, monkeypatch):
    torch.manual_seed(0)
    model = Attention().eval()
    expected = decompose(model, "first", *data)
    sizes = []
    model.attention.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    monkeypatch.setattr(probe, "_IMAGES", 7)
    seen = []
    whole = probe.forward
    monkeypatch.setattr(probe, "forward", lambda net, inputs: seen.append(len(inputs)) or whole(net, inputs))
    found = decompose(model, "first", *data)
    assert max(size for size in seen if size != 16) <= 7
    assert np.allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-10, atol=1e-14)
    assert found.estimate == pytest.approx(expected.estimate, abs=1e-12)


def test_plain_networks_see_all_samples_at_once_unless_they_are_wide(model):
    assert LayerProbe(model, "0")._at_once > 10**6
    assert batches.at_once(nn.Sequential(nn.Linear(2, 10**6)), 128) == 134
    assert batches.at_once(Attention(), 128) == 128


def test_a_public_name_imports_pandas_only_where_it_was_brought():
    check = "import sys; from awduality import decompose, nearest_pairs; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


class Remembers(nn.Module):
    """Keeps its last activity, with its graph."""

    def __init__(self, model):
        super().__init__()
        self.net = model

    def forward(self, x):
        self.last = self.net[1](self.net[0](x))
        return self.net[2](self.last)


def test_what_a_forward_pass_has_left_behind_hinders_nothing(model, data):
    remembers = Remembers(model).eval()
    remembers(torch.randn(5, 6))
    left = remembers.last
    assert np.array_equal(decompose(remembers, "net.0", *data).eigenvalues, decompose(model, "0", *data).eigenvalues)
    assert remembers.last is left


def test_a_mask_of_minus_infinity_among_the_buffers_is_no_divergence(model, data):
    expected = decompose(model, "0", *data)
    model.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
    assert decompose(model, "0", *data) == expected
    model.mask[0, 0] = torch.nan
    with pytest.raises(InputError, match="mask holds values that are not finite"):
        decompose(model, "0", *data)


def test_layers_without_values_are_refused(data):
    lazy = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 3)).eval()
    for model in (lazy, nn.Sequential(nn.Linear(6, 3)).eval().to("meta")):
        for call in (lambda net: decompose(net, "0", *data), lambda net: decompose_layers(net, *data)):
            with pytest.raises(InputError, match=r"0.weight (has no values yet|is on the meta device)"):
                call(model)


def test_a_network_that_returns_nothing_is_refused(model, data):
    class Silent(nn.Sequential):
        def forward(self, x):
            super().forward(x)

    with pytest.raises(InputError, match="the network returns a NoneType"):
        decompose(Silent(*model).eval(), "0", *data)


def test_pruned_weights_are_analysed_as_they_are(model, data):
    prune.l1_unstructured(model[0], "weight", 0.3)
    model(torch.randn(5, 6))
    found = [decompose(model, layer, *data) for layer in ("0", "2")]
    prune.remove(model[0], "weight")
    assert found == [decompose(model, layer, *data) for layer in ("0", "2")]
