"""The numbers that figures show, against what a hand would compute from a small set of results."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from studies.sweeps import numbers
from studies.sweeps.factor_figure import over_seeds
from studies.sweeps.numbers import (
    Results,
    direction_rows,
    duality_rows,
    gap_rows,
    run_rows,
    sample_rows,
    training_rows,
)
from studies.sweeps.study import FACTORS


def test_a_run_that_has_ended_counts_with_its_last_loss_and_one_that_was_not_looked_at_by_its_neighbours():
    rows = pd.DataFrame(
        {"seed": [0, 0, 1, 1, 1], "steps": [100, 300, 100, 200, 400], "loss": [4.0, 2.0, 5.0, 3.0, 1.0]}
    )
    found = over_seeds(rows, "loss")
    assert found.index.tolist() == [100, 200, 300, 400]
    assert found[0].tolist() == [4.0, 3.0, 2.0, 2.0]
    assert found[1].tolist() == [5.0, 3.0, 2.0, 1.0]


LABELS = {"config": "digits", "dataset": "digits", "layer": "fc2", "pairing": "test_to_train"}


def run(name, shard, experiments, learning_rate, width, seed, ended, gap):
    geometry = {"gap": gap, "estimate": gap + 0.01, "sharp_part": gap / 2, "flat_part": gap / 3}
    geometry |= {"sigma_g_total": 10 * gap, "sigma_w_total": 20 * gap, "layer_norm": 3.0}
    geometry |= {"output_error": 1e-16, "loss_error": 2e-16}
    settings = {factor: FACTORS[factor].kind(1) for factor in FACTORS}
    return settings | {
        "id": name,
        "shard": shard,
        "experiments": experiments,
        "learning_rate": learning_rate,
        "width": width,
        "seed": seed,
        "ended": ended,
        "epochs": 4,
        "steps": 40,
        "train_loss": 1e-3,
        "train_error": 0.01,
        "test_error": 0.05,
        **geometry,
    }


@pytest.fixture
def results():
    """Two sweeps that share a baseline of two seeds; one value mixes every way to end, one has only budget runs."""
    both = ["baseline", "learning_rate", "width"]
    rows = [
        run("b1", "baseline-0", both, 0.1, 30, 1, "converged", 0.4),
        run("b0", "baseline-0", both, 0.1, 30, 0, "converged", 0.2),
        run("l0", "learning_rate-0", ["learning_rate"], 0.5, 30, 0, "converged", 1.0),
        run("l1", "learning_rate-0", ["learning_rate"], 0.5, 30, 1, "budget", 9.0),
        run("l2", "learning_rate-0", ["learning_rate"], 0.5, 30, 2, "dead", 0.0),
        run("l3", "learning_rate-0", ["learning_rate"], 0.5, 30, 3, "diverged", np.nan),
        run("w0", "width-0", ["width"], 0.1, 60, 0, "budget", 0.7),
    ]
    runs = pd.DataFrame(rows).set_index("id")
    arrays = {}
    for place, name in enumerate(runs.index):
        arrays[f"{name}/history/step"] = np.array([10.0, 20.0, 30.0, 40.0])
        arrays[f"{name}/history/train_loss"] = np.array([4.0, 3.0, 2.0, 1.0]) + place
        arrays[f"{name}/history/test_loss"] = np.array([8.0, 7.0, 6.0, 5.0]) + place
        if runs.loc[name, "ended"] != "diverged":
            arrays[f"{name}/eigenvalues"] = np.array([1.0, 0.5, 0.1, 1e-11])  # the last is below the tolerance
            arrays[f"{name}/sigma_g"] = np.array([0.2, 0.3, 0.1, 5.0]) * (1 + place)
            arrays[f"{name}/sigma_w"] = np.array([1.0, 2.0, 4.0, 100.0]) * (1 + place)
            arrays[f"{name}/c"] = np.array([0.2, 0.3, 0.1, 0.9])
            arrays[f"{name}/test_loss"] = np.array([1.0, 2.0]) + place
            arrays[f"{name}/dual_loss"] = np.array([1.5, 2.5]) + place
        if runs.loc[name, "ended"] != "diverged":
            arrays[f"{name}/test_losses"] = np.array([1.0, 2.0, 4.0]) * (1 + place)
    geometry = runs[runs["gap"].notna()].reset_index(names="run")[["run", "gap", "sigma_g_total", "sigma_w_total"]]
    tables = [
        geometry.assign(layer="fc2", pairing=pairing, gap=geometry["gap"] * factor)
        for pairing, factor in (("train_to_test", 0.5), ("test_to_train", 1.0))
    ]
    return Results(LABELS, {"learning_rate": [0.1, 0.5], "width": [30, 60]}, pd.concat(tables), runs, arrays)


def test_a_value_holds_the_runs_of_its_own_sweep_only(results):
    by_factor = {
        factor: {value: list(runs.index) for value, runs in numbers.runs_of_sweep(results, factor)}
        for factor in ("learning_rate", "width")
    }
    assert by_factor == {
        "learning_rate": {0.1: ["b0", "b1"], 0.5: ["l0", "l1", "l2", "l3"]},
        "width": {30: ["b0", "b1"], 60: ["w0"]},
    }


def test_means_are_over_converged_runs_with_students_interval(results):
    baseline, mixed = gap_rows(results, "learning_rate")
    assert baseline["gap_mean"] == pytest.approx(0.3)
    assert baseline["gap_half"] == pytest.approx(t.ppf(0.975, 1) * np.std([0.2, 0.4], ddof=1) / np.sqrt(2))
    assert baseline["estimate_mean"] == pytest.approx(0.31)
    assert baseline["sharp_part_mean"] == pytest.approx(0.15)
    assert baseline["flat_part_mean"] == pytest.approx(0.1)
    assert (mixed["shown"], mixed["gap_mean"]) == ("converged", 1.0)
    assert np.isnan(mixed["gap_half"])


def test_every_way_to_end_is_counted(results):
    _, mixed = gap_rows(results, "learning_rate")
    assert {end: mixed[end] for end in numbers.ENDS} == {"converged": 1, "budget": 1, "dead": 1, "diverged": 1}
    assert mixed["runs"] == 4


def test_a_value_without_a_converged_run_shows_its_budget_runs_and_says_so(results):
    _, wide = gap_rows(results, "width")
    assert (wide["shown"], wide["gap_mean"]) == ("budget", 0.7)


def test_a_value_whose_runs_are_all_dead_or_diverged_shows_nothing(results):
    results.runs.loc[["l0", "l1"], "ended"] = "dead"
    _, lost = gap_rows(results, "learning_rate")
    assert lost["shown"] == ""
    assert np.isnan(lost["gap_mean"])
    assert {row["value"] for row in direction_rows(results, "learning_rate")} == {0.1}


def test_directions_are_ranked_by_sharpness_and_those_below_the_tolerance_left_out(results):
    rows = [row for row in direction_rows(results, "learning_rate") if row["value"] == 0.5]
    scale = 3  # l0 is the third run
    assert [row["n"] for row in rows] == [1, 2, 3]
    assert [row["sigma_g_mean"] for row in rows] == pytest.approx([0.3 * scale, 0.2 * scale, 0.1 * scale])
    assert [row["sigma_w_cumulative_mean"] for row in rows] == pytest.approx([2.0 * scale, 3.0 * scale, 7.0 * scale])
    assert [row["c_mean"] for row in rows] == pytest.approx([0.3, 0.2, 0.1])


def test_eigenvalues_are_in_their_own_order(results):
    rows = [row for row in direction_rows(results, "learning_rate") if row["value"] == 0.5]
    assert [row["eigenvalue_mean"] for row in rows] == [1.0, 0.5, 0.1]


def test_curves_of_unequal_rank_are_averaged_over_the_ranks_that_all_have(results):
    results.arrays["b0/eigenvalues"] = np.array([1.0, 0.5, 1e-12, 1e-13])
    rows = [row for row in direction_rows(results, "learning_rate") if row["value"] == 0.1]
    assert [row["n"] for row in rows] == [1, 2]
    assert rows[0]["sigma_g_mean"] == pytest.approx((0.3 * 1 + 0.3 * 2) / 2)


def test_training_curves_count_steps_and_keep_training_and_test_apart(results):
    rows = [row for row in training_rows(results, "width") if row["value"] == 60]
    assert [row["steps"] for row in rows] == [10, 20, 30, 40]
    assert [row["train_loss"] for row in rows] == [10.0, 9.0, 8.0, 7.0]
    assert [row["test_loss"] for row in rows] == [14.0, 13.0, 12.0, 11.0]


def test_a_row_per_run_and_pairing_names_its_factor_and_settings(results):
    rows = run_rows(results)
    assert [row["pairing"] for row in rows] == ["test_to_train"] * 7 + ["train_to_test"] * 7  # those shown come first
    first = {row["run"]: row for row in rows[:7]}
    assert first["b0"]["factor"] == "baseline"
    assert (first["w0"]["factor"], first["w0"]["width"], first["w0"]["learning_rate"]) == ("width", 60, 0.1)
    assert (first["l0"]["sigma_g_total"], first["l0"]["sigma_w_total"]) == (10.0, 20.0)
    assert first["l0"]["ended"] == "converged"
    assert first["l0"]["error_gap"] == pytest.approx(0.04)
    assert first["l0"]["layer"] == "fc2"
    assert rows[7 + 2]["gap"] == first["l0"]["gap"] / 2


def test_a_diverged_run_is_a_row_without_measures(results):
    diverged = next(row for row in run_rows(results) if row["run"] == "l3")
    assert diverged["ended"] == "diverged"
    assert "gap" not in diverged


def test_the_slope_of_a_sample_is_over_the_values_at_which_every_seed_converged(results):
    assert sample_rows(results) == []  # at no second value of either sweep
    runs = results.runs.drop(["l2", "l3"])
    runs.loc["l1", "ended"] = "converged"
    # From the baselines b1 and b0 (the first two runs) to l1 and l0 (the fourth and the third): by 3 and by 1.
    rows = sample_rows(replace(results, runs=runs))
    assert [row["learning_rate"] for row in rows] == pytest.approx([2.0, 4.0, 8.0])
    assert "width" not in rows[0]


def test_the_pairs_shown_are_those_of_the_first_run_with_a_geometry(results):
    assert duality_rows(results)[0] == {"run": "b1", "test_loss": 1.0, "dual_loss": 1.5}
    for name in ("b0", "b1"):
        del results.arrays[f"{name}/test_loss"]
    assert duality_rows(results)[0]["run"] == "l0"


def test_points_of_a_curve_are_few_ascending_and_hold_both_ends():
    for length in (1, 2, 59, 60, 61, 900, 23_520):
        places = numbers.spread(length)
        assert places[0] == 0
        assert places[-1] == length - 1
        assert len(places) <= 60
        assert (np.diff(places) > 0).all()
