"""The controls: what each takes away, and what it must leave as it was."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from awduality import decompose
from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.spectrum import Spectrum, spectrum
from awduality.data.splits import Split
from awduality.duality.analysis import Analysis
from awduality.duality.changes import pair_changes
from awduality.duality.controls import COLUMNS, controls
from awduality.duality.decomposition import components, decompose_in_basis, moments
from awduality.duality.dual_weights import dual_weights, other_dual
from awduality.duality.nulls import (
    NULLS,
    balanced,
    null_stream,
    random_basis,
    random_factors,
    rescaled_layers,
    rescaled_neurons,
    shuffled_scalars,
)
from awduality.duality.pairing import nearest_pairs
from awduality.duality.summary import BALANCED, NULL_COLUMNS, SPECTRUM, spectrum_numbers, summary
from awduality.duality.summary import COLUMNS as COLUMNS_OF_RUNS
from awduality.networks import from_weights, weight_shapes
from awduality.probe import LayerProbe


def random_weights(widths, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    shapes = zip(widths[1:], widths[:-1], strict=True)
    return {f"fc{place}": scale * generator.normal(size=shape) for place, shape in enumerate(shapes, 1)}


def logits(weights, count=9):
    inputs = np.random.default_rng(7).normal(size=(count, weights["fc1"].shape[1]))
    return from_weights(weights)(torch.from_numpy(inputs)).detach().numpy()


networks = st.builds(random_weights, st.lists(st.integers(1, 6), min_size=3, max_size=5), st.integers(0, 100_000))


def test_shuffled_scalars_are_the_scalars_in_another_order(rng):
    projected, secants = torch.from_numpy(rng.normal(1, 1, size=(40, 6))), torch.from_numpy(rng.standard_cauchy(40))
    found = shuffled_scalars(projected, secants, np.random.default_rng(5), 4)
    generator = np.random.default_rng(5)
    assert len(found) == 4
    for directions in found:
        expected = moments(projected, secants[generator.permutation(40)])
        for name in ("sigma_g", "sigma_w", "mean_g", "mean_w", "c"):
            assert np.allclose(getattr(directions, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
    assert not np.allclose(found[0].sigma_g, found[1].sigma_g)


def test_a_direction_along_which_nothing_varies_has_no_correlation(rng):
    projected = torch.from_numpy(rng.normal(size=(40, 3)) * [1.0, 0.0, 1.0])
    (directions,) = shuffled_scalars(projected, torch.from_numpy(rng.normal(size=40)), rng, 1)
    assert directions.c[1] == directions.sigma_g[1] == directions.sigma_w[1] == 0
    assert directions.c[[0, 2]].all()


@pytest.mark.parametrize("size", [1, 2, 30])
def test_a_random_basis_is_orthonormal(size):
    basis = random_basis(size, np.random.default_rng(0))
    assert torch.allclose(basis.T @ basis, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-13)


def test_random_bases_differ_between_seeds_and_are_the_same_for_one():
    one, same, other = (random_basis(5, null_stream(1, seed, "random_basis")) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.isclose(one, other).any()


def test_random_bases_prefer_no_direction(rng):
    bases = torch.stack([random_basis(2, rng) for _ in range(4_000)])
    second_moments = torch.einsum("kij,klm->ijlm", bases, bases) / 4_000
    assert bases.mean(0).abs().max() < 5 * np.sqrt(0.5 / 4_000)
    assert second_moments[0, 0, 0, 0].item() == pytest.approx(0.5, abs=5 * np.sqrt(0.125 / 4_000))
    assert (torch.linalg.det(bases) > 0).double().mean().item() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 4_000))


def test_no_two_nulls_or_seeds_share_numbers():
    drawn = [null_stream(1, seed, null).random(4) for null in NULLS for seed in range(50)]
    assert len(np.unique(np.concatenate(drawn))) == 4 * 50 * len(NULLS)
    assert not np.isin(null_stream(2, 0, "layerwise").random(4), drawn).any()


def test_rescaling_factors_lie_between_a_quarter_and_four_evenly_on_both_sides(rng):
    factors = random_factors(rng, 10_000)
    assert 0.25 <= factors.min() < 0.26
    assert 3.9 < factors.max() <= 4
    assert np.mean(factors < 1) == pytest.approx(0.5, abs=0.025)


@given(weights=networks, place=st.integers(0, 3), factor=st.floats(0.1, 10), seed=st.integers(0, 1_000))
def test_every_rescaling_keeps_the_function(weights, place, factor, seed):
    layer = f"fc{min(place, len(weights) - 1) + 1}"
    expected = logits(weights)
    for scaled in (
        rescaled_layers(weights, layer, factor),
        rescaled_neurons(weights, np.random.default_rng(seed)),
        balanced(weights),
    ):
        assert {name: matrix.shape for name, matrix in scaled.items()} == {n: w.shape for n, w in weights.items()}
        assert np.allclose(logits(scaled), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_rescaling_a_layer_divides_its_neighbour_and_no_other():
    weights = random_weights([4, 3, 5, 2])
    scaled = rescaled_layers(weights, "fc3", 2.0)
    assert np.array_equal(scaled["fc3"], 2 * weights["fc3"])
    assert np.array_equal(scaled["fc2"], weights["fc2"] / 2)
    assert np.array_equal(scaled["fc1"], weights["fc1"])
    scaled = rescaled_layers(weights, "fc1", 2.0)
    assert np.array_equal(scaled["fc1"], 2 * weights["fc1"])
    assert np.array_equal(scaled["fc2"], weights["fc2"] / 2)


def test_rescaling_neurons_gives_every_unit_a_factor_of_its_own():
    weights = random_weights([4, 3, 5, 2])
    scaled = rescaled_neurons(weights, np.random.default_rng(0))
    factors = scaled["fc1"] / weights["fc1"]
    assert np.allclose(factors, factors[:, :1])
    assert len(np.unique(factors[:, 0])) == 3


def test_rescaling_leaves_its_argument_alone():
    weights = random_weights([4, 3, 5, 2])
    before = {name: matrix.copy() for name, matrix in weights.items()}
    rescaled_layers(weights, "fc2", 3.0)
    rescaled_neurons(weights, np.random.default_rng(0))
    balanced(weights)
    assert all(np.array_equal(weights[name], before[name]) for name in before)


def data(widths, train=40, test=25):
    generator = np.random.default_rng(1)
    return [(generator.normal(size=(count, widths[0])), np.arange(count) % widths[-1]) for count in (train, test)]


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3"])
@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_rescaling_layers_moves_size_and_sharpness_and_changes_no_product(layer, factor):
    widths = [5, 6, 4, 3]
    weights = random_weights(widths)
    one = decompose(from_weights(weights), layer, *data(widths))
    other = decompose(from_weights(rescaled_layers(weights, layer, factor)), layer, *data(widths))
    kept = one.eigenvalues > 1e-6 * one.eigenvalues[0]  # where the directions are well defined
    assert kept.sum() >= 6
    assert np.allclose(other.contribution[kept], one.contribution[kept], rtol=0, atol=1e-10)
    assert np.allclose(other.sigma_w[kept], factor * one.sigma_w[kept], rtol=1e-7)
    assert np.allclose(other.sigma_g[kept], one.sigma_g[kept] / factor, rtol=1e-7)
    assert np.allclose(other.eigenvalues[kept], one.eigenvalues[kept] / factor**2, rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_rescaling_neurons_keeps_the_estimate_and_moves_its_parts(seed):
    widths = [5, 6, 4, 3]
    weights = random_weights(widths, seed)
    scaled = rescaled_neurons(weights, np.random.default_rng(seed))
    one, other = (decompose(from_weights(w), "fc2", *data(widths)) for w in (weights, scaled))
    assert other.estimate == pytest.approx(one.estimate, rel=1e-12)
    assert abs(other.sharp_part(2) / one.sharp_part(2) - 1) > 1e-3


def norms(weights):
    """The input and the output norm of every hidden unit, layer by layer."""
    for before, after in pairwise(weights):
        yield np.linalg.norm(weights[before], axis=1), np.linalg.norm(weights[after], axis=0)


def total(weights):
    return np.sqrt(sum(np.sum(matrix**2) for matrix in weights.values()))


@given(weights=networks)
def test_in_the_balanced_form_every_unit_and_every_layer_has_one_norm(weights):
    found = balanced(weights)
    for into, out in norms(found):
        assert np.allclose(into, out, rtol=1e-10)
    sizes = [np.linalg.norm(matrix) for matrix in found.values()]
    assert np.allclose(sizes, sizes[0], rtol=1e-10)


@given(weights=networks, factor=st.floats(0.1, 10), seed=st.integers(0, 1_000))
def test_no_rescaling_changes_the_balanced_form_nor_has_a_smaller_norm(weights, factor, seed):
    found = balanced(weights)
    scaled = rescaled_layers(rescaled_neurons(weights, np.random.default_rng(seed)), "fc2", factor)
    again = balanced(scaled)
    for name, matrix in found.items():
        assert np.allclose(again[name], matrix, rtol=1e-8, atol=1e-8 * np.abs(matrix).max())
    assert total(found) <= min(total(weights), total(scaled)) * (1 + 1e-12)


def test_a_unit_without_input_or_output_weights_is_left_as_it_is():
    weights = random_weights([4, 5, 3])
    weights["fc1"][1] = 0.0
    weights["fc2"][:, 2] = 0.0
    found = balanced(weights)
    assert np.array_equal(found["fc1"][1:3], weights["fc1"][1:3])
    assert np.array_equal(found["fc2"][:, 1:3], weights["fc2"][:, 1:3])
    alive = [0, 3, 4]
    ((into, out),) = norms(found)
    assert np.allclose(into[alive], out[alive], rtol=1e-10)
    assert np.allclose(logits(found), logits(weights), rtol=1e-10)


@given(m=st.integers(1, 6), n=st.integers(1, 6), seed=st.integers(0, 100_000))
def test_the_other_dual_gives_the_same_outputs_by_longer_changes(m, n, seed):
    generator = np.random.default_rng(seed)
    w, a, b = (torch.from_numpy(generator.normal(size=shape)) for shape in ((m, n), (4, n), (4, n)))
    direction = torch.from_numpy(generator.normal(size=n))
    overlap = (a @ direction).abs()
    assume(overlap.min() > 1e-3)
    least = dual_weights(w, a, b)
    dual = other_dual(least, a, direction)
    assert dual.exists.all()
    assert torch.allclose(torch.einsum("kij,kj->ki", w + dual.matrices(), a), b @ w.T, rtol=1e-9, atol=1e-9)
    difference = dual.matrices() - least.matrices()
    assert torch.einsum("kij,kj->ki", difference, a).abs().max() <= 1e-9
    sizes, least_sizes = (torch.linalg.matrix_norm(one.matrices()) for one in (dual, least))
    cosine = overlap / a.norm(dim=1) / direction.norm()
    assert torch.allclose(sizes, least_sizes / cosine, rtol=1e-9)


def test_there_is_no_other_dual_where_the_activity_has_no_part_along_the_direction():
    w = torch.eye(2, dtype=torch.float64)
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    dual = other_dual(dual_weights(w, a, b), a, torch.tensor([0.0, 2.0], dtype=torch.float64))
    assert dual.exists.tolist() == [False, True, True]  # the second pair wants no change
    assert not dual.matrices()[1].any()
    assert torch.allclose((w + dual.matrices()[2]) @ a[2], b[2])


@pytest.fixture(scope="module")
def weights():
    return {name: w.astype(np.float32) for name, w in random_weights([64, 8, 8, 10], scale=0.3).items()}


@pytest.fixture(scope="module")
def analysis(digits):
    return Analysis(digits, ["fc2", "fc3"], ["test_to_train", "train_to_test"], 10, root_seed=1, shuffles=3)


@pytest.fixture(scope="module")
def row(analysis, weights):
    """Of the second layer analysed, the third of the network."""
    rows, _ = analysis.network("abc", 4, weights, 200)
    return rows[2]


@pytest.fixture(scope="module")
def parts(digits, weights):
    """The changes of that layer, the eigenvectors, and the components of every ΔW."""
    probe = LayerProbe(from_weights(weights), "fc3")
    train = digits.train(200)
    changes = pair_changes(probe, probe.see(train), probe.see(digits.test), nearest_pairs(train, digits.test))
    basis = spectrum(layer_hessian(probe, probe.see(train)))
    return changes, basis, components(changes.dual, basis.eigenvectors)


def test_a_row_holds_the_mean_over_the_draws_of_shuffled_scalars(row, parts):
    changes, basis, projected = parts
    draws = shuffled_scalars(projected, changes.secants, null_stream(1, 4, "shuffled_scalars"), 3)
    real = decompose_in_basis(changes, basis)
    found = [spectrum_numbers(replace(real, **vars(draw)), 10) for draw in draws]
    for name in SPECTRUM:
        assert row[f"{name}_shuffled"] == pytest.approx(np.mean([numbers[name] for numbers in found]))
    assert row["estimate_shuffled"] != pytest.approx(row["estimate"])


def test_a_row_holds_the_sharp_part_in_a_random_basis(row, parts):
    changes, _, projected = parts
    basis = random_basis(80, null_stream(1, 4, "random_basis"))
    rotated = moments(projected @ basis, changes.secants)
    assert row["sharp_part_random"] == rotated.sharp_part(10) != row["sharp_part"]
    assert row["estimate_random"] == pytest.approx(row["estimate"], rel=1e-12)
    assert row["basis_error"] == abs(row["estimate_random"] - row["estimate"])


def test_a_row_holds_sharpness_and_size_of_the_other_dual(row, parts):
    changes, basis, _ = parts
    above = (basis.eigenvalues > 1e-10 * basis.eigenvalues[0]).numpy()
    mean = changes.activities.mean(0)
    change = changes.dual.left[:, :, None] * mean / (changes.activities @ mean)[:, None, None]
    w = (change.flatten(1) @ basis.eigenvectors).numpy()
    g = (changes.test_loss - changes.train_loss)[:, None].numpy() * w / (w**2).sum(1, keepdims=True)
    assert row["sigma_w_total_other"] == pytest.approx(w.std(0)[above].sum())
    assert row["sigma_g_total_other"] == pytest.approx(g.std(0)[above].sum())
    assert row["output_error_other"] < 1e-12


def test_a_row_lacks_the_other_dual_where_a_pair_has_none():
    inputs, labels = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([0, 1])  # of mean zero
    split = Split(inputs, labels, inputs + np.array([0.0, 0.5]), labels, 2)
    analysis = Analysis(split, ["fc1"], ["test_to_train"], 2, root_seed=1, shuffles=1)
    ((row,), _) = analysis.network("abc", 0, random_weights([2, 8, 2]), 2)
    assert {*COLUMNS_OF_RUNS, *NULL_COLUMNS} - set(row) == {
        "sigma_g_total_other",
        "sigma_w_total_other",
        "output_error_other",
    }


def test_a_row_holds_the_numbers_of_the_balanced_form(row, digits, weights):
    result = decompose(from_weights(balanced(weights)), "fc3", digits.train(200), digits.test)
    expected = {**summary(result, 10), "layer_norm": np.linalg.norm(balanced(weights)["fc3"])}
    assert {name: row[f"{name}_balanced"] for name in BALANCED} == pytest.approx({n: expected[n] for n in BALANCED})
    assert row["sigma_w_total_balanced"] != pytest.approx(row["sigma_w_total"])


def test_the_numbers_of_the_balanced_form_are_those_of_every_rescaling(analysis, weights):
    scaled = rescaled_neurons(rescaled_layers(weights, "fc2", 20.0), np.random.default_rng(0))
    row, other = (analysis.network("abc", 4, w, 200)[0][0] for w in (weights, scaled))
    for name in BALANCED:
        assert other[f"{name}_balanced"] == pytest.approx(row[f"{name}_balanced"], rel=1e-6)
    for name in ("trace", "layer_norm"):
        assert abs(np.log(other[name] / row[name])) > np.log(20 / 16) - 1e-9  # no unit's two factors are beyond 16


def test_the_sharp_part_is_the_same_in_every_basis_of_the_null_space(parts):
    changes, basis, _ = parts
    rank = int((basis.eigenvalues > 1e-10 * basis.eigenvalues[0]).sum())
    assert rank == 72  # of 80: equal changes of all logits change no loss
    found = []
    for seed in range(20):
        rotated = basis.eigenvectors.clone()
        rotated[:, rank:] @= random_basis(80 - rank, np.random.default_rng(seed))
        found.append(decompose_in_basis(changes, Spectrum(basis.eigenvalues, rotated)).sharp_part(20))
    assert found == pytest.approx([found[0]] * 20)


@pytest.fixture(scope="module")
def controlled(analysis, weights):
    return controls(analysis, "abc", 4, weights, 200, rescalings=2)


def test_the_controls_have_a_row_per_layer_null_and_draw(controlled):
    rows, arrays = controlled
    draws = [("real", 1), ("shuffled_scalars", 3), ("random_basis", 1), ("layerwise", 2), ("neuronwise", 2)]
    expected = {(layer, null, draw) for layer in ("fc2", "fc3") for null, count in draws for draw in range(count)}
    assert {(row["layer"], row["null"], row["draw"]) for row in rows} == expected
    assert len(rows) == len(expected)
    assert all(set(row) <= set(COLUMNS) and row["run"] == "abc" for row in rows)
    curves = {"sigma_g", "c", "contribution"}
    assert set(arrays) == {f"abc/{layer}/{null}/{draw}/{name}" for layer, null, draw in expected for name in curves}


def test_the_real_solution_is_among_the_controls(controlled, row):
    (real,) = [entry for entry in controlled[0] if (entry["layer"], entry["null"]) == ("fc3", "real")]
    for name in ("estimate", "sharp_part", "flat_part", "sigma_g_total", "sigma_w_total", "top_eigenvalue"):
        assert real[name] == row[name]
    assert real["estimate_error"] == 0


def test_controls_that_are_identities_keep_the_estimate_and_shuffling_does_not(controlled):
    rows, _ = controlled
    for entry in rows:
        error = entry["estimate_error"] / abs(entry["estimate"])
        assert error > 1e-3 if entry["null"] == "shuffled_scalars" else error < 1e-12


def test_rescaling_a_layer_keeps_every_product_and_moves_its_factors(controlled):
    rows, _ = controlled
    real = {entry["layer"]: entry for entry in rows if entry["null"] == "real"}
    layerwise = [entry for entry in rows if entry["null"] == "layerwise"]
    assert [entry for entry in rows if "product_error" in entry] == layerwise
    factors = random_factors(null_stream(1, 4, "layerwise"), 2)
    for entry in layerwise:
        assert entry["product_error"] < 1e-10
        before, factor = real[entry["layer"]], factors[entry["draw"]]
        assert entry["sigma_w_total"] == pytest.approx(factor * before["sigma_w_total"], rel=1e-6)
        assert entry["sigma_g_total"] == pytest.approx(before["sigma_g_total"] / factor, rel=1e-6)
        assert entry["top_eigenvalue"] == pytest.approx(before["top_eigenvalue"] / factor**2)


def test_curves_are_ordered_by_sharpness(controlled):
    rows, arrays = controlled
    for entry in rows:
        prefix = f"abc/{entry['layer']}/{entry['null']}/{entry['draw']}"
        sigma_g = arrays[f"{prefix}/sigma_g"]
        assert (np.diff(sigma_g) <= 0).all()
        assert sigma_g.sum() == pytest.approx(entry["sigma_g_total"])
        if entry["null"] == "random_basis":
            assert arrays[f"{prefix}/contribution"][:10].sum() == pytest.approx(entry["sharp_part"])


def convolutional_weights(seed=0):
    generator = np.random.default_rng(seed)
    shapes = weight_shapes(3 * 8 * 8, 3, 6, 2, convolutions=[4, 5])
    return {name: generator.normal(size=shape) / np.sqrt(shape[1]) for name, shape in shapes.items()}


def images(count):
    generator = np.random.default_rng(count)
    return generator.normal(size=(count, 192)), np.arange(count) % 3


@pytest.mark.parametrize("rescaled", ["layers", "neurons", "balanced"])
def test_a_convolutional_network_computes_the_same_when_it_is_rescaled(rescaled):
    weights = convolutional_weights()
    scaled = {
        "layers": lambda: rescaled_layers(weights, "fc1", 3.0),
        "neurons": lambda: rescaled_neurons(weights, np.random.default_rng(0)),
        "balanced": lambda: balanced(weights),
    }[rescaled]()
    x = torch.from_numpy(images(9)[0])
    assert all(not np.array_equal(scaled[name], weights[name]) for name in ("conv2", "fc1"))
    assert torch.allclose(from_weights(scaled)(x), from_weights(weights)(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3"])
def test_rescaling_layers_of_a_convolutional_network_changes_no_product(layer):
    weights = convolutional_weights()
    networks = (from_weights(w) for w in (weights, rescaled_layers(weights, layer, 0.2)))
    one, other = (decompose(network, layer, images(40), images(25)) for network in networks)
    kept = one.eigenvalues > 1e-6 * one.eigenvalues[0]
    assert kept.sum() >= 6
    assert np.allclose(other.contribution[kept], one.contribution[kept], rtol=0, atol=1e-10)
    assert np.allclose(other.sigma_w[kept], 0.2 * one.sigma_w[kept], rtol=1e-7)
    assert np.allclose(other.eigenvalues[kept], one.eigenvalues[kept] / 0.2**2, rtol=1e-8)


def test_channels_and_units_of_a_balanced_convolutional_network_have_equal_norms():
    scaled = balanced(convolutional_weights())
    assert np.allclose(
        [np.linalg.norm(matrix.ravel()) for matrix in scaled.values()], np.linalg.norm(scaled["fc1"]), rtol=1e-9
    )
    into = np.linalg.norm(scaled["conv2"].reshape(5, -1), axis=1)
    out = np.linalg.norm(scaled["fc1"].reshape(6, 5, 4), axis=(0, 2))
    assert np.allclose(into, out, rtol=1e-9)
