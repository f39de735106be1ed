"""What numbers make of a claim: where its interval lies, what its test and its null say, and the words for it."""

import numpy as np
import pytest

from awduality.claims.catalogue import Claim, Null, Quantity
from awduality.claims.kind import Measured
from awduality.claims.statistics import equivalence_p, mean_p
from awduality.claims.verdicts import claim_row, verdict_of, why_inconclusive

AS_THE_NULL = "not distinguishable from the null"
SPREAD = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
"""Five seeds about zero; the half-width of their 95% interval is 0.98."""

PERSISTS, EXCEEDS = (Null("null", rule, Quantity({"v": 1}, False, "v")) for rule in ("persists", "exceeds"))


def claim(expected, null=None, margin=0.5):
    margin = margin if expected == "equivalent" else float("nan")
    return Claim("one", "ours", "", "", "mean", expected, margin, "", null=null)


def measured(mean, null=None, spread=0.1, **rest):
    values = mean + spread * SPREAD
    null = None if null is None else null + spread * SPREAD[[1, 4, 0, 3, 2]]
    return Measured(values, null_values=null, **rest)


def verdict(one, found):
    p = equivalence_p(found.values, one.margin) if one.expected == "equivalent" else mean_p(found.values)
    return verdict_of(one, found, p, 0.05)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (0.0, "supported"),
        (0.39, "supported"),
        (0.45, "inconclusive"),  # the interval holds an end of the margin
        (0.55, "inconclusive"),
        (0.61, "contradicted"),
        (3.0, "contradicted"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_equivalence_is_contradicted_where_its_interval_lies_wholly_beyond_the_margin(mean, expected, sign):
    assert verdict(claim("equivalent"), measured(sign * mean)) == expected


def test_an_interval_that_holds_the_whole_margin_is_inconclusive():
    assert verdict(claim("equivalent"), measured(0.0, spread=1.0)) == "inconclusive"


@pytest.mark.parametrize(
    ("null", "mean", "of_null", "expected"),
    [
        (PERSISTS, 0.0, 0.1, "supported"),
        (PERSISTS, 0.0, 1.0, AS_THE_NULL),  # within the margin in one form, beyond it in the other
        (PERSISTS, 0.0, 0.5, AS_THE_NULL),
        (PERSISTS, 1.0, 2.0, "contradicted"),
        (PERSISTS, 1.0, 0.0, AS_THE_NULL),
        (PERSISTS, 1.0, -2.0, AS_THE_NULL),  # beyond the other end
        (PERSISTS, 1.0, 0.55, AS_THE_NULL),
        (EXCEEDS, 0.0, 1.0, "supported"),
        (EXCEEDS, 0.0, 0.1, AS_THE_NULL),  # as small without what is claimed
        (EXCEEDS, 0.0, 0.5, AS_THE_NULL),  # not shown to be larger
        (EXCEEDS, 1.0, 1.0, "contradicted"),  # what is large needs no null for smallness
        (EXCEEDS, 1.0, 0.0, "contradicted"),
    ],
)
def test_a_decision_on_equivalence_must_beat_its_null(null, mean, of_null, expected):
    assert verdict(claim("equivalent", null), measured(mean, of_null)) == expected


@pytest.mark.parametrize(("interval", "expected"), [((-0.1, 0.1), "supported"), ((-0.1, 0.6), AS_THE_NULL)])
def test_an_equivalence_must_hold_over_test_samples_as_well(interval, expected):
    found = measured(0.0, null_interval=interval)
    assert verdict(claim("equivalent", Null("test_samples")), found) == expected


@pytest.mark.parametrize(("expected", "of_zero"), [("+", "includes zero"), ("any", "includes zero")])
def test_an_interval_that_includes_zero_is_the_reason(expected, of_zero):
    found = measured(0.05, p=0.3)
    assert why_inconclusive(claim(expected), found, 0.9, 0.05, 80) == f"the interval {of_zero}"


def test_a_test_that_is_significant_while_the_interval_includes_zero_is_named_too():
    found = measured(0.05, p=0.001)
    assert verdict_of(claim("+"), found, 0.01, 0.05) == "inconclusive"
    words = "the interval includes zero, although adjusted p 0.01 < 0.05"
    assert why_inconclusive(claim("+"), found, 0.01, 0.05, 80) == words


def test_a_family_that_is_too_large_for_the_seeds_is_the_reason():
    found = measured(1.0, p=0.0015)
    assert verdict_of(claim("-"), found, 0.12, 0.05) == "inconclusive"
    assert why_inconclusive(claim("-"), found, 0.12, 0.05, 80) == (
        "adjusted p 0.12 ≥ 0.05, although the interval excludes zero: "
        "p 0.0015 alone, too few seeds for a family of 80 tests"
    )


def test_a_test_that_fails_before_any_adjustment_is_the_reason_and_a_choice_is_named():
    found = measured(1.0, p=0.08, choices=3)
    assert why_inconclusive(claim("+"), found, 1.0, 0.05, 80) == (
        "p 0.08 ≥ 0.05 before any adjustment, which counts a choice among 3, although the interval excludes zero"
    )


@pytest.mark.parametrize(
    ("mean", "words"),
    [(0.0, "although the interval lies within the margin"), (1.0, "although the interval lies beyond the margin")],
)
def test_of_an_equivalence_the_reason_says_on_which_side_the_interval_lies(mean, words):
    assert words in why_inconclusive(claim("equivalent"), measured(mean, p=0.01), 0.2, 0.05, 80)


def test_of_an_equivalence_an_interval_across_the_margin_is_the_reason():
    words = "the interval lies neither wholly within the margin nor wholly beyond it"
    assert why_inconclusive(claim("equivalent"), measured(0.5, p=0.9), 1.0, 0.05, 80) == words


@pytest.mark.parametrize(("mean", "given"), [(1.0, False), (0.05, True), (-1.0, False)])
def test_every_inconclusive_row_has_a_reason_and_no_decided_one(mean, given):
    found = measured(mean)
    row = claim_row(claim("+"), found, mean_p(found.values), 0.05, "", 1)
    assert (row["verdict"] == "inconclusive") is given
    assert (row["reason"] is not None) is given
