"""The kinds of statistic that set rows against others: by hand, against SciPy, and with the sides swapped."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact, ttest_1samp, ttest_rel
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import DescrStatsW

from awduality.errors import InputError
from tests.unit.claims.companion import RATES, SEEDS, quantity, row, runs

OF, AGAINST = {"arm": "minibatch"}, {"arm": "none"}
COMPARED = {"kind": "compared", "of": OF, "against": AGAINST, "quantity": quantity("v")}


@pytest.fixture
def table(rng):
    """Runs in which minibatch noise adds 0.5 above levels of the rate and the seed, and twice that at batch 10."""

    def measure(arm, rate, batch, seed):
        effect = (arm == "minibatch") * (1.0 if batch == 10 else 0.5)
        return {"v": effect + 10 * rate + seed + rng.normal(scale=0.05), "failed": float(arm == "none" and seed > 0)}

    return runs(measure, batches=(10, 40))


def differences(table, name="v"):
    """(S,) by hand: per seed the mean over rates and batches of one arm minus the other."""
    wide = table.pivot_table(index="seed", columns=["arm", "rate", "batch"], values=name)
    return (wide["minibatch"] - wide["none"]).mean(axis=1).to_numpy()


def test_sides_are_compared_in_pairs_that_share_every_other_setting_and_the_seed(table):
    found = row(table, COMPARED, expected="+")
    values = differences(table)
    means = table.groupby(["arm", "seed"])["v"].mean().unstack()
    oracle = ttest_1samp(values, 0)
    assert found["estimate"] == pytest.approx(values.mean())
    assert found["p"] == pytest.approx(oracle.pvalue)
    assert found["p"] == pytest.approx(ttest_rel(means.loc["minibatch"], means.loc["none"]).pvalue)
    assert found["interval"] == pytest.approx(oracle.confidence_interval(0.95))
    assert (found["n"], found["excluded"], found["seeds"]) == (36, 0, SEEDS)
    assert found["verdict"] == "supported"
    assert found["statistic"] == "mean over seeds of v, arm = minibatch minus arm = none"


def test_details_give_every_setting_that_the_sides_share(table):
    table.loc[table["run"] == "none-0.1-10-0", "ended"] = "budget"
    details = row(table, COMPARED)["details"]
    assert len(details) == 6
    assert details[0]["setting"] == "rate = 0.1, batch = 10"
    assert (details[0]["pairs"], details[0]["of_pairs"], details[0]["converged"]) == (5, 6, [6, 5])


@given(st.lists(st.floats(-5, 5), min_size=2 * 3 * SEEDS, max_size=2 * 3 * SEEDS), st.booleans())
@settings(max_examples=20)
def test_swapping_the_sides_changes_the_sign_and_nothing_else(values, log):
    table = runs(lambda *_: {}).assign(v=np.exp(values))
    statistic = {**COMPARED, "quantity": quantity("v", log=log)}
    one, other = row(table, statistic), row(table, {**statistic, "of": AGAINST, "against": OF})
    assert other["estimate"] == pytest.approx(-one["estimate"])
    assert other["p"] == pytest.approx(one["p"])
    assert other["interval"] == pytest.approx([-end for end in one["interval"][::-1]])


def test_equal_sides_are_established_by_tests_from_either_side(table):
    table["same"] = table["v"] - (table["arm"] == "minibatch") * np.where(table["batch"] == 10, 1.0, 0.5)
    found = row(table, {**COMPARED, "quantity": quantity("same")}, expected="equivalent(0.2)")
    assert found["p"] == pytest.approx(2 * DescrStatsW(differences(table, "same")).ttost_mean(-0.2, 0.2)[0])
    assert found["verdict"] == "supported"


def test_a_pair_counts_only_if_both_runs_converged_unless_all_are_asked_for(table):
    table.loc[(table["arm"] == "none") & (table["rate"] == 0.1), "ended"] = "budget"
    table.loc[(table["arm"] == "minibatch") & (table["rate"] == 0.2) & (table["seed"] == 0), "v"] = np.nan
    found, every = row(table, COMPARED), row(table, {**COMPARED, "runs": "all"})
    assert (found["n"], found["excluded"]) == (22, 14)
    assert (every["n"], every["excluded"]) == (34, 2)


def test_pairs_of_two_seeds_give_no_verdict(table):
    table.loc[table["seed"] > 1, "ended"] = "budget"
    found = row(table, COMPARED)
    assert found["reason"] == "2 of 6 seeds have pairs in which both converged; 3 are needed"


def test_sides_may_be_matched_by_named_columns(table):
    table["rate"] = np.where(table["arm"] == "none", 0.0, table["rate"])  # neutral: the arm does not use it
    assert row(table, COMPARED)["reason"].startswith("no two rows of the sides fit each other")
    none = table[table["arm"] == "none"].drop_duplicates(["batch", "seed"])
    once = pd.concat([table[table["arm"] != "none"], none])
    found = row(once, {**COMPARED, "matched": ["batch"]})
    by_hand = [
        (of[of["arm"] == "minibatch"]["v"].mean() - of[of["arm"] == "none"]["v"].mean()).item()
        for _, of in once.groupby("seed")
    ]
    assert found["estimate"] == pytest.approx(np.mean(by_hand))
    assert found["n"] == 36


def test_rows_that_fit_several_on_both_sides_are_refused(table):
    with pytest.raises(InputError, match="several rows of either side have the same batch, seed: name the columns"):
        row(table, {**COMPARED, "matched": ["batch"]})


def test_a_side_without_rows_is_named(table):
    found = row(table, {**COMPARED, "against": {"arm": "injected"}})
    assert (found["verdict"], found["reason"]) == ("not tested", "no rows with arm = injected")


def test_an_effect_must_persist_under_its_null(table):
    table["balanced"] = table["v"] - (table["arm"] == "minibatch") * np.where(table["batch"] == 10, 1.0, 0.5)
    control = {"name": "rescaling", "quantity": quantity("balanced"), "rule": "persists"}
    found = row(table, COMPARED, control=control, expected="+")
    assert found["verdict"] == "not distinguishable from the null"
    assert found["null_value"] == pytest.approx(differences(table, "balanced").mean())


# Differences of differences

CONTRAST = {**COMPARED, "kind": "contrast", "between": [{"batch": 10}, {"batch": 40}]}


def test_a_contrast_is_a_difference_of_differences(table):
    found = row(table, CONTRAST, expected="+")
    parts = [differences(table[table["batch"] == batch]) for batch in (10, 40)]
    values = parts[0] - parts[1]
    assert found["estimate"] == pytest.approx(values.mean())
    assert found["p"] == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert found["verdict"] == "supported"
    compared = [row(table, {**COMPARED, "where": {"batch": batch}})["estimate"] for batch in (10, 40)]
    assert found["estimate"] == pytest.approx(compared[0] - compared[1])
    interaction = smf.ols("v ~ C(arm, Treatment('none')) * C(batch, Treatment(40))", table).fit().params.iloc[-1]
    assert found["estimate"] == pytest.approx(interaction)
    assert [one["setting"] for one in found["details"]] == ["batch = 10", "batch = 40"]
    assert found["statistic"] == (
        "mean over seeds of v, arm = minibatch minus arm = none, where batch = 10 minus the same where batch = 40"
    )


@given(st.lists(st.floats(-5, 5), min_size=4 * SEEDS, max_size=4 * SEEDS))
@settings(max_examples=20)
def test_swapping_the_sides_or_the_parts_of_a_contrast_changes_its_sign_and_both_do_not(values):
    table = runs(lambda *_: {}, rates=(0.1,), batches=(10, 40)).assign(v=values)
    sides = {**CONTRAST, "of": AGAINST, "against": OF}
    parts = {**CONTRAST, "between": CONTRAST["between"][::-1]}
    both = {**sides, "between": CONTRAST["between"][::-1]}
    one, *others = (row(table, statistic)["estimate"] for statistic in (CONTRAST, sides, parts, both))
    assert others == pytest.approx([-one, -one, one])


def test_a_contrast_is_of_seeds_that_have_pairs_in_both_parts(table):
    table.loc[(table["seed"] > 1) & (table["batch"] == 40), "ended"] = "budget"
    reason = row(table, CONTRAST)["reason"]
    assert reason == "2 of 6 seeds have pairs in both parts in which both converged; 3 are needed"
    one_part = table[table["batch"] == 10]
    assert row(one_part, CONTRAST)["reason"] == "no rows of one of the sides where batch = 40"


# Shares

SHARE = {
    "kind": "share",
    "of": OF,
    "against": AGAINST,
    "column": "failed",
    "most": 0.5,
    "where": {"rate": 0.1, "batch": 10},
}


def test_shares_are_compared_by_fishers_exact_test(table):
    found = row(table, SHARE, expected="+")
    assert found["p"] == pytest.approx(fisher_exact([[6, 0], [1, 5]]).pvalue)
    assert found["estimate"] == pytest.approx(5 / 6)
    assert found["interval"] == pytest.approx(confint_proportions_2indep(6, 6, 1, 6, method="newcomb"))
    assert found["verdict"] == "supported"
    assert found["statistic"] == (
        "share of runs with failed ≤ 0.5, arm = minibatch minus arm = none, where rate = 0.1, batch = 10"
    )
    assert [(one["runs"], one["within"]) for one in found["details"]] == [(6, 6), (6, 1)]


def test_a_share_may_have_its_bound_from_below_and_the_sides_swapped(table):
    statistic = {key: value for key, value in SHARE.items() if key != "most"}
    one, other = row(table, SHARE), row(table, {**statistic, "least": 0.5})
    swapped = row(table, {**SHARE, "of": AGAINST, "against": OF})
    assert other["estimate"] == pytest.approx(-one["estimate"]) == pytest.approx(swapped["estimate"])
    assert one["p"] == pytest.approx(other["p"]) == pytest.approx(swapped["p"])


def test_a_diverged_run_is_not_within_the_bound_and_one_without_the_number_does_not_count(table):
    lost = (table["arm"] == "minibatch") & (table["seed"] < 2)
    table["failed"] = table["failed"].mask(lost)
    unknown = row(table, SHARE)
    assert (unknown["n"], unknown["excluded"]) == (10, 2)
    table.loc[lost, "ended"] = "diverged"
    found = row(table, SHARE)
    assert (found["n"], found["excluded"]) == (12, 0)
    assert found["p"] == pytest.approx(fisher_exact([[4, 2], [1, 5]]).pvalue)


def test_shares_of_several_settings_are_not_tested(table):
    reason = row(table, {**SHARE, "where": {"batch": 10}})["reason"]
    assert reason.startswith(f"wanted runs of one setting, got {len(RATES)}: arm = minibatch, rate = 0.1, batch = 10;")
