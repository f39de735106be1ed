"""Verdicts: what the numbers make of every claim.

========================================  =============================================================================
``supported``                             the test is significant in the family, in the direction that was expected,
                                          and the null is beaten; an identity: holds to its tolerance
``contradicted``                          significant in the other direction; an identity: does not hold
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

from awduality.claims.catalogue import Claim, Claims
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
        One object per claim and layer, as they stand in ``claims.json``.
    """
    rows: list[Row] = []
    for layer in runs["layer"].unique():
        tables = Tables(
            _one_row_per_run(runs[runs["layer"] == layer]),
            null_runs[null_runs["layer"] == layer],
            samples,
            root_seed,
        )
        found = [measure(claim, tables) for claim in claims.claims]
        p_adjusted = adjusted([np.nan if one is None else one.p for one in found])  # an identity has no p-value
        labels = {"dataset": str(runs["dataset"].iloc[0]), "layer": str(layer)}
        of_layer = [
            labels | _row(claim, one, float(p), claims.level)
            for claim, one, p in zip(claims.claims, found, p_adjusted, strict=True)
        ]
        rows += _with_acting(claims.claims, of_layer)
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
    if p >= level:
        return "inconclusive"
    if claim.expected in "+-" and np.sign(found.estimate) != (1 if claim.expected == "+" else -1):
        return "contradicted"
    return "supported" if _beats_null(claim, found, level) else "not distinguishable from the null"


def _beats_null(claim: Claim, found: Measured, level: float) -> bool:
    null = claim.null
    if null is None or null.name in ("permutation", "rivals"):
        return True  # the test itself is against this null
    if null.name == "test_samples":
        return found.null_interval is not None and _excludes_zero(*found.null_interval, found.estimate)
    if found.null_values is None:
        return False
    if claim.expected == "equivalent":  # a null that is as small says that smallness means nothing
        return not equivalence_p(found.null_values, claim.margin) < level
    compared = found.null_values if null.rule == "persists" else found.values - found.null_values
    mean, half = mean_interval(compared)
    return _excludes_zero(float(mean - half), float(mean + half), found.estimate)


def _excludes_zero(low: float, high: float, direction: float) -> bool:
    return low > 0 if direction > 0 else high < 0


def _row(claim: Claim, found: Measured | None, p: float, level: float) -> Row:
    row: Row = {
        "id": claim.id,
        "of": claim.of,
        "statement": claim.statement,
        "known_from": claim.known_from,
        "identity": claim.identity,
        "expected": f"equivalent({claim.margin:g})" if claim.expected == "equivalent" else claim.expected,
        "why": claim.why,
        "statistic": _statistic_in_words(claim),
        "threshold": claim.margin if claim.identity else level,
        "null": claim.null.name if claim.null else None,
        "verdict": "not tested",
        "reason": claim.options.get("reason"),
    }
    empty = ("estimate", "interval", "p", "p_adjusted", "n", "excluded", "seeds", "null_value", "null_interval")
    row |= dict.fromkeys(empty) | {"against": None, "details": []}
    if found is None:
        return row | {"reason": row["reason"] or "no runs, or too few, in this config"}
    null_value, null_interval = None, found.null_interval
    if found.null_values is not None:
        null_value, null_interval = _with_interval(found.null_values)
    estimate, interval = _with_interval(found.values)
    return row | {
        "verdict": verdict_of(claim, found, p, level),
        "estimate": estimate,
        "interval": _plain(interval) if not claim.identity else None,
        "p": _number(found.p),
        "p_adjusted": _number(p),
        "n": found.n,
        "excluded": found.excluded,
        "seeds": None if claim.identity else len(found.values),
        "null_value": null_value,
        "null_interval": _plain(null_interval),
        "against": found.against or None,
        "details": found.details,
    }


def _with_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    mean, half = mean_interval(values)
    return float(mean), (float(mean - half), float(mean + half))


def _plain(interval: tuple[float, float] | None) -> list[float | None] | None:
    return None if interval is None else [_number(end) for end in interval]


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


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


def _with_acting(claims: Sequence[Claim], rows: list[Row]) -> list[Row]:
    """Decide the claims that count factors, from the rows of the grid."""
    by_id = {row["id"]: row for row in rows}
    for claim in claims:
        if claim.kind == "acting":
            by_id[claim.id] |= _acting(claim, by_id)
    return rows


def _acting(claim: Claim, by_id: Mapping[str, Row]) -> Row:
    """A factor acts through a measure if both the gap and the measure change significantly, in the same direction."""
    level = by_id[claim.id]["threshold"]
    details: list[Row] = []
    for factor in claim.options["factors"]:
        gap = by_id[f"{factor}/gap"]
        through = [
            measure
            for measure in claim.options["through"]
            if _moves(gap, level) and _moves(by_id[f"{factor}/{measure}"], level) == _moves(gap, level)
        ]
        details.append({"factor": factor, "tested": gap["p_adjusted"] is not None, "through": through})
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


def _moves(row: Row, level: float) -> int:
    """The direction of a significant change, 0 for none."""
    if row["p_adjusted"] is None or row["p_adjusted"] >= level or row["expected"].startswith("equivalent"):
        return 0
    return int(np.sign(row["estimate"]))


def _one_row_per_run(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first pairing, with the columns of the second beside them, empty where there is none."""
    pairings = runs["pairing"].unique()
    first = runs[runs["pairing"] == pairings[0]].set_index("run", drop=False)
    second = runs[runs["pairing"] == pairings[1]] if len(pairings) > 1 else runs.iloc[:0]
    joined: pd.DataFrame = first.join(second.set_index("run").add_suffix(REVERSED))
    return joined
