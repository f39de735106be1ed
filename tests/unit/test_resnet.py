"""torchvision's ResNet-18 with the stem for small images: its last layer against softmax regression on its features."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from awduality import decompose
from awduality.errors import InputError
from awduality.resnet import resnet18

CLASSES = 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return resnet18(CLASSES)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)

    def images(count):
        return torch.rand(count, 3, 32, 32, generator=generator), torch.arange(count) % CLASSES

    return images(12), images(6)


def features(model, images):
    headless = copy.deepcopy(model)
    headless.fc = nn.Identity()
    with torch.no_grad():
        return headless(images).double()


@pytest.mark.parametrize("top", [None, 6])
def test_the_last_layer_has_the_hessian_of_softmax_regression_on_the_features(model, data, top):
    (x, y), (x_test, y_test) = data
    result = decompose(model, "fc", (x, y), (x_test, y_test), top=top)
    a, weight, bias = features(model, x), model.fc.weight.detach().double(), model.fc.bias.detach().double()
    p = torch.softmax(a @ weight.T + bias, 1)
    s = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    hessian = torch.einsum("kij,ka,kb->iajb", s, a, a).reshape(weight.numel(), -1) / len(x)
    expected = torch.linalg.eigvalsh(hessian).flip(0).numpy()[: len(result.eigenvalues)]
    assert np.allclose(result.eigenvalues, expected, rtol=0, atol=1e-10 * expected[0])
    assert result.trace == pytest.approx(float(torch.trace(hessian)), rel=1e-10)
    assert result.estimate == pytest.approx(float(np.mean(result.test_loss - result.train_loss)), rel=1e-10)
    assert np.abs(result.dual_loss - result.test_loss).max() < 1e-12
    assert result.output_error < 1e-12
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_it_takes_small_images_in_colour_and_keeps_their_size_in_the_stem(model):
    assert model.conv1(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 32, 32)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, CLASSES)
    assert not model.training


def test_its_batch_norm_in_train_mode_is_refused(model, data):
    with pytest.raises(InputError, match="train mode, where batch norm couples samples"):
        decompose(copy.deepcopy(model).train(), "fc", *data)
