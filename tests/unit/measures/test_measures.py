"""Rivals from the literature: against sums over all paths, torch, dense Hessians, closed forms, and rescaling."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch.func import functional_call, hessian

from awduality.duality.nulls import balanced, rescaled_layers, rescaled_neurons
from awduality.errors import InputError
from awduality.losses import cross_entropy
from awduality.measures.capacity import margin, output_margins, outputs, path_norm, spectral_product
from awduality.measures.flatness import error_under_noise, pac_bayes_flatness, relative_flatness
from awduality.networks import from_weights


@pytest.fixture
def weights(rng):
    return {"fc1": rng.normal(size=(5, 4)), "fc2": rng.normal(size=(6, 5)), "fc3": rng.normal(size=(3, 6))}


@pytest.fixture
def samples(weights, rng):
    """Training samples that the network itself has labelled, so that its error is 0."""
    inputs = rng.normal(size=(200, 4))
    return inputs, outputs(weights, inputs).argmax(1)


def scaled(weights, factor):
    return {name: factor * matrix for name, matrix in weights.items()}


def test_outputs_are_those_of_torch(weights, samples):
    by_torch = from_weights(weights)(torch.from_numpy(samples[0])).detach().numpy()
    assert outputs(weights, samples[0]) == pytest.approx(by_torch, abs=1e-12)


def test_the_path_norm_is_a_sum_over_all_paths(weights):
    total = 0.0
    for i, j, k, last in itertools.product(range(4), range(5), range(6), range(3)):
        total += (weights["fc1"][j, i] * weights["fc2"][k, j] * weights["fc3"][last, k]) ** 2
    assert path_norm(weights) == pytest.approx(np.sqrt(total), rel=1e-12)


def test_the_path_norm_is_what_a_network_of_squared_weights_makes_of_ones(weights):
    squared = from_weights({name: np.square(matrix) for name, matrix in weights.items()})
    assert path_norm(weights) ** 2 == pytest.approx(float(squared(torch.ones(1, 4).double()).sum().detach()), rel=1e-12)


def test_the_spectral_product_is_that_of_torchs_norms(weights):
    tensors = [torch.from_numpy(matrix) for matrix in weights.values()]
    spectral = torch.stack([torch.linalg.matrix_norm(tensor, 2) ** 2 for tensor in tensors])
    frobenius = torch.stack([torch.linalg.matrix_norm(tensor) ** 2 for tensor in tensors])
    expected = float(spectral.prod() * (frobenius / spectral).sum())
    assert spectral_product(weights) == pytest.approx(expected, rel=1e-12)


def test_the_spectral_product_of_diagonal_layers_is_in_their_entries():
    layers = {"fc1": np.diag([2.0, 1.0]), "fc2": np.diag([3.0, 4.0])}
    assert spectral_product(layers) == pytest.approx(4 * 16 * (5 / 4 + 25 / 16))
    assert spectral_product({"fc1": np.zeros((2, 2)), "fc2": np.eye(2)}) == 0.0


def test_the_margin_is_the_label_against_the_best_other_output():
    logits = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.5], [1.0, 2.0, 7.0]])
    assert output_margins(logits, np.array([0, 2, 2])) == pytest.approx([1.0, -0.5, 5.0])
    layer, inputs = {"fc1": np.eye(3)}, np.tile(logits, (10, 1))
    assert margin(layer, (inputs, np.tile([0, 2, 2], 10)), 0.5) == pytest.approx(1.0)


def test_the_margin_is_where_torchs_top_two_differ_and_a_tenth_lies_below(weights, samples):
    top = torch.from_numpy(outputs(weights, samples[0])).topk(2, dim=1).values  # labels are the network's own
    differences = (top[:, 0] - top[:, 1]).numpy()
    found = margin(weights, samples)
    assert np.mean(differences < found) == pytest.approx(0.1, abs=0.005)
    assert found == pytest.approx(np.percentile(differences, 10), rel=1e-12)


def dense_hessian(weights, samples, layer):
    """(m, n, m, n) of the mean loss in one layer's weights, by torch's own nested derivatives."""
    model, (inputs, labels) = from_weights(weights), (torch.from_numpy(part) for part in samples)

    def loss(matrix):
        return cross_entropy(functional_call(model, {f"{layer}.weight": matrix}, (inputs,)), labels).mean()

    return hessian(loss)(torch.from_numpy(weights[layer])).detach().numpy()


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3"])
def test_relative_flatness_is_the_sum_over_blocks_of_torchs_hessian(weights, samples, layer):
    blocks, rows = dense_hessian(weights, samples, layer), weights[layer]
    expected = sum(
        rows[s] @ rows[t] * np.trace(blocks[s, :, t, :]) for s, t in itertools.product(range(len(rows)), repeat=2)
    )
    assert relative_flatness(weights, layer, samples) == pytest.approx(expected, rel=1e-10)


def test_relative_flatness_of_the_last_layer_is_in_closed_form(weights, samples):
    """There S_k = diag p − p pᵀ, so tr(W Wᵀ S) is the variance of the class rows under p, summed over columns."""
    hidden = {name: matrix for name, matrix in weights.items() if name != "fc3"}
    activities = np.maximum(outputs(hidden, samples[0]), 0)
    p = torch.softmax(torch.from_numpy(activities @ weights["fc3"].T), 1).numpy()
    rows = weights["fc3"]
    variances = p @ np.square(rows).sum(1) - np.square(p @ rows).sum(1)
    expected = np.mean(np.square(activities).sum(1) * variances)
    assert relative_flatness(weights, "fc3", samples) == pytest.approx(expected, rel=1e-10)


def separable(rng, count=400):
    """Two classes and one layer: a sample's margin under noise is Gaussian, of variance 2σ²|x|²."""
    weights = {"fc1": np.array([[1.0, 0.5, -0.3], [-0.8, 0.1, 0.4]])}
    inputs = rng.normal(size=(count, 3))
    return weights, (inputs, outputs(weights, inputs).argmax(1))


def test_the_noise_that_a_linear_network_bears_is_that_of_the_closed_form(rng):
    weights, samples = separable(rng)
    margins = output_margins(outputs(weights, samples[0]), samples[1])
    lengths = np.linalg.norm(samples[0], axis=1)
    sigma = brentq(lambda s: norm.cdf(-margins / (s * np.sqrt(2) * lengths)).mean() - 0.1, 1e-3, 10)
    found = pac_bayes_flatness(weights, samples, rng, draws=2000)
    assert found == pytest.approx(sigma**-2, rel=0.05)


@pytest.mark.parametrize("relative", [False, True])
def test_at_the_noise_found_torch_finds_the_error_risen_by_a_tenth(weights, samples, relative):
    sigma = pac_bayes_flatness(weights, samples, np.random.default_rng(3), relative, draws=400) ** -0.5
    inputs, labels = (torch.from_numpy(part) for part in samples)
    generator, errors = torch.Generator().manual_seed(5), []
    for _ in range(400):
        noisy = {}
        for name, matrix in weights.items():
            noise = torch.randn(matrix.shape, generator=generator, dtype=torch.float64).numpy()
            noisy[name] = matrix + sigma * noise * (np.abs(matrix) if relative else 1.0)
        errors.append(float((from_weights(noisy)(inputs).argmax(1) != labels).double().mean()))
    assert np.mean(errors) == pytest.approx(0.1, abs=4 * np.std(errors) * np.sqrt(2 / 400))


def test_noise_grows_with_the_weights_where_it_is_absolute(weights, samples):
    flat = partial(pac_bayes_flatness, samples=samples, draws=20)
    doubled = flat(scaled(weights, 2.0), generator=np.random.default_rng(1))
    assert doubled == pytest.approx(flat(weights, generator=np.random.default_rng(1)) / 4, rel=1e-3)


def test_noise_without_strength_leaves_the_error(weights, samples, rng):
    wrong = (samples[1] + (np.arange(200) < 30)) % 3
    assert error_under_noise(weights, (samples[0], wrong), rng, False, 4)(0.0) == pytest.approx(0.15)


INVARIANT = {
    "path norm": lambda weights, samples: path_norm(weights),
    "margin": margin,
    "PAC-Bayes, relative": lambda weights, samples: pac_bayes_flatness(
        weights, samples, np.random.default_rng(0), relative=True
    ),
}


@pytest.mark.parametrize("name", INVARIANT)
def test_no_rescaling_of_units_changes_what_belongs_to_the_function(weights, samples, rng, name):
    measure = INVARIANT[name]
    for other in (rescaled_neurons(weights, rng), balanced(weights)):
        assert measure(other, samples) == pytest.approx(measure(weights, samples), rel=1e-6)


def test_relative_flatness_is_left_by_rescaled_layers_and_by_the_layers_own_outputs_but_not_by_its_inputs(
    weights, samples
):
    found = relative_flatness(weights, "fc2", samples)
    assert relative_flatness(rescaled_layers(weights, "fc2", 3.0), "fc2", samples) == pytest.approx(found, rel=1e-9)
    factors = np.linspace(0.5, 2.0, 6)
    outgoing = {**weights, "fc2": factors[:, None] * weights["fc2"], "fc3": weights["fc3"] / factors}
    assert relative_flatness(outgoing, "fc2", samples) == pytest.approx(found, rel=1e-9)
    factors = np.linspace(0.5, 2.0, 5)
    incoming = {**weights, "fc1": factors[:, None] * weights["fc1"], "fc2": weights["fc2"] / factors}
    assert relative_flatness(incoming, "fc2", samples) != pytest.approx(found, rel=1e-2)


def test_rescaled_layers_leave_the_spectral_product_and_rescaled_units_do_not(weights, rng):
    found = spectral_product(weights)
    assert spectral_product(rescaled_layers(weights, "fc2", 3.0)) == pytest.approx(found, rel=1e-9)
    assert spectral_product(rescaled_neurons(weights, rng)) != pytest.approx(found, rel=1e-2)


def test_convolutions_and_networks_that_no_noise_harms_are_refused_with_what_to_do(samples, rng):
    with pytest.raises(InputError, match="fully connected"):
        path_norm({"conv1": np.ones((2, 1, 3, 3)), "fc1": np.ones((3, 8))})
    with pytest.raises(InputError, match="fully connected"):
        path_norm({"fc1": np.ones((2, 3)), "fc2": np.ones((3, 8))})
    one_class = {"fc1": np.ones((1, 4))}
    with pytest.raises(InputError, match="no noise between"):
        pac_bayes_flatness(one_class, (samples[0], np.zeros(200, dtype=int)), rng)
