"""Products, top pairs and spectral moments against curvlinops, which shares no code with ours."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.nn.functional import one_hot

from awduality import layer_density
from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.operators import HessianOperator, top_spectrum
from awduality.losses import smoothed_cross_entropy
from awduality.probe import LayerProbe
from awduality.streams import stream
from tests.unit.curvature.curvlinops_adapter import hessian_operator
from tests.unit.curvature.test_architectures import CLASSES, network

CASES = [
    ("4 layers", "2"),
    ("tanh", "2"),
    ("GELU", "0"),
    ("convolutions, batch norm", "classifier.0"),
    ("residual", "first"),
]


def both(name, layer):
    """Our operator and theirs; theirs sees the samples in uneven batches."""
    model, (x, y) = network(name)
    probe = LayerProbe(model, layer)
    batches = [(x[:7], y[:7]), (x[7:], y[7:])]
    return HessianOperator(probe, probe.see((x, y))), hessian_operator(model, layer, batches, nn.CrossEntropyLoss())


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_products_agree(name, layer):
    ours, theirs = both(name, layer)
    assert tuple(ours.shape) == tuple(theirs.shape)
    vectors = torch.randn(ours.shape[0], 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = (theirs @ vectors).detach()
    assert (ours @ vectors - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize(
    ("loss", "of_torch", "targets"),
    [
        ("mse", nn.MSELoss(), lambda y: one_hot(y, CLASSES).double()),
        (smoothed_cross_entropy(0.3), nn.CrossEntropyLoss(label_smoothing=0.3), lambda y: y),
    ],
    ids=["mse", "smoothed"],
)
def test_products_agree_for_other_losses(loss, of_torch, targets):
    model, (x, y) = network("4 layers")
    probe = LayerProbe(model, "2", loss)
    vectors = torch.randn(probe.weight.numel(), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = (hessian_operator(model, "2", [(x, targets(y))], of_torch) @ vectors).detach()
    found = HessianOperator(probe, probe.see((x, targets(y)))) @ vectors
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_top_pairs_agree_with_arpack_on_their_operator_and_our_iteration_runs_on_it_too(name, layer):
    ours, theirs = both(name, layer)
    values, vectors = eigsh(theirs.to_scipy(), 3, which="LA", rng=0)
    for found in (top_spectrum(ours, 3), top_eigenpairs(theirs, 3)):
        np.testing.assert_allclose(found.eigenvalues.numpy(), values[::-1], rtol=1e-10)
        overlap = np.abs(np.sum(found.eigenvectors.numpy() * vectors[:, ::-1], axis=0))
        np.testing.assert_allclose(overlap, 1, rtol=1e-8)


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_spectral_moments_agree_for_the_same_probes(name, layer):
    model, samples = network(name)
    density = layer_density(model, layer, samples, probes=4, steps=5, seed=9)
    _, theirs = both(name, layer)
    generator = stream(9, "density", 0)
    probes = torch.stack([torch.from_numpy(generator.standard_normal(density.size)) for _ in range(4)], dim=1)
    probes = moved = probes / probes.norm(dim=0)
    for order in range(1, 6):
        moved = (theirs @ moved).detach()
        expected = float((probes * moved).sum(0).mean())
        assert density.moment(order) == pytest.approx(expected, rel=1e-10)
