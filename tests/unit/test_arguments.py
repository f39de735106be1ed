"""The public face: bad arguments end in an InputError, results print and compare."""

import numpy as np
import pytest
import torch
from torch import nn

from awduality import (
    InputError,
    decompose,
    decompose_layers,
    layer_density,
    nearest_pairs,
    smoothed_cross_entropy,
)

RNG = np.random.default_rng(0)
TRAIN, TEST = ((RNG.normal(size=(count, 6)), np.arange(count) % 3) for count in (60, 25))
REGRESSION = tuple((x, x[:, 0] + 0.1 * RNG.normal(size=len(x))) for x, _ in (TRAIN, TEST))


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, outputs)).eval()


@pytest.fixture(scope="module")
def result():
    return decompose(network(), "0", TRAIN, TEST)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"top": "3"}, "top must be an integer .*got '3'"),
        ({"top": 2.5}, "top must be an integer"),
        ({"top": True}, "top must be an integer"),
        ({"top": 0}, "top must be an integer"),
        ({"loss": 3}, "unknown loss 3"),
        ({"loss": None}, "unknown loss None"),
        ({"output": [0]}, "output must be an index"),
        ({"tolerance": "a"}, "tolerance must be a finite number"),
        ({"tolerance": -1}, "tolerance must not be negative"),
        ({"tolerance": 0.1}, "tolerance is for float targets"),
        ({"pairs": 3}, "pairs must be two arrays of positions"),
        ({"pairs": "nearest"}, "pairs must be positions, a function, 'inputs' or 'activities'"),
        ({"pairs": ([0], ["a"])}, "pairs: test positions must be of numbers"),
        ({"pairs": ([0], None)}, "pairs: test positions must be an array"),
        ({"pairs": lambda train, test: 1 / 0}, "the rule for pairs raises ZeroDivisionError"),
        ({"pairs": lambda train, test: None}, "the rule for pairs must return two arrays of positions"),
        ({"pairs": lambda train, test: ([99], [0])}, "training samples 99 to 99, but there are 60"),
    ],
)
def test_options_of_another_kind_are_refused_by_name(options, match):
    with pytest.raises(InputError, match=match):
        decompose(network(), "0", TRAIN, TEST, **options)
    with pytest.raises(InputError, match=match):
        decompose_layers(network(), TRAIN, TEST, ["0"], **options)


@pytest.mark.parametrize(
    "call",
    [
        lambda: decompose(None, "0", TRAIN, TEST),
        lambda: decompose(network(), 0, TRAIN, TEST),
        lambda: decompose(network(), None, TRAIN, TEST),
        lambda: decompose_layers("model.pt", TRAIN, TEST),
        lambda: decompose_layers(network(), TRAIN, TEST, layers=3),
        lambda: decompose_layers(network(), TRAIN, TEST, layers=[0]),
        lambda: layer_density(network(), "0", TRAIN, probes=0.5),
        lambda: layer_density(network(), "0", TRAIN, steps=None),
        lambda: layer_density(network(), "0", TRAIN, seed=-1),
        lambda: nearest_pairs(TRAIN, TEST, pairing=[1]),
        lambda: nearest_pairs(TRAIN, TEST, tolerance=np.nan),
        lambda: nearest_pairs(TRAIN, (TEST[0], TEST[1][:, None])),
        lambda: smoothed_cross_entropy("a"),
        lambda: smoothed_cross_entropy(None),
    ],
)
def test_arguments_of_another_kind_are_refused(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda result, density: result.sharp_part("a"),
        lambda result, density: result.flat_part(2.5),
        lambda result, density: result.sharp_part(-1),
        lambda result, density: density.smoothed([0, 1], "a"),
        lambda result, density: density.smoothed([0, 1], np.nan),
        lambda result, density: density.smoothed(None, 1.0),
        lambda result, density: density.cumulative("a"),
        lambda result, density: density.cumulative([[1.0]]),
        lambda result, density: density.moment(-1),
        lambda result, density: density.moment_error(0.5),
    ],
)
def test_methods_of_results_refuse_what_means_nothing(call, result):
    with pytest.raises(InputError):
        call(result, layer_density(network(), "0", TRAIN))


def test_results_print_in_a_few_lines(result):
    for value in (result, layer_density(network(), "0", TRAIN), nearest_pairs(TRAIN, TEST)):
        text = repr(value)
        assert text.startswith(type(value).__name__)
        assert len(text.splitlines()) <= 8
    assert "layer '0'" in repr(result)
    assert "<int64" in repr(nearest_pairs(TRAIN, TEST))


def test_results_compare_by_value(result):
    again, other = decompose(network(), "0", TRAIN, TEST), decompose(network(), "2", TRAIN, TEST)
    assert (result == again) is True
    assert (result == other) is False
    assert (result != other) is True
    assert (result == 3) is False
    assert hash(result) == hash(again)
    assert nearest_pairs(TRAIN, TEST) == nearest_pairs(TRAIN, TEST)
    assert nearest_pairs(TRAIN, TEST) != nearest_pairs(TEST, TEST)
    assert layer_density(network(), "0", TRAIN) == layer_density(network(), "0", TRAIN)
    assert layer_density(network(), "0", TRAIN) != layer_density(network(), "0", TRAIN, seed=1)


@pytest.mark.parametrize("loss", ["mse", nn.MSELoss(reduction="none")])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1)])
def test_regression_is_paired_within_a_tolerance_whatever_the_shape(loss, shape):
    sets = [(x, y.reshape(shape)) for x, y in REGRESSION]
    result = decompose(network(1), "0", *sets, loss=loss, tolerance=1.0)
    pairs = nearest_pairs(*sets, tolerance=1.0)
    (x, y), (xt, yt) = REGRESSION
    away = np.linalg.norm(x[None] - xt[:, None], axis=2)
    away[np.abs(y[None] - yt[:, None]) > 1.0] = np.inf
    assert pairs.train.tolist() == away.argmin(1).tolist()
    with torch.no_grad():
        f, ft = (network(1).double()(torch.from_numpy(part))[:, 0].numpy() for part in (x, xt))
    chosen = pairs.train.numpy()
    assert np.allclose(result.train_loss, (f[chosen] - y[chosen]) ** 2, rtol=1e-10)
    assert np.allclose(result.test_loss, (ft - y[chosen]) ** 2, rtol=1e-10)
    assert np.allclose(result.dual_loss, result.test_loss, rtol=1e-10, atol=1e-12)
    whole = np.mean((ft - yt) ** 2 - (f[chosen] - y[chosen]) ** 2)
    assert result.estimate + result.target_shift == pytest.approx(whole, abs=1e-12)
    assert result.gap == pytest.approx(np.mean((ft - yt) ** 2) - np.mean((f - y) ** 2), abs=1e-12)


def test_targets_without_an_equal_are_refused_with_the_ways_out():
    with pytest.raises(InputError, match="no partner.*pass pairs= to pair them yourself, or a tolerance="):
        decompose(network(1), "0", *REGRESSION, loss="mse")
    with pytest.raises(InputError, match="25 samples of one set have no target within 1e-09"):
        nearest_pairs(*REGRESSION, tolerance=1e-9)
    with pytest.raises(InputError, match="the targets of 1 pairs differ.*tolerance="):
        decompose(network(1), "0", *REGRESSION, loss="mse", pairs=([0], [0]))


def test_equal_targets_of_any_kind_are_paired():
    labels = [np.stack([y > 0, y < 2], 1).astype(float) for _, y in (TRAIN, TEST)]
    pairs = nearest_pairs((TRAIN[0], labels[0]), (TEST[0], labels[1]))
    assert pairs == nearest_pairs(TRAIN, TEST)  # three classes have three rows of labels
    assert nearest_pairs((TRAIN[0], TRAIN[1] / 7), (TEST[0], TEST[1] / 7)) == nearest_pairs(TRAIN, TEST)


def test_a_rule_pairs_samples_as_they_are_seen_at_the_layer():
    def rule(train, test):
        away = torch.cdist(test.activities, train.activities)
        away[test.targets[:, None] != train.targets] = torch.inf
        return away.argmin(1), np.arange(len(test))

    for layer in ("0", "2"):
        one = decompose(network(), layer, TRAIN, TEST, pairs=rule)
        assert one == decompose(network(), layer, TRAIN, TEST, pairs="activities")
        assert one == decompose_layers(network(), TRAIN, TEST, pairs=rule)[layer]
    assert decompose(network(), "0", TRAIN, TEST, pairs="inputs") == decompose(network(), "0", TRAIN, TEST)
    assert decompose(network(), "0", TRAIN, TEST, pairs=lambda *sets: nearest_pairs(TRAIN, TEST)) == decompose(
        network(), "0", TRAIN, TEST
    )
