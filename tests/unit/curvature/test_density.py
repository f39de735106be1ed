"""The density of eigenvalues: its quadrature against matrix powers, the whole against the spectrum itself."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

import awduality
from awduality.curvature.density import SpectralDensity, spectral_density
from awduality.errors import InputError
from awduality.streams import stream
from tests.unit.curvature.test_curvature import hessian_at, probed
from tests.unit.curvature.test_lanczos import SPECTRA, matrix_of

MATRIX = matrix_of(SPECTRA["mostly negative"])


def test_moments_up_to_twice_the_steps_are_those_of_the_probes_themselves():
    density = spectral_density(MATRIX, 3, 4, np.random.default_rng(5))
    generator, matrix = np.random.default_rng(5), MATRIX.numpy()
    probes = [generator.standard_normal(300) for _ in range(3)]
    for order in range(8):
        moments = [v @ np.linalg.matrix_power(matrix, order) @ v / (v @ v) for v in probes]
        assert density.moment(order) == pytest.approx(np.mean(moments), rel=1e-11)
        assert density.moment_error(order) == pytest.approx(np.std(moments, ddof=1) / 3**0.5, rel=1e-8, abs=1e-14)
    ninth = np.mean([v @ np.linalg.matrix_power(matrix, 8) @ v / (v @ v) for v in probes])
    assert density.moment(8) != pytest.approx(ninth, rel=1e-11)


@pytest.mark.parametrize("name", SPECTRA)
def test_moments_agree_with_the_spectrum_within_their_stated_error(name):
    values = SPECTRA[name].numpy()
    density = spectral_density(matrix_of(SPECTRA[name]), 100, 20, np.random.default_rng(1))
    for order in (1, 2, 3):
        error = max(density.moment_error(order), 1e-12 * np.abs(values).max() ** order)
        assert abs(density.moment(order) - np.mean(values**order)) < 5 * error
    assert density.weights.sum() == pytest.approx(1, rel=1e-13)
    assert density.size == 300


def test_with_as_many_steps_as_directions_the_nodes_are_the_eigenvalues():
    values = SPECTRA["geometric"][:20]
    density = spectral_density(matrix_of(values), 2, 50, np.random.default_rng(1))
    assert density.nodes.shape == (2, 20)
    np.testing.assert_allclose(density.nodes[0], values.flip(0).numpy(), rtol=1e-11, atol=1e-14)


def test_a_matrix_of_few_eigenvalues_needs_as_many_steps_and_no_more():
    density = spectral_density(matrix_of(SPECTRA["rank five"]), 200, 30, np.random.default_rng(1))
    assert (density.weights > 1e-20).sum(1).max() <= 7  # a second one at zero, from rounding
    shares = [density.weights[np.abs(density.nodes - value) < 1e-9].sum() for value in range(6)]
    assert shares[0] == pytest.approx(295 / 300, abs=5 * (2 * 5 / 300 / 300 / 200) ** 0.5)
    assert shares[1:] == pytest.approx([1 / 300] * 5, abs=5 * (2 / 300 / 300 / 200) ** 0.5)


def test_cumulative_share_and_smoothed_density_are_those_of_the_nodes():
    density = SpectralDensity(np.array([[0.0, 1.0], [0.0, 3.0]]), np.array([[0.4, 0.1], [0.3, 0.2]]), 10)
    assert density.cumulative(np.array([-1.0, 0.0, 2.0, 3.0])) == pytest.approx([0, 0.7, 0.8, 1])
    grid = np.linspace(-2, 5, 15)
    expected = 0.7 * norm.pdf(grid, 0, 0.5) + 0.1 * norm.pdf(grid, 1, 0.5) + 0.2 * norm.pdf(grid, 3, 0.5)
    assert density.smoothed(grid, 0.5) == pytest.approx(expected)
    with pytest.raises(InputError, match="positive, in units of the eigenvalues: got 0"):
        density.smoothed(grid, 0)


def test_a_layers_density_comes_from_a_named_stream_and_its_hessian():
    probe, data = probed([6, 8, 7, 4], "fc2")
    found = awduality.layer_density(probe._model, "fc2", data, probes=4, steps=10, seed=3)
    expected = spectral_density(hessian_at(probe, data), 4, 10, stream(3, "density", 0))
    np.testing.assert_allclose(found.nodes, expected.nodes, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-7, atol=1e-10)
    other = awduality.layer_density(probe._model, "fc2", data, probes=4, steps=10, seed=4)
    assert other.moment(1) != found.moment(1)


def test_a_layer_without_curvature_has_all_its_eigenvalues_at_zero():
    density = spectral_density(torch.zeros(9, 9, dtype=torch.float64), 2, 5, np.random.default_rng(0))
    assert not density.nodes.any()
    assert density.cumulative(np.array([0.0])) == pytest.approx([1])


@pytest.mark.parametrize(("probes", "steps"), [(0, 5), (5, 0)])
def test_no_probe_or_no_step_is_refused(probes, steps):
    with pytest.raises(InputError, match="at least one probe and one step"):
        spectral_density(MATRIX, probes, steps, np.random.default_rng(0))


def test_one_probe_alone_has_no_error_to_state():
    assert np.isnan(spectral_density(MATRIX, 1, 5, np.random.default_rng(0)).moment_error(1))
