"""Kernels, steps, penalties and measures, each against two other ways to the same number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.distance import cdist

from awduality.config import resolve_file
from studies.gan_dynamics import kernel, ring
from studies.gan_dynamics.dynamics import DECAY, Discriminator, Generator, Particles, discriminator, train
from studies.gan_dynamics.study import problems
from studies.gan_dynamics.tables import best_penalty, half_point

SEEDS = st.integers(0, 2**32 - 1)


def rng(seed=0):
    return np.random.default_rng(seed)


class TestTheKernel:
    @pytest.mark.parametrize("u", [-0.9, -0.2, 0.0, 0.3, 0.537, 0.99])
    def test_its_closed_form_is_that_of_quadrature_and_of_monte_carlo(self, u):
        x, y = rng().standard_normal((2, 400_000))
        y = u * x + np.sqrt(1 - u**2) * y
        drawn = np.mean(np.maximum(x, 0) * np.maximum(y, 0) + u * (x > 0) * (y > 0))
        assert float(kernel.closed(u)) == pytest.approx(drawn, abs=5e-3)
        assert float(kernel.closed(u)) == pytest.approx(kernel.by_quadrature("relu", u), abs=2e-2)  # a kink

    def test_its_ends_and_the_couplings_of_the_sheet(self):
        assert float(kernel.closed(1.0)) == pytest.approx(1.0)
        assert float(kernel.closed(0.0)) == pytest.approx(1 / (2 * np.pi))
        assert kernel.cosine_of(0.5) == pytest.approx(0.537, abs=5e-4)
        assert kernel.cosine_of(0.85) == pytest.approx(0.908, abs=5e-4)
        with pytest.raises(ValueError, match="0.1592 to 1"):
            kernel.cosine_of(0.1)

    def test_of_a_smooth_activation_quadrature_agrees_with_monte_carlo(self):
        x, y = rng().standard_normal((2, 400_000))
        y = 0.4 * x + np.sqrt(1 - 0.16) * y
        slope = lambda t: 1 - np.tanh(t) ** 2  # noqa: E731
        drawn = np.mean(np.tanh(x) * np.tanh(y) + 0.4 * slope(x) * slope(y))
        assert kernel.by_quadrature("tanh", 0.4) == pytest.approx(drawn, abs=3e-3)

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    def test_that_of_a_network_is_the_mean_block_of_its_jacobian(self, activation):
        generator = rng(1)
        a, v, z = (generator.standard_normal(shape) for shape in ((30, 5), (2, 30), (4, 5)))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        sigma = {"relu": torch.relu, "tanh": torch.tanh}[activation]

        def outputs(one, other):
            return sigma(torch.from_numpy(z) @ one.T) @ other.T / 30**0.5

        parts = torch.autograd.functional.jacobian(outputs, (torch.from_numpy(a), torch.from_numpy(v)))
        rows = torch.cat([part.reshape(4, 2, -1) for part in parts], dim=2).numpy()
        blocks = np.einsum("iop,jop->ij", rows, rows) / 2
        assert kernel.of_network(a, v, z, activation) == pytest.approx(blocks)

    def test_a_wide_network_has_the_closed_form(self):
        generator = rng(2)
        z = kernel.latents(20, 16, 0.5, generator)
        found = kernel.of_network(
            generator.standard_normal((20_000, 16)), generator.standard_normal((2, 20_000)), z, "relu"
        )
        assert found == pytest.approx(kernel.closed(z @ z.T), abs=0.05)

    def test_a_common_part_sets_the_cosine(self):
        z = kernel.latents(200, 2_000, 0.6, rng())
        cosines = (z @ z.T)[np.triu_indices(200, 1)]
        assert cosines.mean() == pytest.approx(0.6, abs=0.02)


class TestAStep:
    @given(seed=SEEDS, smooth=st.booleans(), rho=st.sampled_from([0.0, 0.3, 2.0]))
    @settings(max_examples=25, deadline=None)
    def test_the_gradient_by_hand_is_that_of_autograd(self, seed, smooth, rho):
        generator = rng(seed)
        one, data, q = (
            discriminator(7, smooth, generator),
            generator.standard_normal((5, 2)),
            generator.normal(size=(4, 2)),
        )
        weights = [torch.from_numpy(array.copy()).requires_grad_() for array in (one.w, one.b, one.v)]

        def value(x):
            before = x @ weights[0].T + weights[1]
            return (torch.tanh(before) if smooth else torch.relu(before)) @ weights[2]

        objective = -DECAY / 2 * sum((array**2).sum() for array in weights)
        for x, sign in ((torch.from_numpy(data), 1.0), (torch.from_numpy(q), -1.0)):
            x.requires_grad_()
            (slope,) = torch.autograd.grad(value(x).sum(), x, create_graph=True)
            objective = objective + sign * value(x).mean() - rho / 2 * (slope**2).sum(1).mean()
        expected = torch.autograd.grad(objective, weights)
        found, slopes = one.ascent(data, q, rho)
        for mine, theirs in zip(found, expected, strict=True):
            assert mine == pytest.approx(theirs.numpy(), abs=1e-10)
        assert slopes == pytest.approx(one.slopes(q))

    def test_slopes_are_differences_of_values(self):
        one, x = discriminator(9, True, rng(3)), rng(4).standard_normal((6, 2))
        for axis in range(2):
            step = 1e-6 * np.eye(2)[axis]
            assert one.slopes(x)[:, axis] == pytest.approx(
                (one.values(x + step) - one.values(x - step)) / 2e-6, abs=1e-7
            )

    @given(seed=SEEDS, phi=st.floats(0, 1), centred=st.booleans())
    @settings(max_examples=25, deadline=None)
    def test_particles_move_as_a_double_loop_says(self, seed, phi, centred):
        q, slopes = rng(seed).standard_normal((2, 5, 2))
        cloud = Particles(q.copy(), phi, centred)
        cloud.climb(0.1, slopes)
        for i in range(5):
            step = sum((1.0 if i == j else phi) * slopes[j] for j in range(5))
            assert cloud.q[i] == pytest.approx(q[i] + 0.1 * step / (1 + 4 * phi if centred else 1))

    def test_coupling_one_moves_all_by_one_vector_and_coupling_zero_each_by_itself(self):
        q, slopes = rng().standard_normal((2, 6, 2))
        rigid, free = Particles(q, 1.0), Particles(q, 0.0)
        rigid.climb(0.1, slopes)
        free.climb(0.1, slopes)
        assert np.ptp(rigid.q - q, axis=0) == pytest.approx(0, abs=1e-12)
        assert free.q == pytest.approx(q + 0.1 * slopes)

    def test_a_step_of_a_generator_moves_its_outputs_by_the_kernel(self):
        generator = rng(5)
        z = kernel.latents(6, 10, 0.3, generator)
        network = Generator(generator.standard_normal((3_000, 10)), generator.standard_normal((2, 3_000)), z)
        slopes, before = generator.standard_normal((6, 2)), network.q
        gamma = kernel.of_network(network.a, network.v, z, "relu")
        network.climb(1e-4, slopes)
        assert (network.q - before) / 1e-4 == pytest.approx(gamma @ slopes, abs=0.15)  # blocks are diagonal as H → ∞

    def test_a_generators_gradient_is_that_of_autograd(self):
        generator = rng(6)
        network = Generator(*(generator.standard_normal(shape) for shape in ((8, 3), (2, 8), (4, 3))))
        slopes = generator.standard_normal((4, 2))
        a, v = (torch.from_numpy(array.copy()).requires_grad_() for array in (network.a, network.v))
        outputs = torch.relu(torch.from_numpy(network.z) @ a.T) @ v.T / 8**0.5
        da, dv = torch.autograd.grad((outputs * torch.from_numpy(slopes)).sum(), (a, v))
        old = network.a.copy(), network.v.copy()
        network.climb(0.01, slopes)
        assert (network.a - old[0]) / 0.01 == pytest.approx(da.numpy(), abs=1e-10)
        assert (network.v - old[1]) / 0.01 == pytest.approx(dv.numpy(), abs=1e-10)


class TestTheLinearLimit:
    """q′ = e_G ψ, ψ′ = e_D (−q − 2ρψ): critical at ρ_c = (e_G/e_D)^½."""

    @given(e_g=st.floats(0.1, 10), e_d=st.floats(0.1, 10))
    @settings(max_examples=40, deadline=None)
    def test_the_slowest_rate_is_largest_at_the_critical_penalty(self, e_g, e_d):
        def slowest(rho):
            return np.linalg.eigvals(np.array([[0, e_g], [-e_d, -2 * rho * e_d]])).real.max()

        critical = np.sqrt(e_g / e_d)
        assert all(slowest(critical) <= slowest(critical * times) + 1e-6 for times in (0.5, 0.9, 1.1, 2.0))

    def test_steps_of_the_same_equations_follow_the_matrix_exponential(self):
        system, rate, steps = np.array([[0, 1.0], [-2.0, -1.2]]), 1e-4, 20_000
        state = np.array([1.0, 0.5])
        exact = expm(system * rate * steps) @ state
        for _ in range(steps):
            state = state + rate * system @ state
        assert state == pytest.approx(exact, abs=1e-3)

    def test_a_discriminator_that_is_linear_in_its_weights_depends_on_the_scaled_rates_alone(self):
        def cloud(r_g, r_d, rho, steps):
            one = Discriminator(np.eye(2), np.full(2, 50.0), np.zeros(2))  # ReLU never off: D = v·x, W and b held
            q = rng(7).standard_normal((5, 2)) + 1
            for _ in range(steps):
                slopes = np.tile(one.v, (5, 1))
                (_, _, dv), _ = one.ascent(np.zeros((1, 2)), q, rho)
                one.v = one.v + r_d * (dv + DECAY * one.v)
                q = q + r_g * slopes
            return q

        plain = cloud(1e-3, 1e-3, 0.5, 3_000)
        scaled = cloud(2e-3, 0.5e-3, 1.0, 3_000)  # equal r_G r_D, ρ (r_D/r_G)^½
        assert scaled == pytest.approx(plain, abs=1e-9)


class TestMeasures:
    def test_the_energy_distance_is_that_of_plain_distances(self):
        x, q = ring.points(50, rng()), rng(1).standard_normal((20, 2))
        expected = 2 * cdist(q, x).mean() - cdist(q, q).mean() - cdist(x, x).mean()
        assert ring.energy_distance(x)(q) == pytest.approx(expected, abs=1e-6)
        assert ring.energy_distance(x)(x) == pytest.approx(0, abs=1e-6)

    @given(seed=SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_order_and_an_eighth_of_a_turn_change_nothing(self, seed):
        q = rng(seed).normal(scale=0.9, size=(30, 2))
        turn = np.array([[1, -1], [1, 1]]) / 2**0.5
        for other in (rng(seed).permutation(q), q @ turn.T):
            assert ring.coverage(other) == ring.coverage(q)
            assert ring.cloud_size(other) == pytest.approx(ring.cloud_size(q))

    def test_modes_are_covered_by_particles_near_them(self):
        assert ring.coverage(ring.CENTRES) == 8
        assert ring.coverage(ring.CENTRES[:3] + 0.1) == 3
        assert ring.coverage(np.zeros((5, 2))) == 0

    def test_data_lie_on_the_ring(self):
        x = ring.points(4_000, rng())
        assert np.linalg.norm(x, axis=1).mean() == pytest.approx(1.0, abs=0.01)
        assert ring.coverage(x) == 8


class TestWhatIsFoundFromSeveralRuns:
    @given(vertex=st.floats(0.2, 0.9), curve=st.floats(0.1, 3))
    def test_the_best_penalty_is_the_vertex_of_a_parabola(self, vertex, curve):
        penalties = np.array([0.06, 0.12, 0.25, 0.5, 1.0, 2.0])
        assert best_penalty(penalties, curve * np.log(penalties / vertex) ** 2) == pytest.approx(vertex, rel=1e-6)

    def test_a_best_penalty_at_an_end_is_none(self):
        assert best_penalty(np.array([0.1, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])) is None

    def test_half_of_the_size_is_between_two_couplings_linearly(self):
        assert half_point(np.array([0.0, 0.4, 0.8]), np.array([1.0, 0.6, 0.2])) == pytest.approx(0.5)
        assert half_point(np.array([0.0, 0.4]), np.array([1.0, 0.9])) == 1.0


def test_a_run_that_runs_away_is_ended():
    cloud = Particles(np.array([[0.0, 0.0], [4.9, 0.0]]), 0.0)
    one = Discriminator(np.array([[1.0, 0.0]]), np.array([10.0]), np.array([1.0]))
    done = train(cloud, one, lambda: np.zeros((1, 2)), (1.0, 0.0), 0.0, 5, lambda _, q: bool((np.abs(q) <= 5).all()))
    assert not done


@pytest.mark.parametrize("change", [{"look_every": 600}, {"coupling": 0.1}])
def test_what_no_range_can_say_is_told(root, change):
    config = resolve_file(root, "studies/gan_dynamics/quick.yaml")[0]
    assert not list(problems(config))
    asked = dict(config["gan_dynamics"])
    if "coupling" in change:
        asked["experiments"] = {**asked["experiments"], "generators": {**asked["experiments"]["generators"], **change}}
    else:
        asked |= change
    assert len(list(problems({**config, "gan_dynamics": asked}))) == 1
