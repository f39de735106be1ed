import numpy as np
import pytest
from scipy.stats import ttest_1samp

from awduality.claims.statistics import mean_interval


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
