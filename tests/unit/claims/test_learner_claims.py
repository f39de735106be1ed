"""Verdicts on studies with several learners, on tables whose effects were put there."""

import copy
import json
import math
import shutil
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import fisher_exact, ttest_1samp
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import DescrStatsW

from awduality.audit.science import judge as audited
from awduality.claims.catalogue import read_claims
from awduality.claims.judge import judged as judge_study
from awduality.claims.judge import kinds_of
from awduality.claims.report import claims_table
from awduality.claims.statistics import adjusted, mean_p
from awduality.claims.words import Verdicts
from awduality.errors import InputError
from awduality.learners import MIXINGS
from studies.learners.course import last_quarter, peak_change
from studies.learners.kinds import READ
from studies.learners.recorded import CONVERGED, RECORDED, recorded_table
from studies.learners.selections import matched, selected

LEARNERS = kinds_of("learners")
SEEDS = 8
AS_THE_NULL = "not distinguishable from the null"
BALANCED = ("top_eigenvalue", "trace", "sigma_g_norm", "sigma_w_norm")
STEPS = np.unique(np.geomspace(1, 2_500, 20).round()).astype(int)
COURSE_CLAIMS = ("dip", "recovery", "spread-rise", "spread-decay")


def judge_learners(content, schema, runs, course, samples, root_seed):
    """The verdicts on claims of the learners."""
    tables = {"runs": runs, "course": course, "samples": samples}
    return judge_study(content, schema, tables, root_seed, "learners")


def read_learner_claims(content, schema):
    """The claims of the learners."""
    return read_claims(content, schema, LEARNERS)


@pytest.fixture(scope="module")
def schema(root):
    return yaml.safe_load((root / "workflow/schemas/claims.schema.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shipped(root):
    return yaml.safe_load((root / "config/learner-claims.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def judge(shipped, schema):
    """Judge a study, all shipped claims or some of them: id -> row."""

    def judged(tables, *names):
        chosen = [entry for entry in shipped["claims"] if not names or entry["id"] in names]
        rows = judge_learners({**shipped, "claims": chosen}, schema, *tables, 1)
        assert json.loads(json.dumps(rows, allow_nan=False)) == rows
        return {row["id"]: row for row in rows}

    return judged


def run(seed, algorithm, experiments, **given):
    """A row of the table of runs: all measures 1 but for a little noise, converged."""
    defaults = {"mixing": "full", "learners": 1 if algorithm == "ssgd" else 5, "learning_rate": 1.0}
    defaults |= {"total_batch": 2_000, "noise": 0.0, "steps": 2_500}
    settings = {**defaults, **{name: given.pop(name) for name in list(given) if name in defaults}}
    name = "-".join(map(str, (algorithm, *settings.values(), seed)))
    labels = {"config": "study", "dataset": "digits", "layer": "fc2", "pairing": "test_to_train", "run": name}
    rest = {"experiments": experiments, "algorithm": algorithm, "seed": seed, "ended": "converged"}
    measures = dict.fromkeys(("train_loss", "gap", *BALANCED, *(f"{name}_balanced" for name in BALANCED)), 1.0)
    errors = {"test_error": 0.03, "last_test_error": 0.03, "learner_test_error": 0.04}
    return {**labels, **settings, **rest, **measures, **errors, **given}


def noisy(rows, rng, scale=0.02):
    """The table, every measure with noise of its own; a balanced form keeps what its measure lost."""
    runs = pd.DataFrame(rows)
    for name in ("train_loss", "gap", *BALANCED):
        factor = np.exp(rng.normal(scale=scale, size=len(runs)))
        runs[name] *= factor
        if name in BALANCED:
            runs[f"{name}_balanced"] *= factor
    for name in ("test_error", "last_test_error", "learner_test_error"):
        runs[name] += rng.normal(scale=scale / 40, size=len(runs))
    return runs


def curve(name, rng, decentralised, diverged=False):
    """The course of a run: DPSGD's effective rate dips and its spread rises and decays."""
    place = np.arange(len(STEPS))
    rates = np.exp(rng.normal(scale=0.05, size=len(STEPS)))
    spread = np.zeros(len(STEPS))
    if decentralised:
        rates *= np.where((place > 2) & (place < 8), 0.3, 1.0)
        spread = np.exp(-((place - 8.0) ** 2) / 10 + rng.normal(scale=0.1, size=len(STEPS))) * (place > 0)
    if diverged:
        rates[10:] = np.nan
    columns = {"run": name, "step": STEPS, "train_loss": 1.0, "spread": spread, "effective_rate": rates}
    return pd.DataFrame(columns)


def courses(runs, rng):
    found = [
        curve(row["run"], rng, row["algorithm"] == "dpsgd", row["ended"] == "diverged") for _, row in runs.iterrows()
    ]
    return pd.concat(found) if found else curve("none", rng, True)[:0]


@pytest.fixture
def study(rng):
    """A study in which every claim of the abstract is true, and SSGD* is as good as DPSGD."""
    rows = []
    flatter = dict.fromkeys(("trace", "trace_balanced", "top_eigenvalue", "top_eigenvalue_balanced"), 0.5)
    flatter |= {"sigma_g_norm": 0.6, "sigma_g_norm_balanced": 0.6, "gap": 0.8, "test_error": 0.02}
    fails = {"ended": "budget", "last_test_error": 0.8, "learner_test_error": 0.8}
    for seed in range(SEEDS):
        for rate in (0.5, 1.0):
            rows.append(run(seed, "ssgd", "large", learning_rate=rate))
            rows += [run(seed, "dpsgd", "large", learning_rate=rate, learners=n, **flatter) for n in (4, 8)]
        rows.append(run(seed, "ssgd", "small", learning_rate=0.1, total_batch=50))
        rows.append(run(seed, "dpsgd", "small", learning_rate=0.1, total_batch=50))
        rows.append(run(seed, "ssgd", "extreme", steps=3_000, **fails))
        rows.append(run(seed, "dpsgd", "extreme mixings", steps=3_000))
        rows += [run(seed, "ssgd_star", "extreme", steps=3_000, noise=0.01, **fails)]
        rows += [run(seed, "ssgd_star", "extreme", steps=3_000, noise=0.1)]
        shared = {"learning_rate": 0.2, "learners": 6}
        rows.append(run(seed, "ssgd", "mild", **{**shared, "learners": 1}))
        rows.append(run(seed, "dpsgd", "mild", mixing="wide_ring", last_test_error=0.025, **shared))
        rows.append(run(seed, "ssgd_star", "mild", noise=0.05, last_test_error=0.04, **shared))
        for mixing in ("ring", "random_ring", "random_pair"):
            rows.append(run(seed, "dpsgd", "mixings", steps=3_000, mixing=mixing))
    runs = noisy(rows, rng)
    samples = pd.DataFrame({name: rng.normal(mean, 0.1, size=60) for name, mean in (("large", -0.2), ("small", 0.0))})
    return runs, courses(runs, rng), samples


def without(study, experiment):
    runs, course, samples = study
    left = runs["experiments"].str.replace(experiment, "").str.strip()
    runs = runs.assign(experiments=left)[left != ""]
    return runs, course[course["run"].isin(runs["run"])], samples.drop(columns=experiment, errors="ignore")


# The file


def test_the_shipped_claims_are_valid(shipped, schema):
    claims = read_learner_claims(shipped, schema)
    assert claims.level == 0.05
    assert {claim.of for claim in claims.claims} == {"multi-learner", "ours"}
    assert {claim.expected for claim in claims.claims} == {"+", "-", "any", "equivalent"}
    assert all(claim.why and claim.statement for claim in claims.claims)


def test_claims_read_only_columns_that_the_tables_have(shipped, schema):
    known = {*READ, *run(0, "dpsgd", "")}
    for claim in read_learner_claims(shipped, schema).claims:
        for quantity in (claim.quantity, claim.null.quantity if claim.null else None):
            assert set(quantity.columns if quantity else ()) <= known, claim.id


def changed(shipped, edit):
    content = {**shipped, "claims": [copy.deepcopy(shipped["claims"][0])]}
    edit(content["claims"][0])
    return content


def _share(claim):
    claim["statistic"].update(kind="share", column="last_test_error", most=0.05)
    del claim["statistic"]["quantity"], claim["statistic"]["runs"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda claim: claim.update(statment="x"), "unknown key 'statment'; did you mean 'statement'"),
        (lambda claim: claim.pop("why"), "'why' is a required property"),
        (lambda claim: claim.update(expected="smaller"), "got 'smaller', wanted text of the form"),
        (lambda claim: claim["statistic"].update(experiments=["larger"]), "got 'larger', wanted one of"),
        (lambda claim: claim["statistic"]["of"].update(algorithm="sgd"), "got 'sgd', wanted one of"),
        (lambda claim: claim["statistic"].pop("quantity"), "kind 'compared' needs 'quantity'"),
        (lambda claim: claim["statistic"].pop("against"), "kind 'compared' needs 'against'"),
        (lambda claim: claim["statistic"].update(kind="share"), "kind 'share' needs 'column'"),
        (lambda claim: claim["statistic"].update(kind="course"), "kind 'course' needs 'part'"),
        (lambda claim: claim["statistic"].update(against={"algorithm": "dpsgd"}), "dpsgd needs a mixing"),
        (lambda claim: claim["statistic"].update(against={"algorithm": "ssgd_star"}), "ssgd_star needs noise: best"),
        (lambda claim: claim.update(control={"name": "rescaling"}), "the null 'rescaling' needs a quantity"),
        (_share, "kind 'share' cannot test for no effect"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(shipped, schema, edit, message):
    with pytest.raises(InputError, match=message):
        read_learner_claims(changed(shipped, edit), schema)


def test_an_id_that_is_used_twice_is_refused(shipped, schema):
    with pytest.raises(InputError, match="the id 'large/train-loss' is used 2 times"):
        read_learner_claims({**shipped, "claims": shipped["claims"][:1] * 2}, schema)


# Effects that are there


def test_every_effect_that_was_put_there_is_found(judge, study):
    verdicts = {name: row["verdict"] for name, row in judge(study).items()}
    absent = {"extreme/noise-test-error", "extreme/noise-trace", "extreme/noise-top-eigenvalue"}
    absent |= {"extreme/noise-gap", "mild/noise-trace", "mild/noise-top-eigenvalue"}
    absent |= {"mild/noise-gap", "mixings/ring", "mixings/random-ring", "mixings/random-pair"}
    assert {name for name, verdict in verdicts.items() if verdict == "inconclusive"} == absent
    assert {verdict for name, verdict in verdicts.items() if name not in absent} == {"supported"}


def test_rows_have_the_format_of_every_claim(judge, study, root):
    (row, *_) = json.loads((root / "figures/digits/claims.json").read_text())
    for found in judge(study).values():
        assert set(found) == set(row)
        assert (found["config"], found["dataset"], found["layer"]) == ("study", "digits", "fc2")


def test_the_same_tables_give_the_same_rows_in_any_order_of_their_rows(judge, study):
    runs, course, samples = study
    shuffled = (runs.sample(frac=1, random_state=0), course.sample(frac=1, random_state=0), samples)
    one, other = (judge(tables, "large/gap", "extreme/dip", "extreme/converged") for tables in (study, shuffled))
    for name, row in one.items():
        assert (row["p"], row["estimate"]) == pytest.approx((other[name]["p"], other[name]["estimate"]), rel=1e-9)


def test_p_values_are_adjusted_over_all_claims_of_the_study(judge, study):
    rows = judge(study).values()
    assert [row["p_adjusted"] for row in rows] == pytest.approx(adjusted([row["p"] for row in rows]))


def by_hand(runs, name, algorithm="dpsgd", log=True):
    """Per seed, the mean over pairs of DPSGD minus SSGD, in `large`."""
    found = []
    for seed in range(SEEDS):
        here = runs[(runs["experiments"] == "large") & (runs["seed"] == seed)]
        values = []
        for _, one in here[here["algorithm"] == algorithm].iterrows():
            (other,) = here[(here["algorithm"] == "ssgd") & (here["learning_rate"] == one["learning_rate"])][name]
            values.append(math.log(one[name] / other) if log else one[name] - other)
        found.append(np.mean(values))
    return np.array(found)


def test_effects_are_means_over_seeds_of_paired_ratios(judge, study):
    row = judge(study, "large/trace")["large/trace"]
    values = by_hand(study[0], "trace")
    test = ttest_1samp(values, 0)
    assert row["estimate"] == pytest.approx(values.mean())
    assert row["p"] == pytest.approx(test.pvalue)
    assert row["interval"] == pytest.approx(test.confidence_interval(0.95))
    assert row["null_value"] == pytest.approx(by_hand(study[0], "trace_balanced").mean())
    assert (row["n"], row["excluded"], row["seeds"], row["scale"]) == (32, 0, 8, "log")


def test_equal_sizes_are_established_by_tests_from_either_side(judge, study):
    row = judge(study, "large/size")["large/size"]
    values = by_hand(study[0], "sigma_w_norm")
    assert row["p"] == pytest.approx(2 * DescrStatsW(values).ttost_mean(-0.0953, 0.0953)[0])
    assert row["verdict"] == "supported"


def test_equal_sizes_of_networks_whose_balanced_forms_differ_are_not_supported(judge, study):
    runs, *rest = study
    runs.loc[runs["algorithm"] == "dpsgd", "sigma_w_norm_balanced"] *= 1.5
    assert judge((runs, *rest), "large/size")["large/size"]["verdict"] == AS_THE_NULL


def test_flatness_that_is_gone_in_the_balanced_form_is_that_of_the_null(judge, study):
    runs, *rest = study
    runs.loc[runs["algorithm"] == "dpsgd", "trace_balanced"] *= 2
    assert judge((runs, *rest), "large/trace")["large/trace"]["verdict"] == AS_THE_NULL


def test_a_smaller_gap_must_hold_over_test_samples_too(judge, study):
    runs, course, samples = study
    a_single_one = samples.assign(large=np.where(np.arange(60) == 3, -12.0, 0.0))
    row = judge((runs, course, a_single_one), "large/gap")["large/gap"]
    assert row["verdict"] == AS_THE_NULL
    assert row["null_interval"][0] < 0 <= row["null_interval"][1]


def test_effects_in_the_other_direction_contradict(judge, study):
    runs, *rest = study
    swap = runs["algorithm"].map({"dpsgd": "ssgd", "ssgd": "dpsgd"}).fillna(runs["algorithm"])
    in_large = runs["experiments"] == "large"
    runs = runs.assign(algorithm=runs["algorithm"].where(~in_large, swap))
    assert judge((runs, *rest), "large/trace", "large/test-error")["large/trace"]["verdict"] == "contradicted"


def test_details_give_every_setting_with_its_counts(judge, study):
    runs, *rest = study
    runs.loc[(runs["algorithm"] == "ssgd") & (runs["learning_rate"] == 0.5) & (runs["seed"] < 2), "ended"] = "budget"
    row = judge((runs, *rest), "large/trace")["large/trace"]
    first = row["details"][0]
    assert first["setting"] == "α = 0.5, batch 2000, 4 learners, full averaging"
    assert (first["pairs"], first["of_pairs"], first["converged"]) == (6, 8, [8, 6])
    assert first["interval"][0] < first["estimate"] < first["interval"][1]
    assert len(row["details"]) == 5
    assert row["details"][-1]["setting"] == "all, per unit of training loss"
    assert (row["n"], row["excluded"], row["seeds"]) == (28, 4, 8)


# What is not there


@pytest.mark.parametrize("experiment", ["large", "small", "extreme", "mild", "mixings"])
def test_claims_of_an_experiment_that_the_study_lacks_are_not_tested(judge, study, experiment):
    rows = judge(without(study, experiment))
    expected = {name for name in rows if name.startswith(f"{experiment}/")}
    if experiment == "extreme":  # full averaging is in mixings, too
        assert rows["mixings/ring"]["verdict"] == "inconclusive"
    assert {name for name, row in rows.items() if row["verdict"] == "not tested"} == expected
    assert all(rows[name]["reason"] == "no runs, or too few, in this config" for name in expected)
    assert all(rows[name]["p"] is rows[name]["estimate"] is None for name in expected)


def test_pairs_of_two_seeds_give_no_verdict_and_the_reason(judge, study):
    runs, *rest = study
    runs.loc[(runs["algorithm"] == "ssgd") & (runs["seed"] > 1), "ended"] = "budget"
    row = judge((runs, *rest), "large/trace")["large/trace"]
    assert row["verdict"] == "not tested"
    assert row["reason"] == "2 of 8 seeds have pairs in which both converged; 3 are needed"


def test_where_no_pair_converged_no_column_of_samples_is_asked_for(judge, study):
    runs, course, samples = study
    runs.loc[runs["algorithm"] == "ssgd", "ended"] = "budget"
    row = judge((runs, course, samples.drop(columns="large")), "large/gap")["large/gap"]
    assert (row["verdict"], row["reason"][:6]) == ("not tested", "0 of 8")


def test_pairs_that_converged_without_their_column_of_samples_are_refused(judge, study):
    runs, course, samples = study
    with pytest.raises(InputError, match="no number per sample in a column 'large'"):
        judge((runs, course, samples.assign(large=np.nan)), "large/gap")


def test_runs_without_the_number_are_left_out_and_counted(judge, study):
    runs, *rest = study
    runs.loc[(runs["algorithm"] == "ssgd") & (runs["seed"] == 0), ["trace", "trace_balanced"]] = np.nan
    row = judge((runs, *rest), "large/trace")["large/trace"]
    assert (row["n"], row["excluded"], row["seeds"]) == (28, 4, 7)


def test_a_column_that_is_not_there_is_refused(judge, study):
    runs, *rest = study
    with pytest.raises(InputError, match="large/trace.statistic: the table runs lacks the column 'trace'"):
        judge((runs.drop(columns="trace"), *rest))
    with pytest.raises(InputError, match="the table runs of the study lacks the columns ended, seed|seed, ended"):
        judge((runs.drop(columns=["seed", "ended"]), *rest))


def test_without_runs_there_is_nothing_to_judge(judge, study):
    runs, *rest = study
    assert judge((runs[:0], *rest)) == {}


def test_other_layers_and_pairings_do_not_count(judge, study):
    runs, *rest = study
    others = [runs.assign(layer="fc3", trace=7.0), runs.assign(pairing="train_to_test", trace=7.0)]
    twice = pd.concat([runs, *others], ignore_index=True)
    assert judge((twice, *rest), "large/trace") == judge((runs, *rest), "large/trace")


def test_diverged_runs_without_a_pairing_still_count_as_failures(judge, study):
    runs, *rest = study
    fails = (runs["algorithm"] == "ssgd") & (runs["experiments"] == "extreme")
    empty = runs.assign(pairing=runs["pairing"].mask(fails), last_test_error=runs["last_test_error"].mask(fails))
    empty.loc[fails, "ended"] = "diverged"
    row = judge((empty, *rest), "extreme/converged")["extreme/converged"]
    assert (row["verdict"], row["n"], row["estimate"]) == ("supported", 16, 1.0)


# Noise that does not follow the landscape


def test_the_best_noise_has_the_lowest_mean_test_error(study):
    runs = study[0]
    stars = runs[(runs["experiments"] == "extreme")]
    chosen, choices = selected(stars, {"algorithm": "ssgd_star", "noise": "best"})
    assert (set(chosen["noise"]), choices) == ({0.1}, 2)
    spoilt = stars.assign(last_test_error=stars["last_test_error"].mask((stars["noise"] == 0.1) & (stars["seed"] == 2)))
    chosen, _ = selected(spoilt, {"algorithm": "ssgd_star", "noise": "best"})
    assert set(chosen["noise"]) == {0.01}


@pytest.mark.parametrize("star", [0.02, 0.05])
def test_a_choice_of_noise_is_counted_whichever_side_it_favours(judge, study, star):
    runs, *rest = study
    runs.loc[runs["noise"] == 0.1, "last_test_error"] += star - 0.03
    row = judge((runs, *rest), "extreme/noise-test-error")["extreme/noise-test-error"]
    here = runs[runs["experiments"].str.contains("extreme")].sort_values("seed")
    own, other = (
        here[mask]["last_test_error"].to_numpy() for mask in (here["algorithm"] == "dpsgd", here.noise == 0.1)
    )
    assert row["p"] == pytest.approx(2 * ttest_1samp(own - other, 0).pvalue)
    assert row["choices"] == 2
    assert row["verdict"] == "supported"
    assert row["details"][1]["setting"] == "SSGD*, σ₀ = 0.1: test error"


CHOSEN = ["extreme/noise-converged"] + [f"extreme/noise-{name}" for name in ("trace", "top-eigenvalue", "gap")]


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_choice_of_noise_is_counted_for_every_quantity_and_whatever_its_sign(judge, study, name, sign):
    """Beside the runs at the σ₀ that is chosen, as many at others that are not: p-values count them, effects do not."""
    runs, *rest = study
    star = runs["algorithm"] == "ssgd_star"
    for measure in ("trace", "top_eigenvalue", "gap"):
        runs.loc[star, measure] *= 1 + 0.05 * sign
    alone = runs[~(star & (runs["noise"] == 0.01) & (runs["experiments"] == "extreme"))]
    one, two = (judge((table, *rest), name)[name] for table in (alone, runs))
    assert one["estimate"] == two["estimate"]
    assert (one["choices"], two["choices"]) == (1, 2)
    assert two["p"] == pytest.approx(min(1.0, 2 * one["p"]))


def test_a_choice_of_noise_is_counted_along_training_too(shipped, schema, study):
    runs, course, samples = study
    dip = next(entry for entry in shipped["claims"] if entry["id"] == "extreme/dip")
    star = {"algorithm": "ssgd_star", "noise": "best"}
    content = {**shipped, "claims": [{**dip, "statistic": {**dip["statistic"], "of": star}}]}
    (two,) = judge_learners(content, schema, runs, course, samples, 1)
    alone = runs[~((runs["noise"] == 0.01) & (runs["experiments"] == "extreme"))]
    (one,) = judge_learners(content, schema, alone, course, samples, 1)
    assert (one["choices"], two["choices"], two["p"]) == (1, 2, pytest.approx(min(1.0, 2 * one["p"])))


def test_ssgd_goes_with_every_number_of_learners_and_others_with_their_own():
    decentralised = pd.DataFrame([run(0, "dpsgd", "large", learners=n) for n in (4, 8)])
    alone = pd.DataFrame([run(seed, "ssgd", "large") for seed in (0, 1)])
    star = pd.DataFrame([run(0, "ssgd_star", "large", learners=8, noise=0.1)])
    one, other = matched(decentralised, alone)
    assert (one["learners"].tolist(), other["learners"].tolist()) == ([4, 8], [1, 1])
    one, other = matched(decentralised, star)
    assert (one["learners"].tolist(), other["learners"].tolist()) == ([8], [8])


# Shares


@pytest.mark.parametrize(("count", "verdict"), [(8, "supported"), (5, "supported"), (3, "inconclusive")])
def test_shares_are_compared_by_fishers_exact_test(judge, study, count, verdict):
    runs, *rest = study
    failed = runs["experiments"].str.contains("extreme") & (runs["algorithm"] == "dpsgd") & (runs["seed"] >= count)
    runs.loc[failed, "last_test_error"] = 0.051
    row = judge((runs, *rest), "extreme/converged")["extreme/converged"]
    assert row["p"] == pytest.approx(fisher_exact([[count, 8 - count], [0, 8]]).pvalue)
    assert row["estimate"] == pytest.approx(count / 8)
    assert row["interval"] == pytest.approx(confint_proportions_2indep(count, 8, 0, 8, method="newcomb"))
    assert row["verdict"] == verdict
    assert row["details"] == [
        {"setting": "DPSGD", "runs": 8, "below": count, "reached_target": 8},
        {"setting": "SSGD", "runs": 8, "below": 0, "reached_target": 0},
    ]


def test_the_trial_runs_five_of_eight_is_no_evidence_in_the_whole_family(judge, study):
    runs, *rest = study
    failed = runs["experiments"].str.contains("extreme") & (runs["algorithm"] == "dpsgd") & (runs["seed"] >= 5)
    runs.loc[failed, "last_test_error"] = 0.6
    assert judge((runs, *rest))["extreme/converged"]["verdict"] == "inconclusive"


def test_the_share_of_ssgd_star_counts_the_choice_of_its_noise(judge, study):
    row = judge(study, "extreme/noise-converged")["extreme/noise-converged"]
    assert row["p"] == pytest.approx(2 * fisher_exact([[8, 0], [0, 8]]).pvalue)


def test_shares_of_several_settings_are_not_tested(judge, study):
    runs, *rest = study
    more = runs[(runs["algorithm"] == "dpsgd") & runs["experiments"].str.contains("extreme")].assign(mixing="ring")
    row = judge((pd.concat([runs, more.assign(run=more["run"] + "r")]), *rest), "extreme/converged")
    assert row["extreme/converged"]["reason"].startswith("wanted runs of one setting, got 2")


# Along training


def test_a_dip_is_compared_with_that_of_ssgd(judge, study):
    runs, course, _ = study
    rows = judge(study, "extreme/dip", "extreme/recovery")
    here = runs[runs["experiments"].str.contains("extreme")].sort_values("seed")
    dips, recoveries = {}, {}
    for algorithm in ("dpsgd", "ssgd"):
        curves = [course[course["run"] == name] for name in here[here["algorithm"] == algorithm]["run"]]
        early = [one[(one["step"] > 1) & (one["step"] <= 50)]["effective_rate"].min() for one in curves]
        dips[algorithm] = np.array(early)
        count = len(curves[0]) // 4
        recoveries[algorithm] = np.array([one["effective_rate"].iloc[-count:].mean() for one in curves]) - early
    for part, found in (("dip", dips), ("recovery", recoveries)):
        row = rows[f"extreme/{part}"]
        assert row["estimate"] == pytest.approx((found["dpsgd"] - found["ssgd"]).mean())
        assert row["null_value"] == pytest.approx(found["ssgd"].mean())
        assert row["p"] == pytest.approx(ttest_1samp(found["dpsgd"] - found["ssgd"], 0).pvalue)


def test_a_dip_that_is_no_deeper_than_ssgds_own_is_not_found(judge, study, rng):
    runs, _, samples = study
    course = pd.concat([curve(name, rng, False) for name in runs["run"]])
    rows = judge((runs, course, samples), "extreme/dip", "extreme/recovery", "large/dip")
    assert {row["verdict"] for row in rows.values()} == {"inconclusive"}
    assert rows["extreme/dip"]["null_value"] < 0.95


def test_diverged_runs_have_no_course_and_are_counted(judge, study):
    runs, course, samples = study
    first = (runs["seed"] == 0) & runs["experiments"].str.contains("extreme") & (runs["algorithm"] == "dpsgd")
    runs.loc[first, "ended"] = "diverged"
    rows = judge(study, *(f"extreme/{part}" for part in COURSE_CLAIMS))
    assert {(row["n"], row["excluded"], row["seeds"]) for row in rows.values()} == {(7, 1, 7)}


def test_a_course_with_missing_numbers_is_left_out(judge, study):
    runs, course, samples = study
    name = runs[runs["experiments"].str.contains("extreme") & (runs["algorithm"] == "dpsgd")]["run"].iloc[0]
    course.loc[course["run"] == name, ["effective_rate", "spread"]] = np.nan
    rows = judge((runs, course, samples), *(f"extreme/{part}" for part in COURSE_CLAIMS))
    assert {(row["n"], row["excluded"], row["seeds"]) for row in rows.values()} == {(7, 1, 7)}


def test_the_peak_of_the_spread_is_at_one_step_for_all_seeds():
    curves = np.array([[0.0, 1.0, 5.0, 2.0, 1.0], [0.0, 4.0, 3.0, 2.0, 0.0]])
    rise, peak, choices = peak_change(curves, "rise")
    assert (rise.tolist(), peak, choices) == ([5.0, 3.0], 2, 4)
    decay, peak, choices = peak_change(curves, "decay")
    assert (decay.tolist(), peak, choices, last_quarter(5)) == ([-4.0, -3.0], 2, 4, 1)


@pytest.mark.parametrize("part", ["rise", "decay"])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_a_spread_that_only_fluctuates_has_no_peak(rng, part, correlation):
    draws, wrong = 500, 0
    for _ in range(draws):
        curves = rng.normal(size=(SEEDS, 19))
        for step in range(1, 19):
            drawn = math.sqrt(1 - correlation**2) * curves[:, step]
            curves[:, step] = correlation * curves[:, step - 1] + drawn
        values, _, choices = peak_change(curves, part)
        wrong += min(1.0, choices * mean_p(values)) < 0.05
    assert wrong / draws <= 0.05


# Mixings


def test_a_mixing_is_compared_with_full_averaging_of_the_extreme_setting(judge, study):
    runs, *rest = study
    runs.loc[runs["mixing"] == "ring", "last_test_error"] += 0.01
    rows = judge((runs, *rest), "mixings/ring", "mixings/random-ring")
    assert rows["mixings/ring"]["verdict"] == "supported"
    assert rows["mixings/ring"]["estimate"] == pytest.approx(0.01, abs=0.002)
    assert rows["mixings/random-ring"]["verdict"] == "inconclusive"


# Level


FAMILY = ("large/trace", "extreme/noise-test-error", "extreme/converged", "mixings/ring")
FAMILY += tuple(f"extreme/{part}" for part in COURSE_CLAIMS)


@pytest.mark.slow
def test_without_any_effect_one_family_in_twenty_has_a_verdict(shipped, schema, rng):
    """A claim of every kind, and all that compare what was chosen; SSGD* is the same at every σ₀."""
    draws, wrong = 100, 0
    content = {**shipped, "claims": [entry for entry in shipped["claims"] if entry["id"] in FAMILY]}
    rows = []
    for seed in range(SEEDS):
        for experiment, steps in (("large", 2_500), ("extreme mixings", 3_000)):
            rows += [run(seed, "ssgd", experiment, steps=steps), run(seed, "dpsgd", experiment, steps=steps)]
        rows += [run(seed, "ssgd_star", "extreme", steps=3_000, noise=noise) for noise in (0.01, 0.03, 0.1)]
        rows += [run(seed, "dpsgd", "mixings", steps=3_000, mixing=mixing) for mixing in ("ring", "random_ring")]
    table = pd.DataFrame(rows)
    place = table["algorithm"] == "dpsgd"
    for _ in range(draws):
        runs = noisy(rows, rng)
        runs["last_test_error"] = rng.choice([0.03, 0.2], size=len(runs)) + rng.normal(scale=0.01, size=len(runs))
        course = pd.DataFrame({"run": np.repeat(table["run"], len(STEPS)), "step": np.tile(STEPS, len(table))})
        course["effective_rate"] = np.exp(rng.normal(scale=0.3, size=len(course)))
        spread = np.exp(rng.normal(size=(len(table), len(STEPS)))) * (np.arange(len(STEPS)) > 0)
        course["spread"] = (spread * place.to_numpy()[:, None]).ravel()
        found = judge_learners(content, schema, runs, course, pd.DataFrame(), 1)
        assert "not tested" not in {row["verdict"] for row in found}
        wrong += any(row["verdict"] in ("supported", "contradicted") for row in found)
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


# Script and audit


@pytest.fixture
def tree(study, root, tmp_path):
    """A project that holds nothing but the claims, and the tables of a study beside its figures."""
    for folder in ("config", "workflow/schemas"):
        (tmp_path / folder).mkdir(parents=True)
        for path in (root / folder).glob("*claims*.yaml"):
            shutil.copy(path, tmp_path / folder)
    figures = tmp_path / "figures/study"
    figures.mkdir(parents=True)
    for name, table in zip(("runs", "course", "samples"), study, strict=True):
        table.to_csv(figures / f"{name}.csv", index=False)
    return tmp_path


def judged_by_script(tree, *names):
    figures = tree / "figures/study"
    tables = [figures / f"{name}.csv" for name in names]
    arguments = ["--claims", tree / "config/learner-claims.yaml"]
    arguments += ["--schema", tree / "workflow/schemas/claims.schema.yaml", "--study", "learners"]
    arguments += ["--tables", *tables, "--root-seed", 1]
    import_module("claims").main([str(one) for one in [*arguments, "--claims-out", figures / "claims.json"]])
    return figures / "claims.json"


def test_the_audit_judges_a_study_by_its_own_claims_as_the_script_did(judge, study, tree):
    path = judged_by_script(tree, "runs", "course", "samples")
    rows = json.loads(path.read_text())
    assert [row["id"] for row in rows] == list(judge(study))
    config = {"root_seed": 1, "learners": {}}
    assert audited(tree, "figures/study", config) == ([], len(rows))
    rows[1]["verdict"] = "contradicted"
    path.write_text(json.dumps(rows))
    (found,), _ = audited(tree, "figures/study", config)
    assert "large/trace" in found.file


def test_the_script_says_which_table_is_missing(tree):
    with pytest.raises(InputError, match="there is no table 'course' among those that claims are judged from, runs"):
        judged_by_script(tree, "runs", "samples")


# For the reader


def test_the_table_counts_by_the_criterion_of_the_claims(shipped):
    bounds = {entry["statistic"]["most"] for entry in shipped["claims"] if entry["statistic"]["kind"] == "share"}
    assert bounds == {CONVERGED}


def test_the_table_of_recorded_results_sets_ours_beside_them(study):
    runs = study[0].assign(last_test_error=lambda runs: runs["last_test_error"].round(2))
    lines = recorded_table(runs).splitlines()
    assert len(lines) == 2 + 4 + 3
    assert "| SSGD | fails | 80.0 (80.0–80.0) |" in lines[2]
    assert "| 0 of 8 | 0 of 8 |" in lines[2]
    assert "| DPSGD | 2.1 | 3.0 (3.0–3.0) |" in lines[3]
    assert "| SSGD*, σ₀ = 0.1 | 5.7 | 3.0 (3.0–3.0) |" in lines[5]
    assert "| SSGD* , σ₀" not in "".join(lines)
    assert lines[7].startswith(f"| {RECORDED['mild'].setting} | DPSGD | 2.3 |")


def test_recorded_errors_are_medians_with_their_range_so_that_a_collapsed_run_moves_neither_mean_nor_interval(study):
    runs = study[0]
    collapsed = (runs["algorithm"] == "dpsgd") & (runs["seed"] == 0) & runs["experiments"].str.contains("extreme")
    runs = runs.assign(last_test_error=runs["last_test_error"].mask(collapsed, 0.8).round(2))
    assert "| DPSGD | 2.1 | 3.0 (3.0–80.0) |" in recorded_table(runs)


def test_the_table_of_recorded_results_has_dashes_where_a_study_has_no_runs(study):
    lines = recorded_table(without(study, "mild")[0]).splitlines()
    assert lines[-1].endswith("| SSGD* | 3.9 | – | – | – | – |")
    assert len(recorded_table(study[0][:0]).splitlines()) == 8


def test_the_recorded_settings_name_mixings_that_exist():
    assert "two neighbours on each side" in MIXINGS["wide_ring"]
    assert [list(known.percent) for known in RECORDED.values()] == [["ssgd", "dpsgd", "ssgd_star"]] * 2


def test_the_claims_of_a_study_make_a_table(judge, study):
    text = claims_table({"study": Verdicts(judge(study))})
    assert (
        "| `large/trace` | There DPSGD finds flatter solutions than SSGD: a smaller trace of the Hessian. | - |" in text
    )
    assert "supported<br>×0.5" in text
    assert "rescaling: ×0.5" in text
