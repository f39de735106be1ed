"""The Hessian as products with vectors: against the dense matrix, and on layers too wide for one."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from awduality import decompose
from awduality.curvature import layer_hessian, operators
from awduality.curvature.layer_hessian import output_hessians
from awduality.curvature.operators import HessianOperator, top_spectrum
from awduality.duality import decomposition
from awduality.errors import InputError
from awduality.networks import fully_connected
from awduality.probe import LayerProbe
from tests.unit.curvature.test_curvature import NETWORKS, hessian_at, probed, samples

WAYS = pytest.mark.parametrize("most_bytes", [2**31, 0], ids=["S_k kept", "S_k never made"])


@WAYS
@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_those_of_the_dense_hessian(name, most_bytes, monkeypatch):
    model, layer, shape, classes = NETWORKS[name]
    torch.manual_seed(1)
    probe = LayerProbe(model.eval(), layer)
    data = (torch.randn(20, *shape, dtype=torch.float64), torch.arange(20) % classes)
    dense = hessian_at(probe, data)
    block = torch.randn(len(dense), 3, dtype=torch.float64)
    monkeypatch.setattr(layer_hessian, "_CHUNK", 8)  # the last part has 4
    operator = HessianOperator(probe, probe.see(data), most_bytes)
    assert torch.allclose(operator @ block, dense @ block, rtol=1e-12, atol=1e-14)
    assert operator.trace == pytest.approx(float(torch.trace(dense)), rel=1e-12)


def test_output_hessians_that_do_not_fit_are_never_made(monkeypatch):
    probe, data = probed([6, 8, 7, 4], "fc2", count=50)
    seen = probe.see(data)
    expected = top_spectrum(HessianOperator(probe, seen, 8 * 50 * 7**2), 5)
    monkeypatch.setattr(operators, "output_hessians", None)  # must not be asked for
    found = top_spectrum(HessianOperator(probe, seen, 8 * 50 * 7**2 - 1), 5)
    assert torch.allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-12)
    assert found.trace == pytest.approx(expected.trace, rel=1e-12)


def test_no_more_output_hessians_are_held_at_once_than_fit(monkeypatch):
    probe, data = probed([6, 8, 7, 4], "fc2", count=53)
    whole = hessian_at(probe, data)
    monkeypatch.setattr(layer_hessian, "_PART_BYTES", 8 * 7**2 * 10)
    assert [len(s) for s, _ in output_hessians(probe, probe.see(data))] == [10, 10, 10, 10, 10, 3]
    assert torch.allclose(hessian_at(probe, data), whole, rtol=1e-12, atol=1e-15)


def test_products_are_those_of_differentiating_twice():
    torch.manual_seed(0)
    model = fully_connected([6, 8, 7, 4]).double()
    x, y = samples(30, 6, 4)
    direction = torch.randn(56, dtype=torch.float64)
    probe = LayerProbe(model, "fc2")
    weight = model.fc2.weight
    (gradient,) = torch.autograd.grad(cross_entropy(model(x), y), weight, create_graph=True)
    (expected,) = torch.autograd.grad(gradient.flatten() @ direction, weight)
    found = (HessianOperator(probe, probe.see((x, y))) @ direction[:, None])[:, 0]
    assert torch.allclose(found, expected.flatten(), rtol=1e-12, atol=1e-15)


def test_the_top_pairs_are_those_of_the_dense_hessian():
    probe, data = probed([6, 8, 7, 4], "fc2")
    dense = hessian_at(probe, data)
    values, vectors = torch.linalg.eigh(dense)
    found = top_spectrum(HessianOperator(probe, probe.see(data)), 5)
    assert torch.allclose(found.eigenvalues, values.flip(0)[:5], rtol=1e-12)
    overlap = (found.eigenvectors * vectors.flip(1)[:, :5]).sum(0).abs()
    assert torch.allclose(overlap, torch.ones(5, dtype=torch.float64), rtol=1e-10)
    assert torch.allclose(found.eigenvectors.T @ found.eigenvectors, torch.eye(5, dtype=torch.float64), atol=1e-12)


def test_the_same_input_gives_the_same_pairs_to_the_bit():
    probe, data = probed([6, 8, 7, 4], "fc2")
    first, second = (top_spectrum(HessianOperator(probe, probe.see(data)), 5) for _ in range(2))
    assert torch.equal(first.eigenvectors, second.eigenvectors)


def test_a_layer_of_fewer_curved_directions_than_are_asked_for_gives_the_same_pairs_to_the_bit():
    # one sample and two classes: rank one
    model, data = fully_connected([6, 30, 30, 2]), samples(1, 6, 2)
    probe = LayerProbe(model, "fc2")
    first, second = (top_spectrum(HessianOperator(probe, probe.see(data)), 4) for _ in range(2))
    assert first.eigenvalues[0] > 0
    assert (first.eigenvalues[1:].abs() < 1e-12 * first.eigenvalues[0]).all()
    assert torch.equal(first.eigenvectors, second.eigenvectors)


@WAYS
def test_a_layer_without_curvature_has_zeros_for_eigenvalues(most_bytes):
    probe = LayerProbe(fully_connected([6, 8, 7, 4]), "fc2", loss=lambda outputs, targets: outputs.sum(1))
    found = top_spectrum(HessianOperator(probe, probe.see(samples(20, 6, 4)), most_bytes), 3)
    assert found.trace == 0
    assert not found.eigenvalues.any()
    assert torch.equal(found.eigenvectors.T @ found.eigenvectors, torch.eye(3, dtype=torch.float64))


def trained(widths, count, seed=0):
    """A network after a few steps, and its samples: random weights have too little structure to be a case in point."""
    torch.manual_seed(seed)
    model = fully_connected(widths)
    x, y = samples(count, widths[0], widths[-1], seed)
    optimiser = torch.optim.SGD(model.parameters(), 0.3)
    for _ in range(100):
        optimiser.zero_grad()
        cross_entropy(model(x.float()), y).backward()
        optimiser.step()
    return model, (x, y), samples(40, widths[0], widths[-1], seed + 1)


def test_the_top_directions_are_the_same_by_products_and_by_the_whole_matrix(monkeypatch):
    model, train, test = trained([6, 9, 8, 4], 60)
    dense = decompose(model, "fc2", train, test, top=2)
    monkeypatch.setattr(decomposition, "_DENSE", 10)
    monkeypatch.setattr(decomposition, "layer_hessian", None)  # must not be asked for
    sparse = decompose(model, "fc2", train, test, top=2)
    for name in ("eigenvalues", "sigma_g", "sigma_w", "c", "contribution"):
        np.testing.assert_allclose(getattr(sparse, name), getattr(dense, name), rtol=1e-8)
    assert sparse.estimate == pytest.approx(dense.estimate, rel=1e-10)
    assert sparse.remainder == pytest.approx(dense.remainder, rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "top", "by_products"),
    [
        (900, 5, False),  # small: the whole matrix costs less
        (2_500, 10, True),
        (2_500, 400, False),  # a large part of the directions
        (10_000, None, False),  # all are asked for
        (10_000, 20, True),
        (23_520, 20, True),
        (23_520, 5_000, True),  # no matrix of this size
    ],
)
@pytest.mark.parametrize("fits", [True, False])
def test_the_cheaper_way_that_fits_into_memory_is_chosen(monkeypatch, weights, top, by_products, fits):
    monkeypatch.setattr(decomposition, "factor_bytes", lambda *_: 0 if fits else 2**40)
    asked = []
    monkeypatch.setattr(decomposition, "HessianOperator", lambda *_: None)
    monkeypatch.setattr(decomposition, "top_spectrum", lambda *_: asked.append(True))
    monkeypatch.setattr(decomposition, "layer_hessian", lambda *_: None)
    monkeypatch.setattr(decomposition, "spectrum", lambda *_: asked.append(False))

    class Probe:
        weight = torch.empty(weights, device="meta")

    decomposition._basis(Probe(), None, top)
    assert asked == [by_products and (fits or weights > 12_000)]


@pytest.mark.parametrize(("widths", "layer"), [([20, 100, 100, 10], "fc2"), ([784, 30, 30, 10], "fc1")])
def test_wide_layers_are_decomposed_along_their_top_directions(widths, layer):
    model, train, test = trained(widths, 150)
    result = decompose(model, layer, train, test, top=3)
    assert result.eigenvalues.shape == result.c.shape == (3,)
    assert (np.diff(result.eigenvalues) <= 0).all()
    # an independent check of the first: power iteration on differentiated gradients
    weight = model.double().get_parameter(f"{layer}.weight")
    (gradient,) = torch.autograd.grad(cross_entropy(model(train[0]), train[1]), weight, create_graph=True)
    vector = torch.ones_like(weight)
    for _ in range(300):
        vector = torch.autograd.grad((gradient * vector).sum(), weight, retain_graph=True)[0]
        vector /= (norm := vector.norm())
    assert result.eigenvalues[0] == pytest.approx(norm.item(), rel=1e-6)
    kept = result.estimate - result.remainder
    assert kept == pytest.approx((result.contribution + result.mean_term).sum(), rel=1e-12)


def test_a_layer_too_wide_for_all_directions_has_its_top_hundred_and_says_so(caplog):
    model, train, test = trained([784, 30, 30, 10], 30)
    with caplog.at_level("INFO", logger="awduality"):
        result = decompose(model, "fc1", train, test)
    assert caplog.messages == ["layer 'fc1' has 23,520 weights: its 100 sharpest directions, and the sum of the others"]
    assert result.eigenvalues.shape == (100,)
    asked = decompose(model, "fc1", train, test, top=100)
    assert np.array_equal(result.sigma_g, asked.sigma_g)
    assert result.estimate == pytest.approx(np.mean(result.test_loss - result.train_loss), rel=1e-12)


def test_the_trace_is_exact_whatever_directions_are_kept(monkeypatch):
    model, train, test = trained([6, 9, 8, 4], 60)
    exact = float(torch.trace(hessian_at(LayerProbe(model, "fc2"), train)))
    monkeypatch.setattr(decomposition, "_DENSE", 10)
    for top in (None, 2, 30):  # all; two by products; thirty of all
        result = decompose(model, "fc2", train, test, top=top)
        assert result.trace == pytest.approx(exact, rel=1e-12)
        assert result.trace_share == pytest.approx(result.eigenvalues.sum() / exact, rel=1e-12)
    assert decompose(model, "fc2", train, test).trace_share == 1


def test_the_share_of_the_size_is_that_of_the_mean_square_of_the_dual_weights(monkeypatch):
    model, train, test = trained([6, 9, 8, 4], 60)
    whole = decompose(model, "fc2", train, test)
    assert whole.size_share == pytest.approx(1, rel=1e-12)
    monkeypatch.setattr(decomposition, "_DENSE", 10)
    part = decompose(model, "fc2", train, test, top=2)
    expected = np.sum((whole.sigma_w**2 + whole.mean_w**2)[:2]) / np.mean(whole.dual_norm**2)
    assert part.size_share == pytest.approx(expected, rel=1e-8)
    assert 0 < expected < 0.99


@pytest.mark.parametrize("top", [0, 56])
def test_more_directions_than_there_are_are_refused(top):
    probe, data = probed([6, 8, 7, 4], "fc2")
    with pytest.raises(InputError, match="between 1 and 55"):
        top_spectrum(HessianOperator(probe, probe.see(data)), top)
