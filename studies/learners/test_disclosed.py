"""What docs/learners.md discloses: ratios at every σ₀, runs that failed, the estimate over the gap, seeds needed."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestPower

from awduality.claims.statistics import mean_p
from awduality.claims.words import Verdicts
from studies.learners.disclosed import (
    baselines,
    estimate_over_gap,
    every_noise,
    noise_against,
    not_reached,
    power,
    rates_compared,
    seeds_needed,
)


def run(algorithm, seed, top, noise=0.0, rate=1.0, experiment="extreme", ended="converged", learners=5):
    name = f"{algorithm}-{noise}-{rate}-{experiment}-{seed}-{learners}"
    row = {"run": name, "layer": "fc2", "pairing": "test_to_train", "experiments": experiment, "algorithm": algorithm}
    row |= {"noise": noise, "learning_rate": rate, "total_batch": 10, "seed": seed, "ended": ended}
    row |= {"top_eigenvalue": top, "top_eigenvalue_balanced": 2 * top, "trace": top, "sigma_w_norm": 1.0}
    return row | {"gap": 0.5, "estimate": 0.5 * (1 + seed), "last_test_error": 0.03}


@pytest.fixture
def runs():
    """DPSGD is half as sharp as SSGD* at one σ₀ and twice as sharp at another; of a third no run reached the target."""
    rows = [run("dpsgd", seed, 1.0) for seed in range(3)]
    rows += [run("ssgd_star", seed, 2.0, 0.05) for seed in range(3)]
    rows += [run("ssgd_star", seed, 0.5, 0.1) for seed in range(2)] + [run("ssgd_star", 2, 9.0, 0.1, ended="budget")]
    rows += [run("ssgd_star", seed, np.nan, 0.2, ended="budget") for seed in range(3)]
    rows += [run(name, 0, 1.0, rate=0.5, experiment="large", learners=n) for name, n in (("ssgd", 1), ("dpsgd", 5))]
    rows += [run("dpsgd", 0, 1.0, rate=0.5, experiment="large", learners=16)]
    rows += [run("dpsgd", 0, 1.0, experiment="large"), run("ssgd", 0, 1.0, experiment="large", ended="budget")]
    return pd.DataFrame(rows)


def test_the_ratio_at_every_noise_is_over_seeds_in_which_both_reached_the_target(runs):
    assert noise_against(runs, "extreme", 0.05, "top_eigenvalue") == "×0.50 [×0.50, ×0.50]"
    assert noise_against(runs, "extreme", 0.1, "top_eigenvalue") == "×2.00 [×2.00, ×2.00]"
    lines = every_noise({"mine": runs}).splitlines()
    assert len(lines) == 2 + 3
    assert "| 0.1 | 2 of 3 | 3.00 | 2 | ×2.00 [×2.00, ×2.00] |" in lines[3]
    assert lines[4].endswith("| 0 of 3 | 3.00 | 0 | – | – | – | – |")


def test_the_interval_of_a_ratio_is_students(runs):
    runs.loc[runs["algorithm"] == "dpsgd", "top_eigenvalue"] = np.exp([0.1, 0.2, 0.6, 0, 0, 0])
    values = np.array([0.1, 0.2, 0.6]) - np.log(2)
    half = 4.302653 * values.std(ddof=1) / np.sqrt(3)
    low, high = np.exp(values.mean() + np.array([-half, half]))
    expected = f"×{np.exp(values.mean()):.2f} [×{low:.2f}, ×{high:.2f}]"
    assert noise_against(runs, "extreme", 0.05, "top_eigenvalue") == expected


def test_what_failed_and_what_was_compared_is_counted(runs):
    assert not_reached(runs) == "5 of 17"
    assert rates_compared(runs, "large") == "0.5"
    assert baselines(runs, "large") == "1 runs of SSGD with 2 of DPSGD"


def test_the_estimate_over_the_gap_is_that_of_runs_that_reached_the_target(runs):
    assert estimate_over_gap(runs) == "1.0 (1.0 to 3.0)"


@pytest.mark.parametrize(("effect", "seeds", "level"), [(1.0, 8, 0.05), (0.5, 30, 0.01), (2.0, 5, 0.001)])
def test_the_power_is_that_of_statsmodels_and_of_a_simulation(effect, seeds, level):
    assert power(effect, seeds, level) == pytest.approx(TTestPower().power(effect, seeds, level), abs=1e-6)
    samples = np.random.default_rng(0).standard_normal((4000, seeds)) + effect
    found = np.mean([mean_p(row) < level for row in samples])
    assert power(effect, seeds, level) == pytest.approx(found, abs=0.025)


def test_the_seeds_needed_reach_the_power_and_one_less_does_not():
    deviation, seeds, tested = 0.4, 5, 10
    half = 2.776445 * deviation / np.sqrt(seeds)
    row = {"estimate": 0.5, "interval": [0.5 - half, 0.5 + half], "seeds": seeds, "threshold": 0.05, "p": 0.1}
    rows = {"it": row, **{str(place): {"p": 0.5} for place in range(tested - 1)}, "untested": {"p": None}}
    needed = int(seeds_needed(Verdicts(rows), "it"))
    solved = TTestPower().solve_power(0.5 / deviation, power=0.8, alpha=0.05 / tested)
    assert needed == int(np.ceil(solved))


def test_an_effect_too_small_to_be_found_needs_more_seeds_than_are_counted():
    row = {"estimate": 1e-6, "interval": [-1, 1], "seeds": 5, "threshold": 0.05, "p": 0.9}
    assert seeds_needed(Verdicts({"it": row}), "it") == "more than 1000"
