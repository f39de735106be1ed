"""Two oracles: the theory against the simulation, and against the discrete Lyapunov equation."""

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov
from studies.mine.experiment import STRENGTHS, curvatures, simulated, stationary


@pytest.mark.parametrize("power", STRENGTHS.values())
@pytest.mark.parametrize("rate", [0.05, 0.5, 1.5])
def test_the_stationary_variance_solves_the_lyapunov_equation(power, rate):
    h = curvatures(5, 1.0)
    moved, noise = np.diag(1 - rate * h), np.diag(rate**2 * h**power / 10)
    assert stationary(h, power, rate, 10) == pytest.approx(np.diag(solve_discrete_lyapunov(moved, noise)))


@pytest.mark.parametrize("power", STRENGTHS.values())
def test_the_simulation_has_the_variance_of_the_theory(power):
    h = curvatures(3, 0.5)
    found = simulated(h, power, 0.5, 10, 20_000, np.random.default_rng(0))
    assert found == pytest.approx(stationary(h, power, 0.5, 10), rel=0.1)


def test_the_exponents_are_those_of_small_rates():
    h = curvatures(20, 2.0)
    for noise, power in STRENGTHS.items():
        slope = np.polyfit(np.log(h), np.log(stationary(h, power, 1e-6, 1)), 1)[0]
        assert slope == pytest.approx(power - 1, abs=1e-4), noise
