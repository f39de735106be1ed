"""The duality, and the decomposition against a plain computation pair by pair."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from torch import nn

from awduality import decompose, nearest_pairs
from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.spectrum import Spectrum, spectrum
from awduality.duality.changes import pair_changes
from awduality.duality.decomposition import decompose_in_basis
from awduality.duality.dual_weights import dual_weights
from awduality.errors import InputError
from awduality.networks import fully_connected
from awduality.probe import LayerProbe


def problem(widths, seed=0, train=40, test=25, scale=2.0):
    """A random network, scaled so that its losses vary, and random data."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = fully_connected(widths).double()
    for parameter in model.parameters():
        parameter.data *= scale

    def samples(count):
        return generator.normal(size=(count, widths[0])), np.arange(count) % widths[-1]

    return model, samples(train), samples(test)


@settings(max_examples=60)
@given(
    widths=st.lists(st.integers(2, 9), min_size=3, max_size=6),
    place=st.integers(1, 5),
    seed=st.integers(0, 100_000),
)
@example(widths=[7, 7, 7, 2, 4, 2], place=5, seed=27731)  # the last layer's test activities are zero, so all W a′ are
def test_the_dual_gives_the_training_sample_the_loss_of_the_test_sample_in_any_layer(widths, place, seed):
    model, train, test = problem(widths, seed)
    layer = f"fc{min(place, len(widths) - 1)}"
    try:
        result = decompose(model, layer, train, test)
    except InputError as error:
        assert "no pair has a dual" in str(error)  # noqa: PT017  # a network so small that its units are all silent
        reject()
    assert np.all(np.abs(result.dual_loss - result.test_loss) <= 1e-12 * (1 + np.abs(result.test_loss)))
    assert result.output_error <= 1e-12
    assert result.estimate == pytest.approx(np.mean(result.test_loss - result.train_loss), abs=1e-10)


@given(
    m=st.integers(1, 6),
    n=st.integers(1, 6),
    seed=st.integers(0, 100_000),
)
def test_dual_weights_are_exact_rank_one_and_of_least_norm(m, n, seed):
    generator = np.random.default_rng(seed)
    w, a, b = (torch.from_numpy(generator.normal(size=shape)) for shape in ((m, n), (4, n), (4, n)))
    dual = dual_weights(w, a, b)
    change = dual.matrices()
    assert torch.allclose(torch.einsum("kij,kj->ki", w + change, a), b @ w.T, rtol=1e-12, atol=1e-12)
    norms = torch.linalg.matrix_norm(change)
    assert torch.allclose(norms, ((b - a) @ w.T).norm(dim=1) / a.norm(dim=1), rtol=1e-12)
    noise = torch.from_numpy(generator.normal(size=(4, m, n)))
    along = torch.einsum("kij,kj,kl->kil", noise, a, a / a.square().sum(1, keepdim=True))
    other = change + noise - along  # adds N with N a = 0: the same output, a larger norm
    assert torch.allclose(torch.einsum("kij,kj->ki", other, a), torch.einsum("kij,kj->ki", change, a), atol=1e-9)
    assert (torch.linalg.matrix_norm(other) >= norms * (1 - 1e-12)).all()


def plainly_decomposed(model, layer, train, test, pairs, basis):
    """As in the definitions, pair by pair: a copy of the network with W + ΔW, losses, projections, NumPy statistics."""
    weights, secants = [], []
    x, y = (torch.as_tensor(part) for part in train)
    x_test, y_test = (torch.as_tensor(part) for part in test)
    cross_entropy = nn.functional.cross_entropy
    seen = {}
    model.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.update(a=args[0][0].detach()))
    for k, q in zip(pairs.train.tolist(), pairs.test.tolist(), strict=True):
        at_train = cross_entropy(model(x[k][None]), y[k][None]).item()
        a = seen["a"]
        cross_entropy(model(x_test[q][None]), y_test[q][None])
        b = seen["a"]
        changed = copy.deepcopy(model)
        w = changed.get_submodule(layer).weight
        delta = torch.outer(w.detach() @ (b - a), a) / (a @ a)
        w.data += delta
        at_dual = cross_entropy(changed(x[k][None]), y[k][None]).item()
        flat = delta.flatten().numpy()
        weights.append(flat)
        secants.append((at_dual - at_train) / (flat @ flat) * flat)
    g, w = np.array(secants) @ basis, np.array(weights) @ basis
    c = np.array([np.corrcoef(g[:, n], w[:, n])[0, 1] for n in range(basis.shape[1])])
    return g.mean(0), w.mean(0), g.std(0), w.std(0), c


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3"])
def test_the_decomposition_equals_the_definitions_pair_by_pair(layer):
    model, train, test = problem([5, 12, 10, 3], seed=3)
    probe = LayerProbe(model, layer)
    basis = spectrum(layer_hessian(probe, probe.see(train)))
    pairs = nearest_pairs(train, test)
    result = decompose_in_basis(pair_changes(probe, probe.see(train), probe.see(test), pairs), basis)
    expected = plainly_decomposed(model, layer, train, test, pairs, basis.eigenvectors.numpy())
    found = (result.mean_g, result.mean_w, result.sigma_g, result.sigma_w)
    for ours, oracle in zip(found, expected[:4], strict=True):
        assert np.allclose(ours, oracle, rtol=1e-9, atol=1e-12 * np.abs(oracle).max())
    varies = result.sigma_g > 1e-9 * result.sigma_g.max()
    assert np.allclose(result.c[varies], expected[4][varies], atol=1e-7)


def test_the_estimate_is_the_gap_when_every_training_sample_is_used_once():
    model, train, test = problem([5, 12, 3], train=25, test=25)
    pairs = (np.arange(25), np.arange(25))
    result = decompose(model, "fc2", train, test, pairs=pairs)
    assert result.estimate == pytest.approx(result.gap, abs=1e-12)


def test_the_sum_over_directions_is_the_same_in_any_orthonormal_basis():
    model, train, test = problem([5, 6, 4, 3])
    probe = LayerProbe(model, "fc2")
    pairs = nearest_pairs(train, test)
    hessian_basis = spectrum(layer_hessian(probe, probe.see(train)))
    random_basis = Spectrum(hessian_basis.eigenvalues, torch.linalg.qr(torch.randn(24, 24, dtype=torch.float64)).Q)
    changes = pair_changes(probe, probe.see(train), probe.see(test), pairs)
    one, other = (decompose_in_basis(changes, basis) for basis in (hessian_basis, random_basis))
    assert one.estimate == pytest.approx(other.estimate, abs=1e-12)
    for name in ("sigma_g", "sigma_w"):
        means = getattr(one, f"mean_{name[-1]}"), getattr(other, f"mean_{name[-1]}")
        squares = [np.sum(getattr(r, name) ** 2 + m**2) for r, m in zip((one, other), means, strict=True)]
        assert squares[0] == pytest.approx(squares[1], rel=1e-12)


def test_rescaling_whole_layers_of_a_relu_network_changes_no_product():
    model, train, test = problem([5, 6, 4, 3])
    scaled = copy.deepcopy(model)
    scaled.fc1.weight.data /= 3.0
    scaled.fc2.weight.data *= 3.0
    one, other = decompose(model, "fc2", train, test), decompose(scaled, "fc2", train, test)
    assert np.allclose(np.sort(one.contribution), np.sort(other.contribution), atol=1e-10)
    assert other.sigma_w[0] == pytest.approx(3.0 * one.sigma_w[0])
    assert other.eigenvalues[0] == pytest.approx(one.eigenvalues[0] / 9.0)


def test_the_top_directions_and_the_remainder_add_up():
    model, train, test = problem([5, 6, 4, 3])
    whole, part = decompose(model, "fc2", train, test), decompose(model, "fc2", train, test, top=3)
    assert part.sigma_g.shape == (3,)
    assert np.allclose(part.sigma_g, whole.sigma_g[:3])
    assert part.estimate == pytest.approx(whole.estimate, abs=1e-12)
    assert part.remainder == pytest.approx(np.sum((whole.contribution + whole.mean_term)[3:]), abs=1e-12)
    assert whole.remainder == 0


def test_the_sharp_and_flat_parts_rank_directions_by_sharpness():
    model, train, test = problem([5, 6, 4, 3])
    result = decompose(model, "fc2", train, test)
    order = np.argsort(result.sigma_g)[::-1]
    assert result.sharp_part(4) == pytest.approx(result.contribution[order[:4]].sum())
    assert result.sharp_part(4) + result.flat_part(4) + result.mean_term.sum() == pytest.approx(result.estimate)


def test_an_identical_pair_adds_nothing():
    model, train, test = problem([5, 6, 3])
    same = (train[0][:25], train[1][:25])
    result = decompose(model, "fc2", train, same, pairs=(np.arange(25), np.arange(25)))
    assert result.estimate == 0
    assert not result.sigma_w.any()
    assert not result.c.any()
    assert result.dropped == 0


def test_a_silent_training_sample_has_no_dual_and_is_dropped_and_counted():
    model, train, test = problem([5, 12, 3])
    train[0][0] = 0.0  # all its activities are zero
    pairs = np.arange(25), np.arange(25)
    result = decompose(model, "fc2", train, test, pairs=pairs)
    expected = decompose(model, "fc2", train, test, pairs=(pairs[0][1:], pairs[1][1:]))
    assert result.dropped == 1
    assert len(result.test_loss) == 24
    assert result.estimate == pytest.approx(expected.estimate)


def test_a_layer_whose_training_input_is_always_zero_is_refused():
    model, train, test = problem([5, 6, 3])
    train[0][:] = 0.0
    with pytest.raises(InputError, match="no pair has a dual: the input of layer 'fc1' is zero"):
        decompose(model, "fc1", train, test)


def test_dead_units_keep_the_estimate_exact():
    model, train, test = problem([5, 8, 6, 3])
    model.fc2.weight.data[2] = -model.fc2.weight.data[2].abs()
    result = decompose(model, "fc2", train, test)
    assert len(result.eigenvalues) == 48
    assert (result.eigenvalues == 0).any()
    assert result.estimate == pytest.approx(np.mean(result.test_loss - result.train_loss), abs=1e-12)


def test_a_bias_is_held_fixed_and_the_duality_stays_exact():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    _, train, test = problem([5, 6, 3])
    for layer in ("0", "2"):
        result = decompose(model, layer, train, test)
        assert np.allclose(result.dual_loss, result.test_loss, rtol=1e-12)


def test_every_test_sample_gets_the_nearest_training_sample_of_its_class(rng):
    train = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    test = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    pairs = nearest_pairs(train, test)
    assert pairs.test.tolist() == list(range(30))
    for k, q in zip(pairs.train.tolist(), pairs.test.tolist(), strict=True):
        distances = np.linalg.norm(train[0] - test[0][q], axis=1)
        distances[train[1] != test[1][q]] = np.inf
        assert k == int(distances.argmin())


def test_pairing_the_other_way_round_exchanges_the_roles(rng):
    train = rng.normal(size=(60, 4)), np.arange(60) % 3
    test = rng.normal(size=(30, 4)), np.arange(30) % 3
    forward, backward = nearest_pairs(test, train), nearest_pairs(train, test, "train_to_test")
    assert torch.equal(forward.train, backward.test)
    assert torch.equal(forward.test, backward.train)
    assert len(backward) == 60


def test_images_are_paired_by_all_their_pixels(rng):
    train, test = rng.normal(size=(20, 1, 3, 3)), rng.normal(size=(10, 1, 3, 3))
    labels = np.zeros(20, int), np.zeros(10, int)
    flat = nearest_pairs((train.reshape(20, 9), labels[0]), (test.reshape(10, 9), labels[1]))
    assert torch.equal(nearest_pairs((train, labels[0]), (test, labels[1])).train, flat.train)


@pytest.mark.parametrize(
    ("train", "test", "pairing", "match"),
    [
        ((5, 2, 5), (5, 2, 5), "nearest", "unknown pairing 'nearest': wanted test_to_train or train_to_test"),
        ((5, 2, 5), (5, 3, 5), "test_to_train", "training inputs have 2 features each, test inputs 3"),
        ((5, 2, 6), (5, 2, 5), "test_to_train", "got 5 inputs, 6 targets"),
    ],
)
def test_what_cannot_be_paired_is_refused(train, test, pairing, match):
    def samples(count, features, labels):
        return np.zeros((count, features)), np.zeros(labels, int)

    with pytest.raises(InputError, match=match):
        nearest_pairs(samples(*train), samples(*test), pairing)


def test_targets_that_are_no_classes_must_be_paired_by_the_user(rng):
    with pytest.raises(InputError, match="pass pairs="):
        nearest_pairs((rng.normal(size=(5, 2)), rng.normal(size=5)), (rng.normal(size=(5, 2)), rng.normal(size=5)))
