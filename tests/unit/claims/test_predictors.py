"""Kinds that ask what a quantity tells of a target: beyond another one, and in groups that it was not fitted to."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, rankdata, spearmanr, ttest_1samp
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from awduality.claims.held_out import CONSTANT, left_out
from awduality.claims.ordered import partial_spearman
from awduality.errors import InputError
from tests.unit.claims.companion import entry, quantity, read, row, verdicts

SEEDS = 6
GROUPS = ("base", "rate", "batch", "width")


def law(seed, a=0.5, b=2.0, noise=0.0, levels=5):
    """Rows of every seed and group: y = e^0.3 p^a q^b, p and q moved by the group; z is neither."""
    rng = np.random.default_rng(seed)
    rows = []
    for of_seed in range(SEEDS):
        for group in GROUPS:
            for _ in range(levels):
                p, q, z = np.exp(rng.normal(size=3))
                y = math.exp(0.3 + noise * rng.normal()) * p**a * q**b
                rows.append({"seed": of_seed, "group": group, "ended": "converged", "p": p, "q": q, "z": z, "y": y})
    table = pd.DataFrame(rows)
    return table.assign(run=[f"run-{place}" for place in range(len(table))], config="quick", dataset="toy")


@pytest.fixture
def table():
    return law(1, noise=0.3)


def partial(*names, **rest):
    of, target, fixed = names
    sides = {"quantity": quantity(of), "target": quantity(target), "given": quantity(fixed)}
    return {"kind": "partial_rank", **sides, **rest}


def held(*columns, rivals=(), **rest):
    def product(names):
        return {"columns": dict.fromkeys(names, 1), "scale": "log", "label": " ".join(names)}

    own = product(columns) if isinstance(columns[0], str) else columns[0]
    others = {"rivals": [product([name]) for name in rivals]} if rivals else {}
    return {"kind": "held_out", "quantity": own, "target": quantity("y", log=True), "by": "group", **others, **rest}


# Partial rank correlations


def by_residuals(x, y, z):
    """The correlation of what regression on the ranks of z leaves of the ranks of x and y."""
    ranks = [rankdata(one) for one in (x, y, z)]
    left = [one - np.polyval([(fit := linregress(ranks[2], one)).slope, fit.intercept], ranks[2]) for one in ranks[:2]]
    return np.corrcoef(*left)[0, 1]


def by_precision(x, y, z):
    """The same from the inverse of the matrix of correlations."""
    inverse = np.linalg.inv(np.corrcoef([rankdata(one) for one in (x, y, z)]))
    return -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])


@given(st.integers(0, 10_000), st.integers(5, 30), st.booleans())
@settings(max_examples=50)
def test_a_partial_rank_correlation_is_that_of_residuals_and_that_of_the_precision_matrix(seed, count, ties):
    x, y, z = np.random.default_rng(seed).normal(size=(3, count)) @ np.tri(count).T
    x = x.round() if ties else x
    if np.linalg.det(np.corrcoef([rankdata(one) for one in (x, y, z)])) > 1e-6:
        assert partial_spearman(x, y, z) == pytest.approx(by_residuals(x, y, z))
        assert partial_spearman(x, y, z) == pytest.approx(by_precision(x, y, z))


def test_where_the_third_orders_everything_nothing_is_left_and_three_rows_tell_nothing(rng):
    x, y = rng.normal(size=(2, 9))
    assert partial_spearman(x, y, np.exp(x)) == 0
    assert partial_spearman(x, y, np.zeros(9)) == pytest.approx(spearmanr(x, y).statistic)
    assert math.isnan(partial_spearman(x[:3], y[:3], x[:3] ** 2))


def test_partial_ranks_are_averaged_over_seeds_with_their_t_interval(table):
    found = row(table, partial("p", "y", "q"), expected="+")
    values = np.array([by_residuals(of["p"], of["y"], of["q"]) for _, of in table.groupby("seed")])
    oracle = ttest_1samp(values, 0)
    assert found["estimate"] == pytest.approx(values.mean())
    assert found["p"] == pytest.approx(oracle.pvalue)
    assert found["interval"] == pytest.approx(oracle.confidence_interval(0.95))
    assert (found["verdict"], found["n"], found["seeds"]) == ("supported", len(table), SEEDS)
    assert found["statistic"] == "mean over seeds of Spearman's partial correlation of p with y, given q"
    plain = [spearmanr(of["p"], of["y"]).statistic for _, of in table.groupby("seed")]
    assert found["details"][0]["estimate"] == pytest.approx(np.mean(plain))


def test_what_ranks_only_through_a_third_quantity_is_not_supported(table, rng):
    copy = table.assign(p=table["q"] * np.exp(rng.normal(size=len(table))), y=table["q"] ** 2)
    copy["y"] *= np.exp(rng.normal(size=len(table)))
    assert row(copy, {"kind": "rank", "quantity": quantity("p"), "target": quantity("y")})["verdict"] == "supported"
    assert row(copy, partial("p", "y", "q"), expected="+")["verdict"] == "inconclusive"


def test_a_partial_rank_correlation_must_persist_under_its_null(table):
    control = {"name": "rescaling", "rule": "persists", "quantity": quantity("p"), "given": quantity("q")}
    same = row(table, partial("p", "y", "q"), expected="+", control=control)
    assert (same["verdict"], same["null_value"]) == ("supported", same["estimate"])
    gone = row(table, partial("p", "y", "q"), expected="+", control={**control, "quantity": quantity("z")})
    assert gone["verdict"] == "not distinguishable from the null"
    swallowed = row(table, partial("p", "y", "q"), expected="+", control={**control, "given": quantity("p")})
    assert swallowed["null_value"] == 0


# Laws


def by_sklearn(table, columns, kept=None):
    """Per seed the root mean square error over all groups that are left out, and the exponents of every fit."""
    errors = []
    for _, of in table.groupby("seed"):
        x, y = np.log(of[list(columns)]).to_numpy(), np.log(of["y"]).to_numpy()
        x = x if len(columns) else np.zeros((len(of), 1))
        if kept is None:
            missed = y - cross_val_predict(LinearRegression(), x, y, groups=of["group"], cv=LeaveOneGroupOut())
        else:
            parts = []
            for group in set(of["group"]) - {kept}:
                out = (of["group"] == group).to_numpy()
                parts.append(y[out] - LinearRegression().fit(x[~out], y[~out]).predict(x[out]))
            missed = np.concatenate(parts)
        errors.append(np.sqrt(np.mean(missed**2)))
    return np.array(errors)


@pytest.mark.parametrize("kept", [None, "base"])
def test_errors_of_laws_are_those_of_scikit_learn(table, kept):
    options = {"kept": kept} if kept else {}
    found = row(table, held("p", "q", rivals=["p", "z"], **options), expected="+")
    errors = {name: by_sklearn(table, name.split(), kept) for name in ("p q", "p", "z")}
    errors[CONSTANT] = by_sklearn(table, [], kept)
    shown = {one["predictor"]: one["estimate"] for one in found["details"] if "left_out" not in one}
    assert shown == {name: pytest.approx(values.mean()) for name, values in errors.items()}
    leads = {name: np.log(errors[name] / errors["p q"]) for name in ("p", "z", CONSTANT)}
    p_values = {name: ttest_1samp(lead, 0).pvalue for name, lead in leads.items()}
    assert found["against"] == max(p_values, key=p_values.get)
    assert found["p"] == pytest.approx(max(p_values.values()))
    assert found["estimate"] == pytest.approx(leads[found["against"]].mean())
    assert (found["verdict"], found["scale"], found["n"]) == ("supported", "log", len(table))
    groups = {one["left_out"] for one in found["details"] if "left_out" in one}
    assert groups == set(GROUPS) - {kept}


@given(st.integers(0, 10_000), st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=15)
def test_a_planted_law_is_found_with_its_exponents_in_every_group_that_was_left_out(seed, a, b):
    table = law(seed, a, b)
    for _, of in table.groupby("seed"):
        logs = np.log(of[["p", "q"]]).to_numpy()
        missed, exponents = left_out(logs, np.log(of["y"].to_numpy()), of["group"].to_numpy())
        assert missed == pytest.approx(np.zeros(len(of)), abs=1e-9)
        assert exponents == pytest.approx(np.tile([a, b], (len(GROUPS), 1)))


def test_a_law_whose_exponents_are_fixed_is_fitted_by_its_intercept_alone(table):
    fixed = {"columns": {"p": 0.5, "q": 2}, "scale": "log", "label": "law"}
    found = row(table, held(fixed, exponents="fixed"), expected="+")
    left = table.assign(left=np.log(table["y"]) - 0.5 * np.log(table["p"]) - 2 * np.log(table["q"]))
    errors = []
    for _, of in left.groupby("seed"):
        rest = {group: of.loc[of["group"] != group, "left"].mean() for group in GROUPS}
        errors.append(np.sqrt(np.mean((of["left"] - of["group"].map(rest)) ** 2)))
    own = found["details"][0]
    assert own["estimate"] == pytest.approx(np.mean(errors))
    assert own["exponents"] == {"p": 0.5, "q": 2}
    wrong = {**fixed, "columns": {"p": 0.5, "q": -2}}
    worse = row(table, held(wrong, rivals=["p"], exponents="fixed"), expected="+")
    assert (worse["verdict"], worse["against"] in ("p", CONSTANT)) == ("contradicted", True)


def test_a_quantity_that_tells_nothing_does_not_beat_the_constant(table):
    found = row(table, held("z"), expected="+")
    assert (found["against"], found["verdict"] == "supported") == (CONSTANT, False)


def test_a_law_that_misses_one_of_two_causes_loses_to_the_law_of_both(table):
    both = {"columns": {"p": 1, "q": 1}, "scale": "log", "label": "both"}
    found = row(table, held("q") | {"rivals": [both]}, expected="+")
    assert (found["verdict"], found["against"]) == ("contradicted", "both")


def test_runs_whose_target_is_not_positive_have_no_logarithm_and_are_counted(table):
    table.loc[[0, 1, 7], "y"] = [0.0, -1.0, np.nan]
    found = row(table, held("p", "q"))
    assert (found["n"], found["excluded"]) == (len(table) - 3, 3)
    assert found["details"][0]["estimate"] == pytest.approx(by_sklearn(table.drop([0, 1, 7]), ["p", "q"]).mean())


def test_a_seed_in_which_a_group_leaves_too_few_rows_to_fit_to_tells_nothing(table):
    few = table[(table["seed"] > 0) | (table["group"] == "rate") | (table.index < 3)]  # three rows outside rate
    found = row(few, held("p", "q"))
    assert found["seeds"] == SEEDS - 1
    none = row(table[table["group"] == "rate"], held("p", "q"))
    assert none["reason"] == "0 of 6 seeds have enough rows to leave out every group in turn; 3 are needed"


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (held({"columns": {"p": 1}, "label": "p"}), "needs scale: log of every quantity"),
        (held({"columns": {"p": 2}, "scale": "log", "label": "p"}), "an exponent that is fitted is written as 1"),
        (held("p", rivals=["p"]), "quantity and rivals need labels of their own"),
        (held("p", exponents="free"), "got 'free'"),
        ({name: part for name, part in held("p").items() if name != "by"}, "kind 'held_out' needs 'by'"),
        ({name: part for name, part in partial("p", "y", "q").items() if name != "given"}, "needs 'given'"),
    ],
)
def test_what_is_wrong_in_such_a_claim_is_named(statistic, message):
    with pytest.raises(InputError, match=message):
        read(entry(statistic))


def test_a_group_that_is_kept_must_be_there(table):
    found = row(table, held("p", kept="basline"))
    assert found["reason"] == "no row has the group 'basline', which is never left out"


def test_a_law_has_its_rivals_as_control():
    control = {"name": "rescaling", "rule": "persists", "quantity": quantity("z", log=True)}
    with pytest.raises(InputError, match="rivals are the control"):
        read(entry(held("p"), control=control))


def test_a_lead_over_rivals_cannot_be_expected_to_be_none():
    ranked = {"kind": "rank", "quantity": quantity("p"), "target": quantity("y"), "rivals": [quantity("q")]}
    for statistic in (ranked, held("p", rivals=["q"])):
        with pytest.raises(InputError, match="for no effect"):
            read(entry(statistic, expected="equivalent(0.1)"))


def test_a_column_of_groups_that_is_not_there_is_named(table):
    with pytest.raises(InputError, match="lacks the column 'factor'"):
        verdicts(table, entry({**held("p"), "by": "factor"}))


@pytest.mark.slow
def test_without_any_law_one_claim_in_twenty_is_decided(rng):
    draws, wrong = 300, 0
    for _ in range(draws):
        table = law(int(rng.integers(1 << 30)), a=0.0, b=0.0, noise=1.0)
        wrong += row(table, held("p", rivals=["q"]), expected="+")["verdict"] == "supported"
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
