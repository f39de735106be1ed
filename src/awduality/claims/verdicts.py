"""Verdicts: what the numbers make of every claim.

Two things are asked of an effect: that its test is significant in the family, and that its 95% interval lies wholly on
one side of zero; of a claim of equivalence, wholly within its margin or wholly beyond one end of it.

========================================  =============================================================================
``supported``                             both hold, as was expected, and the null is beaten; an identity: holds
``contradicted``                          both hold, the interval lies in the other direction or beyond the margin, and
                                          the null is beaten; an identity: does not hold
``inconclusive``                          one of the two fails, and the reason says which
``not distinguishable from the null``     both hold, but so they do for the null, or they do not persist under it
``not tested``                            the config has no runs for it, or too few, or they may not be compared
========================================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from awduality.claims.catalogue import IN_THE_TEST, TEST_SAMPLES, Claim
from awduality.claims.kind import Measured, Row
from awduality.claims.statistics import mean_interval

Verdict = Literal["supported", "contradicted", "inconclusive", "not distinguishable from the null", "not tested"]
Place = Literal["below", "within", "above", "across"]
Interval = tuple[float, float]

_EXPECTED: Mapping[str, tuple[Place, ...]] = {
    "+": ("above",),
    "-": ("below",),
    "any": ("above", "below"),
    "equivalent": ("within",),
}


def verdict_of(claim: Claim, found: Measured, p: float, level: float) -> Verdict:
    """The verdict on one claim.

    Args:
        claim: the claim.
        found: what was measured.
        p: its p-value, adjusted for the family.
        level: the family's level.
    """
    if claim.identity:
        return "supported" if found.estimate <= claim.margin else "contradicted"
    if not np.isfinite(p):
        return "not tested"
    place = _place(interval_of(found), _bound(claim))
    if p >= level or place == "across":
        return "inconclusive"
    if not _beats_null(claim, found, place):
        return "not distinguishable from the null"
    return "supported" if place in _EXPECTED[claim.expected] else "contradicted"


def why_inconclusive(claim: Claim, found: Measured, p: float, level: float, tests: int) -> str:
    """Which of the two failed, the interval or the test, in words.

    Args:
        claim: the claim, inconclusive.
        found: what was measured.
        p: its p-value, adjusted for the family.
        level: the family's level.
        tests: how many tests the family has.
    """
    place, equivalent = _place(interval_of(found), _bound(claim)), claim.expected == "equivalent"
    if place == "across":
        words = "the interval lies neither wholly within the margin nor wholly beyond it"
        words = words if equivalent else "the interval includes zero"
        return words if p >= level else f"{words}, although adjusted p {p:.3g} < {level:g}"
    lies = {"within": "lies within the margin"}.get(place, "lies beyond the margin" if equivalent else "excludes zero")
    choice = f", which counts a choice among {found.choices}" if found.choices > 1 else ""
    if found.p >= level:
        return f"p {found.p:.3g} ≥ {level:g} before any adjustment{choice}, although the interval {lies}"
    return (
        f"adjusted p {p:.3g} ≥ {level:g}, although the interval {lies}: "
        f"p {found.p:.3g} alone{choice}, too few seeds for a family of {tests} tests"
    )


def _bound(claim: Claim) -> float:
    """What an interval is held against: plus and minus the margin of an equivalence, or zero."""
    return claim.margin if claim.expected == "equivalent" else 0.0


def _place(interval: Interval, bound: float) -> Place:
    """Where an interval lies wholly, of ±bound; across, where it has a bound within it, or an end is unknown."""
    low, high = interval
    if low > bound:
        return "above"
    if high < -bound:
        return "below"
    return "within" if -bound < low and high < bound else "across"


def _beats_null(claim: Claim, found: Measured, place: Place) -> bool:
    """Whether the null does not do the same, by its own 95% interval; ``place`` is where the effect's lies."""
    null = claim.null
    if null is None or null.name in IN_THE_TEST:
        return True  # the test itself is against this null
    if null.name == TEST_SAMPLES:
        return found.null_interval is not None and _place(found.null_interval, _bound(claim)) == place
    if found.null_values is None:
        return False
    under_null = _place(_with_interval(found.null_values)[1], _bound(claim))
    if null.rule == "persists":
        return under_null == place
    if claim.expected == "equivalent":  # smallness means something only where the null is shown not to be small
        return place != "within" or under_null in ("above", "below")
    return _place(_with_interval(found.values - found.null_values)[1], 0.0) == place


def interval_of(found: Measured) -> Interval:
    """The 95% interval of an effect."""
    return found.interval or _with_interval(found.values)[1]


def claim_row(claim: Claim, found: Measured | str | None, p: float, level: float, statistic: str, tests: int) -> Row:
    """The object of one claim in ``claims.json``, without its labels.

    Args:
        claim: the claim.
        found: what was measured; else why nothing could be, or None where there are no runs.
        p: the p-value, adjusted for the family.
        level: the family's level.
        statistic: what was measured, in words.
        tests: how many tests the family has.
    """
    row: Row = {
        "id": claim.id,
        "of": claim.of,
        "statement": claim.statement,
        "known_from": claim.known_from,
        "identity": claim.identity,
        "expected": f"equivalent({claim.margin:g})" if claim.expected == "equivalent" else claim.expected,
        "why": claim.why,
        "statistic": statistic,
        "scale": "log" if claim.quantity and claim.quantity.log else "linear",
        "threshold": claim.margin if claim.identity else level,
        "null": claim.null.name if claim.null else None,
        "verdict": "not tested",
        "reason": claim.options.get("reason"),
    }
    empty = ("estimate", "interval", "p", "p_adjusted", "n", "excluded", "seeds", "choices")
    row |= dict.fromkeys((*empty, "null_value", "null_interval")) | {"against": None, "details": []}
    if not isinstance(found, Measured):
        return row | {"reason": row["reason"] or found or "no runs, or too few, in this config"}
    null_value, null_interval = None, found.null_interval
    if found.null_values is not None:
        null_value, null_interval = _with_interval(found.null_values)
    verdict = verdict_of(claim, found, p, level)
    measured: Row = {
        "verdict": verdict,
        "reason": {
            "not tested": "too few seeds for a test",
            "inconclusive": why_inconclusive(claim, found, p, level, tests),
        }.get(verdict),
        "estimate": found.estimate,
        "interval": None if claim.identity else interval_of(found),
        "p": found.p,
        "p_adjusted": p,
        "n": found.n,
        "excluded": found.excluded,
        "seeds": None if claim.identity else len(found.values),
        "choices": None if claim.identity else found.choices,
        "null_value": null_value,
        "null_interval": null_interval,
        "against": found.against or None,
        "details": found.details,
    }
    return row | {name: _plain(value) for name, value in measured.items()}


def _with_interval(values: np.ndarray) -> tuple[float, Interval]:
    mean, half = mean_interval(values)
    return float(mean), (float(mean - half), float(mean + half))


def _plain(value: Any) -> Any:
    """The same as JSON has it: lists for tuples, nothing for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
