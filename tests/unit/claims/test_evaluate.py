"""Verdicts on tables of runs whose effects are known, since they were put there."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_1samp

from awduality.claims.catalogue import Claim, Claims, Null, Quantity
from awduality.claims.judge import judge as judge_all
from awduality.claims.judge import kinds_of
from awduality.claims.kind import Measured
from awduality.claims.statistics import Series, adjusted, permutation_p
from awduality.claims.verdicts import verdict_of
from awduality.errors import InputError
from studies.sweeps.study import BASELINE, FACTORS

SWEEPS = kinds_of("sweeps")
LABELS = {"config": "digits", "layer": "fc2", "dataset": "digits", "pairing": "test_to_train"}
NO_NULL_RUNS = pd.DataFrame({"layer": []})
NO_SAMPLES = pd.DataFrame()
SAMPLES = pd.DataFrame({"width": np.linspace(-1, 3, 50)})

AS_THE_NULL = "not distinguishable from the null"


def quantity(name, power=1, log=False):
    return Quantity({name: power}, log, name)


def claim(name="claim", kind="trend", expected="+", of="gap", margin=float("nan"), factor="width", **rest):
    options = rest.pop("options", {"factor": factor} if kind == "trend" else {})
    return Claim(
        name, "ours", "", "", kind, expected, margin, "", quantity=of and quantity(of), options=options, **rest
    )


def table(measures, factors=("width",), seeds=6):
    """A run per seed at the baseline (every factor 0), and at −1 and 1 of every factor.

    Args:
        measures: settings, seed -> the measures of a run. A coefficient of a factor changes them by twice as much from
            one end of the sweep to the other.
        factors: the factors that are swept.
        seeds: number of seeds.
    """
    rows = []
    for seed in range(seeds):
        for factor in (BASELINE, *factors):
            for value in (0.0,) if factor == BASELINE else (-1.0, 1.0):
                settings = {**dict.fromkeys(FACTORS, 0.0), **({} if factor == BASELINE else {factor: value})}
                labels = {**LABELS, "run": f"{factor}{value:+g}-{seed}", "factor": factor, "seed": seed}
                rows.append({**labels, "ended": "converged", **settings, **measures(settings, seed)})
    return pd.DataFrame(rows)


def evaluate(claims, runs, null_runs, samples, root_seed):
    """The verdicts on claims of the sweeps."""
    tables = {"runs": runs, "null-runs": null_runs, "samples": samples}
    return judge_all(claims, tables, root_seed, SWEEPS)


def judge(claims, runs, null_runs=NO_NULL_RUNS, samples=NO_SAMPLES, root_seed=1):
    rows = evaluate(Claims(0.05, claims), runs, null_runs, samples, root_seed)
    return {row["id"]: row for row in rows}


def verdict(one, *tables, **named):
    return judge([one], *tables, **named)[one.id]["verdict"]


@pytest.fixture
def trend(rng):
    """Runs whose gap rises by 4 along the sweep, above noise of 0.3 and levels of the seeds."""
    return table(lambda s, seed: {"gap": 2 * s["width"] + rng.normal(scale=0.3) + 10 * seed})


@pytest.fixture
def noise(rng):
    return table(lambda s, seed: {"gap": rng.normal()})


def test_a_clear_trend_supports_what_was_expected(trend):
    row = judge([claim()], trend)["claim"]
    assert row["verdict"] == "supported"
    assert row["estimate"] == pytest.approx(4, abs=0.5)
    assert row["interval"][0] < row["estimate"] < row["interval"][1]
    assert (row["n"], row["excluded"], row["seeds"]) == (18, 0, 6)


@pytest.mark.parametrize("expected", ["+", "-", "any"])
def test_a_trend_whose_interval_over_seeds_holds_zero_is_inconclusive_whatever_its_permutations(expected):
    found = Measured(np.array([0.1, 0.1, 0.1, 0.1, 2.0]), p=0.001)
    assert ttest_1samp(found.values, 0).confidence_interval().low < 0
    assert verdict_of(claim(expected=expected), found, p=0.001, level=0.05) == "inconclusive"


def test_a_contradiction_must_beat_the_null_too(rng):
    def measures(settings, seed):
        noise = rng.normal(scale=0.3, size=2)
        return {"gap": 2 * settings["width"] + noise[0], "gap_null": noise[1]}

    assert verdict(claim(expected="-", null=RESCALED), table(measures)) == AS_THE_NULL


def test_a_claim_deliberately_reversed_is_contradicted(trend):
    reversed_claim = judge([claim(expected="-")], trend)["claim"]
    assert reversed_claim["verdict"] == "contradicted"
    assert reversed_claim["p"] == judge([claim(expected="+")], trend)["claim"]["p"]


@pytest.mark.parametrize("sign", [1, -1])
def test_any_is_supported_by_an_effect_in_either_direction(trend, sign):
    trend["gap"] *= sign
    assert verdict(claim(expected="any"), trend) == "supported"


@pytest.mark.parametrize("expected", ["+", "-", "any"])
def test_noise_is_inconclusive(noise, expected):
    assert verdict(claim(expected=expected), noise) == "inconclusive"


def test_the_p_value_of_a_trend_is_that_of_permutations_within_seeds(rng):
    runs = table(lambda s, seed: {"gap": s["width"] + rng.normal()}, seeds=4)
    ordered = runs.sort_values(["seed", "width"])["gap"].to_numpy().reshape(4, 3)
    series = [Series(np.linspace(0, 1, 3), y) for y in ordered]
    assert judge([claim()], runs)["claim"]["p"] == permutation_p(series, rng)


def test_a_factor_is_judged_by_its_own_sweep(rng):
    runs = table(lambda s, seed: {"gap": 3 * s["l2"] + rng.normal()}, ("width", "l2"))
    rows = judge([claim("l2", factor="l2"), claim("width")], runs)
    assert (rows["l2"]["verdict"], rows["width"]["verdict"]) == ("supported", "inconclusive")
    assert rows["l2"]["n"] == rows["width"]["n"] == 18


def test_an_effect_below_the_margin_is_equivalent(noise):
    noise["gap"] *= 1e-3
    assert verdict(claim(expected="equivalent", margin=0.2), noise) == "supported"


def test_an_effect_beyond_the_margin_contradicts_equivalence(trend):
    assert verdict(claim(expected="equivalent", margin=0.2), trend) == "contradicted"
    assert verdict(claim(expected="equivalent", margin=4.0), trend) == "inconclusive"


def test_a_mean_is_tested_over_seeds(rng):
    runs = table(lambda s, seed: {"gap": 1 + rng.normal()})
    row = judge([claim(kind="mean")], runs)["claim"]
    means = runs.groupby("seed")["gap"].mean()
    oracle = ttest_1samp(means, 0)
    assert row["estimate"] == pytest.approx(means.mean())
    assert row["interval"] == pytest.approx(oracle.confidence_interval(0.95))
    assert row["p"] == pytest.approx(oracle.pvalue)


RESCALED = Null("rescaling", "persists", quantity("gap_null"))
SHUFFLED = Null("shuffled_scalars", "exceeds", quantity("gap_null"))


@pytest.mark.parametrize(
    ("null", "under_the_null", "expected"),
    [
        (RESCALED, 1.0, "supported"),
        (RESCALED, 0.0, AS_THE_NULL),  # the effect is gone in the balanced form
        (RESCALED, -1.0, AS_THE_NULL),  # or turned round
        (SHUFFLED, 1.0, AS_THE_NULL),  # the null gives the whole effect
        (SHUFFLED, 0.2, "supported"),
        (SHUFFLED, 2.0, AS_THE_NULL),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_effect_must_beat_its_null(rng, null, under_the_null, expected, sign):
    def measures(settings, seed):
        effect = sign * 2 * settings["width"]
        noise = rng.normal(scale=0.3, size=2)
        return {"gap": effect + noise[0], "gap_null": under_the_null * effect + noise[1]}

    row = judge([claim(expected="+" if sign > 0 else "-", null=null)], table(measures))["claim"]
    assert row["verdict"] == expected
    assert row["null_value"] == pytest.approx(sign * 4 * under_the_null, abs=0.8)
    assert row["null_interval"][0] < row["null_value"] < row["null_interval"][1]


def test_a_mean_must_beat_its_null_too(rng):
    runs = table(lambda s, seed: {"gap": 1 + rng.normal(scale=0.1), "gap_null": 0.9 + rng.normal(scale=0.1)})
    small = runs.assign(gap_null=runs["gap_null"] - 0.9)
    same = runs.assign(gap_null=runs["gap_null"] + 0.1)
    one = claim(kind="mean", null=SHUFFLED)
    assert (verdict(one, small), verdict(one, same)) == ("supported", AS_THE_NULL)


@pytest.mark.parametrize(("null_size", "expected"), [(1.0, "supported"), (1e-3, AS_THE_NULL)])
def test_smallness_means_nothing_where_the_null_is_as_small(rng, null_size, expected):
    runs = table(lambda s, seed: {"gap": 1e-3 * rng.normal(), "gap_null": null_size * rng.normal(1)})
    assert verdict(claim(kind="mean", expected="equivalent", margin=0.05, null=SHUFFLED), runs) == expected


def test_an_effect_of_a_single_test_sample_does_not_beat_the_test_samples(rng, trend):
    one = claim(null=Null("test_samples"))
    all_of_them = pd.DataFrame({"width": rng.normal(4, 2, size=200)})
    a_single_one = pd.DataFrame({"width": np.eye(200)[0] * 800})
    assert all_of_them["width"].mean() == pytest.approx(a_single_one["width"].mean(), rel=0.1)
    assert verdict(one, trend, samples=all_of_them) == "supported"
    row = judge([one], trend, samples=a_single_one)["claim"]
    assert row["verdict"] == AS_THE_NULL
    assert row["null_interval"][0] <= 0 < row["null_interval"][1]


def test_runs_that_did_not_converge_or_lack_the_number_are_left_out_and_counted(trend):
    one = claim(kind="mean")
    spoilt = trend.copy()
    spoilt.loc[spoilt["run"].isin(["width+1-0", "width-1-3"]), ["ended", "gap"]] = ["budget", 1e6]
    spoilt.loc[spoilt["run"] == "width+1-1", "gap"] = np.nan
    row = judge([one], spoilt)["claim"]
    assert (row["n"], row["excluded"], row["seeds"]) == (15, 3, 6)
    left = trend[~trend["run"].isin(["width+1-0", "width-1-3", "width+1-1"])]
    assert row == {**judge([one], left)["claim"], "excluded": 3}


@pytest.mark.parametrize("spoilt", [{"ended": "budget", "gap": 1e6}, {"gap": np.nan}])
def test_a_trend_ends_where_every_seed_converged_and_the_rest_is_told_apart(trend, spoilt):
    trend.loc[trend["run"].isin(["width+1-0", "width+1-2"]), list(spoilt)] = list(spoilt.values())
    row = judge([claim()], trend)["claim"]
    whole = trend[trend["width"] < 1]
    assert (row["n"], row["excluded"], row["seeds"]) == (12, 6, 6)
    assert row == {**judge([claim()], whole)["claim"], "excluded": 6, "details": row["details"]}
    (apart,) = row["details"]
    left = trend[(trend["width"] == 1) & ~trend["run"].isin(["width+1-0", "width+1-2"])]["gap"]
    assert (apart["setting"], apart["seeds"], apart["of_seeds"]) == ("width = 1, left out", 4, 6)
    assert apart["estimate"] == pytest.approx(left.mean())


def test_seeds_that_survive_at_the_far_end_do_not_make_a_trend(rng):
    """A gap that no value changes, but high seeds alone converge at the largest: nothing is found."""

    def measures(settings, seed):
        return {"gap": seed + (0.0 if settings["width"] < 1 else 3.0) + rng.normal(scale=0.01)}

    runs = table(measures)
    assert verdict(claim(), runs) == "supported"
    runs.loc[(runs["width"] == 1) & (runs["seed"] < 4), "ended"] = "budget"
    assert abs(judge([claim()], runs)["claim"]["estimate"]) < 0.02


def test_a_run_that_is_missing_takes_its_value_from_the_trend_as_one_that_failed_does(trend):
    left = trend[trend["run"] != "width+1-0"]
    row = judge([claim()], left)["claim"]
    assert (row["n"], row["excluded"]) == (12, 5)


def test_a_sweep_with_one_value_at_which_every_seed_converged_is_not_tested(trend):
    trend.loc[trend["run"].isin(["width+1-0", "width-1-3"]), "ended"] = "diverged"
    row = judge([claim()], trend)["claim"]
    assert (row["verdict"], row["estimate"]) == ("not tested", None)
    assert row["reason"] == "every seed ended as asked, with the number, at 1 of 3 values of width; 2 are needed"


def test_a_factor_that_the_config_does_not_sweep_is_not_tested_and_the_reason_is_given(trend):
    row = judge([claim(factor="l2")], trend)["claim"]
    assert row["verdict"] == "not tested"
    assert row["reason"] == "no runs, or too few, in this config"
    assert row["p"] is row["estimate"] is row["n"] is None


def test_without_any_geometry_there_is_nothing_to_judge(trend):
    assert evaluate(Claims(0.05, [claim()]), trend[:0], NO_NULL_RUNS, NO_SAMPLES, 1) == []


def test_a_claim_that_cannot_be_tested_says_why(trend):
    row = judge([claim(kind="none", of=None, options={"reason": "no learners"})], trend)["claim"]
    assert (row["verdict"], row["reason"]) == ("not tested", "no learners")


def identity(tolerance=1e-10, **options):
    return claim(
        kind="largest",
        of=None,
        expected="equivalent",
        margin=tolerance,
        identity=True,
        options={"columns": ["a", "b"], **options},
    )


def test_an_identity_is_held_to_its_tolerance_on_every_run():
    runs = table(lambda s, seed: {"a": 1e-14 * seed, "b": np.nan})
    runs["ended"] = "budget"
    holds = judge([identity()], runs)["claim"]
    assert (holds["verdict"], holds["estimate"], holds["n"]) == ("supported", 5e-14, 18)
    runs.loc[7, "b"] = 2e-10
    fails = judge([identity()], runs)["claim"]
    assert (fails["verdict"], fails["estimate"]) == ("contradicted", 2e-10)


def test_an_identity_has_no_p_value_and_is_no_member_of_the_family(noise):
    alone = judge([claim(), claim("other", expected="-")], noise)
    rows = judge([identity(), claim("other", expected="-"), claim("one")], noise.assign(a=0.0, b=0.0))
    assert rows["claim"]["p"] is rows["claim"]["p_adjusted"] is rows["claim"]["interval"] is None
    assert rows["other"] == alone["other"]


def test_an_identity_of_the_nulls_is_read_from_their_table(noise):
    null_runs = pd.DataFrame({"layer": ["fc2", "fc2", "fc1"], "a": [1e-13, np.nan, 1.0], "b": [np.nan, 3e-13, 1.0]})
    row = judge([identity(table="null-runs")], noise, null_runs)["claim"]
    assert (row["verdict"], row["estimate"], row["n"]) == ("supported", 3e-13, 2)


def test_a_column_that_is_not_there_is_refused(noise):
    with pytest.raises(InputError, match="claims.claim.statistic: the table runs lacks the column 'b'"):
        judge([identity()], noise.assign(a=0.0))
    with pytest.raises(InputError, match="the table runs lacks the column 'gap_null'"):
        judge([claim(null=SHUFFLED)], noise)


def test_an_infinite_error_is_not_overlooked(noise):
    assert verdict(identity(columns=["a"]), noise.assign(a=np.where(np.arange(18) == 3, np.inf, 0.0))) == "contradicted"


def rank(of="good", rivals=(), scope="overall", target="gap", **rest):
    rest["rivals"] = [quantity(name) for name in rivals]
    return claim(kind="rank", of=of, target=quantity(target), options={"scope": scope}, **rest)


@pytest.fixture
def ranked(rng):
    """``good`` follows the gap closely, ``fair`` loosely, ``best`` exactly, ``poor`` not at all."""

    def measures(settings, seed):
        gap = rng.normal()
        near, far, none = rng.normal(size=3)
        return {"gap": gap, "good": gap + near / 3, "fair": gap + 2 * far, "best": math.exp(gap), "poor": none}

    return table(measures, ("width", "l2", "dropout"), seeds=8)


def by_hand(runs, predictor, scope="overall"):
    """Spearman's correlation with the gap, one per seed."""
    found = []
    for _, of_seed in runs.groupby("seed"):
        sweeps = [of_seed]
        if scope == "within":
            swept = [factor for factor in of_seed["factor"].unique() if factor != BASELINE]
            sweeps = [of_seed[of_seed["factor"].isin([factor, BASELINE])] for factor in swept]
        found.append(np.mean([spearmanr(sweep["gap"], sweep[predictor]).statistic for sweep in sweeps]))
    return np.array(found)


@pytest.mark.parametrize("scope", ["overall", "within"])
def test_ranks_are_compared_by_spearmans_correlation_within_seeds(ranked, scope):
    row = judge([rank("fair", scope=scope)], ranked)["claim"]
    values = by_hand(ranked, "fair", scope)
    assert row["estimate"] == pytest.approx(values.mean())
    assert row["p"] == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert row["details"][0]["predictor"] == "fair"
    assert row["details"][0]["interval"] == pytest.approx(ttest_1samp(values, 0).confidence_interval(0.95))


def test_a_predictor_that_beats_every_rival_is_supported_by_the_worst_of_its_p_values(ranked):
    row = judge([rank(rivals=["poor", "fair"])], ranked)["claim"]
    advantages = {name: by_hand(ranked, "good") - by_hand(ranked, name) for name in ("poor", "fair")}
    assert row["verdict"] == "supported"
    assert row["against"] == min(advantages, key=lambda name: advantages[name].mean())
    assert row["estimate"] == pytest.approx(min(advantage.mean() for advantage in advantages.values()))
    assert row["p"] == pytest.approx(max(ttest_1samp(values, 0).pvalue for values in advantages.values()))
    assert row["null_value"] == pytest.approx(by_hand(ranked, row["against"]).mean())
    assert [entry["predictor"] for entry in row["details"]] == ["good", "poor", "fair"]


def test_a_predictor_that_loses_to_a_single_rival_is_contradicted(ranked):
    row = judge([rank("fair", ["poor", "best"])], ranked)["claim"]
    p = ttest_1samp(by_hand(ranked, "fair") - 1, 0).pvalue
    assert (row["verdict"], row["against"]) == ("contradicted", "best")
    assert row["p"] == pytest.approx(2 * p)  # the rival was chosen among two


def test_ranks_within_factors_are_also_told_factor_by_factor(ranked):
    details = judge([rank("fair", ["poor"], scope="within")], ranked)["claim"]["details"]
    by_factor = {(entry["factor"], entry["predictor"]): entry["estimate"] for entry in details if "factor" in entry}
    assert len(by_factor) == 3 * 2
    mean = np.mean([by_factor[factor, "fair"] for factor in ("width", "l2", "dropout")])
    assert details[0]["estimate"] == pytest.approx(mean)


def test_a_mean_is_told_with_shuffled_scalars_too_where_they_were_measured(rng):
    runs = table(lambda s, seed: {"gap": 1 + rng.normal(), "gap_shuffled": 0.5})
    details = judge([claim(kind="mean")], runs)["claim"]["details"]
    assert details == [{"predictor": "shuffled scalars", "estimate": 0.5, "interval": [0.5, 0.5]}]


def test_a_predictor_as_good_as_a_rival_is_inconclusive(ranked):
    assert verdict(rank(rivals=["poor", "good"]), ranked) == "inconclusive"


@pytest.mark.parametrize(("under_the_null", "expected"), [("fair", "supported"), ("poor", AS_THE_NULL)])
def test_a_rank_correlation_must_persist_under_the_null(ranked, under_the_null, expected):
    null = Null("rescaling", "persists", quantity("best"), quantity(under_the_null))
    row = judge([rank(null=null)], ranked)["claim"]
    assert row["verdict"] == expected
    assert row["null_value"] == pytest.approx(by_hand(ranked, under_the_null).mean())  # best ranks as the gap does


def test_a_sweep_of_two_runs_is_not_ranked(ranked):
    short = ranked[ranked["run"] != "width+1-0"]
    left = ranked[(ranked["seed"] != 0) | (ranked["factor"] != "width")]
    row = judge([rank("fair", scope="within")], short)["claim"]
    assert row["estimate"] == pytest.approx(by_hand(left, "fair", "within").mean())
    assert row["n"] == 55


@pytest.mark.parametrize("rule", ["persists", "exceeds"])
def test_a_run_without_its_null_is_left_out_of_both(ranked, rule):
    ranked.loc[ranked["seed"] == 0, "fair"] = np.nan
    row = judge([rank(null=Null("rescaling", rule, quantity("fair")))], ranked)["claim"]
    assert (row["seeds"], row["excluded"]) == (7, 7)


GRID = [
    claim(f"{factor}/{name}", of=name, factor=factor, expected="any")
    for factor in ("width", "l2")
    for name in ("gap", "size", "sigma_w_total")
] + [
    claim(f"{factor}/train_loss", of="train_loss", factor=factor, expected="equivalent", margin=0.2)
    for factor in ("width", "l2")
]
ACTING = claim(
    "acting",
    kind="acting",
    of=None,
    expected="any",
    options={"factors": ["width", "l2"], "through": ["size", "sigma_w_total"]},
)


@pytest.mark.parametrize(
    ("size_of_l2", "acting", "through", "expected"),
    [(1, 2.0, ["size"], "supported"), (-1, 1.0, [], "inconclusive"), (0, 1.0, [], "inconclusive")],
)
def test_a_factor_acts_through_a_measure_that_moves_with_the_gap(rng, size_of_l2, acting, through, expected):
    def measures(settings, seed):
        noise = rng.normal(scale=0.1, size=2)
        gap = settings["width"] - settings["l2"]
        size = settings["width"] - size_of_l2 * settings["l2"] + noise[1]
        return {"gap": gap + noise[0], "size": size, "sigma_w_total": rng.normal(), "train_loss": 1e-3}

    row = judge([ACTING, *GRID], table(measures, ("width", "l2")))["acting"]
    assert (row["verdict"], row["estimate"], row["n"]) == (expected, acting, 2)
    assert row["details"] == [
        {"factor": "width", "tested": True, "matched_loss": True, "through": ["size"]},
        {"factor": "l2", "tested": True, "matched_loss": True, "through": through},
    ]


def test_sharpness_counts_only_where_runs_stop_at_the_same_training_loss_and_size_always(rng):
    def measures(settings, seed):
        noise = rng.normal(scale=0.1, size=3)
        moved = {name: settings["width"] + n for name, n in zip(("gap", "size", "sigma_w_total"), noise, strict=True)}
        return moved | {"train_loss": settings["width"]}

    row = judge([ACTING, *GRID], table(measures, ("width", "l2")))["acting"]
    assert row["details"][0] == {"factor": "width", "tested": True, "matched_loss": False, "through": ["sigma_w_total"]}


def test_a_measure_that_stays_the_same_is_nothing_to_act_through(rng, trend):
    runs = trend.assign(size=1e-3 * rng.normal(size=len(trend)) + 1e-3 * trend["width"], train_loss=1e-3)
    same = claim("width/size", of="size", expected="equivalent", margin=0.2)
    acting = replace(ACTING, options={"factors": ["width"], "through": ["size"]})
    rows = judge([acting, claim("width/gap", expected="any"), same, *GRID[-2:]], runs)
    assert rows["width/size"]["verdict"] == "supported"
    assert rows["acting"]["details"] == [{"factor": "width", "tested": True, "matched_loss": True, "through": []}]


def test_factors_are_not_counted_where_one_of_them_has_no_runs(trend):
    runs = trend.assign(size=trend["gap"], sigma_w_total=trend["gap"], train_loss=1e-3)
    row = judge([ACTING, *GRID], runs)["acting"]
    assert (row["verdict"], row["estimate"]) == ("not tested", None)
    assert row["reason"] == "some of these factors have no runs in this config"


def test_p_values_are_adjusted_for_the_family(rng):
    runs = table(lambda s, seed: {name: rng.normal() + s["width"] * slope for slope, name in enumerate("abc")})
    rows = judge([claim(name, of=name) for name in "abc"], runs)
    p = [rows[name]["p"] for name in "abc"]
    assert [rows[name]["p_adjusted"] for name in "abc"] == pytest.approx(list(adjusted(p)))
    assert rows["c"]["p_adjusted"] == pytest.approx(3 * min(p))


def test_every_layer_is_measured_on_its_own_and_all_are_one_family(trend, noise):
    runs = pd.concat([trend, noise.assign(layer="fc1")], ignore_index=True)
    rows = evaluate(Claims(0.05, [claim()]), runs, NO_NULL_RUNS, NO_SAMPLES, 1)
    assert [(row["layer"], row["verdict"]) for row in rows] == [("fc2", "supported"), ("fc1", "inconclusive")]
    alone = judge([claim()], trend)["claim"]
    assert rows[0] == {**alone, "p_adjusted": 2 * alone["p"]}


def test_the_second_pairing_is_read_from_columns_of_its_own(trend):
    reversed_runs = trend.assign(pairing="train_to_test", gap=-trend["gap"])
    both = pd.concat([trend, reversed_runs.sample(frac=1, random_state=0)], ignore_index=True)
    rows = judge([claim("first"), claim("second", of="gap_reversed")], both)
    assert rows["first"]["n"] == 18
    assert rows["second"]["estimate"] == pytest.approx(-rows["first"]["estimate"])


def many_claims(expected="+"):
    """Claims of every kind; six seeds of three values have more arrangements than are listed, so p-values are drawn."""
    trends = [claim("a", null=Null("test_samples")), claim("b", expected=expected), claim("c", factor="l2")]
    means = [claim("d", kind="mean", null=SHUFFLED), claim("e", kind="mean", expected="equivalent", margin=0.1)]
    ranks = [rank("best", ["gap"], name="f"), rank("best", name="g", scope="within")]
    rest = [claim("h", kind="none", of=None, options={"reason": "none"}), claim("i", factor="dropout")]
    return [*trends, *means, *ranks, *rest, *GRID, ACTING]


@pytest.fixture
def many_runs(rng):
    return table(lambda s, seed: dict.fromkeys(("gap", "gap_null", "size", "best"), 0.0), ("width", "l2")).assign(
        **{name: rng.normal(size=30) for name in ("gap", "gap_null", "size", "sigma_w_total", "best", "train_loss")}
    )


def test_the_same_tables_give_the_same_verdicts(many_runs):
    one, other = (evaluate(Claims(0.05, many_claims()), many_runs, NO_NULL_RUNS, SAMPLES, 1) for _ in range(2))
    assert one == other


def test_a_p_value_depends_neither_on_the_other_claims_nor_on_their_order(many_runs):
    rows = judge(many_claims(), many_runs, samples=SAMPLES)
    assert judge(many_claims()[::-1], many_runs, samples=SAMPLES) == rows
    assert judge([claim("b")], many_runs)["b"]["p"] == rows["b"]["p"]


def test_every_claim_and_root_seed_has_random_numbers_of_its_own(many_runs):
    p = {judge([claim(name)], many_runs, root_seed=seed)[name]["p"] for name in "ab" for seed in (1, 2)}
    assert len(p) == 4
    assert max(p) - min(p) < 0.05


def test_a_single_seed_is_not_tested_where_seeds_are_compared(many_runs):
    rows = judge(many_claims(), many_runs[many_runs["seed"] == 0], samples=SAMPLES)
    assert {rows[name]["verdict"] for name in "degh"} == {"not tested"}
    assert rows["b"]["verdict"] == "inconclusive"
    assert rows["b"]["interval"] == [None, None]


@pytest.mark.parametrize("seeds", [6, 1])
def test_verdicts_can_be_written_as_json(rng, many_runs, seeds):
    samples = pd.DataFrame({"width": rng.normal(size=50)})
    rows = judge(many_claims(), many_runs[many_runs["seed"] < seeds], samples=samples)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_an_error_that_is_not_finite_can_be_written_as_json(noise):
    rows = judge([identity(columns=["a"])], noise.assign(a=np.inf))
    assert json.loads(json.dumps(rows, allow_nan=False))["claim"]["verdict"] == "contradicted"


def test_a_single_seed_is_not_tested_against_rivals_either(ranked):
    assert verdict(rank("poor", ["best"]), ranked[ranked["seed"] == 0]) == "not tested"


@pytest.mark.slow
def test_without_any_effect_one_family_in_twenty_has_a_verdict(rng):
    count, level, names = 1_000, 0.05, list("abc")
    runs = table(lambda s, seed: dict.fromkeys(names, 0.0), seeds=5)
    claims = [claim(name, of=name, expected=expected) for name, expected in zip(names, ("+", "-", "any"), strict=True)]
    wrong = 0
    for _ in range(count):
        runs[names] = rng.standard_cauchy(size=(15, 3)) + 100 * rng.normal(size=(5, 3)).repeat(3, axis=0)
        wrong += {row["verdict"] for row in judge(claims, runs).values()} != {"inconclusive"}
    assert 0 < wrong / count <= level + 3 * math.sqrt(level * (1 - level) / count)
