"""Walkers on the ring and under a shifted loss: theory, operators and recursions against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.sparse import diags, kron
from scipy.sparse.linalg import eigs

from studies.sgd_landscape import langevin, shift
from studies.sgd_landscape.study import STUDY, canonical, problems
from studies.sgd_landscape.tables import NETWORKS, half_lost, method_of


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


def fluxes(drift, diffusion, step, periodic):
    """∂t p = −∂(drift p) + diffusion ∂²p as fluxes between cells, upwind by Scharfetter and Gummel: (count, count)."""
    count = len(drift)
    peclet = 0.5 * (drift + np.roll(drift, -1)) * step / diffusion
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


def slope_of_the_operator(kappa, noise, places=48, heights=81, flat=False):
    """The exponent of the density along the ring: null vector of the two-dimensional Fokker–Planck operator."""
    x, y = np.linspace(-np.pi, np.pi, places, endpoint=False), np.linspace(-1, 1, heights) * 7.5 * np.sqrt(noise)
    lam = np.ones(places) if flat else langevin.curvature(x)
    force = np.zeros(places) if flat else -0.5 * np.sin(x) * lam
    total = None
    for row, height in enumerate(y):  # along the valley, at fixed height
        place = diags(np.arange(heights) == row, dtype=float)
        part = kron(place, fluxes(force * height**2, noise / kappa, 2 * np.pi / places, periodic=True))
        total = part if total is None else total + part
    for row, value in enumerate(lam):  # across it, at fixed place
        place = diags(np.arange(places) == row, dtype=float)
        total = total + kron(fluxes(-value * y, noise, y[1] - y[0], periodic=False), place)
    _, vectors = eigs(total.tocsc() - diags(np.full(places * heights, 1e-9)), k=1, sigma=0)
    density = np.abs(vectors[:, 0].real).reshape(heights, places).sum(0)
    return langevin.slope_of(float((np.cos(x) * density).sum() / density.sum()))


def test_at_equal_noise_the_operator_has_boltzmanns_density():
    """exp(−L/Δ) is stationary at κ = 1 whatever Δ, so the exponent is one: what entropy alone does."""
    for noise in (0.02, 0.2):
        assert slope_of_the_operator(1.0, noise) == pytest.approx(1.0, rel=0.01)


def test_the_density_of_the_operator_goes_as_the_flatness_to_kappa_the_nearer_the_weaker_the_noise():
    strong, weak = (slope_of_the_operator(2.0, noise) for noise in (0.05, 0.01))
    assert weak == pytest.approx(2.0, rel=0.02)
    assert abs(weak - 2) < abs(strong - 2) < 0.1


def test_where_the_curvature_is_the_same_everywhere_no_place_is_preferred(monkeypatch):
    assert slope_of_the_operator(4.0, 0.05, flat=True) == pytest.approx(0.0, abs=1e-6)
    noise = np.random.default_rng(5)
    monkeypatch.setattr(shift, "_B", 0.0)
    x, y = shift.stepped(np.linspace(-2, 2, 50), np.ones(50), 0.4, noise.normal(size=(2, 50)))
    assert x == pytest.approx(np.linspace(-2, 2, 50), abs=0)
    assert not np.allclose(y, 1)


def test_walkers_have_the_exponent_of_the_operator_at_the_studys_time_step_and_at_twice_it():
    """At the study's own Δ: what theory misses by finite Δ is the model's, not the simulation's."""
    wanted = slope_of_the_operator(4.0, 0.05)
    for dt in (0.1, 0.2):
        mean, _ = langevin.cosines(4.0, 0.05, True, 800, round(300 / dt), dt, np.random.default_rng(7), 12)
        assert langevin.slope_of(mean) == pytest.approx(wanted, rel=0.08)


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


def settings(**given):
    neutral = {name: setting.kind(setting.neutral) for name, setting in STUDY.settings.items() if name != "model"}
    return canonical({**neutral, **given})


def test_what_a_model_does_not_use_makes_no_run_of_its_own():
    one = settings(model="langevin", noise="both", kappa=2.0, batch_size=5, learning_rate=0.4)
    assert one == settings(model="langevin", noise="both", kappa=2.0)
    assert settings(model="net", noise="none", batch_size=5, ends="target")["batch_size"] == 0
    assert canonical(one) == one


def test_a_noise_that_a_model_does_not_have_and_samples_that_there_are_not_are_told_before_anything_runs():
    config = {
        "data": {"pool": {"count": 400}},
        "sgd_landscape": {"train_size": 500, "experiments": {"a": {"model": "shift", "noise": ["time", "isotropic"]}}},
    }
    found = problems(config)
    assert len(found) == 2
    assert "got 500" in found[0]
    assert "got 'isotropic'" in found[1]


def test_only_networks_at_the_compared_loss_are_methods():
    assert method_of({"ends": "bound", "noise": "none", "batch_size": 0}) == ""
    assert method_of({"ends": "target", "noise": "none", "batch_size": 0}) == "none"
    assert method_of({"ends": "target", "noise": "shift", "batch_size": 5.0}) in NETWORKS.baselines
