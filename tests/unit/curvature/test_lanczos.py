"""Own Lanczos iteration: against spectra that are known, LAPACK, and ARPACK."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from awduality.curvature import lanczos
from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.operators import HessianOperator
from awduality.errors import InputError
from tests.unit.curvature.test_curvature import probed

PLACE = torch.arange(300, dtype=torch.float64)
SPECTRA = {
    "geometric": 10.0 ** (-PLACE / 30),
    "power law": (1 + PLACE) ** -1.5,
    "evenly spaced": 1 - PLACE / 300,
    "rank five": (5 - PLACE).clamp(min=0),
    "every eigenvalue twelve times": (1 / (1 + torch.arange(25.0).double())).repeat_interleave(12),
    "identity": torch.ones(300, dtype=torch.float64),
    "mostly negative": 1 - PLACE / 50,
    "tiny": 1e-30 * (1 + PLACE) ** -1.0,
}


def matrix_of(values, seed=0):
    """A symmetric matrix of these eigenvalues, its eigenvectors at random."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=generator)).Q
    matrix = (q * values) @ q.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("top", [1, 5, 60])
@pytest.mark.parametrize("name", SPECTRA)
def test_eigenvalues_known_beforehand_are_found_with_all_their_copies(name, top):
    values = SPECTRA[name]
    matrix = matrix_of(values)
    found = top_eigenpairs(matrix, top)
    scale = float(values.abs().max())
    assert torch.allclose(found.eigenvalues, values.sort(descending=True).values[:top], rtol=0, atol=1e-12 * scale)
    residuals = matrix @ found.eigenvectors - found.eigenvectors * found.eigenvalues
    assert residuals.norm(dim=0).max() < 2e-13 * scale
    assert torch.allclose(found.eigenvectors.T @ found.eigenvectors, torch.eye(top, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("block", [1, 2, 7])
def test_blocks_of_any_size_find_every_copy(monkeypatch, block):
    monkeypatch.setattr(lanczos, "_BLOCK", block)
    values = SPECTRA["every eigenvalue twelve times"]
    found = top_eigenpairs(matrix_of(values), 30).eigenvalues
    assert torch.allclose(found, values[:30], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 9, 30])
def test_every_number_of_directions_of_a_small_matrix_can_be_had(size):
    matrix = matrix_of(SPECTRA["geometric"][:size])
    for top in range(1, size):
        expected = torch.linalg.eigvalsh(matrix).flip(0)[:top]
        assert torch.allclose(top_eigenpairs(matrix, top).eigenvalues, expected, rtol=0, atol=1e-13)


def test_an_eigenvector_hidden_from_the_start_is_found():
    # unit vectors as eigenvectors, and a start that the iteration cannot have been adapted to
    values = torch.zeros(200, dtype=torch.float64)
    values[137] = 1.0
    values[3] = 0.5
    found = top_eigenpairs(torch.diag(values), 2)
    assert torch.allclose(found.eigenvalues, torch.tensor([1.0, 0.5], dtype=torch.float64), rtol=1e-14)
    assert found.eigenvectors.abs().argmax(0).tolist() == [137, 3]


def test_arpack_finds_the_same_pairs_of_a_layer():
    probe, data = probed([12, 20, 15, 6], "fc2", count=80)
    operator = HessianOperator(probe, probe.see(data))
    dense = (operator @ torch.eye(300, dtype=torch.float64)).numpy()
    values, vectors = eigsh(dense, 12, which="LA", rng=0)
    found = top_eigenpairs(operator, 12)
    np.testing.assert_allclose(found.eigenvalues.numpy(), values[::-1], rtol=1e-11)
    np.testing.assert_allclose(np.abs(np.sum(found.eigenvectors.numpy() * vectors[:, ::-1], axis=0)), 1, rtol=1e-9)


class Counting:
    """A matrix that knows how many vectors it was multiplied with."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.device, self.vectors = matrix, matrix.shape, matrix.device, 0

    def __matmul__(self, vectors):
        self.vectors += vectors.shape[1]
        return self.matrix @ vectors


def test_the_products_are_far_fewer_than_directions():
    counting = Counting(matrix_of((1 + torch.arange(1000, dtype=torch.float64)) ** -1.5))
    top_eigenpairs(counting, 10)
    assert counting.vectors <= 150


def test_what_does_not_converge_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(lanczos, "_RESTARTS", 2)
    with pytest.raises(InputError, match="of the 5 largest eigenvalues only . converged in 2 restarts.*ask for fewer"):
        top_eigenpairs(matrix_of(SPECTRA["evenly spaced"]), 5)
