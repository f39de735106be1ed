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

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from awduality.claims.catalogue import IN_THE_TEST, Claim, Claims
from awduality.claims.measure import Measured, Tables, measure
from awduality.claims.statistics import adjusted, equivalence_p, mean_interval

Verdict = Literal["supported", "contradicted", "inconclusive", "not distinguishable from the null", "not tested"]

Row = dict[str, Any]

REVERSED = "_reversed"
"""What is appended to a column's name for the second pairing."""


def evaluate(
    claims: Claims, runs: pd.DataFrame, null_runs: pd.DataFrame, samples: pd.DataFrame, root_seed: int
) -> list[Row]:
    """Judge every claim for every layer; the same input gives the same verdicts, bit for bit.

    Args:
        claims: what is tested.
        runs: a row per run, layer and pairing, as ``awduality.figures.numbers`` makes them.
        null_runs: a row per baseline run, layer, null and draw.
        samples: a row per test sample.
        root_seed: of the random arrangements.

    Returns:
        One object per claim and layer, as they stand in ``claims.json``; none where no run has a geometry.
    """
    measured: list[tuple[str, Claim, Measured | None]] = []
    for layer in runs["layer"].unique():
        tables = Tables(
            _one_row_per_run(runs[runs["layer"] == layer]),
            null_runs[null_runs["layer"] == layer],
            samples,
            root_seed,
        )
        measured += [(str(layer), claim, measure(claim, tables)) for claim in claims.claims]
    # One family: all tests of all layers. An identity has no p-value.
    p_adjusted = adjusted([np.nan if found is None else found.p for _, _, found in measured])
    labels = {name: str(found) for name in ("config", "dataset") for found in runs[name][:1]}
    rows = [
        {**labels, "layer": layer, **claim_row(claim, found, float(p), claims.level, _statistic_in_words(claim))}
        for (layer, claim, found), p in zip(measured, p_adjusted, strict=True)
    ]
    count = len(claims.claims)
    for first in range(0, len(rows), count):
        _decide_acting(claims.claims, rows[first : first + count])
    return rows


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
    if null.name == "test_samples":
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


def _statistic_in_words(claim: Claim) -> str:
    label = claim.quantity.label if claim.quantity else ""
    scale = "log " if claim.quantity and claim.quantity.log else ""
    words = {
        "largest": f"largest of {' and '.join(claim.options.get('columns', []))}",
        "mean": f"mean over seeds of {scale}{label}",
        "trend": f"mean over seeds of the change of {scale}{label} from one end of the sweep to the other",
        "rank": "mean over seeds of Spearman's correlation" + (" minus that of the best rival" if claim.rivals else ""),
        "acting": "number of factors that act through sharpness or size",
        "none": "none",
    }
    return words[claim.kind]


def _decide_acting(claims: Sequence[Claim], rows: Sequence[Row]) -> None:
    """Decide the claims that count factors, in place, from the rows of the grid of one layer."""
    by_id = {row["id"]: row for row in rows}
    for claim in claims:
        if claim.kind == "acting":
            by_id[claim.id] |= _acting(claim, by_id)


def _acting(claim: Claim, by_id: Mapping[str, Row]) -> Row:
    """A factor acts through a measure if it and the gap both change, in the same direction, and beat their nulls.

    Sharpness falls with the training loss: it counts only where the runs of the sweep stop at the same.
    """
    details: list[Row] = []
    for factor in claim.options["factors"]:
        gap, matched = by_id[f"{factor}/gap"], by_id[f"{factor}/train_loss"]["verdict"] == "supported"
        through = [
            measure
            for measure in claim.options["through"]
            if (matched or measure == "sigma_w_total") and _moves(gap) * _moves(by_id[f"{factor}/{measure}"]) > 0
        ]
        tested = gap["p_adjusted"] is not None
        details.append({"factor": factor, "tested": tested, "matched_loss": matched, "through": through})
    if not all(entry["tested"] for entry in details):
        return {"details": details, "reason": "some of these factors have no runs in this config"}
    acting = sum(bool(entry["through"]) for entry in details)
    return {
        "verdict": "supported" if acting == len(details) else "inconclusive",
        "estimate": float(acting),
        "n": len(details),
        "threshold": float(len(details)),
        "reason": None,
        "details": details,
    }


def _moves(row: Row) -> int:
    """The direction of a change that was established, expected or not; 0 for none."""
    established = row["verdict"] in ("supported", "contradicted") and not row["expected"].startswith("equivalent")
    return int(np.sign(row["estimate"])) if established else 0


def _one_row_per_run(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first pairing, with the columns of the second beside them, empty where there is none."""
    pairings = runs["pairing"].unique()
    first = runs[runs["pairing"] == pairings[0]].set_index("run", drop=False)
    second = runs[runs["pairing"] == pairings[1]] if len(pairings) > 1 else runs.iloc[:0]
    joined: pd.DataFrame = first.join(second.set_index("run").add_suffix(REVERSED))
    return joined
