"""Verdicts: what the numbers make of every claim.

========================================  =============================================================================
``supported``                             the test is significant in the family, its interval over seeds excludes zero,
                                          in the direction that was expected, and the null is beaten; an identity: holds
``contradicted``                          the same in the other direction; an identity: does not hold
``inconclusive``                          not significant: the data do not say
``not distinguishable from the null``     significant, but the null gives the same
``not tested``                            the config has no runs for it, or too few seeds
========================================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from awduality.claims.catalogue import IN_THE_TEST, TEST_SAMPLES, Claim
from awduality.claims.kind import Measured, Row
from awduality.claims.statistics import equivalence_p, mean_interval

Verdict = Literal["supported", "contradicted", "inconclusive", "not distinguishable from the null", "not tested"]


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
    low, high = interval_of(found)
    excludes_zero = low > 0 if found.estimate > 0 else high < 0
    if p >= level or not (claim.expected == "equivalent" or excludes_zero):
        return "inconclusive"
    if not _beats_null(claim, found, level):
        return "not distinguishable from the null"
    opposite = (claim.expected == "+" and found.estimate < 0) or (claim.expected == "-" and found.estimate > 0)
    return "contradicted" if opposite else "supported"


def _beats_null(claim: Claim, found: Measured, level: float) -> bool:
    """Whether the null does not do the same, by its own 95% interval."""
    null = claim.null
    if null is None or null.name in IN_THE_TEST:
        return True  # the test itself is against this null
    if null.name == TEST_SAMPLES:
        low, high = found.null_interval or (0.0, 0.0)
        return low > 0 if found.estimate > 0 else high < 0
    if found.null_values is None:
        return False
    if claim.expected == "equivalent" and null.rule == "persists":
        return equivalence_p(found.null_values, claim.margin) < level
    if claim.expected == "equivalent":  # smallness means something only where the null is shown not to be small
        return any(_excludes_zero(found.null_values - sign * claim.margin, sign) for sign in (1.0, -1.0))
    compared = found.null_values if null.rule == "persists" else found.values - found.null_values
    return _excludes_zero(compared, found.estimate)


def _excludes_zero(values: np.ndarray, direction: float) -> bool:
    """Whether the 95% t-interval of the mean lies on one side of zero, that of ``direction``."""
    mean, half = mean_interval(values)
    return bool(mean - half > 0 if direction > 0 else mean + half < 0)


def interval_of(found: Measured) -> tuple[float, float]:
    """The 95% interval of an effect."""
    return found.interval or _with_interval(found.values)[1]


def claim_row(claim: Claim, found: Measured | str | None, p: float, level: float, statistic: str) -> Row:
    """The object of one claim in ``claims.json``, without its labels.

    Args:
        claim: the claim.
        found: what was measured; else why nothing could be, or None where there are no runs.
        p: the p-value, adjusted for the family.
        level: the family's level.
        statistic: what was measured, in words.
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
    empty = ("estimate", "interval", "p", "p_adjusted", "n", "excluded", "seeds", "null_value", "null_interval")
    row |= dict.fromkeys(empty) | {"against": None, "details": []}
    if not isinstance(found, Measured):
        return row | {"reason": row["reason"] or found or "no runs, or too few, in this config"}
    null_value, null_interval = None, found.null_interval
    if found.null_values is not None:
        null_value, null_interval = _with_interval(found.null_values)
    verdict = verdict_of(claim, found, p, level)
    measured: Row = {
        "verdict": verdict,
        "reason": "too few seeds for a test" if verdict == "not tested" else None,
        "estimate": found.estimate,
        "interval": None if claim.identity else interval_of(found),
        "p": found.p,
        "p_adjusted": p,
        "n": found.n,
        "excluded": found.excluded,
        "seeds": None if claim.identity else len(found.values),
        "null_value": null_value,
        "null_interval": null_interval,
        "against": found.against or None,
        "details": found.details,
    }
    return row | {name: _plain(value) for name, value in measured.items()}


def _with_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    mean, half = mean_interval(values)
    return float(mean), (float(mean - half), float(mean + half))


def _plain(value: Any) -> Any:
    """The same as JSON has it: lists for tuples, nothing for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
