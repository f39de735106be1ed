"""Training against torch's autograd, spectra against each other, paths and readings against what is known by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from awduality.curvature.network_hessian import NetworkHessian
from awduality.data.sources import load
from awduality.data.splits import split_arrays
from awduality.duality.nulls import balanced
from awduality.files import write_arrays
from awduality.layers import by_layer
from awduality.runs import Run
from awduality.study.step import Job
from studies.hessian_spectrum import basins, experiment, spectra, tables
from studies.hessian_spectrum.data import FEATURES, clusters, pooled
from studies.hessian_spectrum.solutions import measured, whole_trace
from studies.hessian_spectrum.stack import descend, epochs, gradients, he_init, mean_losses, one_hot, stacked

SHARED = {
    "samples": 200,
    "cluster_samples": 60,
    "cluster_steps": 300,
    "max_steps": 4000,
    "target_loss": 0.5,
    "levels": [1.5, 0.5],
    "continued": 8,
    "bending": 5,
    "root_seed": 3,
}


def rng(seed=0):
    return np.random.default_rng(seed)


def problem(widths=(4, 6, 5, 3), samples=40, runs=3, biases=True):
    """A stack, inputs (1, n, N), targets (1, k, N), and labels (N,)."""
    networks = [he_init(widths, biases, rng(run)) for run in range(runs)]
    labels = np.arange(samples) % widths[-1]
    inputs = rng(9).standard_normal((1, widths[0], samples)).astype(np.float32)
    return stacked(networks), inputs, one_hot(labels, widths[-1])[None], labels


def network_of(layers, row):
    return spectra.network([layer[row] for layer in layers])


@pytest.mark.parametrize("biases", [True, False])
def test_losses_and_gradients_of_a_stack_are_autograds_of_every_network(biases):
    layers, inputs, targets, labels = problem(biases=biases)
    losses, slopes = gradients(layers, inputs, targets)
    x, y = torch.from_numpy(inputs[0].T.copy()), torch.from_numpy(labels)
    for row in range(3):
        model = network_of(layers, row)
        loss = cross_entropy(model(x), y)
        loss.backward()
        assert losses[row] == pytest.approx(loss.item(), rel=1e-5)
        for slope, module in zip(slopes, [part for part in model if hasattr(part, "weight")], strict=True):
            expected = module.weight.grad.numpy()
            if biases:
                expected = np.hstack([expected, module.bias.grad.numpy()[:, None]])
            np.testing.assert_allclose(slope[row], expected, atol=1e-6)


def test_descent_is_that_of_torchs_optimizer():
    layers, inputs, targets, labels = problem()
    courses = descend(layers, inputs, targets, [0.1, 0.3, 0.2], steps=20)
    x, y = torch.from_numpy(inputs[0].T.copy()), torch.from_numpy(labels)
    for row, rate in enumerate([0.1, 0.3, 0.2]):
        model = network_of(layers, row)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        for _ in range(20):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
        assert courses[row].ended == "budget"
        assert courses[row].loss == pytest.approx(cross_entropy(model(x), y).item(), rel=1e-4)


def test_levels_are_kept_where_they_are_first_passed_and_a_run_stops_at_the_last():
    layers, inputs, targets, _ = problem()
    for course in descend(layers, inputs, targets, [0.3] * 3, steps=5000, levels=[0.8, 0.4]):
        assert course.ended == "converged"
        assert course.levels[0.8][0] < course.levels[0.4][0] == course.steps
        for level, (step, loss, weights) in course.levels.items():
            assert loss < level
            found = mean_losses(stacked([weights]), inputs, targets)[0]
            assert found == pytest.approx(loss, rel=1e-6), step


def test_a_network_in_a_stack_is_trained_as_by_itself_to_the_bit():
    layers, inputs, targets, _ = problem()

    def order(run):
        return epochs(40, 10, rng(20 + run))

    for small in (True, False):
        alone = descend(
            [layer[1:2] for layer in layers], inputs, targets, [0.2], 90, [0.5], 0, [order(1)] if small else (), 3
        )[0]
        batches = [order(run) for run in range(3)] if small else ()
        among = descend(layers, inputs, targets, [0.2] * 3, 90, [0.5], 0, batches, 3)[1]
        assert (among.steps, among.loss) == (alone.steps, alone.loss)
        assert all(np.array_equal(x, y) for x, y in zip(among.weights, alone.weights, strict=True))


def test_an_epoch_shows_every_sample_once():
    batches = epochs(20, 5, rng())
    for _ in range(2):
        assert sorted(np.concatenate([next(batches) for _ in range(4)])) == list(range(20))


def test_clusters_of_another_deviation_keep_their_centres_and_inputs_are_standardised():
    tight, wide = (clusters(4, deviation, 4000, rng(5)) for deviation in (1e-9, 1.0))
    assert np.array_equal(tight[1], wide[1])
    for inputs, _ in (tight, wide):
        assert inputs.shape == (4000, FEATURES)
        np.testing.assert_allclose(inputs.std(axis=0), 1, rtol=1e-4)
    means = np.stack([wide[0][wide[1] == k].mean(axis=0) for k in range(4)])
    centres = np.stack([tight[0][tight[1] == k].mean(axis=0) for k in range(4)])
    assert np.corrcoef(means.ravel(), centres.ravel())[0, 1] > 0.99


def test_pooling_is_the_mean_over_squares_of_four_pixels_and_leaves_small_images_alone():
    images = rng().standard_normal((3, 784)).astype(np.float32)
    found = pooled(images)
    assert found.shape == (3, 49)
    assert found[1, 7 * 2 + 3] == pytest.approx(images[1].reshape(28, 28)[8:12, 12:16].mean(), rel=1e-5)
    assert pooled(images[:, :64]) is not None
    assert np.array_equal(pooled(images[:, :64]), images[:, :64])


@given(
    outlying=st.lists(st.floats(5, 10), min_size=2, max_size=6),
    scale=st.floats(1e-3, 1e3),
)
def test_the_gap_index_counts_the_outliers_of_a_spectrum_with_one_gap_in_any_unit(outlying, scale):
    bulk = np.linspace(0.1, 0.09, 40)
    values = scale * np.concatenate([np.sort(outlying)[::-1], bulk])
    assert spectra.gap_index(values, 4) == len(outlying)
    assert spectra.outliers(values) == len(outlying)
    assert spectra.near_zero(values, 0.5) == pytest.approx(40 / len(values))


def test_of_two_gaps_the_first_counts_only_where_it_is_not_left_out():
    values = np.array([100.0, 2, 1.9, 1.8, 0.5, 0.49, 0.48])
    assert spectra.gap_index(values, 2, first=1) == 1
    assert spectra.gap_index(values, 2) == 4


def test_ranks_of_a_spectrum_of_equal_eigenvalues_are_their_number():
    found = spectra.summary(np.array([2.0] * 5 + [0.0] * 15), classes=5)
    assert found["stable_rank"] == found["effective_rank"] == 5
    assert found["zeros"] == found["zeros_loose"] == 0.75
    assert (found["outliers"], found["gap_index"], found["negative"]) == (5, 5, 0)


def trained_operator(widths=(8, 16, 16, 5), samples=120, biases=True):
    layers, inputs, targets, labels = problem(widths, samples, 1, biases)
    (course,) = descend(layers, inputs, targets, [0.2], 3000, [0.3])
    assert course.ended == "converged"
    return NetworkHessian(spectra.network(course.weights), (inputs[0].T.copy(), labels)), course.weights, labels


def test_products_alone_give_the_numbers_of_the_exact_spectrum():
    operator, _, _ = trained_operator()
    values, _ = spectra.exact(operator)
    exact = spectra.summary(values, 5)
    found, shown = spectra.density_summary(operator, 5, rng())
    for name in ("top_eigenvalue", "trace", "stable_rank"):
        assert found[name] == pytest.approx(exact[name], rel=1e-9), name
    for name in ("outliers", "gap_index", "gap_index_raw"):
        assert found[name] == exact[name], name
    share = exact["zeros"]
    assert found["zeros"] == pytest.approx(share, abs=4 * (2 * share * (1 - share) / (10 * len(values))) ** 0.5)
    assert found["effective_rank"] == pytest.approx(exact["effective_rank"], rel=0.02)
    np.testing.assert_allclose(shown[:20], values[:20], rtol=1e-9)
    assert np.all(np.diff(shown) <= 0)


def test_the_rank_of_the_gauss_newton_part_ends_at_its_bound_and_one_sample_more_would_pass_it():
    operator, _, _ = trained_operator()
    assert spectra.rank_excess(operator, 5) < 1e-12
    samples = operator.shape[0] // 8
    values = np.linalg.eigvalsh(operator.gauss_newton(samples + 1).numpy())[::-1]
    assert values[samples * 4] > 1e-12 * values[0]


def test_class_means_span_what_a_sum_over_samples_says():
    operator, _, labels = trained_operator()
    (basis,) = spectra.span_of_class_means(operator, [labels], 5)
    factors = np.concatenate([part.numpy() for _, part in operator.softmax_factors()])
    means = np.stack([factors[labels == k].mean(axis=0) for k in range(5)]).reshape(25, -1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    np.testing.assert_allclose(basis @ (basis.T @ means.T), means.T, atol=1e-10)
    assert spectra.overlap(basis[:, :3], basis) == pytest.approx(1)
    away = np.linalg.svd(basis)[0][:, -2:]
    assert spectra.overlap(away, basis) == pytest.approx(0, abs=1e-12)


def test_a_spectrum_does_not_change_when_hidden_units_are_permuted():
    operator, weights, labels = trained_operator(biases=False)
    inputs = problem((8, 16, 16, 5), 120, 1)[1]
    copy = basins.permuted(weights, rng(4))
    assert basins.distance(weights, copy) > 0.5
    other = NetworkHessian(spectra.network(copy), (inputs[0].T.copy(), labels))
    assert other.loss == pytest.approx(operator.loss, rel=1e-9)
    np.testing.assert_allclose(spectra.exact(other)[0], spectra.exact(operator)[0], atol=1e-9)


def test_of_one_solution_the_whole_bounds_the_layer_and_the_trace_is_the_sum_of_the_layers():
    operator, weights, labels = trained_operator(biases=False)
    inputs = problem((8, 16, 16, 5), 120, 1)[1][0].T.copy()
    found = measured(weights, (inputs, labels), (inputs[:60], labels[:60]), 5)
    values, _ = spectra.exact(operator)
    assert found["top_eigenvalue"] == pytest.approx(values[0], rel=1e-9)
    assert found["trace"] == pytest.approx(values.sum(), rel=1e-9)
    assert whole_trace(by_layer(weights), (inputs, labels)) == found["trace"]
    assert found["outliers"] == spectra.outliers(values)
    block = operator.dense()[operator.block("fc2.weight"), operator.block("fc2.weight")]
    assert found["layer_top_eigenvalue"] == pytest.approx(float(torch.linalg.eigvalsh(block)[-1]), rel=1e-9)
    assert found["layer_trace_share"] == pytest.approx(float(block.trace()) / values.sum(), rel=1e-9)
    assert found["interlacing_excess"] == 0
    even = [np.asarray(layer) for layer in balanced(by_layer(weights)).values()]
    again = NetworkHessian(spectra.network(even), (inputs, labels))
    assert found["top_eigenvalue_balanced"] == pytest.approx(spectra.exact(again)[0][0], rel=1e-6)


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30))
def test_a_barrier_is_never_negative_and_the_same_from_either_end(losses):
    losses = np.array(losses)
    found = basins.barrier(losses)
    assert found >= 0
    assert found == pytest.approx(basins.barrier(losses[::-1]), abs=1e-12)
    assert basins.barrier(losses + 3) == pytest.approx(found, abs=1e-12)


def test_a_path_begins_and_ends_at_its_solutions_and_a_trained_corner_lowers_it():
    layers, inputs, targets, _ = problem(biases=False)
    first, last = ([layer[row] for layer in layers] for row in (0, 1))
    ends = mean_losses(layers, inputs, targets)
    corners = basins.midpoint(first, last), basins.bent(first, last, inputs, targets, 200)
    straight, bent = (basins.path_losses(first, corner, last, inputs, targets) for corner in corners)
    for losses in (straight, bent):
        assert losses[[0, -1]] == pytest.approx(ends[:2], rel=1e-6)
    assert bent.mean() < straight.mean()
    direct = stacked([[x + 0.25 * (y - x) for x, y in zip(first, last, strict=True)]])
    assert straight[5] == pytest.approx(mean_losses(direct, inputs, targets)[0], rel=1e-5)


def test_the_corner_moves_against_the_gradient_of_the_mean_loss_of_the_path():
    layers, inputs, targets, labels = problem(biases=False)
    first, last = ([torch.from_numpy(layer[row]) for layer in layers] for row in (0, 1))
    corner = [((x + y) / 2).requires_grad_(True) for x, y in zip(first, last, strict=True)]
    x, y, places = torch.from_numpy(inputs[0]), torch.from_numpy(labels), np.linspace(0, 1, basins.POINTS)[1:-1:2]
    total = 0
    for t in places:
        a, b, c = max(1 - 2 * t, 0), 1 - abs(2 * t - 1), max(2 * t - 1, 0)
        hidden = x
        for place, parts in enumerate(zip(first, corner, last, strict=True)):
            hidden = (a * parts[0] + b * parts[1] + c * parts[2]).float() @ (hidden.relu() if place else hidden)
        total = total + cross_entropy(hidden.T, y) / len(places)
    total.backward()
    found = basins.bent([x.numpy() for x in first], [x.numpy() for x in last], inputs, targets, 1)
    for moved, start in zip(found, corner, strict=True):
        expected = start.detach().numpy() - basins.RATE * start.grad.numpy()
        np.testing.assert_allclose(moved, expected, atol=2e-6)


@pytest.fixture(scope="module")
def split_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    arrays = split_arrays(load("digits", path.parent), 1, {"start": 0, "count": 200}, {"start": 0, "count": 60})
    write_arrays(path, arrays)
    return path


def outcomes(split_file, arms, seeds=(0, 1), **settings):
    found = {"width": 8, "classes": 0, "deviation": 0.0} | settings
    runs = [Run({"arm": arm, **found}, seed) for arm in arms for seed in seeds]
    job = Job("hessian_spectrum", runs, SHARED, split_file)
    return {(one.run.settings["arm"], one.run.seed): one for one in experiment.run(job)}


@pytest.mark.parametrize(
    ("arms", "settings"),
    [
        (["clusters"], {"width": 6, "classes": 3, "deviation": 1.0}),
        (["images"], {}),
        (["large", "small", "copy", "small_after"], {}),
    ],
    ids=["clusters", "images", "batches"],
)
def test_a_run_alone_is_the_same_as_among_others_to_the_bit(split_file, arms, settings):
    among = outcomes(split_file, arms, **settings)[arms[-1], 1]
    alone = outcomes(split_file, arms[-1:], seeds=(1,), **settings)[arms[-1], 1]
    assert alone.ended == among.ended != "diverged"
    assert {k: repr(v) for k, v in alone.numbers.items()} == {k: repr(v) for k, v in among.numbers.items()}
    assert all(np.array_equal(array, among.arrays[name]) for name, array in alone.arrays.items())


def test_what_the_arms_share_and_what_they_do_not(split_file):
    found = outcomes(split_file, experiment.ARMS, seeds=(0,))
    assert {one.ended for one in found.values()} == {"converged"}
    number = {arm: one.numbers for (arm, _), one in found.items()}
    for name in ("end_loss", "top_eigenvalue"):
        assert number["copy"][name] == pytest.approx(number["small"][name], rel=1e-6)
    assert number["other"]["distance"] > 2 * number["reordered"]["distance"] > 0
    assert number["small_after"]["steps"] == number["large_after"]["steps"] == SHARED["continued"]
    assert number["large_after"]["end_loss"] < number["large"]["end_loss"]
    assert np.isnan(number["large"]["barrier"])
    assert list(found["small", 0].arrays["levels/level"]) == SHARED["levels"]
    assert len({tuple(one.numbers) for one in found.values()}) == 1


def test_a_picture_of_a_spectrum_keeps_both_ends():
    ranks = tables.shown_ranks(3000)
    assert set(range(60)) <= set(ranks)
    assert set(range(2980, 3000)) <= set(ranks)
    assert len(ranks) < 300
    assert np.array_equal(tables.shown_ranks(100), np.arange(100))


@given(samples=st.integers(2, 10), classes=st.integers(2, 4), seed=st.integers(0, 50))
@given_settings(max_examples=15)
def test_the_number_of_factors_bounds_the_rank_for_any_sizes(samples, classes, seed):
    layers = he_init([3, 5, classes], True, rng(seed))
    data = rng(seed + 1).standard_normal((samples, 3)), np.arange(samples) % classes
    values = np.linalg.eigvalsh(NetworkHessian(spectra.network(layers), data).gauss_newton().numpy())
    assert int((values > 1e-10 * values[-1]).sum()) <= samples * (classes - 1)
