"""Two oracles for what is estimated and measured: laws that are put in, and another way to compute; runs and tables."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from awduality.claims.judge import judge, kinds_of, read_claims
from awduality.duality.determinants import MEASURES
from awduality.runs import Run
from awduality.study.jobs import CLAIMS_SCHEMA
from awduality.study.step import Job
from studies.cause.determinants import run as determinant_table
from studies.cause.experiment import run
from studies.cause.figures import _levelled
from studies.cause.kinds import main_effects
from studies.cause.study import STUDY, problems
from studies.cause.tested import logits, measured
from tests.conftest import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:Precision loss")  # laws that hold exactly have no spread

LAMBDA = {"columns": {"sharpness": 1}, "scale": "log", "label": "sharpness"}
SIZE = {"columns": {"size": 1}, "scale": "log", "label": "size"}
GAP = {"columns": {"gap": 1}, "scale": "log", "label": "gap"}


def plane(rng, sharp=0.3, large=0.8, joint=0.0, noise=0.0, seeds=4):
    """Runs of every ρ and norm that leak into each other, and whose gap follows a law."""
    rows = []
    for seed in range(seeds):
        level, tilt = rng.standard_normal(2)
        for place, rho in enumerate((0.0, 0.05, 0.1, 0.2)):
            for norm in (3.0, 4.0, 5.0, 6.0):
                one = -0.7 * place + 0.1 * norm + 0.1 * tilt * place
                two = 0.1 * place + 0.25 * norm
                gap = sharp * one + large * two + joint * one * two + level
                gap, one, two = np.exp(np.array([gap, one, two]) + noise * rng.standard_normal(3))
                rows.append({"config": "c", "run": f"{seed}{rho}{norm}", "rho": rho, "norm": norm, "batch_size": 25})
                rows[-1] |= {"seed": seed, "experiments": "plane", "ended": "converged"}
                rows[-1] |= {"gap": gap, "sharpness": one, "size": two}
    return pd.DataFrame(rows)


def claimed(statistic, runs, expected="+"):
    claim = {"id": "a/b", "of": "ours", "statement": "x.", "known_from": "ours", "statistic": statistic}
    content = {"level": 0.05, "claims": [{**claim, "expected": expected, "why": "x"}]}
    schema = yaml.safe_load((ROOT / CLAIMS_SCHEMA).read_text())
    (row,) = judge(read_claims(content, schema, kinds_of("cause")), {"runs": runs}, 1, kinds_of("cause"))
    return row


def elasticity(on, held, causes=("rho", "norm"), **more):
    found = {"kind": "elasticity", "quantity": GAP, "on": on, "causes": list(causes), **more}
    return found | ({"held": held} if held else {})


def test_the_elasticities_of_a_law_that_was_put_in_are_found_exactly_although_causes_leak(rng):
    runs = plane(rng)
    assert claimed(elasticity(LAMBDA, [SIZE]), runs)["estimate"] == pytest.approx(0.3)
    assert claimed(elasticity(SIZE, [LAMBDA]), runs)["estimate"] == pytest.approx(0.8)
    assert claimed(elasticity(LAMBDA, [SIZE], minus=0.3), runs)["estimate"] == pytest.approx(0)


def test_a_cell_that_is_missing_changes_no_exact_elasticity(rng):
    runs = plane(rng)
    runs.loc[[3, 20], "ended"] = "budget"
    row = claimed(elasticity(LAMBDA, [SIZE]), runs)
    assert row["estimate"] == pytest.approx(0.3)
    assert row["excluded"] == 2


def test_size_beyond_the_product_is_its_elasticity_less_twice_that_of_sharpness(rng):
    runs = plane(rng, noise=0.05)
    product = {"columns": {"sharpness": 1, "size": 2}, "scale": "log", "label": "product"}
    sharp, large = (claimed(elasticity(*pair), runs)["estimate"] for pair in ((LAMBDA, [SIZE]), (SIZE, [LAMBDA])))
    beyond = claimed(elasticity(SIZE, [product]), runs)["estimate"]
    assert beyond == pytest.approx(large - 2 * sharp)


def test_the_elasticity_is_that_of_instrumental_variables_in_its_textbook_form(rng):
    runs = plane(rng, noise=0.2, seeds=3)
    expected = []
    for _, of in runs.groupby("seed"):
        ranks = [of[cause].rank(method="dense").to_numpy() for cause in ("rho", "norm")]
        z = np.column_stack([np.ones(len(of)), *ranks])
        x = np.column_stack([np.ones(len(of)), np.log(of["sharpness"]), np.log(of["size"])])
        expected.append(np.linalg.solve(z.T @ x, z.T @ np.log(of["gap"].to_numpy()))[1])
    assert claimed(elasticity(LAMBDA, [SIZE]), runs)["estimate"] == pytest.approx(np.mean(expected))


def test_noise_of_the_determinants_pulls_a_regression_to_zero_and_the_elasticity_hardly(rng):
    runs = plane(rng, noise=0.3, seeds=60)
    found = claimed(elasticity(LAMBDA, [SIZE]), runs)["estimate"]
    regressed = []
    for _, of in runs.groupby("seed"):
        x = np.column_stack([np.ones(len(of)), np.log(of["sharpness"]), np.log(of["size"])])
        regressed.append(np.linalg.lstsq(x, np.log(of["gap"].to_numpy()))[0][1])
    assert abs(found - 0.3) < abs(np.mean(regressed) - 0.3) / 2


def test_of_one_cause_it_is_all_that_the_cause_did_over_what_it_did_to_the_determinant(rng):
    runs = plane(rng)
    expected = []
    for _, of in runs.groupby("seed"):
        logs = [np.log(of[name]).groupby(of["rho"]).mean() for name in ("gap", "sharpness")]
        slopes = [np.polyfit(range(4), means, 1)[0] for means in logs]
        expected.append(slopes[0] / slopes[1])
    found = claimed(elasticity(LAMBDA, [], ("rho",)), runs)["estimate"]
    assert found == pytest.approx(np.mean(expected))
    assert found < 0.3  # size rises along ρ


def test_main_effects_are_differences_of_means_where_a_cause_has_two_values():
    rows = pd.DataFrame({"rho": [0.0, 0.1, 0.0, 0.1], "norm": [3.0, 3.0, 9.0, 9.0]})
    values = np.array([[1.0], [2.0], [4.0], [9.0]])
    assert main_effects(rows, ["rho", "norm"], values).ravel() == pytest.approx([3.0, 5.0])
    assert main_effects(rows[:2], ["rho", "norm"], values[:2]) is None


@pytest.mark.parametrize("joint", [0.0, 0.2, -0.1])
def test_the_interaction_is_that_which_was_put_in_and_none_in_a_product(rng, joint):
    runs = plane(rng, joint=joint)
    row = claimed({"kind": "interaction", "quantity": GAP, "on": LAMBDA, "held": [SIZE]}, runs, "equivalent(0.1)")
    ranges = [np.ptp(np.log(of["size"])) for _, of in runs.groupby("seed")]
    assert row["estimate"] == pytest.approx(joint * np.mean(ranges), abs=1e-9)


def test_claims_with_more_determinants_than_causes_or_unknown_causes_are_refused(rng):
    for causes, message in ((("rho",), "as many as determinants"), (("rho", "nor"), "which is no setting")):
        with pytest.raises(Exception, match=message):
            claimed(elasticity(LAMBDA, [SIZE], causes), plane(rng))


def test_the_best_temperature_is_found_and_changes_no_decision(rng):
    true = rng.standard_normal((4000, 5))
    chances = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=chance) for chance in chances])
    for scale in (0.2, 1.0, 8.0):
        found = measured(scale * true, labels)
        assert found.temperature == pytest.approx(scale, rel=0.1)  # the labels were drawn at scale 1
        assert found.test_error == (true.argmax(1) != labels).mean()
        assert found.tempered_loss == pytest.approx(measured(true, labels).tempered_loss, rel=1e-6)
    grid = [
        -np.log(np.take_along_axis(_softmax(s * true), labels[:, None], 1)).mean() for s in np.geomspace(0.3, 3, 500)
    ]
    assert measured(true, labels).tempered_loss == pytest.approx(min(grid), rel=1e-5)


def _softmax(values):
    return np.exp(values) / np.exp(values).sum(1, keepdims=True)


def test_logits_are_those_of_the_network(rng):
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((7, 4), (6, 7), (3, 6))]
    x = torch.from_numpy(rng.standard_normal((5, 4)))
    hidden = x
    for matrix in weights[:-1]:
        hidden = torch.relu(hidden @ torch.from_numpy(matrix).double().T)
    assert logits(weights, x.numpy()) == pytest.approx((hidden @ torch.from_numpy(weights[-1]).double().T).numpy())


ASKED = {"width": 20, "learning_rate": 0.1, "train_size": 200, "target_loss": 0.3, "check_every": 20}
ASKED |= {"max_steps": 3000, "layers": ["fc2"], "root_seed": 3}


def several():
    cells = [(0.0, 4.0, 20), (0.1, 4.0, 20), (0.1, 3.0, 20), (0.0, 0.0, 20), (0.0, 4.0, 50)]
    return [Run({"rho": rho, "norm": norm, "batch_size": batch}, seed) for rho, norm, batch in cells for seed in (0, 1)]


@pytest.fixture(scope="module")
def outcomes(digits_file):
    return {outcome.run.id: outcome for outcome in run(Job("cause", several(), ASKED, digits_file, progress=quiet))}


def quiet(*_):
    """Say nothing."""


def test_a_run_alone_equals_the_same_run_in_its_shard_to_the_bit(digits_file, outcomes):
    assert len(outcomes) == 10
    for one in several()[::3]:
        (alone,) = run(Job("cause", [one], ASKED, digits_file, progress=quiet))
        assert alone == outcomes[one.id]


def test_runs_end_just_below_the_target_and_hold_their_norms(outcomes):
    for outcome in outcomes.values():
        numbers = outcome.numbers
        assert outcome.ended == "converged"
        assert 0.2 < numbers["train_loss"] < 0.3
        assert numbers["train_loss"] == pytest.approx(numbers["end_loss"], rel=1e-5)
        assert numbers["steps"] % 20 == 0
        if outcome.run.settings["norm"]:
            assert numbers["norm_error"] < 1e-6
        else:
            assert numbers["norm_error"] == ""


def test_norms_are_multiples_of_those_that_layers_begin_with(outcomes):
    for seed in (0, 1):
        of = {
            outcome.run.settings["norm"]: outcome.numbers["norm_fc2"]
            for outcome in outcomes.values()
            if outcome.run.seed == seed
        }
        assert of[4.0] / of[3.0] == pytest.approx(4 / 3, rel=1e-6)


def test_every_cell_is_compared_with_its_neighbour_without_the_cause(outcomes):
    rows = [
        {"config": "c", "dataset": "digits", "run": one.run.id, **one.run.settings, "seed": one.run.seed}
        | {"ended": one.ended, **one.numbers}
        for one in outcomes.values()
    ]
    found, columns = determinant_table({"runs": pd.DataFrame(rows)}, ASKED)["determinants"]
    assert set(MEASURES) < set(columns)
    methods = {row["run"]: row["method"] for row in found}
    assert {row["method"]: methods.get(row["baseline"], "") for row in found} == {
        "norm 4, batches of 20, plain": "",
        "norm 4, batches of 20, ρ = 0.1": "norm 4, batches of 20, plain",
        "norm 3, batches of 20, ρ = 0.1": "",
        "free norm, batches of 20, plain": "",
        "norm 4, batches of 50, plain": "norm 4, batches of 20, plain",
    }
    seeds = {row["run"]: row["seed"] for row in found}
    assert all(seeds[row["baseline"]] == row["seed"] for row in found if row["baseline"])


def test_figures_take_the_level_of_a_seed_out_and_leave_means_of_cells():
    runs = pd.DataFrame({"seed": [0, 0, 1, 1]})
    assert list(_levelled(pd.Series([1.0, 3.0, 11.0, 13.0]), runs)) == [6.0, 8.0, 6.0, 8.0]


def test_configs_that_cannot_be_run_are_refused():
    config = {"cause": {"train_size": 900}, "data": {"pool": {"count": 800}}, "layers": ["fc2", "fc3"]}
    assert [problem.partition(":")[0] for problem in problems(config)] == ["cause.train_size", "layers"]
    assert list(problems({**config, "cause": {"train_size": 800}, "layers": ["fc1"]})) == []


def test_the_settings_are_the_two_causes_and_the_batch():
    assert list(STUDY.settings) == ["rho", "norm", "batch_size"]
