"""The draws against their laws, the runs against the engine and the library, every predictor against a plain fit."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import kstest, spearmanr

from awduality.config import resolve_file
from awduality.duality.determinants import determinants
from awduality.study.plan import plan, shards
from studies.random_design import draws, tables
from studies.random_design.experiment import duality_numbers, own_run, rival_numbers
from studies.random_design.predictors import CIRCULAR, PREDICTORS, RIVAL, Predictor, block_rows, run
from studies.random_design.study import FIXED, problems

FULL = "studies/random_design/full.yaml"


@pytest.fixture(scope="module")
def config(root):
    return resolve_file(root, FULL)[0]


@pytest.fixture(scope="module")
def planned(config):
    return pd.DataFrame([{**run["settings"], "seed": run["seed"], "id": run["id"]} for run in plan(config)["runs"]])


def test_a_draw_is_the_digest_of_its_address():
    digest = hashlib.sha256(b"awduality/1/2/random_design/design/3/4/dropout").hexdigest()
    assert draws.uniform(2, 3, 4, "dropout") == int(digest[:12], 16) / 2**48


def test_draws_are_uniform_and_those_of_two_factors_apart():
    numbers = {name: [draws.uniform(1, block, 0, name) for block in range(2000)] for name in ("dropout", "init_scale")}
    assert all(kstest(found, "uniform").pvalue > 0.001 for found in numbers.values())
    assert abs(spearmanr(*numbers.values()).statistic) < 0.08


def test_laws_keep_their_ends_and_their_middle():
    assert [draws.by_ratio([0.01, 1.0], u) for u in (0.0, 0.5, 1.0)] == pytest.approx([0.01, 0.1, 1.0])
    assert [draws.evenly([0.0, 0.2], u) for u in (0.0, 0.5, 1.0)] == pytest.approx([0.0, 0.1, 0.2])
    assert [draws.one_of([1, 2, 4], u) for u in (0.0, 0.34, 0.999)] == [1, 2, 4]


def test_every_block_has_its_runs_within_the_ranges_and_no_two_runs_share_a_stream(config, planned):
    asked = config["random_design"]
    ranges = asked["experiments"]["design"]
    assert set(planned.groupby("seed").size()) == {asked["runs_per_block"]}
    for factor, law in draws.LAWS.items():
        if law is draws.one_of:
            assert set(planned[factor]) == set(ranges[factor]), factor
        else:
            assert planned[factor].between(*ranges[factor]).all(), factor
            assert planned[factor].nunique() > 200, factor
    seeds = {own_run(one, 30).seed for runs in shards(config).values() for one in runs}
    assert len(seeds) == len(planned) == 250


def test_factors_are_drawn_independently(planned):
    correlations = planned[list(draws.LAWS)].corr("spearman").to_numpy()
    assert np.abs(correlations[~np.eye(len(correlations), dtype=bool)]).max() < 4 / np.sqrt(len(planned))


def test_another_block_moves_no_run(config):
    more = {**config["random_design"]["experiments"]["design"], "seeds": 12}
    other = {**config, "random_design": {**config["random_design"], "experiments": {"design": more}}}
    assert {run["id"] for run in plan(config)["runs"]} < {run["id"] for run in plan(other)["runs"]}


def test_a_shard_is_one_stack(config):
    for runs in shards(config).values():
        stacks = {tuple(one.settings[name] for name in ("batch_size", "train_size", "label_noise")) for one in runs}
        assert len(stacks) == 1


def test_ranges_without_two_ends_and_samples_that_there_are_not_are_told_before_anything_runs(config):
    ranges = {**config["random_design"]["experiments"]["design"], "dropout": [0.1], "train_size": [20, 1250]}
    found = list(problems({**config, "random_design": {"experiments": {"design": ranges}}}))
    assert len(found) == 3
    assert "wanted two ends" in found[0]
    assert "1560 training samples" in found[1]
    assert "larger than the smallest train_size" in found[2]


@pytest.fixture
def small(rng):
    """Weights of a small network, and samples in four classes that it labels itself."""
    weights = {"fc1": rng.normal(size=(6, 5)), "fc2": rng.normal(size=(6, 6)), "fc3": rng.normal(size=(4, 6))}
    inputs = np.abs(rng.normal(size=(160, 5)))
    return weights, inputs, np.arange(160) % 4


def test_the_duality_of_a_run_is_that_of_the_common_table(small):
    from awduality.data.splits import Split
    from awduality.duality.analysis import Analysis

    weights, inputs, labels = small
    pixels = inputs.astype(np.float32)
    split = Split(pixels[:100], labels[:100], pixels[100:], labels[100:], 4)
    found = duality_numbers(Analysis(split, ["fc2"], ["test_to_train"], 10, 1, 0), weights, "fc2", 100)
    known = determinants(weights, "fc2", split.train(100), split.test)
    same = {"sigma_g_norm": "sharpness", "sigma_w_norm": "size", "top_eigenvalue": "top_eigenvalue", "trace": "trace"}
    for name, other in same.items():
        for form in ("", "_balanced"):
            assert found[name + form] == pytest.approx(known[other + form], rel=1e-8), name + form
    assert found["gap"] == pytest.approx(known["gap"])
    assert found["weight_norm"] ** 2 == pytest.approx(sum(np.sum(w**2) for w in weights.values()))


def test_the_measures_of_a_run_are_those_of_the_library_on_the_samples_asked_for(small):
    from awduality.measures.capacity import margin, outputs
    from awduality.measures.flatness import pac_bayes_flatness

    weights, inputs, _ = small
    labels = outputs(weights, inputs).argmax(1)
    found = rival_numbers(weights, "fc2", (inputs, labels), 50, np.random.default_rng(4))
    assert found["margin"] == margin(weights, (inputs, labels))
    some = (inputs[:50], labels[:50])
    assert found["pac_bayes"] == pac_bayes_flatness(weights, some, np.random.default_rng(4))


@pytest.fixture
def runs(rng):
    """Two blocks of runs whose gap is λ₁^½ size^1.75 up to little noise, and whose other columns are noise."""
    columns = {column for one in PREDICTORS.values() for column in one.powers}
    table = pd.DataFrame({column: np.exp(rng.normal(size=50)) for column in sorted(columns)})
    product = np.prod([table[name] ** power for name, power in FIXED.items()], axis=0)
    table["gap"] = product * np.exp(0.01 * rng.normal(size=50))
    head = {"config": "c", "dataset": "d", "ended": "converged"}
    return table.assign(**head, seed=np.arange(50) // 25, fold=np.arange(50) % 5)


def test_what_a_law_misses_is_what_a_fit_to_the_other_folds_misses(runs):
    block = runs[runs["seed"] == 0]
    y, columns = np.log(block["gap"].to_numpy()), ["path_norm", "margin"]
    x = np.log(block[columns].to_numpy())
    squares = []
    for fold in range(5):
        out = (block["fold"] == fold).to_numpy()
        centre, rest = x[~out].mean(0), x[~out] - x[~out].mean(0)
        slopes = np.linalg.solve(rest.T @ rest, rest.T @ y[~out])
        squares += list((y[out] - y[~out].mean() - (x[out] - centre) @ slopes) ** 2)
    found = PREDICTORS["path norm / margin"].misses(block, y, block["fold"].to_numpy())
    assert found == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-9)


def test_a_law_that_holds_is_found_whatever_the_powers_written_and_a_wrong_fixed_one_is_not(runs):
    block = runs[runs["seed"] == 1]
    y, folds = np.log(block["gap"].to_numpy()), block["fold"].to_numpy()
    wrong = dict.fromkeys(FIXED, -3.0)
    assert Predictor(wrong, "x").misses(block, y, folds) < 0.02
    assert Predictor(FIXED, "x", fixed=True).misses(block, y, folds) < 0.02
    assert Predictor(wrong, "x", fixed=True).misses(block, y, folds) > 1


def test_the_table_has_every_predictor_in_every_block_and_leaves_out_runs_that_did_not_converge(runs):
    runs.loc[:4, "ended"] = "budget"
    rows, _ = run({"runs": runs}, {})["predictors"]
    assert [(row["seed"], row["predictor"]) for row in rows] == [(s, name) for s in (0, 1) for name in PREDICTORS]
    assert [row["runs"] for row in rows] == [20] * len(PREDICTORS) + [25] * len(PREDICTORS)
    ranks = {row["predictor"]: row["rank"] for row in rows if row["seed"] == 1}
    block = runs[runs["seed"] == 1]
    expected = spearmanr(block["margin"] ** -2, block["gap"]).statistic
    assert ranks["1 / margin²"] == pytest.approx(expected)
    assert ranks["λ₁^½ size^1.75"] > 0.99
    assert ranks["constant"] == 0.0
    assert len(block_rows(block)) == len(PREDICTORS)


def test_claims_meet_every_rival_of_the_table_and_never_the_circular_one(root):
    content = yaml.safe_load((root / "studies/random_design/claims.yaml").read_text())
    found = {claim["id"]: claim["statistic"] for claim in content["claims"]}
    wanted = {label: dict(one.powers) for label, one in PREDICTORS.items() if one.group == RIVAL}
    for name in ("ranked/fixed", "ranked/balanced"):
        assert {rival["label"]: rival["columns"] for rival in found[name]["rivals"]} == wanted
    for name in ("predicted/pair", "predicted/fixed", "predicted/train-size", "predicted/label-noise"):
        rivals = {rival["label"]: set(rival["columns"]) for rival in found[name]["rivals"]}
        assert rivals == {label: set(powers) for label, powers in wanted.items()}
    assert found["predicted/fixed"]["quantity"]["columns"] == FIXED
    assert "sigma_g_norm" not in str(content)
    assert [label for label, one in PREDICTORS.items() if one.group == CIRCULAR] == ["σ_g σ_w"]


def test_folds_are_dealt_out_in_turn_within_a_block(monkeypatch):
    rows = [{"run": str(place), "seed": place % 2} for place in range(24)]
    monkeypatch.setattr(tables, "run_rows", lambda _: rows)
    dealt = tables.run(None)["runs"]
    for block in (0, 1):
        assert [row["fold"] for row in dealt if row["seed"] == block] == [place % 5 for place in range(12)]
