"""What the analysis refuses, and that it leaves the caller's network alone."""

import numpy as np
import pytest
import torch
from torch import nn

from awduality import decompose
from awduality.curvature.layer_hessian import layer_hessian
from awduality.errors import InputError
from awduality.networks import fully_connected
from awduality.probe import LayerProbe


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(x + torch.relu(self.inner(x)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.relu(self.shared(torch.relu(self.shared(x)))))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.forgotten, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(x)


class OverPositions(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.Linear(3, 3), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.mix(x.view(len(x), 2, 3)).flatten(1))


@pytest.fixture
def data(rng):
    def samples(count):
        return rng.normal(size=(count, 6)), np.arange(count) % 3

    return samples(30), samples(12)


def refused(model, layer, data, match, **options):
    with pytest.raises(InputError, match=match):
        decompose(model, layer, *data, **options)


def test_a_layer_that_does_not_exist_is_refused_with_those_that_do(data):
    refused(fully_connected([6, 4, 3]), "fc9", data, r"'fc9' is not there: .* \['fc1', 'fc2'\]")


def test_a_module_that_is_not_linear_is_refused(data):
    refused(fully_connected([6, 4, 3]), "relu1", data, "'relu1' is a ReLU")


def test_a_bypassed_layer_is_refused(data):
    refused(Residual().eval(), "inner", data, "'inner' is bypassed")


def test_a_layer_behind_the_bypass_is_accepted(data):
    assert decompose(Residual().eval(), "head", *data).dropped == 0


def test_a_layer_that_is_called_twice_is_refused(data):
    refused(Twice().eval(), "shared", data, "called 2 times per forward")


def test_a_layer_that_is_never_called_is_refused(data):
    refused(Unused().eval(), "forgotten", data, "called 0 times per forward")


def test_a_layer_over_several_positions_is_refused(data):
    refused(OverPositions().eval(), "mix", data, r"input of shape \(30, 2, 3\)")


def test_batch_norm_in_train_mode_is_refused(data):
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    refused(model.train(), "0", data, r"train mode, where batch norm .* call model.eval\(\) first")
    assert decompose(model.eval(), "0", *data).gap != 0


def test_one_part_in_train_mode_is_named(data):
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)).eval()
    model[1].train()
    refused(model, "0", data, "^1 is in train mode")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(data, value):
    model = fully_connected([6, 4, 3])
    model.fc1.weight.data[0, 0] = value
    refused(model, "fc2", data, "fc1.weight holds values that are not finite")


def test_a_class_without_a_training_sample_is_refused(data):
    (x, y), test = data
    refused(
        fully_connected([6, 4, 3]), "fc1", ((x[y != 2], y[y != 2]), test), "class 2 has 4 samples in one set and none"
    )


def test_inputs_of_another_shape_are_refused(data):
    (x, y), test = data
    refused(fully_connected([6, 4, 3]), "fc1", ((x[:, :5], y), (test[0][:, :5], test[1])), r"shape \(30, 5\)")


def test_unequal_numbers_of_inputs_and_targets_are_refused(data):
    (x, y), test = data
    pairs = ([0], [0])
    refused(fully_connected([6, 4, 3]), "fc1", ((x, y[:-1]), test), "got 30 inputs, 29 targets", pairs=pairs)


def test_targets_that_are_no_classes_of_the_network_are_refused(data):
    (x, y), test = data
    refused(fully_connected([6, 4, 3]), "fc1", ((x, y + 1), (test[0], test[1] + 1)), "does not accept outputs of shape")


def test_an_unknown_loss_is_refused_with_the_known_ones(data):
    refused(fully_connected([6, 4, 3]), "fc1", data, "unknown loss 'hinge': the known ones are", loss="hinge")


def test_a_loss_that_is_not_per_sample_is_refused(data):
    refused(fully_connected([6, 4, 3]), "fc1", data, "one value per sample", loss=nn.functional.cross_entropy)


def test_a_loss_that_depends_on_the_other_samples_is_refused(data):
    def relative(outputs, labels):
        losses = nn.functional.cross_entropy(outputs, labels, reduction="none")
        return losses / losses.mean()

    refused(fully_connected([6, 4, 3]), "fc1", data, "depends on the other samples of the batch", loss=relative)


def test_a_loss_of_fixed_batch_size_is_refused(data):
    weights = torch.ones(30)

    def weighted(outputs, labels):
        return weights * nn.functional.cross_entropy(outputs, labels, reduction="none")

    refused(fully_connected([6, 4, 3]), "fc1", data, r"does not accept outputs of shape \(15, 3\)", loss=weighted)


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        (([0, 30], [0, 0]), "training samples 0 to 30, but there are 30"),
        (([0], [-1]), "test samples -1"),
        (([0, 1], [0]), "as many training as test positions"),
        (([0], [1]), "the targets of 1 pairs differ"),
        (([0.0], [0.0]), "pairs are positions, so integers: got torch.float64"),
    ],
)
def test_pairs_that_cannot_be_used_are_refused(data, pairs, match):
    refused(fully_connected([6, 4, 3]), "fc1", data, match, pairs=pairs)


@pytest.mark.parametrize("top", [0, 25])
def test_a_number_of_directions_out_of_range_is_refused(data, top):
    refused(fully_connected([6, 4, 3]), "fc1", data, "between 1 and the layer's 24 weights", top=top)


def test_shared_weights_are_refused(data):
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    model[2].weight = model[0].weight
    refused(model, "2", data, r"weights of layer '2' are shared \(0.weight, 2.weight\)")


def test_a_layer_that_is_too_large_for_a_dense_hessian_is_refused_with_its_size(data):
    probe = LayerProbe(nn.Sequential(nn.Linear(6, 3000), nn.ReLU(), nn.Linear(3000, 3)).eval(), "0")
    with pytest.raises(InputError, match=r"18,000 weights, whose Hessian would take 2.4 GiB.* sharpest ones only"):
        layer_hessian(probe, probe.see(data[0]))


@pytest.mark.parametrize("part", [0, 1])
def test_inputs_that_are_not_finite_are_refused(data, part):
    data[part][0][3, 2] = np.nan
    refused(fully_connected([6, 4, 3]), "fc1", data, "some inputs are not finite", pairs=([0], [0]))


def test_relu_in_place_behind_the_layer_gives_the_same_result(data):
    torch.manual_seed(0)
    parts = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3)
    results = []
    for inplace in (False, True):
        model = nn.Sequential(parts[0], nn.ReLU(inplace), parts[1], nn.ReLU(inplace), parts[2]).eval()
        results.append(decompose(model, "2", *data))
    assert np.array_equal(results[0].sigma_g, results[1].sigma_g)
    assert results[0].estimate == results[1].estimate


def test_it_works_where_gradients_are_switched_off(data):
    torch.manual_seed(0)
    model = fully_connected([6, 4, 3])
    expected = decompose(model, "fc1", *data)
    with torch.no_grad():
        assert np.array_equal(decompose(model, "fc1", *data).eigenvalues, expected.eigenvalues)


def test_labels_of_any_integer_type_give_the_same_result(data):
    torch.manual_seed(0)
    model = fully_connected([6, 4, 3])
    small = tuple((x, y.astype(np.uint8)) for x, y in data)
    assert decompose(model, "fc1", *small).estimate == decompose(model, "fc1", *data).estimate


def test_the_callers_network_is_left_alone(data):
    model = fully_connected([6, 4, 3])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decompose(model, "fc1", *data)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.fc1._forward_hooks


def test_the_loss_at_the_layers_own_output_is_the_loss(data):
    (x, y), _ = data
    probe = LayerProbe(Residual().eval(), "inner")
    seen = probe.see((x, y))
    output = seen.activities @ probe.weight.T + probe.bias
    assert torch.allclose(probe.losses_at_output(seen.inputs, seen.targets, output), seen.losses, rtol=1e-14)
