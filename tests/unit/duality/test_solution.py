import numpy as np
import pytest
import torch

from awduality import decompose
from awduality.duality.nulls import balanced
from awduality.duality.pairing import nearest_pairs
from awduality.duality.solution import SOLUTION_COLUMNS, solution_row
from awduality.networks import from_weights
from awduality.probe import Samples


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(0)
    shapes = {"fc1": (8, 64), "fc2": (8, 8), "fc3": (10, 8)}
    return {name: generator.normal(size=shape).astype(np.float32) * 0.3 for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def found(digits, weights):
    train, test = (
        Samples(torch.from_numpy(x).double(), torch.from_numpy(y)) for x, y in (digits.train(200), digits.test)
    )
    return solution_row(weights, "fc2", train, test, nearest_pairs(digits.train(200), digits.test), 5)


def test_a_row_has_all_columns_but_that_of_the_run(found):
    assert {"run", *found[0]} == set(SOLUTION_COLUMNS)


def test_sharpness_and_size_are_those_of_all_directions(digits, weights, found):
    whole = decompose(from_weights(weights), "fc2", digits.train(200), digits.test)
    row, losses = found
    assert row["sigma_g_norm"] == pytest.approx(np.linalg.norm(whole.sigma_g), rel=1e-10)
    assert row["sigma_w_norm"] == pytest.approx(np.linalg.norm(whole.sigma_w), rel=1e-10)
    assert row["trace"] == pytest.approx(whole.eigenvalues.sum(), rel=1e-10)
    assert row["top_eigenvalue"] == pytest.approx(whole.eigenvalues[0], rel=1e-10)
    assert row["sharp_part"] == pytest.approx(whole.contribution[:5].sum(), rel=1e-8)
    assert row["gap"] == whole.gap
    logits = from_weights(weights)(torch.from_numpy(digits.test_inputs)).double()
    wanted = torch.nn.functional.cross_entropy(logits, torch.from_numpy(digits.test_labels), reduction="none")
    assert np.allclose(losses, wanted.detach(), atol=1e-5)


def test_the_balanced_form_is_that_of_the_same_function(digits, weights, found):
    row, _ = found
    whole = decompose(from_weights(balanced(weights)), "fc2", digits.train(200), digits.test)
    assert row["top_eigenvalue_balanced"] == pytest.approx(whole.eigenvalues[0], rel=1e-10)
    assert row["sigma_w_norm_balanced"] == pytest.approx(np.linalg.norm(whole.sigma_w), rel=1e-10)
    assert row["sigma_w_norm_balanced"] != pytest.approx(row["sigma_w_norm"], rel=1e-2)
