"""Two oracles per number: closed form, brute force, automatic differentiation or another solver; laws by hypothesis."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from awduality.errors import InputError
from studies.flattest_interpolators.data import draw, spectrum, target
from studies.flattest_interpolators.experiment import programmed
from studies.flattest_interpolators.flatness import (
    Network,
    balanced_trace,
    costs,
    free_flatness,
    idle,
    raw_trace,
    unit_terms,
)
from studies.flattest_interpolators.programs import Program, best_in_cones, dictionary, refined, worst
from studies.flattest_interpolators.study import STUDY, canonical, problems
from studies.flattest_interpolators.tables import with_reference
from studies.flattest_interpolators.training import (
    Recipe,
    adam,
    finished,
    gradients,
    initial,
    jacobian,
    random_features,
)

SEEDS = st.integers(0, 2**32 - 1)


def a_network(generator, hidden=5, d=3):
    return Network(generator.standard_normal((hidden, d)), generator.standard_normal(hidden))


def a_task(seed, d=2, n=14, sd=0.0, product=0.0):
    return draw(np.random.default_rng(seed), "isotropic", d, n, sd, product, 200)


def a_program(task, count=200, seed=0):
    directions = dictionary(task.x.shape[1], count, np.random.default_rng(seed), task.teacher.w)
    directions = directions[costs(directions, task.x) > 0]
    return directions, Program.of(directions, task.x, task.y)


def as_vector(network):
    return torch.from_numpy(np.concatenate([network.w.ravel(), network.a]))


def loss_of(network, x, y):
    shape = network.w.shape

    def loss(vector):
        w, a = vector[: network.w.size].reshape(shape), vector[network.w.size :]
        outputs = torch.relu(torch.from_numpy(x) @ w.T) @ a
        return ((outputs - torch.from_numpy(y)) ** 2).mean() / 2

    return loss


def test_the_trace_is_that_of_the_dense_hessian_at_an_interpolator(rng):
    network, x = a_network(rng), rng.standard_normal((20, 3))
    hessian = torch.func.hessian(loss_of(network, x, network(x)))(as_vector(network))
    assert raw_trace(network, x) == pytest.approx(torch.trace(hessian).item())


def test_the_trace_is_the_mean_of_hutchinsons_estimates(rng):
    network, x = a_network(rng), rng.standard_normal((20, 3))
    gradient = torch.func.grad(loss_of(network, x, network(x)))
    at = as_vector(network)
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], (1500, len(at))))
    found = torch.func.vmap(lambda v: v @ torch.func.jvp(gradient, (at,), (v,))[1])(signs)
    assert found.mean().item() == pytest.approx(raw_trace(network, x), abs=5 * found.std().item() / 1500**0.5)


def test_away_from_interpolation_the_hessian_has_another_trace(rng):
    network, x = a_network(rng), rng.standard_normal((20, 3))
    hessian = torch.func.hessian(loss_of(network, x, network(x) + 1))(as_vector(network))
    spread = hessian - torch.func.hessian(loss_of(network, x, network(x)))(as_vector(network))
    assert spread.abs().max() > 0.01


def test_no_rescaling_has_a_smaller_trace_than_s_star_and_one_has_it(rng):
    network, x = a_network(rng), rng.standard_normal((20, 3))
    found = minimize(lambda logs: raw_trace(network.rescaled(np.exp(logs)), x), np.zeros(5), method="BFGS", tol=1e-10)
    assert found.fun == pytest.approx(free_flatness(network, x))
    a_term, b_term = unit_terms(network.w, x)
    best = (network.a**2 * b_term / a_term) ** 0.25
    assert raw_trace(network.rescaled(best), x) == pytest.approx(free_flatness(network, x))


@given(SEEDS)
def test_s_star_and_the_balanced_trace_do_not_change_where_the_function_does_not(seed):
    generator = np.random.default_rng(seed)
    network, x = a_network(generator), generator.standard_normal((9, 3))
    other = network.rescaled(np.exp(generator.uniform(-3, 3, 5)))
    order = generator.permutation(5)
    other = Network(other.w[order], other.a[order])
    split = Network(np.concatenate([other.w, other.w]), np.concatenate([0.3 * other.a, 0.7 * other.a]))
    for same in (other, split):
        assert same(x) == pytest.approx(network(x))
        assert free_flatness(same, x) == pytest.approx(free_flatness(network, x))
        assert balanced_trace(same, x) == pytest.approx(balanced_trace(network, x))
        assert free_flatness(same, x) <= raw_trace(same, x) * (1 + 1e-12)
        assert free_flatness(same, x) <= balanced_trace(same, x) * (1 + 1e-12)


def test_the_balanced_form_has_equal_norms(rng):
    network, x = a_network(rng), rng.standard_normal((9, 3))
    by_hand = network.rescaled(np.sqrt(np.abs(network.a) / np.linalg.norm(network.w, axis=1)))
    assert np.linalg.norm(by_hand.w, axis=1) == pytest.approx(np.abs(by_hand.a))
    assert balanced_trace(network, x) == pytest.approx(raw_trace(by_hand, x))


def test_for_gaussian_inputs_the_cost_of_a_unit_is_the_root_of_the_dimension(rng):
    w = rng.standard_normal((3, 20))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    assert costs(w, rng.standard_normal((100_000, 20))) == pytest.approx(20**0.5, rel=0.02)


def test_units_active_on_no_sample_are_counted():
    x = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert idle(Network(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([1.0, 1.0])), x) == 1


def test_rescaling_by_a_negative_number_is_refused(rng):
    with pytest.raises(InputError, match="positive"):
        a_network(rng).rescaled(-np.ones(5))


def test_samples_are_nested_and_noise_is_shared():
    few, many = (a_task(3, n=n) for n in (10, 20))
    assert (many.x[:10] == few.x).all()
    assert (many.y_test == few.y_test).all()
    one, two = (a_task(3, sd=sd) for sd in (0.1, 0.2))
    assert two.y - one.y == pytest.approx(one.y - a_task(3).y)
    assert sorted(one.y_wrong) == pytest.approx(sorted(target(one.x_wrong, one.teacher.w, 0.0)))
    assert one.error(one.y_test) == 0
    assert one.error(np.full(200, one.y_test.mean())) == pytest.approx(1)


def test_the_teacher_is_a_network_with_two_orthonormal_units_and_inputs_have_their_spectrum():
    task = draw(np.random.default_rng(0), "anisotropic", 6, 4000, 0.0, 0.0, 10)
    assert task.teacher.w @ task.teacher.w.T == pytest.approx(np.eye(2), abs=1e-12)
    assert task.teacher(task.x) == pytest.approx(task.y)
    assert task.x.var(axis=0) == pytest.approx(spectrum("anisotropic", 6), rel=0.1)
    with pytest.raises(InputError, match="isotropic or anisotropic"):
        spectrum("round", 3)
    with pytest.raises(InputError, match="at least 2"):
        a_task(0, d=1)


def test_the_program_interpolates_and_its_dual_has_the_same_value():
    task = a_task(1, sd=0.1)
    directions, program = a_program(task)
    a, dual = program.flattest()
    network = Network(directions, a)
    assert network(task.x) == pytest.approx(task.y)
    assert free_flatness(network, task.x) == pytest.approx(dual @ task.y)
    assert (np.abs(program.features.T @ dual) <= program.cost * (1 + 1e-7)).all()


def test_the_program_is_brute_force_over_pairs_where_two_samples_are_fitted():
    task = a_task(5, n=2)
    _, program = a_program(task, count=60)
    a, _ = program.flattest()
    values = []
    for pair in itertools.combinations(range(len(program.cost)), 2):
        features = program.features[:, pair]
        if abs(np.linalg.det(features)) > 1e-9:
            values.append(np.abs(np.linalg.solve(features, task.y)) @ program.cost[list(pair)])
    assert np.abs(a) @ program.cost == pytest.approx(min(values))


def test_reweighted_least_squares_comes_to_the_same_from_every_start():
    task = a_task(2, n=6, sd=0.1)
    _, program = a_program(task, count=60)
    least = np.abs(program.flattest()[0]) @ program.cost
    found = []
    for seed in range(20):
        weight = np.random.default_rng(seed).uniform(0.5, 1.5, len(program.cost))
        for _ in range(500):
            scaled = program.features * weight
            a = weight * (scaled.T @ np.linalg.lstsq(scaled @ scaled.T, task.y, rcond=None)[0])
            weight = np.sqrt((np.abs(a) + 1e-12) / program.cost)
        assert program.features @ a == pytest.approx(task.y, abs=1e-6)
        found.append(np.abs(a) @ program.cost)
    assert min(found) >= least * (1 - 1e-6)
    assert max(found) <= least * 1.01


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.1]), st.integers(6, 30))
def test_refined_in_two_dimensions_the_optimum_is_certified_and_no_direction_breaks_the_bound(seed, sd, n):
    task = a_task(seed, n=n, sd=sd)
    directions = dictionary(2, 100, np.random.default_rng(seed), task.teacher.w)
    found = refined(directions[costs(directions, task.x) > 0], task.x, task.y)
    program = Program.of(found, task.x, task.y)
    a, dual = program.flattest()
    _, ratios = best_in_cones(dual, task.x)
    assert np.abs(a) @ program.cost <= (dual @ task.y) * (1 + 1e-6)
    assert ratios.max() <= 1.001
    many = dictionary(2, 20_000, np.random.default_rng(1), task.teacher.w)
    cost = costs(many, task.x)
    some = many[cost > 0]
    brute = np.abs(dual @ np.maximum(task.x @ some.T, 0)) / cost[cost > 0]
    assert brute.max() <= ratios.max() * (1 + 1e-3)


def test_a_finer_dictionary_does_not_change_the_optimum():
    task = a_task(4, n=24, sd=0.1)
    values = []
    for count in (200, 1500):
        directions = refined(dictionary(2, count, np.random.default_rng(count), task.teacher.w), task.x, task.y)
        program = Program.of(directions, task.x, task.y)
        values.append(np.abs(program.flattest()[0]) @ program.cost)
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_cones_are_listed_in_two_dimensions_only():
    with pytest.raises(InputError, match="two dimensions"):
        best_in_cones(np.ones(4), np.ones((4, 3)))


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(0.1, 10))
def test_the_smallest_flatness_scales_with_the_labels_is_convex_in_them_and_never_falls_with_samples(seed, factor):
    task, generator = a_task(seed, n=12, sd=0.1), np.random.default_rng(seed)
    directions, _ = a_program(task)

    def least(y, n=12):
        some = directions[costs(directions, task.x[:8]) > 0]
        program = Program.of(some, task.x[:n], y[:n])
        return np.abs(program.flattest()[0]) @ program.cost

    other = task.y + generator.standard_normal(12)
    assert least(factor * task.y) == pytest.approx(factor * least(task.y), rel=1e-6)
    assert least((task.y + other) / 2) <= (least(task.y) + least(other)) / 2 * (1 + 1e-6)
    assert 8 * least(task.y, 8) <= 12 * least(task.y) * (1 + 1e-6)


def test_the_worst_is_within_the_budget_rises_and_is_worse_than_random_interpolators_there(rng):
    task = a_task(7, n=10)
    directions, program = a_program(task, count=80)
    flattest, _ = program.flattest()
    budget = 3 * np.abs(flattest) @ program.cost
    outside = np.maximum(task.x_test @ directions.T, 0)
    a, errors = worst(program, outside, task.y_test, budget, np.arange(8), 4)
    assert program.features @ a == pytest.approx(task.y)
    assert np.abs(a) @ program.cost <= budget * (1 + 1e-7)
    assert errors == sorted(errors)
    assert errors[-1] == pytest.approx(np.mean((outside @ a - task.y_test) ** 2))
    null = np.linalg.svd(program.features)[2][len(task.y) :]
    here, visited = flattest.copy(), []
    for _ in range(400):  # hit-and-run: along a random feasible line, uniformly within the budget
        step = rng.standard_normal(len(null)) @ null
        ends = []
        for sign in (1, -1):
            low, high = 0.0, 1e3
            for _ in range(40):
                middle = (low + high) / 2
                inside = np.abs(here + sign * middle * step) @ program.cost <= budget
                low, high = (middle, high) if inside else (low, middle)
            ends.append(sign * low)
        here = here + rng.uniform(min(ends), max(ends)) * step
        visited.append(np.mean((outside @ here - task.y_test) ** 2))
    assert max(visited) <= errors[-1]
    assert max(visited) > 0


def test_a_budget_below_the_least_and_a_dictionary_too_small_are_refused():
    task = a_task(7)
    _, program = a_program(task)
    least = np.abs(program.flattest()[0]) @ program.cost
    with pytest.raises(InputError, match="budget"):
        program.furthest(np.ones(len(program.cost)), 0.5 * least)
    with pytest.raises(InputError, match="more directions"):
        Program(program.features[:, :3], program.cost[:3], task.y).flattest()


@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_gradients_are_those_of_automatic_differentiation(penalty, rng):
    network, x, y = a_network(rng), rng.standard_normal((8, 3)), rng.standard_normal(8)
    weights = np.array([1.0] * 5 + [0.3] * 3)
    w, a = (torch.from_numpy(value).requires_grad_() for value in (network.w, network.a))
    before = torch.from_numpy(x) @ w.T
    residual = torch.relu(before) @ a - torch.from_numpy(y)
    loss = (torch.from_numpy(weights) * residual**2).sum() / 10
    active = (before[:5] > 0).double()
    lengths = torch.from_numpy((x[:5] ** 2).sum(axis=1))
    trace = (torch.relu(before[:5]) ** 2).sum() / 5 + (a**2 * (lengths @ active)).sum() / 5
    (loss + penalty * trace).backward()
    by_w, by_a = gradients(network, x, y, weights, 5, penalty)
    assert by_w == pytest.approx(w.grad.numpy())
    assert by_a == pytest.approx(a.grad.numpy())
    assert trace.item() == pytest.approx(raw_trace(network, x[:5]))


def test_adam_takes_the_steps_of_pytorchs(rng):
    network, x, y = a_network(rng), rng.standard_normal((8, 3)), rng.standard_normal(8)
    found = adam(network, (x, y), (x, y), Recipe(30, 0.02))
    w, a = (torch.from_numpy(value.copy()).requires_grad_() for value in (network.w, network.a))
    optimiser = torch.optim.Adam([w, a], lr=0.02)
    for step in range(1, 31):
        optimiser.param_groups[0]["lr"] = 0.02 * (1 - 0.99 * step / 30)
        optimiser.zero_grad()
        (((torch.relu(torch.from_numpy(x) @ w.T) @ a - torch.from_numpy(y)) ** 2).mean() / 2).backward()
        optimiser.step()
    assert found.w == pytest.approx(w.detach().numpy(), rel=1e-6)
    assert found.a == pytest.approx(a.detach().numpy(), rel=1e-6)


def test_the_jacobian_is_the_derivative_of_the_outputs(rng):
    network, x = a_network(rng), rng.standard_normal((4, 3))
    found = jacobian(network, x)
    for place, direction in enumerate(np.eye(found.shape[1])):
        moved = Network(network.w + 1e-6 * direction[:15].reshape(5, 3), network.a + 1e-6 * direction[15:])
        assert (moved(x) - network(x)) / 1e-6 == pytest.approx(found[:, place], abs=1e-4)


def test_training_ends_at_an_interpolator_and_never_above_where_it_was(rng):
    task = a_task(3, d=4, n=20)
    start = initial(rng, 40, 4, 1.0)
    network = finished(adam(start, (task.x, task.y), (task.x, task.y), Recipe(200, 0.02)), task.x, task.y, 1e-14)
    assert np.mean((network(task.x) - task.y) ** 2) / 2 <= 1e-14
    stuck = finished(Network(np.zeros((2, 4)), np.zeros(2)), task.x, task.y, 1e-14)
    assert np.mean((stuck(task.x) - task.y) ** 2) <= np.mean(task.y**2)


def test_random_features_have_the_output_weights_of_least_norm(rng):
    task = a_task(3, d=4, n=20)
    network = random_features(rng, task.x, task.y, 100)
    features = np.maximum(task.x @ network.w.T, 0)
    assert features @ network.a == pytest.approx(task.y)
    assert network.a == pytest.approx(np.linalg.pinv(features) @ task.y)


def test_the_flattest_interpolator_is_no_sharper_than_the_teacher_nor_than_random_features(rng):
    asked = {"directions": 100, "random_directions": 300}
    for d in (2, 3):
        task = a_task(11, d=d, n=24)
        network, known = programmed("flattest", 1.0, asked, task, rng)
        least = free_flatness(network, task.x)
        assert least == pytest.approx(known["least"])
        assert least <= free_flatness(task.teacher, task.x) * (1 + 1e-9)
        if d == 2:
            assert known["uncertified"] <= 1e-3
            assert least <= free_flatness(random_features(rng, task.x, task.y, 100), task.x) * (1 + 1e-3)


def test_what_an_arm_does_not_use_is_neutral():
    given = {name: setting.neutral for name, setting in STUDY.settings.items()}
    given |= {"arm": "adversary", "wrong_weight": 0.3, "scale": 2.0, "factor": 5.0}
    found = canonical(given)
    assert (found["wrong_weight"], found["scale"], found["factor"]) == (0.3, 0.0, 1.0)


def test_experiments_that_lack_what_their_arm_needs_are_refused():
    experiments = {"one": {"arm": ["plain", "worst"], "dimensions": [1, 2], "factor": 0.5}}
    found = list(problems({"flattest_interpolators": {"experiments": experiments}}))
    assert [words.split(":")[0].rsplit(".", 1)[1] for words in found] == ["scale", "factor", "dimensions"]


def test_the_reference_is_the_smallest_known_and_the_nearest_is_the_flattest_of_the_bad():
    head = {"inputs": "isotropic", "dimensions": 20, "samples": 9, "noise": 0.0, "product": 0.0, "seed": 0}
    head |= {"ended": "converged", "teacher_free": "10", "least": ""}
    cases = [("plain", "20", "0.2"), ("plain", "12", "0.01"), ("random", "30", "0.3"), ("flat", "9", "0.0")]
    cases += [("adversary", "15", "0.5"), ("adversary", "14", "0.05")]
    rows = [
        {**head, "run": str(place), "arm": arm, "free": free, "test_error": error}
        for place, (arm, free, error) in enumerate(cases)
    ]
    rows.append({**rows[0], "run": "left out", "free": "11", "ended": "budget"})
    found = with_reference(rows, 0.1)
    assert {row["reference"] for row in found} == {9.0}
    assert [row["run"] for row in found if row["nearest"] == "yes"] == ["0", "4"]
    assert [row["generalises"] for row in found] == ["no", "yes", "no", "yes", "no", "yes", "no"]
    assert found[0]["over_reference"] == pytest.approx(20 / 9)
    noisy = with_reference([{**row, "noise": 0.1} for row in rows if row["arm"] == "plain"], 0.1)
    assert {row["reference"] for row in noisy} == {""}
