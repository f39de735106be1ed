"""The kinds of statistic on the rows of one table: against SciPy, and against what was put there."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, spearmanr, ttest_1samp
from statsmodels.stats.weightstats import DescrStatsW

from awduality.errors import InputError
from tests.unit.claims.companion import RATES, SEEDS, entry, per_seed, quantity, row, runs, verdicts

pytestmark = pytest.mark.filterwarnings("ignore:Precision loss occurred")  # seeds that are all but equal


@pytest.fixture
def table(rng):
    """Runs with a value about 1, and one about 2 that rises with the rate."""
    return runs(
        lambda arm, rate, batch, seed: {"v": 1 + rng.normal(scale=0.2), "w": 2 * rate**0.5 * np.exp(rng.normal() / 9)}
    )


MEAN = {"kind": "mean", "quantity": quantity("v")}


def test_a_mean_is_that_of_the_means_of_seeds(table):
    found = row(table, MEAN)
    values = per_seed(table, table["v"].to_numpy())
    oracle = ttest_1samp(values, 0)
    assert found["estimate"] == pytest.approx(values.mean())
    assert found["p"] == pytest.approx(oracle.pvalue)
    assert found["interval"] == pytest.approx(oracle.confidence_interval(0.95))
    assert (found["n"], found["excluded"], found["seeds"], found["scale"]) == (36, 0, SEEDS, "linear")
    assert found["verdict"] == "supported"


@pytest.mark.parametrize("log", [False, True])
def test_a_value_is_subtracted_from_a_mean_and_its_logarithm_from_that_of_a_ratio(table, log):
    found = row(table, {**MEAN, "quantity": quantity("v", log=log), "minus": 0.9})
    values = per_seed(table, np.log(table["v"]) if log else table["v"].to_numpy()) - (math.log(0.9) if log else 0.9)
    assert found["estimate"] == pytest.approx(values.mean())
    assert found["p"] == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert found["statistic"] == f"mean over seeds of {'log ' * log}v minus {'log ' * log}0.9"


def test_that_a_mean_is_near_a_value_is_decided_by_tests_from_either_side_of_the_margin(table):
    found = row(table, {**MEAN, "minus": 1.0}, expected="equivalent(0.3)")
    values = per_seed(table, table["v"].to_numpy()) - 1
    assert found["p"] == pytest.approx(2 * DescrStatsW(values).ttost_mean(-0.3, 0.3)[0])
    assert found["verdict"] == "supported"
    assert row(table, MEAN, expected="equivalent(0.3)")["verdict"] == "contradicted"


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"arm": "none"}, lambda t: t["arm"] == "none"),
        ({"rate": [0.1, 0.4]}, lambda t: t["rate"] != 0.2),
        ({"rate": 0.2, "arm": ["none", "minibatch"]}, lambda t: t["rate"] == 0.2),
        ({"v": 7}, lambda t: t["v"] == 7),
    ],
)
def test_rows_are_chosen_by_their_columns(table, where, kept):
    found = row(table, {**MEAN, "where": where})
    left = table[kept(table)]
    if left.empty:
        assert (found["verdict"], found["reason"]) == ("not tested", "no runs, or too few, in this config")
    else:
        assert found["estimate"] == pytest.approx(left.groupby("seed")["v"].mean().mean())
        assert found["n"] == len(left)


def test_rows_are_chosen_by_the_experiments_that_ask_for_them(table):
    found = row(table, {**MEAN, "experiments": ["side"]})
    left = table[table["seed"] % 2 == 0]
    assert (found["n"], found["seeds"]) == (len(left), 3)
    assert found["estimate"] == pytest.approx(left["v"].mean())
    both = row(table, {**MEAN, "experiments": ["main", "side"]})
    assert both["n"] == len(table)
    assert [(one["setting"], one["runs"]) for one in both["details"]] == [("main", len(table)), ("side", len(left))]


def test_only_converged_runs_count_unless_all_are_asked_for(table):
    table.loc[table["seed"] == 0, "ended"] = "diverged"
    table.loc[3, "v"] = np.nan
    found, every = row(table, MEAN), row(table, {**MEAN, "runs": "all"})
    assert (found["n"], found["excluded"], found["seeds"]) == (29, 7, 5)
    assert (every["n"], every["excluded"], every["seeds"]) == (35, 1, 6)
    assert every["statistic"].endswith(", all runs")


def test_experiments_that_the_config_has_none_of_are_named(table):
    left = table[table["seed"] % 2 == 1]
    reason = "no runs of the experiments side in this config, only of main"
    compared = {"kind": "compared", "of": {"arm": "none"}, "against": {"arm": "minibatch"}, "quantity": quantity("v")}
    for statistic in (MEAN, compared, {**compared, "kind": "contrast", "between": [{"rate": 0.1}, {"rate": 0.2}]}):
        found = row(left, {**statistic, "experiments": ["side"]})
        assert (found["verdict"], found["reason"]) == ("not tested", reason)


def test_two_seeds_are_too_few(table):
    found = row(table[table["seed"] < 2], MEAN)
    assert (found["verdict"], found["p"]) == ("not tested", None)
    assert found["reason"] == "2 of 2 seeds have rows that count; 3 are needed"


def test_a_text_is_not_compared_with_a_column_of_numbers(table):
    with pytest.raises(InputError, match="rate: got the text '1e-1' for a column of numbers"):
        row(table, {**MEAN, "where": {"rate": "1e-1"}})


def test_rows_of_another_table_are_those_of_the_same_runs(table):
    table.loc[table["seed"] == 0, "ended"] = "budget"
    spectrum = pd.concat([table[["run"]].assign(direction=d, h=2.0**d) for d in range(3)], ignore_index=True)
    spectrum = spectrum.merge(table[["run", "seed"]], on="run")
    statistic = {"kind": "mean", "table": "spectrum", "where": {"rate": 0.1}, "quantity": quantity("h", log=True)}
    found = row({"runs": table, "spectrum": spectrum}, {**statistic, "experiments": ["main"]})
    assert (found["n"], found["excluded"]) == (5 * 2 * 3, 2 * 3)
    assert found["estimate"] == pytest.approx(math.log(2))


# Slopes


@given(
    power=st.floats(-3, 3),
    constant=st.floats(0.1, 10),
    minus=st.floats(-2, 2),
    places=st.lists(st.floats(0.01, 100), min_size=3, max_size=8, unique_by=lambda x: round(math.log(x), 2)),
)
@settings(max_examples=20)
def test_the_slope_of_a_power_law_is_its_exponent(power, constant, minus, places):
    table = pd.DataFrame([{"seed": s, "x": x, "y": (1 + s) * constant * x**power} for s in range(3) for x in places])
    statistic = {"kind": "slope", "quantity": quantity("y", log=True), "on": quantity("x", log=True), "minus": minus}
    assert row(table, statistic)["estimate"] == pytest.approx(power - minus, abs=1e-6)


def test_slopes_are_those_of_least_squares_within_every_seed(table):
    table["x"] = table["rate"] * np.linspace(0.5, 2, len(table))
    statistic = {"kind": "slope", "quantity": quantity("w", log=True), "on": quantity("x", log=True)}
    found, less = row(table, statistic), row(table, {**statistic, "minus": 0.5})
    values = np.array([linregress(np.log(of["x"]), np.log(of["w"])).slope for _, of in table.groupby("seed")])
    by_numpy = [np.polyfit(np.log(of["x"]), np.log(of["w"]), 1)[0] for _, of in table.groupby("seed")]
    assert found["estimate"] == pytest.approx(values.mean()) == pytest.approx(np.mean(by_numpy))
    assert found["p"] == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert less["p"] == pytest.approx(ttest_1samp(values, 0.5).pvalue)
    assert less["statistic"] == "mean over seeds of the slope of log w on log x minus 0.5"


def test_a_seed_with_one_place_has_no_slope(table):
    table.loc[table["seed"] == 0, "rate"] = 0.1
    statistic = {"kind": "slope", "quantity": quantity("w", log=True), "on": quantity("rate", log=True)}
    assert row(table, statistic)["seeds"] == SEEDS - 1


# Trends


def test_a_trend_is_the_change_from_the_smallest_value_of_a_setting_to_the_largest(rng):
    table = runs(lambda arm, rate, batch, seed: {"v": 5 * RATES.index(rate) + 100 * seed}, arms=("none",))
    found = row(table, {"kind": "trend", "quantity": quantity("v"), "over": "rate"}, expected="+")
    assert (found["estimate"], found["verdict"]) == (10.0, "supported")
    assert found["statistic"].startswith("mean over seeds of the change of v from the smallest rate to the largest, ")
    assert found["statistic"].endswith("over the values at which every seed converged")
    noise = table.assign(v=rng.normal(size=len(table)))
    statistic = {"kind": "trend", "quantity": quantity("v"), "over": "rate"}
    assert row(noise, statistic)["verdict"] == "inconclusive"


def test_rows_of_one_value_of_the_setting_are_averaged_first(table):
    found = row(table, {"kind": "trend", "quantity": quantity("w"), "over": "rate"})
    means = table.groupby(["seed", "rate"])["w"].mean().unstack()
    by_hand = means[0.4] - means[0.1]  # with three places the slope over the whole is that from end to end
    assert found["estimate"] == pytest.approx(by_hand.mean())
    assert found["n"] == len(table)


@given(shift=st.floats(-5, 5), factor=st.floats(0.1, 5))
@settings(max_examples=20)
def test_the_p_value_of_a_trend_does_not_depend_on_the_unit(shift, factor):
    values = np.random.default_rng(3).normal(size=18)
    tables = [runs(lambda *_: {}, arms=("none",)).assign(v=v) for v in (values, factor * values + shift)]
    one, other = (row(table, {"kind": "trend", "quantity": quantity("v"), "over": "rate"}) for table in tables)
    assert one["p"] == other["p"]
    assert other["estimate"] == pytest.approx(factor * one["estimate"], abs=1e-9)


# Ranks


def test_ranks_are_spearmans_correlations_within_seeds(table):
    found = row(table, {"kind": "rank", "quantity": quantity("v"), "target": quantity("w")})
    values = np.array([spearmanr(of["v"], of["w"]).statistic for _, of in table.groupby("seed")])
    by_pandas = [of["v"].corr(of["w"], method="spearman") for _, of in table.groupby("seed")]
    assert found["estimate"] == pytest.approx(values.mean()) == pytest.approx(np.mean(by_pandas))
    assert found["p"] == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert found["statistic"] == "mean over seeds of Spearman's correlation of v with w"


@given(power=st.floats(0.2, 4))
@settings(max_examples=20)
def test_ranks_do_not_depend_on_a_monotone_change(power):
    table = runs(lambda arm, rate, batch, seed: {"v": math.sin(rate * 40 + seed), "w": rate * (2 + (arm == "none"))})
    changed = table.assign(w=table["w"] ** power)
    one, other = (
        row(t, {"kind": "rank", "quantity": quantity("v"), "target": quantity("w")}) for t in (table, changed)
    )
    assert one["estimate"] == other["estimate"]


def test_a_predictor_is_compared_with_its_best_rival(table):
    table["good"], table["bad"] = table["w"] ** 2, -table["w"]
    statistic = {"kind": "rank", "quantity": quantity("good"), "target": quantity("w")}
    found = row(table, {**statistic, "rivals": [quantity("bad")]}, control={"name": "rivals"}, expected="+")
    assert (found["estimate"], found["against"], found["verdict"]) == (2.0, "bad", "supported")


# The largest


def test_the_largest_error_has_either_sign(table):
    table["error"] = 0.0
    table.loc[5, ["error", "ended"]] = -3e-9, "diverged"
    identity = {"identity": True, "expected": "equivalent(1.0e-10)"}
    found = row(table, {"kind": "largest", "columns": ["error"]}, **identity)
    assert (found["estimate"], found["verdict"], found["n"]) == (3e-9, "contradicted", len(table))
    kept = row(table, {"kind": "largest", "columns": ["error"], "runs": "converged"}, **identity)
    assert (kept["estimate"], kept["verdict"], kept["n"]) == (0.0, "supported", len(table) - 1)


# What is not tested, and what all rows hold


def test_a_claim_that_is_not_tested_says_why(table):
    found = row(table, {"kind": "none", "reason": "it needs a larger network"})
    assert (found["verdict"], found["reason"]) == ("not tested", "it needs a larger network")


def test_p_values_are_adjusted_by_holm_over_all_claims(table):
    entries = [entry({**MEAN, "quantity": quantity("v"), "minus": m}, f"m-{n}") for n, m in enumerate((0.9, 1.0, 1.5))]
    rows = verdicts(table, *entries)
    p = sorted(one["p"] for one in rows)
    steps = [min(1.0, (len(p) - place) * value) for place, value in enumerate(p)]
    by_hand = dict(zip(p, np.maximum.accumulate(steps), strict=True))
    assert [one["p_adjusted"] for one in rows] == pytest.approx([by_hand[one["p"]] for one in rows])


def test_verdicts_are_labelled_by_the_config_alone_where_there_is_no_dataset(table):
    found = row(table, MEAN)
    assert found["config"] == "quick"
    assert not {"dataset", "layer", "headline"} & set(found)
    assert row(table.assign(dataset="digits"), MEAN)["dataset"] == "digits"


def test_the_text_of_a_headline_stands_in_every_row_if_any_claim_has_one(table):
    rows = verdicts(table, entry(MEAN, "a", headline="v is one"), entry(MEAN, "b"))
    assert [one["headline"] for one in rows] == ["v is one", None]


def test_a_null_must_be_beaten(table, rng):
    table["null"] = table["v"] + rng.normal(scale=0.01, size=len(table))
    control = {"name": "shuffled_labels", "quantity": quantity("null"), "rule": "exceeds"}
    assert row(table, MEAN, control=control)["verdict"] == "not distinguishable from the null"
    table["null"] -= 0.9
    assert row(table, MEAN, control=control)["verdict"] == "supported"
