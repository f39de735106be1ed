import numpy as np
import pytest
import torch

from awduality import decompose
from awduality.duality.analysis import Analysis
from awduality.duality.summary import COLUMNS, NULL_COLUMNS, summary
from awduality.duality.temperature import TEMPERED_COLUMNS
from awduality.networks import from_weights


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(0)
    shapes = {"fc1": (8, 64), "fc2": (8, 8), "fc3": (10, 8)}
    return {name: generator.normal(size=shape).astype(np.float32) * 0.3 for name, shape in shapes.items()}


def test_a_row_per_layer_and_pairing_with_the_numbers_of_decompose(digits, weights):
    analysis = Analysis(digits, ["fc2", "fc3"], ["test_to_train", "train_to_test"], 10, root_seed=1, shuffles=3)
    rows, arrays = analysis.network("abc", 0, weights, 200)
    assert [(row["layer"], row["pairing"]) for row in rows] == [
        (layer, pairing) for layer in ("fc2", "fc3") for pairing in ("test_to_train", "train_to_test")
    ]
    direct = decompose(from_weights(weights), "fc3", digits.train(200), (digits.test_inputs, digits.test_labels))
    row = rows[2]
    assert set(row) == {*COLUMNS, *NULL_COLUMNS, *TEMPERED_COLUMNS}
    assert set(rows[3]) == {*COLUMNS, *TEMPERED_COLUMNS}  # nulls for the first pairing only
    assert row["estimate"] == direct.estimate
    assert row["sharp_part"] + row["flat_part"] + row["mean_term"] == pytest.approx(row["estimate"])
    assert row["layer_norm"] == pytest.approx(np.linalg.norm(weights["fc3"]))
    assert row["weight_norm"] ** 2 == pytest.approx(sum(np.linalg.norm(w) ** 2 for w in weights.values()), rel=1e-6)
    assert row["trace"] == pytest.approx(direct.eigenvalues.sum())
    assert row["pairs"] + row["dropped"] == 100
    assert np.array_equal(arrays["abc/fc3/test_to_train/sigma_g"], direct.sigma_g)
    assert np.array_equal(arrays["abc/fc3/eigenvalues"], direct.eigenvalues)


def test_the_numbers_are_of_the_loss_that_was_minimised(digits, weights):
    analysis = Analysis(digits, ["fc2"], ["test_to_train"], 10, root_seed=1, shuffles=3, loss="mse")
    ((row,), arrays) = analysis.network("abc", 0, weights, 200)
    test = (digits.test_inputs, digits.test_labels)
    direct = decompose(from_weights(weights), "fc2", digits.train(200), test, loss="mse")
    assert (row["gap"], row["estimate"], row["trace"]) == (direct.gap, direct.estimate, direct.trace)
    with torch.no_grad():
        model = from_weights(weights).double()
        outputs = [model(torch.from_numpy(inputs).double()).numpy() for inputs, _ in (digits.train(200), test)]
    train, tested = outputs[0] - np.eye(10)[digits.train(200)[1]], outputs[1] - np.eye(10)[digits.test_labels]
    assert np.allclose(arrays["abc/test_losses"], np.square(tested).mean(1), rtol=1e-12)
    assert row["gap"] == pytest.approx(np.square(tested).mean() - np.square(train).mean(), rel=1e-10)


def test_the_rank_counts_eigenvalues_above_the_tolerance(digits, weights):
    dead = {**weights, "fc2": np.where(np.arange(8)[:, None] == 3, -10.0, weights["fc2"]).astype(np.float32)}
    result = decompose(from_weights(dead), "fc2", digits.train(200), (digits.test_inputs, digits.test_labels))
    assert summary(result, 10)["rank"] == (result.eigenvalues > 1e-10 * result.eigenvalues[0]).sum() < 64


def test_totals_leave_out_the_directions_whose_basis_is_arbitrary(digits, weights):
    dead = {**weights, "fc2": np.where(np.arange(8)[:, None] == 3, -10.0, weights["fc2"]).astype(np.float32)}
    result = decompose(from_weights(dead), "fc2", digits.train(200), (digits.test_inputs, digits.test_labels))
    above = result.eigenvalues > 1e-10 * result.eigenvalues[0]
    row = summary(result, 10)
    assert row["sigma_w_total"] == pytest.approx(result.sigma_w[above].sum())
    assert row["sigma_g_total"] == pytest.approx(result.sigma_g[above].sum())
    assert row["c_median"] == pytest.approx(np.median(result.c[above]))
    assert row["sigma_w_total"] < result.sigma_w.sum()


def test_one_analysis_pairs_every_training_size_on_its_own(digits, weights):
    def analysis():
        return Analysis(digits, ["fc2"], ["test_to_train"], 10, root_seed=1, shuffles=3)

    shared = analysis()
    both = [shared.network("abc", 0, weights, size)[0][0] for size in (100, 300)]
    alone = [analysis().network("abc", 0, weights, size)[0][0] for size in (100, 300)]
    assert both == alone
    assert both[0]["estimate"] != both[1]["estimate"]


def test_a_dead_network_has_a_row_and_no_gap(digits, weights):
    silent = {**weights, "fc1": -np.abs(weights["fc1"])}
    rows, _ = Analysis(digits, ["fc2"], ["test_to_train"], 10, root_seed=1, shuffles=3).network("abc", 0, silent, 200)
    assert rows[0]["gap"] == pytest.approx(0, abs=1e-12)
    assert rows[0]["rank"] == 0
