"""Networks under noise: closed forms against autograd and enumeration, laws of every kind of noise."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from studies.sgd_landscape.network import (
    exponent,
    hessian_product,
    initial,
    layer_matrices,
    norm_squared,
    passed,
    power,
    squared_norms,
    traces,
    weighted_gradient,
)
from studies.sgd_landscape.training import noisy_gradient, train

SIZES = (4, 5, 3, 3)


@pytest.fixture
def small(rng):
    weights = initial(SIZES, rng)
    return weights, rng.normal(size=(6, 4)), np.arange(6) % 3


def flat(parts):
    return np.concatenate([part.ravel() for part in parts])


def loss_of(vector, x, labels):
    shapes = [(5, 4), (3, 5), (3, 3)]
    parts = torch.split(vector, [20, 15, 9])
    first, second, third = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    z = torch.relu(torch.relu(torch.from_numpy(x) @ first.T) @ second.T) @ third.T
    return torch.nn.functional.cross_entropy(z, torch.from_numpy(labels))


def test_gradient_and_hessian_products_are_those_of_autograd(small, rng):
    weights, x, labels = small
    vector = torch.from_numpy(flat(weights))
    one = passed(weights, x, labels)
    gradient = torch.func.grad(loss_of)(vector, x, labels)
    assert flat(weighted_gradient(one)) == pytest.approx(gradient.numpy(), abs=1e-14)
    direction = [rng.normal(size=part.shape) for part in weights]
    hessian = torch.func.hessian(loss_of)(vector, x, labels).numpy()
    assert flat(hessian_product(weights, one, direction)) == pytest.approx(hessian @ flat(direction), abs=1e-13)


def test_hessian_products_are_central_differences_of_the_gradient(small, rng):
    weights, x, labels = small
    direction = [rng.normal(size=part.shape) for part in weights]
    ends = [
        flat(weighted_gradient(passed([w + h * d for w, d in zip(weights, direction, strict=True)], x, labels)))
        for h in (1e-6, -1e-6)
    ]
    product = flat(hessian_product(weights, passed(weights, x, labels), direction))
    assert product == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_traces_are_those_of_the_dense_matrices(small):
    weights, x, labels = small
    one = passed(weights, x, labels)
    matrix, covariance = layer_matrices(weights, one)
    of_layer, of_all = traces(weights, one)
    assert of_layer == pytest.approx(np.trace(matrix))
    vector = torch.from_numpy(flat(weights))
    hessian = torch.func.hessian(loss_of)(vector, x, labels).numpy()
    assert matrix == pytest.approx(hessian[20:35, 20:35], abs=1e-13)  # ReLU: a layer's Hessian is its Gauss–Newton part
    assert of_all == pytest.approx(np.trace(hessian))
    gradients = np.stack([flat(weighted_gradient(passed(weights, x[[i]], labels[[i]])))[20:35] for i in range(6)])
    assert covariance == pytest.approx(np.cov(gradients.T, bias=True), abs=1e-15)


def test_power_is_that_of_all_minibatches_drawn_with_replacement(rng):
    weights, x, labels = initial(SIZES, rng), rng.normal(size=(4, 4)), np.array([0, 1, 2, 0])
    one = passed(weights, x, labels)
    mean = flat(weighted_gradient(one))
    noises = [
        flat(weighted_gradient(passed(weights, x[list(chosen)], labels[list(chosen)]))) - mean
        for chosen in itertools.product(range(4), repeat=2)
    ]
    assert np.mean(noises, axis=0) == pytest.approx(np.zeros_like(mean), abs=1e-15)
    assert power(one, 2) == pytest.approx(np.mean([noise @ noise for noise in noises]))
    lengths = [norm_squared(weighted_gradient(passed(weights, x[[i]], labels[[i]]))) for i in range(4)]
    assert squared_norms(one) == pytest.approx(lengths)
    assert power(one, 1) == pytest.approx(2 * power(one, 2))


@pytest.mark.parametrize("noise", ["minibatch", "gaussian", "shift", "isotropic"])
def test_every_noise_has_mean_zero_and_the_power_of_a_minibatch(small, noise):
    weights, x, labels = small
    one, generator = passed(weights, x, labels), np.random.default_rng(3)
    mean, wanted = flat(weighted_gradient(one)), power(one, 2)
    drawn = np.stack([flat(noisy_gradient(noise, weights, x, labels, 2, generator)) - mean for _ in range(8000)])
    lengths = np.square(drawn).sum(1)
    assert lengths.mean() == pytest.approx(wanted, rel=0.05)
    assert np.abs(drawn.mean(0)).max() < 5 * np.sqrt(wanted / len(drawn))


def test_gaussian_noise_has_the_covariance_of_the_minibatch(small):
    weights, x, labels = small
    generator, one = np.random.default_rng(4), passed(weights, x, labels)
    per_example = np.stack([flat(weighted_gradient(passed(weights, x[[i]], labels[[i]]))) for i in range(6)])
    wanted = np.cov(per_example.T, bias=True) / 2
    mean = flat(weighted_gradient(one))
    drawn = np.stack([flat(noisy_gradient("gaussian", weights, x, labels, 2, generator)) - mean for _ in range(20000)])
    assert np.cov(drawn.T, bias=True) == pytest.approx(wanted, abs=0.05 * np.abs(wanted).max())


def test_the_covariance_of_all_minibatches_is_that_of_the_examples_over_the_batch(rng, monkeypatch):
    weights, x, labels = initial(SIZES, rng), rng.normal(size=(4, 4)), np.array([0, 1, 2, 0])
    per_example = np.stack([flat(weighted_gradient(passed(weights, x[[i]], labels[[i]]))) for i in range(4)])
    every = itertools.product(range(4), repeat=2)

    class Enumerated:
        def integers(self, count, size):
            assert (count, size) == (4, 2)
            return np.array(next(every))

    given_out = Enumerated()
    drawn = np.stack([flat(noisy_gradient("minibatch", weights, x, labels, 2, given_out)) for _ in range(16)])
    assert np.cov(drawn.T, bias=True) == pytest.approx(np.cov(per_example.T, bias=True) / 2, abs=1e-15)


def test_isotropic_noise_has_one_variance_in_all_directions_and_no_correlations(small):
    weights, x, labels = small
    one, generator = passed(weights, x, labels), np.random.default_rng(6)
    mean = flat(weighted_gradient(one))
    drawn = np.stack([flat(noisy_gradient("isotropic", weights, x, labels, 2, generator)) - mean for _ in range(20000)])
    each = power(one, 2) / len(mean)
    assert np.cov(drawn.T, bias=True) == pytest.approx(each * np.eye(len(mean)), abs=0.06 * each)


def test_noise_through_the_hessian_goes_as_its_squared_eigenvalues_and_is_none_where_they_are_zero(small):
    """Against draws in the Hessian's own basis, where H s is λ s and the scale is that of one draw."""
    weights, x, labels = small
    hessian = torch.func.hessian(loss_of)(torch.from_numpy(flat(weights)), x, labels).numpy()
    eigenvalues, vectors = np.linalg.eigh(hessian)
    generator, one = np.random.default_rng(8), passed(weights, x, labels)
    mean = flat(weighted_gradient(one))
    drawn = np.stack([flat(noisy_gradient("shift", weights, x, labels, 2, generator)) - mean for _ in range(8000)])
    variances = np.square(drawn @ vectors).mean(0)
    squares = np.square(eigenvalues * generator.standard_normal((200_000, len(eigenvalues))))
    wanted = power(one, 2) * (squares / squares.sum(1, keepdims=True)).mean(0)
    assert variances == pytest.approx(wanted, rel=0.1, abs=0.005 * power(one, 2))
    null = np.abs(eigenvalues) < 1e-12
    assert null.any()
    assert variances[null].max() < 1e-20 * power(one, 2)


@pytest.mark.parametrize("noise", ["minibatch", "gaussian", "shift", "isotropic"])
def test_noise_of_no_power_is_none_to_the_bit(noise, rng):
    weights, x = initial(SIZES, rng), np.abs(rng.normal(size=(6, 4)))
    weights[0] = -np.abs(weights[0])  # no hidden unit is on, so that no example has a gradient
    quiet = noisy_gradient("none", weights, x, np.arange(6) % 3, 0, np.random.default_rng())
    noisy = noisy_gradient(noise, weights, x, np.arange(6) % 3, 2, np.random.default_rng(1))
    assert all(np.array_equal(one, other) for one, other in zip(quiet, noisy, strict=True))


def test_the_trace_is_the_mean_of_quadratic_forms_of_hessian_products(small):
    weights, x, labels = small
    one = passed(weights, x, labels)
    of_layer, of_all = traces(weights, one)
    found = []
    generator = np.random.default_rng(9)
    for _ in range(4000):  # Hutchinson
        signs = [generator.choice([-1.0, 1.0], part.shape) for part in weights]
        found.append([float((s * h).sum()) for s, h in zip(signs, hessian_product(weights, one, signs), strict=True)])
    forms = np.array(found)
    error = forms.std(0) / np.sqrt(len(forms))
    assert abs(forms[:, 1].mean() - of_layer) < 4 * error[1]
    assert abs(forms.sum(1).mean() - of_all) < 4 * forms.sum(1).std() / np.sqrt(len(forms))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_power_goes_as_the_inverse_of_the_batch_and_is_never_that_of_less_than_nothing(batch, other, seed):
    rng = np.random.default_rng(seed)
    one = passed(initial(SIZES, rng), rng.normal(size=(6, 4)), np.arange(6) % 3)
    assert power(one, batch) * batch == pytest.approx(power(one, other) * other)
    assert power(one, batch) >= 0


def test_without_noise_training_is_gradient_descent_and_ends_at_the_target(small):
    weights, x, labels = small
    quiet = train(
        weights,
        (x, labels),
        lambda at: noisy_gradient("none", at, x, labels, 0, np.random.default_rng()),
        0.5,
        (1.0, 0.9),
        5000,
    )
    assert quiet.ended == "converged"
    assert passed(quiet.weights, x, labels).losses.mean() <= 0.9
    again = [part.copy() for part in weights]
    for _ in range(quiet.steps + quiet.cooled):
        again = [w - 0.5 * g for w, g in zip(again, weighted_gradient(passed(again, x, labels)), strict=True)]
    assert all(np.array_equal(a, b) for a, b in zip(again, quiet.weights, strict=True))


def test_an_exponent_is_found_where_the_covariance_is_a_power_of_the_hessian(rng, monkeypatch):
    matrix = np.diag(np.logspace(-2, 0, 30))
    monkeypatch.setattr("studies.sgd_landscape.network.layer_matrices", lambda *_: (matrix, matrix**1.5))
    assert exponent([], None) == pytest.approx(1.5)
