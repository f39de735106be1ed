import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, permutation_test, ttest_1samp
from statsmodels.stats.weightstats import DescrStatsW

from awduality.claims.statistics import (
    Series,
    adjusted,
    bootstrap_interval,
    equivalence_p,
    mean_interval,
    mean_p,
    permutation_p,
    slopes,
)


def test_the_interval_is_that_of_scipys_t_test(rng):
    samples = rng.normal(size=7)
    mean, half = mean_interval(samples)
    interval = ttest_1samp(samples, 0).confidence_interval(0.95)
    assert mean - half == pytest.approx(interval.low)
    assert mean + half == pytest.approx(interval.high)


def test_the_interval_covers_the_mean_as_often_as_it_says(rng):
    mean, half = mean_interval(rng.normal(size=(5, 20_000)))
    assert np.mean(np.abs(mean) <= half) == pytest.approx(0.95, abs=0.005)


def test_one_sample_has_a_mean_and_no_interval():
    mean, half = mean_interval(np.array([[2.0, 3.0]]))
    assert mean.tolist() == [2.0, 3.0]
    assert np.isnan(half).all()


@pytest.mark.parametrize("shift", [-2.0, 0.0, 0.5])
def test_the_p_value_of_a_mean_is_that_of_scipys_t_test(rng, shift):
    samples = rng.normal(shift, size=6)
    assert mean_p(samples) == pytest.approx(ttest_1samp(samples, 0).pvalue)


@pytest.mark.parametrize(("samples", "p"), [([0.0, 0.0, 0.0], 1.0), ([0.3, 0.3], 0.0), ([-0.3, -0.3], 0.0)])
def test_samples_without_spread_decide_alone(samples, p):
    assert mean_p(np.array(samples)) == p


@pytest.mark.parametrize("samples", [[], [1.0]])
def test_fewer_than_two_samples_have_no_p_value(samples):
    assert np.isnan(mean_p(np.array(samples)))
    assert np.isnan(equivalence_p(np.array(samples), 2.0))


@pytest.mark.parametrize("shift", [-3.0, -0.9, 0.0, 0.4, 1.2])
def test_equivalence_is_twice_the_least_of_one_sided_tests_within_and_beyond(rng, shift):
    samples = rng.normal(shift, 0.5, size=8)
    within = DescrStatsW(samples).ttost_mean(-1.0, 1.0)[0]
    above = ttest_1samp(samples, 1.0, alternative="greater").pvalue
    below = ttest_1samp(samples, -1.0, alternative="less").pvalue
    assert equivalence_p(samples, 1.0) == pytest.approx(2 * min(within, above, below))


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=8), st.floats(0.01, 1.5))
def test_equivalence_is_decided_just_where_the_interval_lies_within_the_margin_or_beyond(values, margin):
    samples = np.array(values)
    assume(np.ptp(samples) > 1e-6)
    mean, half = mean_interval(samples)
    distance = abs(abs(mean) - margin) - half  # of the nearer bound from the interval
    assume(abs(distance) > 1e-9)
    assert (equivalence_p(samples, margin) < 0.05) == (distance > 0)


@pytest.mark.parametrize(("value", "p"), [(0.4, 0.0), (-0.4, 0.0), (0.5, 1.0), (-0.5, 1.0), (0.6, 0.0), (-0.6, 0.0)])
def test_equal_samples_are_undecided_at_the_margin_and_nowhere_else(value, p):
    assert equivalence_p(np.full(3, value), 0.5) == p


@pytest.mark.parametrize("margin", [0.02, 0.5, 2.0])
@pytest.mark.parametrize("place", [0.0, 0.99, 1.0, 1.01, 3.0])
def test_a_wrong_decision_on_equivalence_is_made_in_one_of_twenty_at_most(rng, margin, place):
    draws = 2_000
    samples = rng.normal(place * margin, size=(draws, 6))
    wrong = 0
    for one in samples:
        within = abs(one.mean()) < margin
        wrong += equivalence_p(one, margin) < 0.05 and (place == 1 or within != (place < 1))  # at the margin, either
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_holms_method_by_hand():
    # Ascending: 4 × 0.005 = 0.02, 3 × 0.01 = 0.03, 2 × 0.03 = 0.06, and 1 × 0.04 = 0.04, raised to 0.06.
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(max_examples=20)  # statsmodels collects garbage in every call
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_follow_holms_definition(p):
    ascending = sorted(p)
    raised = [min(1.0, (len(p) - place) * value) for place, value in enumerate(ascending)]
    expected = {value: max(raised[: place + 1]) for place, value in enumerate(ascending)}
    assert adjusted(p) == pytest.approx([expected[value] for value in p])


def test_what_was_not_tested_is_no_member_of_the_family():
    nan = float("nan")
    found = adjusted([0.01, nan, 0.03, nan, 0.02])
    assert found[[0, 2, 4]] == pytest.approx([0.03, 0.04, 0.04])
    assert np.isnan(found[[1, 3]]).all()
    assert np.isnan(adjusted([nan, nan])).all()


def test_slopes_are_those_of_a_least_squares_line(rng):
    series = [Series(rng.normal(size=count), rng.normal(size=(count, 4))) for count in (2, 3, 6)]
    expected = [np.polyfit(one.x, one.y, 1)[0] for one in series]
    assert np.allclose(slopes(series), expected)


def mean_slope(series, orders):
    return np.mean([np.polyfit(one.x, one.y[list(order)], 1)[0] for one, order in zip(series, orders, strict=True)])


def enumerated(series):
    """The share of all arrangements whose mean slope is at least as large, one by one."""
    observed = mean_slope(series, [range(len(one.x)) for one in series])
    arrangements = itertools.product(*(itertools.permutations(range(len(one.x))) for one in series))
    return np.mean([abs(mean_slope(series, orders)) >= abs(observed) - 1e-9 for orders in arrangements])


def sweeps(generator, counts, trend):
    """Seeds with a trend over the positions 0 … 1, noise and a level of their own."""
    places = [np.linspace(0, 1, count) for count in counts]
    return [Series(x, trend * x + generator.normal(size=len(x)) + 10 * generator.normal()) for x in places]


@pytest.mark.parametrize("trend", [0.0, 1.5, -4.0])
def test_few_arrangements_are_all_counted(rng, trend):
    series = sweeps(rng, (3, 3, 3), trend)
    assert permutation_p(series, rng) == pytest.approx(enumerated(series))


def test_seeds_may_have_unequal_numbers_of_values(rng):
    series = sweeps(rng, (2, 3, 4), 2.0)
    assert permutation_p(series, rng) == pytest.approx(enumerated(series))


def test_equal_values_are_ties_whatever_their_rounding(rng):
    y = np.array([0.1, 0.3, 0.1 + 0.2, 0.1])
    series = [Series(np.linspace(0, 1, 4), y), Series(np.linspace(0, 1, 4), y[::-1])]
    assert permutation_p(series, rng) == pytest.approx(enumerated(series))


def test_one_seed_is_the_permutation_test_of_scipy(rng):
    (series,) = sweeps(rng, (6,), 1.0)

    def size(y):
        return abs(np.polyfit(series.x, y, 1)[0])

    oracle = permutation_test((series.y,), size, permutation_type="pairings", n_resamples=np.inf, alternative="greater")
    assert permutation_p([series], rng) == pytest.approx(oracle.pvalue)


def test_random_arrangements_give_nearly_the_exact_p_value(rng):
    series = sweeps(rng, (4, 4, 4), 1.0)  # 13,824 arrangements
    exact, draws = permutation_p(series, rng), 9_999
    assert 0.05 < exact < 0.95
    found = permutation_p(series, rng, draws)
    assert found != exact
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / draws))


def test_the_smallest_p_value_of_random_arrangements_counts_the_data_as_one(rng):
    steep = [Series(np.linspace(0, 1, 3), np.arange(3.0))] * 12
    assert permutation_p(steep, rng, draws=999) == pytest.approx(1 / 1000)


@pytest.mark.parametrize("trend", [0.3, 2.0])
def test_more_values_than_can_be_listed_are_permuted_at_random(rng, trend):
    series, draws = sweeps(rng, (8, 3), trend), 19_999
    sums = np.zeros(1)
    for one in series:
        centred = one.x - one.x.mean()
        orders = np.array(list(itertools.permutations(one.y)))
        sums = np.add.outer(sums, orders @ centred / (centred @ centred)).ravel()
    exact = np.mean(np.abs(sums) >= abs(sums[0]) - 1e-9)  # the first arrangement is the data
    # The orders of the long seed are themselves a sample, which at most doubles the variance.
    assert permutation_p(series, rng, draws) == pytest.approx(exact, abs=4 * math.sqrt(2 * exact * (1 - exact) / draws))


@given(
    y=st.lists(st.lists(st.integers(-5, 5), min_size=2, max_size=4), min_size=1, max_size=3),
    constants=st.lists(st.floats(-100, 100), min_size=3, max_size=3),
)
def test_a_seeds_level_does_not_matter(y, constants):

    def p(shifts):
        series = [
            Series(np.linspace(0, 1, len(values)), np.array(values) + shift)
            for values, shift in zip(y, shifts, strict=False)
        ]
        return permutation_p(series, np.random.default_rng(0))

    assert p(constants) == p([0.0, 0.0, 0.0])


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_never_changes_is_no_effect(rng, seeds):
    for value in range(1, 60):
        assert permutation_p([Series(np.linspace(0, 1, 4), np.full(4, float(value)))] * seeds, rng) == 1


@pytest.mark.parametrize("noise", ["cauchy", "lognormal"])
def test_without_an_effect_one_test_in_twenty_is_significant(rng, noise):
    count, level = 1_000, 0.05
    draw = {"cauchy": rng.standard_cauchy, "lognormal": lambda size: rng.lognormal(sigma=2.0, size=size)}[noise]
    x = np.linspace(0, 1, 3)
    data = draw(size=(count, 5, 3)) + 100 * rng.normal(size=(count, 5, 1))
    p = np.array([permutation_p([Series(x, y) for y in seeds], rng) for seeds in data])
    error = 3 * math.sqrt(level * (1 - level) / count)
    assert level - error <= np.mean(p < level) <= level + error


def test_the_bootstrap_interval_leans_to_the_heavy_tail(rng):
    samples = rng.lognormal(sigma=1.5, size=200)
    low, high = bootstrap_interval(samples, rng)
    assert high - samples.mean() > 1.2 * (samples.mean() - low) > 0
    low, high = bootstrap_interval(-samples, rng)
    assert -samples.mean() - low > 1.2 * (high + samples.mean()) > 0


def test_the_bootstrap_interval_of_many_even_samples_is_the_normal_one(rng):
    samples = rng.normal(3.0, size=400)
    for level in (0.5, 0.95):
        low, high = bootstrap_interval(samples, rng, level)
        half = norm.ppf((1 + level) / 2) * samples.std() / math.sqrt(400)
        assert (low, high) == pytest.approx((samples.mean() - half, samples.mean() + half), abs=0.1 * half)


def test_the_bootstrap_interval_depends_on_nothing_but_samples_and_generator(rng):
    samples = rng.normal(size=50)
    one, other, another = (bootstrap_interval(samples, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == other != another


def test_samples_without_spread_have_a_point_for_an_interval(rng):
    assert bootstrap_interval(np.full(9, 0.25), rng) == (0.25, 0.25)
