from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn.functional import cross_entropy

from awduality.duality.analysis import Analysis
from awduality.duality.temperature import fitted_temperature, tempered, tempered_numbers
from awduality.errors import InputError
from awduality.networks import from_weights
from awduality.probe import Samples

SHAPES = {"fc1": (8, 64), "fc2": (8, 8), "fc3": (10, 8)}


def confident(count, seed, scale=3.0, classes=5):
    """Logits that are ``scale`` times those that the labels were drawn from, so that T is near ``scale``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)) * 1.5
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(classes, p=row) for row in share])
    return torch.from_numpy(scale * logits), torch.from_numpy(labels)


def loss_at(logits, labels, temperature):
    return cross_entropy(logits / temperature, labels).item()


@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_the_temperature_is_that_of_scipys_minimiser_and_no_other_on_a_dense_grid_is_better(scale):
    logits, labels = confident(300, seed=1, scale=scale)
    found = fitted_temperature(logits, labels)
    minimised = minimize_scalar(lambda t: loss_at(logits, labels, np.exp(t)), bracket=(-2, 2), tol=1e-12)
    assert found == pytest.approx(np.exp(minimised.x), rel=1e-5)
    grid = np.geomspace(0.02, 50, 4001)
    losses = [loss_at(logits, labels, temperature) for temperature in grid]
    assert loss_at(logits, labels, found) <= min(losses) + 1e-15
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=grid[1] / grid[0] - 1)


def test_logits_times_a_number_have_a_temperature_times_that_number():
    logits, labels = confident(300, seed=2)
    once = fitted_temperature(logits, labels)
    assert [fitted_temperature(logits * s, labels) / once for s in (1e-3, 0.5, 40.0)] == pytest.approx(
        [1e-3, 0.5, 40.0], rel=1e-9
    )
    plain, scaled = (tempered((s * logits, labels), (s * logits, labels)) for s in (1.0, 40.0))
    assert scaled.temperature / plain.temperature == pytest.approx(40, rel=1e-9)
    assert (scaled.train_loss, scaled.test_loss) == pytest.approx((plain.train_loss, plain.test_loss), rel=1e-9)


def test_the_truth_has_temperature_1_and_its_multiple_that_factor_up_to_sampling():
    assert fitted_temperature(*confident(40_000, seed=3, scale=1.0)) == pytest.approx(1, abs=0.03)
    assert fitted_temperature(*confident(40_000, seed=3, scale=5.0)) == pytest.approx(5, abs=0.15)


def test_two_classes_have_the_temperature_that_a_hand_computes():
    # z = (±1, 0) with the first class true in three of four: p = σ(1/T) = 3/4, T = 1/log 3.
    logits, labels = torch.tensor([[1.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    assert fitted_temperature(logits, labels) == pytest.approx(1 / np.log(3), rel=1e-10)


def test_without_a_best_temperature_it_is_an_end_of_the_range_and_1_for_logits_that_say_nothing():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert fitted_temperature(logits, torch.tensor([0, 1])) == 1e-6  # all right
    assert fitted_temperature(logits, torch.tensor([1, 0])) == 1e6  # all wrong
    assert fitted_temperature(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])) == 1
    assert fitted_temperature(torch.full((4, 3), 7.0), torch.tensor([0, 1, 2, 0])) == 1


@pytest.mark.parametrize(
    "logits", [torch.zeros(0, 3), torch.tensor([[np.nan, 1.0, 0.0]]), torch.tensor([[np.inf, 0, 0]])]
)
def test_no_samples_and_logits_that_are_not_finite_are_refused(logits):
    with pytest.raises(InputError, match="finite logits of some samples"):
        fitted_temperature(logits, torch.zeros(len(logits), dtype=torch.long))


def test_each_half_is_measured_at_the_temperature_of_the_other():
    (train, test) = confident(90, seed=4, scale=2.0), confident(61, seed=5)
    found = tempered(train, test)
    even, odd = (fitted_temperature(test[0][start::2], test[1][start::2]) for start in (0, 1))
    losses = [cross_entropy(test[0] / t, test[1], reduction="none").numpy() for t in (odd, even)]
    at_even = np.arange(61) % 2 == 0
    assert found.test_loss == pytest.approx(np.where(at_even, losses[0], losses[1]).mean(), rel=1e-12)
    assert found.temperature == pytest.approx(np.sqrt(even * odd), rel=1e-12)
    wanted = (31 * loss_at(*train, odd) + 30 * loss_at(*train, even)) / 61
    assert found.train_loss == pytest.approx(wanted, rel=1e-12)
    assert found.gap == pytest.approx(found.test_loss - found.train_loss)


def test_tempering_lowers_the_loss_of_an_over_confident_network_and_not_of_a_calibrated_one():
    for scale, lower in ((1.0, False), (6.0, True)):
        logits, labels = confident(2_000, seed=6, scale=scale)
        found = tempered((logits, labels), (logits, labels))
        assert (found.test_loss < 0.8 * loss_at(logits, labels, 1.0)) is lower
        assert found.test_loss == pytest.approx(loss_at(*confident(2_000, seed=6, scale=1.0), 1.0), rel=0.01)


def test_the_numbers_of_a_network_are_those_of_its_logits():
    model = nn.Sequential(nn.Linear(4, 5)).eval()
    parts = []
    for count, seed in ((40, 0), (1_100, 1)):  # more than the network sees at once
        rng = np.random.default_rng(seed)
        parts.append(
            Samples(torch.from_numpy(rng.normal(size=(count, 4))), torch.from_numpy(rng.integers(5, size=count)))
        )
    with torch.no_grad():
        logits = [model(part.inputs.float()).double() for part in parts]
    wanted = tempered(*((z, part.targets) for z, part in zip(logits, parts, strict=True)))
    assert tempered_numbers(model, *parts) == pytest.approx(
        {"temperature": wanted.temperature, "test_loss_tempered": wanted.test_loss, "gap_tempered": wanted.gap}
    )


def test_every_row_of_a_run_has_them_and_none_where_outputs_are_no_logits(digits, rng):
    weights = {name: 0.3 * rng.normal(size=shape) for name, shape in SHAPES.items()}
    analysis = Analysis(digits, ["fc2", "fc3"], ["test_to_train"], 10, root_seed=1, shuffles=3)
    (first, second), _ = analysis.network("abc", 0, weights, 200)
    model, parts = from_weights(weights), (digits.train(200), digits.test)
    sets = [(model(torch.from_numpy(x).double()).detach(), torch.from_numpy(y)) for x, y in parts]
    assert first["gap_tempered"] == second["gap_tempered"] == pytest.approx(tempered(*sets).gap)
    rows, _ = replace(analysis, loss="mse").network("abc", 0, weights, 200)
    assert not [name for row in rows for name in row if "temper" in name]
