"""Two oracles for every number: theory against simulation, closed forms against autograd and enumeration."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.sparse import diags, kron
from scipy.sparse.linalg import eigs

from studies.sgd_landscape import langevin, shift
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
from studies.sgd_landscape.tables import half_lost
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


@given(st.floats(0.05, 6.0))
def test_the_exponent_of_a_von_mises_density_is_found_again(slope):
    x = np.linspace(-np.pi, np.pi, 4001)[:-1]
    density = langevin.predicted(x, slope)
    step = x[1] - x[0]
    assert density.sum() * step == pytest.approx(1, rel=1e-9)
    assert langevin.slope_of(float((np.cos(x) * density).sum() * step)) == pytest.approx(slope, rel=1e-6)


def test_the_sharp_direction_is_in_its_stationary_state_for_any_step(rng):
    y = np.sqrt(0.05 / 2.0) * rng.normal(size=200_000)
    for dt in (0.01, 3.0):
        stepped = langevin.sharp_step(y, np.full_like(y, 2.0), 0.05, dt, rng.normal(size=len(y)))
        assert stepped.var() == pytest.approx(0.05 / 2.0, rel=0.02)


def test_the_density_of_the_fokker_planck_operator_has_the_predicted_slope():
    """The null vector of the two-dimensional operator on a grid, at κ = 2 and small noise."""
    kappa, noise, places, heights = 2.0, 0.02, 48, 81
    x, h = np.linspace(-np.pi, np.pi, places, endpoint=False), 2 * np.pi / places
    y = np.linspace(-1.1, 1.1, heights)
    k = y[1] - y[0]

    def drift_diffusion(drift, diffusion, step, periodic):
        """∂t p = −∂(drift p) + diffusion ∂²p by fluxes between cells, upwind by Scharfetter and Gummel."""
        count = len(drift)
        right = np.roll(drift, -1)
        peclet = 0.5 * (drift + right) * step / diffusion
        bernoulli = np.where(np.abs(peclet) < 1e-9, 1.0, peclet / np.expm1(np.where(peclet == 0, 1.0, peclet)))
        out, back = diffusion / step**2 * (bernoulli + peclet), diffusion / step**2 * bernoulli
        if not periodic:
            out[-1] = back[-1] = 0.0
        matrix = np.zeros((count, count))
        for i in range(count):
            j = (i + 1) % count
            matrix[i, i] -= out[i]
            matrix[j, i] += out[i]
            matrix[j, j] -= back[i]
            matrix[i, j] += back[i]
        return matrix

    lam = langevin.curvature(x)
    total = None
    for column, height in enumerate(y):  # along the valley, at fixed height
        part = drift_diffusion(-0.5 * np.sin(x) * lam * height**2, noise / kappa, h, periodic=True)
        place = np.zeros((heights, heights))
        place[column, column] = 1
        found = kron(place, part)
        total = found if total is None else total + found
    for row, value in enumerate(lam):  # across it, at fixed place
        part = drift_diffusion(-value * y, noise, k, periodic=False)
        place = np.zeros((places, places))
        place[row, row] = 1
        total = total + kron(part, place)
    _, vectors = eigs(total.tocsc() - diags(np.full(places * heights, 1e-9)), k=1, sigma=0)
    density = np.abs(vectors[:, 0].real).reshape(heights, places).sum(0)
    density /= density.sum()
    assert langevin.slope_of(float((np.cos(x) * density).sum())) == pytest.approx(kappa, rel=0.05)


def test_walkers_on_the_ring_go_as_the_density_and_stay_uniform_without_noise_across():
    slopes = {
        both: langevin.slope_of(langevin.cosines(2.0, 0.05, both, 400, 4000, 0.1, np.random.default_rng(0), 12)[0])
        for both in (True, False)
    }
    assert slopes[True] == pytest.approx(2.0, rel=0.15)
    assert slopes[False] == pytest.approx(0.0, abs=0.15)


def test_a_shift_of_zero_is_gradient_descent_and_the_law_is_symmetric(rng):
    x, y = rng.normal(size=5), rng.normal(size=5)
    still = shift.stepped(x, y, 0.1, np.zeros((2, 5)))
    lam = shift.curvature(x)
    assert still[0] == pytest.approx(x - 0.1 * 0.5 * 0.4 * x * y**2)
    assert still[1] == pytest.approx(y - 0.1 * lam * y)
    noise = rng.normal(size=(2, 5))
    one, other = shift.stepped(x, y, 0.1, noise), shift.stepped(-x, y, 0.1, noise * [[-1], [1]])
    assert one[0] == pytest.approx(-other[0])
    assert one[1] == pytest.approx(other[1])


def test_the_fast_variable_has_its_stationary_variance_at_fixed_place(rng):
    lam, rate, sigma = 1.0, 0.4, 0.3
    y = np.zeros(50_000)
    for _ in range(60):
        y = y - rate * (lam * y + lam * sigma * rng.normal(size=len(y)))
    assert np.mean(y**2) == pytest.approx(shift.stationary(lam, rate, sigma), rel=0.03)


def test_the_predicted_time_is_that_of_the_drift():
    rate, sigma = 0.2, 0.4

    def drift(_, x):
        lam, slope = 0.2 + 0.2 * x**2, 0.4 * x
        return -rate / 2 * slope * shift.stationary(lam, rate, sigma)

    def arrived(_, x):
        return 0.2 + 0.2 * x[0] ** 2 - shift.FLAT

    arrived.terminal = True
    found = solve_ivp(drift, (0, 1e5), [shift.START], events=arrived, rtol=1e-9, atol=1e-12)
    assert shift.predicted_time(rate, sigma) == pytest.approx(found.t_events[0][0], rel=1e-5)
    assert (rate * sigma) ** 2 * shift.predicted_time(rate, sigma) == pytest.approx(7.19 - 2.45 * rate, rel=0.01)


def test_the_second_moment_of_the_fast_variable_grows_beyond_the_bound_alone(rng):
    for factor, grows in ((0.9, False), (1.1, True)):
        rate = 0.4
        sigma, lam, slope = factor * shift.bound(rate), 1.0, 0.8
        growth = (1 - rate * lam) ** 2 + (rate * sigma * slope) ** 2
        assert (growth > 1) == grows
    x, y = np.full(400_000, shift.START), np.ones(400_000)
    sigma = shift.bound(0.4)
    _, moved = shift.stepped(x, y, 0.4, sigma * np.stack([rng.normal(size=len(x)), np.zeros(len(x))]))
    assert np.mean(moved**2) == pytest.approx(1.0, rel=0.02)  # at the bound, the noise through x keeps the moment


def test_half_lost_lies_between_two_strengths():
    strengths = np.array([0.5, 0.7, 1.0])
    assert half_lost(strengths, np.array([0.0, 0.25, 0.75])) == pytest.approx(0.85)
    assert half_lost(strengths, np.array([0.0, 0.1, 0.2])) is None
    assert half_lost(strengths, np.array([0.6, 0.9, 1.0])) is None
