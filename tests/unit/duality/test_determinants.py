"""The common table of sharpness and size: its numbers against dense ones, its pairs against those of the figures."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call, hessian

from awduality import decompose
from awduality.duality.determinants import (
    DETERMINANT_COLUMNS,
    MEASURES,
    Comparison,
    determinant_rows,
    determinants,
)
from awduality.duality.nulls import balanced, rescaled_neurons
from awduality.errors import InputError
from awduality.networks import from_weights
from studies.learners.determinants import LEARNERS
from studies.learners.matched import matched_pairs

BALANCED = [name for name in MEASURES if name.endswith("_balanced")]


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(3)
    shapes = {"fc1": (7, 64), "fc2": (6, 7), "fc3": (10, 6)}
    return {name: (generator.normal(size=shape) * 0.4).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def found(digits, weights):
    return determinants(weights, "fc2", digits.train(150), digits.test)


def curvature(weights, train):
    """λ₁ and trace of the Hessian of the mean loss in fc2, by automatic differentiation of the whole network."""
    model = from_weights(weights).double()
    inputs, labels = torch.from_numpy(train[0]).double(), torch.from_numpy(train[1])
    fixed = {name: value.detach() for name, value in model.named_parameters()}

    def loss(matrix):
        outputs = functional_call(model, fixed | {"fc2.weight": matrix}, (inputs,))
        return torch.nn.functional.cross_entropy(outputs, labels)

    whole = hessian(loss)(fixed["fc2.weight"]).reshape([fixed["fc2.weight"].numel()] * 2)
    return float(torch.linalg.eigvalsh(whole)[-1]), float(whole.trace())


def test_sharpness_and_size_are_sums_over_all_directions(digits, weights, found):
    whole = decompose(from_weights(weights), "fc2", digits.train(150), digits.test)
    assert len(whole.sigma_g) == weights["fc2"].size
    assert found["sharpness"] == pytest.approx(np.sum(whole.sigma_g**2) ** 0.5, rel=1e-10)
    assert found["size"] == pytest.approx(np.sum(whole.sigma_w**2) ** 0.5, rel=1e-10)
    assert found["estimate"] == pytest.approx(whole.estimate, rel=1e-10)
    assert found["gap"] == pytest.approx(whole.gap, rel=1e-12)
    other = decompose(from_weights(balanced(weights)), "fc2", digits.train(150), digits.test)
    assert found["sharpness_balanced"] == pytest.approx(np.sum(other.sigma_g**2) ** 0.5, rel=1e-10)
    assert found["size_balanced"] == pytest.approx(np.sum(other.sigma_w**2) ** 0.5, rel=1e-10)


def test_top_eigenvalue_and_trace_are_those_of_the_hessian_by_automatic_differentiation(digits, weights, found):
    assert curvature(weights, digits.train(150)) == pytest.approx((found["top_eigenvalue"], found["trace"]), rel=1e-9)
    same = curvature(balanced(weights), digits.train(150))
    assert same == pytest.approx((found["top_eigenvalue_balanced"], found["trace_balanced"]), rel=1e-9)


def test_losses_are_means_over_all_samples(digits, weights, found):
    for name, (inputs, labels) in {"train_loss": digits.train(150), "test_loss": digits.test}.items():
        outputs = from_weights(weights).double()(torch.from_numpy(inputs).double())
        wanted = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(labels)).item()
        assert found[name] == pytest.approx(wanted, rel=1e-12)


def test_rescaling_units_changes_all_but_what_is_balanced(digits, weights, found):
    other = determinants(rescaled_neurons(weights, np.random.default_rng(0)), "fc2", digits.train(150), digits.test)
    assert tuple(found) == tuple(other) == MEASURES
    invariant = ["gap", "train_loss", "test_loss", "estimate", *BALANCED]
    assert [other[name] for name in invariant] == pytest.approx([found[name] for name in invariant], rel=1e-8)
    for name in ("top_eigenvalue", "trace", "sharpness", "size"):
        assert other[name] != pytest.approx(found[name], rel=1e-2)


def runs(**changes):
    """Two methods at two target losses and three seeds, every number another; one baseline has not converged."""
    keys = [(method, goal, seed) for method in ("plain", "sam") for goal in (0.1, 0.01) for seed in range(3)]
    table = pd.DataFrame(keys, columns=["optimizer", "target_loss", "seed"])
    table = table.assign(config="c", dataset="digits", layer="fc2", ended="converged", rate=0.1)
    table["run"] = [f"{method}{goal}{seed}" for method, goal, seed in keys]
    table.loc[table["run"] == "plain0.12", "ended"] = "budget"
    for place, name in enumerate(MEASURES):
        table[name] = np.arange(len(table)) + 100.0 * place
    return table.assign(**changes)


RULE = Comparison(lambda row: {"plain": "SGD", "sam": "SAM"}.get(row["optimizer"], ""), {"SAM": "SGD"})


def test_a_run_is_compared_with_the_baseline_of_its_target_loss_and_seed():
    rows = {row["run"]: row for row in determinant_rows(runs(), RULE)}
    assert all(tuple(row) == DETERMINANT_COLUMNS for row in rows.values())
    assert rows["sam0.011"]["baseline"] == "plain0.011"
    assert rows["sam0.11"]["baseline"] == "plain0.11"
    assert rows["plain0.11"]["baseline"] == ""
    for row in rows.values():
        assert {name: row[name] for name in MEASURES} == dict(runs().set_index("run").loc[row["run"], list(MEASURES)])


def test_without_a_baseline_that_has_converged_there_is_none():
    rows = {row["run"]: row for row in determinant_rows(runs(), RULE)}
    assert "plain0.12" not in rows
    assert rows["sam0.12"]["baseline"] == ""


def test_runs_that_are_of_no_method_are_left_out():
    table = runs().replace({"optimizer": {"plain": "other"}})
    assert {row["method"] for row in determinant_rows(table, RULE)} == {"SAM"}


def test_two_baselines_for_one_run_are_refused_and_more_columns_tell_them_apart():
    other = runs(rate=0.2).assign(run=lambda table: table["run"] + "-fast")
    table = pd.concat([runs(), other], ignore_index=True)
    with pytest.raises(InputError, match="match by more"):
        determinant_rows(table, RULE)
    by_rate = Comparison(RULE.method, RULE.baselines, matched=["rate"])
    rows = {row["run"]: row["baseline"] for row in determinant_rows(table, by_rate)}
    assert rows["sam0.11-fast"] == "plain0.11-fast"
    assert rows["sam0.11"] == "plain0.11"


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(InputError, match="'trace'"):
        determinant_rows(runs().drop(columns="trace"), RULE)


@pytest.mark.parametrize("config", ["digits-learners", "mnist-learners"])
def test_committed_learners_are_paired_as_in_their_figures(root, config):
    table = pd.read_csv(root / "figures" / config / "runs.csv", dtype={"run": str})
    rows = pd.DataFrame(determinant_rows(table, LEARNERS, target_loss=0.1))
    of_layer = rows[rows["layer"] == table["layer"].iloc[0]]
    decentralised = of_layer[(of_layer["method"] == "DPSGD") & (of_layer["baseline"] != "")]
    wanted = matched_pairs(table[table["layer"] == table["layer"].iloc[0]])
    assert len(wanted) > 0
    assert set(zip(decentralised["run"], decentralised["baseline"], strict=True)) == set(
        zip(wanted["run"], wanted["run_ssgd"], strict=True)
    )
    both = decentralised.merge(wanted, on="run", suffixes=("", "_wanted"))
    assert (both["sharpness"] == both["sigma_g_norm"]).all()
    assert (both["size_balanced"] == both["sigma_w_norm_balanced"]).all()
    assert set(of_layer["method"]) == {"SSGD", "DPSGD", "SSGD*"}
