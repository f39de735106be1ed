"""Per-sample losses against torch's own, and what they refuse."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import awduality
from awduality.errors import InputError
from awduality.losses import LOSSES, checked_losses, smoothed_cross_entropy

GENERATOR = torch.Generator().manual_seed(0)
OUTPUTS = 5 * torch.randn(20, 4, dtype=torch.float64, generator=GENERATOR)
TARGETS = torch.randn(20, 4, dtype=torch.float64, generator=GENERATOR)
LABELS = torch.arange(20) % 4


def test_the_mean_of_the_squared_errors_is_that_of_torch():
    assert LOSSES["mse"](OUTPUTS, TARGETS).mean().item() == pytest.approx(nn.MSELoss()(OUTPUTS, TARGETS).item())
    maps, wanted = OUTPUTS.view(20, 2, 2), TARGETS.view(20, 2, 2)
    assert torch.allclose(LOSSES["mse"](maps, wanted), LOSSES["mse"](OUTPUTS, TARGETS))


def test_class_labels_stand_for_their_unit_vectors_in_the_squared_error():
    assert torch.equal(LOSSES["mse"](OUTPUTS, LABELS), LOSSES["mse"](OUTPUTS, torch.eye(4).double()[LABELS]))


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (OUTPUTS[:, :2], TARGETS[:, 0]),
        (OUTPUTS[:, 0], TARGETS[:, :2]),
        (OUTPUTS, TARGETS[:, :3]),
        (OUTPUTS, LABELS + 1),  # no such class
        (OUTPUTS, LABELS - 1),
    ],
)
def test_targets_that_do_not_match_the_outputs_are_refused(outputs, targets):
    with pytest.raises(InputError, match="the loss does not accept outputs of shape"):
        checked_losses(LOSSES["mse"], outputs, targets)


@pytest.mark.parametrize("shape", [(20,), (20, 1), (20, 1, 1)])
def test_targets_that_differ_in_axes_of_length_one_are_not_broadcast(shape):
    expected = (OUTPUTS[:, 0] - TARGETS[:, 0]).square()
    assert torch.equal(checked_losses(LOSSES["mse"], OUTPUTS[:, :1], TARGETS[:, 0].reshape(shape)), expected)
    assert torch.equal(checked_losses(LOSSES["mse"], OUTPUTS[:, 0], TARGETS[:, 0].reshape(shape)), expected)


@pytest.mark.parametrize("epsilon", [0, 0.1, 0.9])
def test_label_smoothing_is_that_of_torch(epsilon):
    expected = cross_entropy(OUTPUTS, LABELS, label_smoothing=epsilon, reduction="none")
    assert torch.allclose(awduality.smoothed_cross_entropy(epsilon)(OUTPUTS, LABELS), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("epsilon", [-0.1, 1, float("nan")])
def test_label_smoothing_out_of_range_is_refused(epsilon):
    with pytest.raises(InputError, match="from 0 to below 1: got"):
        smoothed_cross_entropy(epsilon)


@pytest.mark.parametrize("loss", [*LOSSES.values(), smoothed_cross_entropy(0.1)])
def test_our_own_losses_are_accepted(loss):
    assert checked_losses(loss, OUTPUTS, LABELS).shape == (20,)


def test_a_loss_that_is_not_finite_is_no_loss_that_mixes_samples():
    outputs = OUTPUTS.clone()
    outputs[2] = float("nan")
    assert checked_losses(LOSSES["cross_entropy"], outputs, LABELS).isnan().sum() == 1


def test_a_loss_that_mixes_samples_is_refused():
    with pytest.raises(InputError, match="depends on the other samples of the batch"):
        checked_losses(lambda f, t: (f - f.mean(0)).square().sum(1), OUTPUTS, LABELS)


def test_a_loss_that_averages_over_the_batch_is_refused():
    with pytest.raises(InputError, match=r"one value per sample: got \(\), wanted shape \(20,\)"):
        checked_losses(cross_entropy, OUTPUTS, LABELS)
