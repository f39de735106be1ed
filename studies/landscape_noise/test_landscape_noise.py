"""The arms against loops over modules in float64, the strength of their noise, the gradient-diversity term."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from awduality.config import resolve_file
from awduality.networks import network, weight_shapes
from awduality.streams import stream
from awduality.training.multilearner import Learners, LearnerTraining, batches
from studies.landscape_noise.arms import AVERAGED, DPSGD, LAYERS, SIGNS, SPREAD, SSGD, STAR, Arm, Common, started
from studies.landscape_noise.diversity import curved, diversity, looked, network_loss
from studies.landscape_noise.experiment import LOOKED, Looks
from studies.landscape_noise.study import STUDY
from studies.landscape_noise.training import Ends, follow
from tests.conftest import ROOT

N, BATCH, LEARNERS, RATE = 60, 22, 3, 0.3
SHAPES = weight_shapes(6, 4, 5, 2)
ARMS = [Arm(SSGD), Arm(AVERAGED), Arm(DPSGD), Arm(SPREAD), Arm(LAYERS), Arm(SIGNS), Arm(STAR, 0.05), Arm(STAR, 0.2)]


@pytest.fixture(scope="module")
def samples():
    generator = np.random.default_rng(0)
    inputs = torch.from_numpy(generator.standard_normal((N, 6)).astype(np.float32))
    return inputs, torch.from_numpy(generator.integers(0, 4, N))


def common(rate=RATE):
    return Common(LearnerTraining(SHAPES, 1, N, 0.1), LEARNERS, BATCH, rate, 0.8)


def begun(arms, seed=0):
    return started(arms, common(), seed, *(stream(1, f"landscape_noise/{name}", seed) for name in ("noise", "turns")))


def gradient(row, inputs, labels):
    """By a module in float64."""
    model = network(SHAPES).double()
    torch.nn.utils.vector_to_parameters(row.double(), model.parameters())
    cross_entropy(model(inputs.double()), labels).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def looped(deviation, samples, steps):
    """w̄ after some steps of w̄ ← w̄ − α mean_j ∇ℓ_j(w̄ + δ_j); what deviates is told the step's gradients."""
    mean = begun([Arm(SSGD)]).mean[0].double()
    orders, places = batches(N, BATCH, 1, 0), mean + deviation(mean, None)
    for _ in range(steps):
        parts = np.array_split(next(orders), LEARNERS)
        found = [gradient(place, samples[0][part], samples[1][part]) for place, part in zip(places, parts, strict=True)]
        gradients = torch.stack(found)
        mean = mean - RATE * gradients.mean(0)
        places = mean + deviation(mean, gradients)
    return mean


def trained(arms, samples, steps, turns=None):
    found = begun(arms)
    if turns is not None:
        found._turns = turns
        found._deviate()
    orders = batches(N, BATCH, 1, 0)
    for _ in range(steps):
        found.step(*samples, next(orders))
    return found.weights()


def normals():
    generator = stream(1, "landscape_noise/noise", 0)
    size = sum(int(np.prod(shape)) for shape in SHAPES.values())
    while True:
        yield torch.from_numpy(generator.standard_normal((LEARNERS, size), dtype=np.float32)).double()


def close(one, other):
    return torch.linalg.vector_norm(one.double() - other) < 1e-5 * torch.linalg.vector_norm(other)


class TestEveryArmIsALoopOverModulesInFloat64:
    def test_ssgd(self, samples):
        zero = torch.zeros(LEARNERS, 1)
        assert close(trained(ARMS, samples, 8)[Arm(SSGD)], looped(lambda _mean, _g: zero, samples, 8))

    def test_isotropic_noise_of_constant_strength(self, samples):
        drawn = normals()
        expected = looped(lambda _mean, _g: 0.2 * next(drawn), samples, 8)
        assert close(trained(ARMS, samples, 8)[Arm(STAR, 0.2)], expected)

    def test_dpsgd_whose_deviations_are_those_of_the_gradients_of_the_step_before(self, samples):
        def deviation(mean, gradients):
            return torch.zeros(LEARNERS, 1) if gradients is None else -RATE * (gradients - gradients.mean(0))

        assert close(trained(ARMS, samples, 8)[Arm(DPSGD)], looped(deviation, samples, 8))

    def test_dpsgd_is_the_librarys(self, samples):
        settings = {"algorithm": "dpsgd", "mixing": "full", "learners": LEARNERS, "learning_rate": RATE}
        settings |= {"total_batch": BATCH, "noise": 0.0, "steps": 8}
        learners = Learners(settings, [0], common().training, torch.device("cpu"))
        for _ in range(8):
            learners.step(*samples)
        assert close(trained([Arm(DPSGD)], samples, 8)[Arm(DPSGD)], learners.mean[0].double())

    def test_the_average_is_that_of_the_path_of_ssgd(self, samples):
        zero, path = torch.zeros(LEARNERS, 1), []
        looped(lambda mean, _g: path.append(mean) or zero, samples, 8)
        expected = path[0]
        for place in path[1:]:
            expected = 0.8 * expected + 0.2 * place
        assert close(trained(ARMS, samples, 8)[Arm(AVERAGED)], expected)


class Unturned:
    """No permutation and no change of sign."""

    def permutation(self, count):
        return np.arange(count)

    def integers(self, _low, _high, size):
        return np.ones(size, dtype=np.int64)


def test_deviations_that_are_handed_over_as_they_are_make_dpsgd_of_ssgd(samples):
    found = trained(ARMS, samples, 8, Unturned())
    for algorithm in (LAYERS, SIGNS):
        assert close(found[Arm(algorithm)], found[Arm(DPSGD)].double())
    assert not close(trained(ARMS, samples, 8)[Arm(LAYERS)], found[Arm(DPSGD)].double())


@pytest.fixture(scope="module")
def apart(samples):
    """Arms after some steps, and how strong their noise was at each."""
    found = begun(ARMS)
    orders = batches(N, BATCH, 1, 0)
    rows = []
    for _ in range(200):
        found.step(*samples, next(orders))
        rows.append(found.spread())
    return found, rows


class TestTheNoiseHasTheStrengthThatItSays:
    def test_isotropic_noise_has_on_average_the_spread_of_dpsgd(self, apart):
        ratios = [row[Arm(SPREAD)] / row[Arm(DPSGD)] for row in apart[1]]
        assert np.mean(ratios) == pytest.approx(1, abs=0.03)

    def test_a_permutation_keeps_the_strength_of_every_layer(self, apart):
        found, _ = apart
        one, other = ((found.places - found.mean[:, None])[found.arms.index(Arm(name))] for name in (DPSGD, LAYERS))
        for layer in found._layers:
            assert torch.linalg.vector_norm(one[:, layer]) == pytest.approx(
                float(torch.linalg.vector_norm(other[:, layer])), rel=1e-4
            )

    def test_signs_keep_the_strength_of_every_weight(self, apart):
        found, _ = apart
        one, other = ((found.places - found.mean[:, None])[found.arms.index(Arm(name))] for name in (DPSGD, SIGNS))
        torch.testing.assert_close(one.abs(), other.abs(), rtol=1e-3, atol=1e-7)

    def test_both_keep_the_eigenvalues_of_the_covariance_and_not_its_directions(self, apart):
        found, _ = apart
        one, *others = (
            (found.places - found.mean[:, None])[found.arms.index(Arm(name))].double()
            for name in (DPSGD, LAYERS, SIGNS)
        )
        for other in others:
            torch.testing.assert_close(one @ one.T, other @ other.T, rtol=1e-3, atol=1e-9)
            assert torch.linalg.vector_norm(one.T @ one - other.T @ other) > 0.5 * torch.linalg.vector_norm(one.T @ one)


class TestArmsEnd:
    def test_at_the_first_check_that_finds_the_target_reached_whatever_the_others_do(self, samples):
        target = Ends(1.2, 400, 5)
        together = follow(ARMS, begun(ARMS), samples, target, batches(N, BATCH, 1, 0))
        for arm in ARMS:
            alone = follow([arm], begun([arm]), samples, target, batches(N, BATCH, 1, 0))[arm]
            one = together[arm]
            assert (one.ended, one.step, one.course) == (alone.ended, alone.step, alone.course)
            assert torch.equal(one.weights, alone.weights)
            losses = np.array([row[1] for row in one.course])
            assert (losses[:-1] > 1.2).all()
            assert one.ended == ("converged" if losses[-1] <= 1.2 else "budget")
        assert len({one.step for one in together.values()}) > 1

    def test_at_the_last_step_or_where_the_loss_is_no_number(self, samples):
        assert (
            follow([Arm(SSGD)], begun([Arm(SSGD)]), samples, Ends(1e-9, 7, 5), batches(N, BATCH, 1, 0))[Arm(SSGD)].ended
            == "budget"
        )
        inputs = samples[0] * torch.nan
        lost = follow([Arm(SSGD)], begun([Arm(SSGD)]), (inputs, samples[1]), Ends(0.1, 7, 5), batches(N, BATCH, 1, 0))
        assert (lost[Arm(SSGD)].ended, lost[Arm(SSGD)].step) == ("diverged", 5)


@pytest.fixture(scope="module")
def places():
    generator = torch.Generator().manual_seed(1)
    size = sum(int(np.prod(shape)) for shape in SHAPES.values())
    row = torch.randn(1, size, generator=generator, dtype=torch.float64) * 0.5
    return row + 0.05 * torch.randn(LEARNERS, size, generator=generator, dtype=torch.float64)


class TestTheDiversityTerm:
    @staticmethod
    def quadratics(size, same):
        generator = torch.Generator().manual_seed(2)
        roots = torch.randn(LEARNERS, size, size, generator=generator, dtype=torch.float64)
        centres = torch.randn(LEARNERS, size, generator=generator, dtype=torch.float64)
        return [
            lambda row, a=roots[0 if same else j], c=centres[j]: (a @ (row - c)).square().sum() / 2
            for j in range(LEARNERS)
        ]

    def test_vanishes_on_quadratic_losses_of_one_hessian_wherever_their_minima_are(self, places):
        found = diversity(self.quadratics(places.shape[1], True), places)
        assert torch.linalg.vector_norm(found) < 1e-11

    def test_does_not_vanish_on_quadratic_losses_whose_hessians_differ(self, places):
        assert torch.linalg.vector_norm(diversity(self.quadratics(places.shape[1], False), places)) > 1

    def test_is_the_gradient_of_half_the_trace_of_hessian_times_covariance_where_the_loss_is_cubic(self, places):
        generator = torch.Generator().manual_seed(3)
        first, second, third = torch.randn(3, places.shape[1], generator=generator, dtype=torch.float64)

        def cubic(row):
            return (first @ row) * (second @ row) * (third @ row) + (first @ row) ** 3

        term, (effective, quadratic) = diversity([cubic] * LEARNERS, places), curved(cubic, places)
        torch.testing.assert_close(term, effective, rtol=1e-9, atol=1e-12)
        assert quadratic < 1e-12
        mean = places.mean(0)
        hessian = torch.func.hessian(cubic)
        covariance = (places - mean).T @ (places - mean) / LEARNERS
        traced = torch.func.grad(lambda row: (hessian(row) * covariance).sum() / 2)(mean)
        torch.testing.assert_close(effective, traced, rtol=1e-9, atol=1e-12)

    def test_of_a_network_is_the_difference_of_gradients_by_modules_and_does_not_vanish(self, places, samples):
        inputs, labels = samples[0].double(), samples[1]
        parts = np.array_split(np.arange(BATCH), LEARNERS)
        own = [network_loss(list(SHAPES.values()), inputs[part], labels[part]) for part in parts]
        loss = network_loss(list(SHAPES.values()), inputs[:BATCH], labels[:BATCH])
        found, mean = looked(loss, own, places), places.mean(0)
        expected = sum(
            gradient(place, inputs[part], labels[part]) - gradient(mean, inputs[part], labels[part])
            for place, part in zip(places, parts, strict=True)
        ) / len(parts)
        assert found["own"] == pytest.approx(float(torch.linalg.vector_norm(expected)), rel=1e-9)
        shared = torch.stack([gradient(place, inputs[:BATCH], labels[:BATCH]) for place in places]).mean(0)
        shared -= gradient(mean, inputs[:BATCH], labels[:BATCH])
        assert found["common"] == pytest.approx(float(torch.linalg.vector_norm(shared)), rel=1e-9)
        assert found["common"] > 1e-3
        assert found["quadratic_error"] < 1e-12
        assert found["gradient"] == pytest.approx(
            float(torch.linalg.vector_norm(gradient(mean, inputs[:BATCH], labels[:BATCH]))), rel=1e-9
        )
        assert found["strength"] == pytest.approx(float((places - mean).square().sum(1).mean()))


def test_looking_changes_nothing(samples):
    ends = Ends(1e-9, 30, 5)
    looks = Looks([1, 7, 30], samples)
    seen = follow(ARMS, begun(ARMS), samples, ends, batches(N, BATCH, 1, 0), looks)
    unseen = follow(ARMS, begun(ARMS), samples, ends, batches(N, BATCH, 1, 0))
    assert all(torch.equal(seen[arm].weights, unseen[arm].weights) for arm in ARMS)
    rows = looks.rows[Arm(DPSGD)]
    assert [row[0] for row in rows] == [1, 7, 30]
    assert rows[0][LOOKED.index("strength")] == 0  # all learners start from the same weights: no direction, no cosine
    assert np.isnan(rows[0][LOOKED.index("own_cosine")])
    assert np.isfinite(rows[1:]).all()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("train_size", 5000, "data.pool.count"), ("total_batch", 1300, "larger than"), ("learners", 401, "cannot share")],
)
def test_a_config_that_cannot_be_is_refused(key, value, words):
    config, _ = resolve_file(ROOT, "studies/landscape_noise/quick.yaml")
    config["landscape_noise"][key] = value
    assert any(words in problem for problem in STUDY.problems(config))
