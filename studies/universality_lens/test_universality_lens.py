"""The mixtures against Bayes in exact fractions, evidence and Laplace against integration, chains against Lyapunov."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import norm, spearmanr

from studies.universality_lens import chains, evidence
from studies.universality_lens.boolean import (
    INPUTS,
    POINTS,
    Prior,
    balance,
    ball_bounds,
    codes_of,
    divergence,
    drawn_outputs,
    functions_of,
    mass_by_distance,
    mixtures,
    network_outputs,
    odds,
    orbit,
    regrets,
    resolvability,
    uniform_mixture,
)
from studies.universality_lens.study import STUDY, canonical, problems
from studies.universality_lens.teachers import DRAWN, minority, spaced, teachers

NOISE = 0.05


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def drawn():
    return drawn_outputs(8, 20_000, np.random.default_rng(1))


@pytest.fixture(scope="module")
def prior(drawn):
    return Prior.counted(drawn > 0)


def stream_of(truth, samples, rng):
    x = rng.integers(0, POINTS, samples)
    return x, np.abs(truth[x] - (rng.random(samples) < NOISE))


def on_three_bits():
    """All 256 functions that look at the first three bits alone, as functions of five."""
    place = (INPUTS[:, :3] > 0) @ np.array([4, 2, 1])
    return np.array([np.array(values)[place] for values in itertools.product((0, 1), repeat=8)])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_function_has_one_code(code):
    assert codes_of(functions_of(code)) == code


def test_the_outputs_are_those_of_pytorch(rng):
    theta = rng.standard_normal((3, 57))
    for one, found in zip(theta, network_outputs(theta, 8), strict=True):
        w, b, v, c = np.split(one, [40, 48, 56])
        x = torch.from_numpy(INPUTS)
        first = torch.relu(x @ torch.from_numpy(w.reshape(8, 5)).T / 5**0.5 + torch.from_numpy(b) / 2)
        assert found == pytest.approx((first @ torch.from_numpy(v) / 8**0.5 + c[0] / 2).numpy())


def test_the_mixture_is_bayes_step_by_step_in_exact_fractions(rng):
    functions = on_three_bits()
    counts = rng.integers(1, 9, 256)
    order = np.argsort(codes_of(functions))
    prior = Prior(codes_of(functions)[order], counts[order])
    truth = functions[77]
    x, y = stream_of(truth, 12, rng)
    weights = [Fraction(int(count), int(counts.sum())) for count in counts]
    exact = 1.0
    noise = Fraction(1, 20)
    for place, label in zip(x, y, strict=True):
        each = [1 - noise if f[place] == label else noise for f in functions]
        chance = sum(w * p for w, p in zip(weights, each, strict=True))
        weights = [w * p / chance for w, p in zip(weights, each, strict=True)]
        exact *= float((1 - noise if truth[place] == label else noise) / chance)
    seen = balance(x, y, np.array([12]))
    mixture = mixtures(prior, prior.weights[None], seen, NOISE)
    assert regrets(mixture, truth[None], seen[None], NOISE)[0, 0] == pytest.approx(np.log(exact))


def test_the_uniform_mixture_is_that_over_every_function_of_the_inputs_that_were_seen(rng):
    x, y = rng.integers(0, 8, 15), rng.integers(0, 2, 15)
    values = np.array(list(itertools.product((0, 1), repeat=8)))
    functions = np.concatenate([values, np.zeros((256, POINTS - 8), int)], axis=1)
    every = Prior(np.sort(codes_of(functions)), np.ones(256, int))
    seen = balance(x, y, np.array([0, 3, 15]))
    assert uniform_mixture(seen, NOISE) == pytest.approx(mixtures(every, every.weights[None], seen, NOISE)[0])


def test_a_permutation_of_the_inputs_changes_no_regret(prior, drawn, rng):
    moved = rng.permutation(POINTS)
    other = Prior.counted(drawn[:, moved] > 0)
    truth = functions_of(prior.codes[5]).astype(float)
    seen = balance(*stream_of(truth, 30, rng), np.array([10, 30]))
    found, changed = (
        regrets(mixtures(p, p.weights[None], s, NOISE), f[None], s[None], NOISE)
        for p, f, s in ((prior, truth, seen), (other, truth[moved], seen[:, moved]))
    )
    assert found == pytest.approx(changed)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_an_orbit_is_closed_and_its_size_divides_that_of_the_group(code):
    found = orbit(functions_of(code))
    assert code in found
    assert 7680 % len(found) == 0
    assert (orbit(functions_of(found[-1])) == found).all()


def test_random_networks_have_functions_of_an_orbit_equally_often(prior):
    counts = prior.count(orbit((INPUTS[:, 0] > 0).astype(int)))  # one bit, or its complement: ten functions
    assert len(counts) == 10
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 30  # chi-squared with nine degrees of freedom


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10_000))
def test_no_regret_exceeds_the_bounds(prior, code, seed):
    truth, rng = functions_of(code).astype(float), np.random.default_rng(seed)
    x, y = stream_of(truth, 60, rng)
    seen = balance(x, y, np.array([1, 10, 60]))
    own = 1e-6
    mixture = mixtures(prior, prior.weights[None], seen, NOISE)[0]
    mixture += (own - prior.count(code) / prior.counts.sum()) * np.exp(-odds(NOISE) * (seen @ truth))
    regret = regrets(mixture[None], truth[None], seen[None], NOISE)[0]
    bounds = ball_bounds(prior, own, truth, (0, 3, 12), seen, NOISE)
    assert bounds[0] == pytest.approx(-np.log(own))
    assert (regret <= bounds + 1e-9).all()


def test_the_mean_regret_is_at_most_the_resolvability(prior, rng):
    truth, times = functions_of(prior.codes[100]).astype(float), np.array([5, 20])
    own = prior.count(prior.codes[100]) / prior.counts.sum()
    seen = np.stack([balance(*stream_of(truth, 20, rng), times) for _ in range(300)])
    mixture = mixtures(prior, prior.weights[None], seen.reshape(-1, POINTS), NOISE).reshape(300, 2)
    mean = regrets(mixture, np.tile(truth, (300, 1)), seen, NOISE).mean(axis=0)
    limit = resolvability(mass_by_distance(prior, np.array([own]), truth[None]), times, NOISE)[0]
    assert (mean <= limit).all()
    assert (limit <= -np.log(own) + 1e-12).all()


def test_the_divergence_is_that_of_two_coins_where_functions_differ():
    p = np.array([1 - NOISE, NOISE])
    assert divergence(8, NOISE) == pytest.approx(0.25 * (p * np.log(p / p[::-1])).sum())


def test_masses_by_distance_are_those_of_a_loop(prior):
    truths = functions_of(prior.codes[[0, 40]]).astype(float)
    found = mass_by_distance(prior, np.array([0.5, 0.25]), truths)
    assert list(found[:, 0]) == [0.5, 0.25]
    for row, truth in zip(found, truths, strict=True):
        for distance in (1, 7, 30):
            near = np.abs(functions_of(prior.codes) - truth).sum(axis=1) == distance
            assert row[distance] == pytest.approx(prior.weights[near].sum())


def test_teachers_are_of_different_orbits_and_spaced_in_their_weight(prior, drawn, rng):
    found = spaced(prior, drawn[:200] > 0, 5, 10)
    assert len({int(orbit(one.astype(int))[0]) for one in found}) == len(found)
    weights = [-np.log(prior.orbit_weight(one.astype(int))) for one in found]
    assert spearmanr(weights, range(len(weights))).statistic > 0.8
    known = teachers(prior, 8, 5, 10, rng)
    assert list(known.drawn).count(False) == 3
    assert known.kinds[0] == DRAWN
    assert minority(known.functions)[5] == 16  # parity


# The mass of a function.


def test_the_evidence_is_the_plain_mean_over_draws(rng):
    outputs, truths = rng.standard_normal((50, POINTS)) / 5, rng.integers(0, 2, (3, POINTS)).astype(float)
    found, effective = evidence.evidence(outputs, truths)
    for value, count, truth in zip(found, effective, truths, strict=True):
        u = np.exp(-np.log1p(np.exp(-4 * (2 * truth - 1) * outputs)).sum(axis=1))
        assert value == pytest.approx(-np.log(u.mean()))
        assert count == pytest.approx(u.sum() ** 2 / (u**2).sum())


def test_the_evidence_by_draws_is_that_of_thermodynamic_integration(rng):
    """Log Z = −∫₀¹ E_β[loss] dβ, the expectations by a Metropolis chain whose steps keep the prior."""
    truth = np.zeros((1, POINTS))
    exact, effective = evidence.evidence(drawn_outputs(8, 40_000, rng), truth)
    assert effective > 1000
    stack = evidence.Stack(np.zeros((150, POINTS)), 8)
    means, betas = [], np.linspace(0, 1, 25) ** 4
    theta = rng.standard_normal((150, 57))
    losses = stack.losses(theta)
    for beta in betas:
        kept = []
        for step in range(80):
            tried = 0.8 * theta + 0.6 * rng.standard_normal(theta.shape)
            new = stack.losses(tried)
            taken = np.log(rng.random(150)) < beta * (losses - new)
            theta[taken], losses[taken] = tried[taken], new[taken]
            if step >= 30:
                kept.append(losses.mean())
        means.append(np.mean(kept))
    assert np.trapezoid(means, betas) == pytest.approx(float(exact[0]), abs=0.1)


def torch_loss(theta, signs, width):
    """The summed loss of one network, by PyTorch."""
    w, b, v, c = torch.split(theta, [5 * width, width, width, 1])
    x = torch.from_numpy(INPUTS)
    hidden = torch.relu(x @ w.reshape(width, 5).T / 5**0.5 + b / 2)
    z = hidden @ v / width**0.5 + c / 2
    return torch.nn.functional.softplus(-4 * torch.from_numpy(signs) * z).sum(), z


def test_loss_gradient_and_gauss_newton_are_those_of_pytorch(rng):
    truths, theta = rng.integers(0, 2, (2, POINTS)).astype(float), rng.standard_normal((2, 29))
    stack = evidence.Stack(truths, 4)
    losses, gradients = stack.gradient(theta)
    rows = stack.gauss_newton(theta)
    sharp = stack.sharpness(theta)
    assert stack.losses(theta) == pytest.approx(losses)
    for r in range(2):
        signs, point = stack.signs[r], torch.from_numpy(theta[r]).requires_grad_()
        loss = torch_loss(point, signs, 4)[0]
        assert losses[r] == pytest.approx(loss.item())
        assert gradients[r] == pytest.approx(torch.autograd.grad(loss, point)[0].numpy())
        jacobian = torch.func.jacrev(lambda t, s=signs: torch_loss(t, s, 4)[1])(torch.from_numpy(theta[r]))
        z = torch_loss(torch.from_numpy(theta[r]), signs, 4)[1].requires_grad_()
        curvature = torch.func.hessian(
            lambda out, s=signs: torch.nn.functional.softplus(-4 * torch.from_numpy(s) * out).sum()
        )(z)
        matrix = (jacobian.T @ curvature @ jacobian).detach().numpy()
        assert rows[r].T @ rows[r] == pytest.approx(matrix)
        assert sharp[r] == pytest.approx(0.5 * np.log1p(np.linalg.eigvalsh(matrix).clip(0)).sum())


def test_gauss_newton_is_the_hessian_in_the_weights_that_the_output_is_linear_in(rng):
    truth, theta = rng.integers(0, 2, (1, POINTS)).astype(float), rng.standard_normal((1, 29))
    stack = evidence.Stack(truth, 4)
    rows = stack.gauss_newton(theta)[0][:, 24:]
    fixed, last = torch.from_numpy(theta[0, :24]), torch.from_numpy(theta[0, 24:])
    hessian = torch.func.hessian(lambda t: torch_loss(torch.cat([fixed, t]), stack.signs[0], 4)[0])(last)
    assert rows.T @ rows == pytest.approx(hessian.numpy())


def test_laplace_is_near_the_integral_over_one_weight():
    """A network of which only the output bias c is free, and learns a constant function, against quadrature."""

    def density(c):
        return np.exp(-POINTS * np.log1p(np.exp(-4 * c / 2))) * norm.pdf(c)

    exact = -np.log(quad(density, -12, 12)[0])
    stack = evidence.Stack(np.ones((1, POINTS)), 1)
    theta, slope = np.zeros((1, 8)), np.inf
    while abs(slope) > 1e-9:  # Newton's steps on c
        slope = stack.gradient(theta)[1][0, -1] + theta[0, -1]
        theta[0, -1] -= slope / (1 + (stack.gauss_newton(theta)[0][:, -1] ** 2).sum())
    laplace = stack.losses(theta)[0] + 0.5 * theta[0, -1] ** 2
    laplace += 0.5 * np.log1p((stack.gauss_newton(theta)[0][:, -1] ** 2).sum())
    assert laplace == pytest.approx(exact, abs=0.1)


def test_the_ascent_ends_at_a_maximum_of_the_posterior_and_matching_at_the_loss(rng):
    truth = (INPUTS[:, 0] > 0).astype(float)
    stack = evidence.Stack(np.stack([truth, truth]), 8)
    top = evidence.posterior_maxima(stack, rng.standard_normal((2, 57)), 1500)

    def potential(theta):
        return stack.losses(theta) + 0.5 * (theta**2).sum(axis=1)

    for _ in range(50):  # kinks of the ReLU leave no gradient that is zero
        assert (potential(top + 0.01 * rng.standard_normal(top.shape)) > potential(top)).all()
    low, reached = evidence.matched(stack, top, 0.02, 3000)
    assert reached.all()
    assert stack.losses(low) / POINTS == pytest.approx(0.02, rel=0.02)


# Chains and descents.


def networks_of(rng, count=1):
    inputs = rng.standard_normal((count, 12, 6)).astype(np.float32)
    return chains.Networks((6, 5, 4, 3), inputs, rng.integers(0, 3, (count, 12)))


def test_the_gradient_of_the_classifier_is_that_of_pytorch(rng):
    networks = networks_of(rng, 2)
    theta = rng.standard_normal((2, networks.size))
    losses, gradients = networks.gradient(theta)
    for r in range(2):
        point, start, x = torch.from_numpy(theta[r]).requires_grad_(), 0, torch.from_numpy(networks.inputs[r]).double()
        for before, after in itertools.pairwise(networks.widths):
            weight = point[start : start + before * after].reshape(after, before) * (2 / before) ** 0.5
            x, start = (torch.relu(x) if start else x) @ weight.T, start + before * after
        loss = torch.nn.functional.cross_entropy(x, torch.from_numpy(networks.labels[r]))
        assert losses[r] == pytest.approx(loss.item())
        assert gradients[r] == pytest.approx(12 * torch.autograd.grad(loss, point)[0].numpy())


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_langevin_dynamics_on_a_quadratic_has_the_covariance_of_the_lyapunov_equation(temperature, rng):
    hessian, rate = np.array([[2.0, 0.7], [0.7, 1.0]]), 0.2
    moved = np.eye(2) - rate / 2 * hessian
    exact = solve_discrete_lyapunov(moved, rate * temperature * np.eye(2))
    theta, total = np.zeros((2000, 2)), np.zeros((2, 2))
    for step in range(400):
        theta = chains.langevin(
            theta, theta @ hessian, rate, np.full(2000, temperature), rng.standard_normal((2000, 2))
        )
        total += theta.T @ theta / 2000 / 300 if step >= 100 else 0
    assert total == pytest.approx(exact, abs=0.02)
    assert exact == pytest.approx(temperature * np.linalg.inv(hessian), rel=0.2)  # that of small steps


def test_two_step_sizes_sample_one_posterior(rng):
    networks = networks_of(rng, 40)
    found = []
    for rate, steps in ((0.02, 400), (0.01, 800)):
        generators = [np.random.default_rng(1000 + place) for place in range(40)]
        samples = chains.sampled(networks, generators, np.ones(40), rate, steps, 50)
        found.append(np.mean([losses.mean() for _, losses in samples]))
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_a_chain_alone_is_the_same_in_a_stack(rng):
    networks = networks_of(rng, 3)

    def samples(chosen):
        part = chains.Networks(networks.widths, networks.inputs[chosen], networks.labels[chosen])
        generators = [np.random.default_rng(place) for place in chosen]
        return list(chains.sampled(part, generators, np.array([0.1, 1.0, 0.3])[chosen], 0.01, 20, 2))

    for (alone, _), (together, _) in zip(samples([1]), samples([0, 1, 2]), strict=True):
        assert (alone[0] == together[1]).all()


def test_samples_are_as_many_as_asked_for_and_the_last_is_of_the_last_step(rng):
    networks = networks_of(rng)
    found = list(chains.sampled(networks, [np.random.default_rng(0)], np.ones(1), 0.01, 8, 4))
    assert len(found) == 4
    assert not (found[0][0] == found[1][0]).all()


def test_descents_stop_where_their_loss_first_comes_to_each_target(rng):
    networks = networks_of(rng)
    starts = rng.standard_normal((3, networks.size))
    ends, losses = chains.descended(networks, starts, np.array([0.5, 0.8, -1.0]), 0.05, 4000)
    assert (losses[0] <= 0.5).all()
    assert losses[0] == pytest.approx(0.5, rel=0.02)
    assert np.isnan(losses[2]).all()
    assert np.isnan(ends[2]).all()
    assert networks.gradient(ends[1])[0] == pytest.approx(losses[1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_a_mixture_is_no_worse_than_its_members_on_average(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.standard_normal((4, 7, 3)), rng.integers(0, 3, 7)
    found = chains.by_members(logits, labels)
    assert list(found) == [1, 2, 4]
    assert found[4] <= found[2] + 1e-12 <= found[1] + 2e-12
    plain = torch.nn.functional.cross_entropy(torch.from_numpy(logits[0]), torch.from_numpy(labels)).item()
    assert chains.mixture_nll(logits[:1], labels) == pytest.approx(plain)


def test_only_chains_and_their_descents_have_a_temperature():
    found = {
        name: canonical({"method": name, "temperature": 0.3})["temperature"]
        for name in STUDY.settings["method"].choices
    }
    assert found == {"functions": 0.0, "sgld": 0.3, "descent": 0.3, "late": 0.0}


def test_values_that_do_not_go_together_are_told():
    asked = {"train_size": 50, "main_width": 16, "widths": [8], "members": 3, "chain_steps": 100}
    asked["experiments"] = {"odd": {"method": "sgld", "temperature": 0.0}}
    found = list(problems({"universality_lens": asked, "data": {"pool": {"count": 40}}}))
    assert [text.split(":")[0].split(".", 1)[1] for text in found] == [
        "train_size",
        "main_width",
        "members",
        "experiments.odd.temperature",
    ]
