"""The kind of statistic that predicts: a law fitted to some groups of rows, held against the rows of another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity
from awduality.claims.frame import OfRows
from awduality.claims.kind import Measured, Registry, Shape, Tables
from awduality.claims.ordered import least_lead, predictor_row
from awduality.claims.rows import QUANTITY, ROWS, columns_of, rows_in_words, too_few

CONSTANT = "constant"
"""The rival that every law has: the mean of the rows that it was fitted to."""

_FIXED = "fixed"
_LEAST_ERROR = float(np.finfo(float).eps)  # nats; below it two laws are equally exact


@dataclass(frozen=True)
class Law:
    """log target = a + Σ b log q over some columns q: a is fitted, and so are the b, or they are given."""

    label: str
    columns: Mapping[str, float] = field(default_factory=dict)  # column → its exponent where that is given
    given: bool = False

    def apart(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """(rows, b) the logarithms whose exponents are fitted, and (rows,) the sum of those with given exponents."""
        logs = np.log(rows[list(self.columns)].to_numpy(float)).reshape(len(rows), len(self.columns))
        if self.given:
            return np.empty((len(rows), 0)), logs @ np.array(list(self.columns.values()))
        return logs, np.zeros(len(rows))


class HeldOut(OfRows):
    """How much better a law predicts the rows of a group that it was not fitted to than every rival does.

    In every seed each group in turn is left out; a law is fitted by least squares to the rows of all others and
    predicts those. The statistic of a seed is the logarithm of the rival's root mean square error over all rows that
    were left out, divided by the law's own. Every rival must be beaten, a constant among them. Rows whose target is not
    positive have no logarithm: they are excluded.
    """

    needs: Mapping[str, Shape] = {
        "quantity": QUANTITY,
        "target": QUANTITY,
        "by": {"type": "string", "description": "the column whose values are left out in turn"},
    }
    may: Mapping[str, Shape] = {
        **ROWS,
        "kept": {"type": "string", "description": "the value of it that is never left out: what all groups share"},
        "rivals": {"type": "array", "minItems": 1, "items": QUANTITY, "description": "laws that must be beaten"},
        "exponents": {
            "enum": ["fitted", _FIXED],
            "description": "those of the quantity: fitted, by default, or its powers; a rival's are fitted",
        },
    }
    equivalence = False

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """A law is one of logarithms, and what is fitted cannot be given."""
        yield from super().problems(claim, registry)
        if not all(quantity.log for quantity in claim.quantities):
            yield "statistic: kind 'held_out' needs scale: log of every quantity"
        if any(null.quantity for null in claim.nulls):
            yield "control: of kind 'held_out' rivals are the control: wanted name: rivals, without a quantity"
        own = [] if claim.quantity is None or _is_fixed(claim) else [claim.quantity]
        if any(power != 1 for quantity in (*own, *claim.rivals) for power in quantity.columns.values()):
            yield "statistic: an exponent that is fitted is written as 1; exponents: fixed takes the quantity's"
        labels = [CONSTANT, *(quantity.label for quantity in (claim.quantity, *claim.rivals) if quantity)]
        if len(set(labels)) < len(labels):
            yield f"statistic: quantity and rivals need labels of their own, other than {CONSTANT!r}"

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """The groups, too."""
        return columns_of(claim, by=[claim.options["by"], "seed"])

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """The rival that is beaten least decides; seeds in which too few rows are left to fit to tell nothing."""
        assert claim.quantity is not None
        assert claim.target is not None
        by, kept = claim.options["by"], claim.options.get("kept")
        if kept is not None and kept not in set((everything := self.rows(claim, tables))[by]) and len(everything):
            return f"no row has the {by} {kept!r}, which is never left out"
        rows, excluded = self.good(claim, tables)
        own, *rivals = laws = list(_laws(claim))
        most = 1 + max(len(law.columns) for law in laws if not law.given)
        seeds = [of_seed for _, of_seed in rows.groupby("seed") if _can_be_left_out(of_seed[by], kept, most)]
        if (reason := self.few(claim, tables, len(seeds))) is not None:
            return reason
        found = {law.label: [_predicted(law, claim.target, seed, by, kept) for seed in seeds] for law in laws}
        errors = {label: np.array([_size(left) for left, _ in of_law]) for label, of_law in found.items()}
        leads = {rival.label: np.log(errors[rival.label] / errors[own.label]) for rival in rivals}
        decides, p = least_lead(leads)
        details = [_detail(law, errors[law.label], [fitted for _, fitted in found[law.label]]) for law in laws]
        for group in sorted(set(rows[by]) - {kept}):
            for law in laws:
                places = [(seed[by] == group).to_numpy() for seed in seeds]
                parts = zip(found[law.label], places, strict=True)
                here = np.array([_size(left[place]) for (left, _), place in parts if place.any()])
                details += [{"left_out": group, **predictor_row(law.label, here)}] if len(here) else []
        return Measured(leads[decides], p, len(rows), excluded, against=decides, details=details)

    def few(self, claim: Claim, tables: Tables, seeds: int) -> str | None:
        """Why there are too few seeds."""
        rows = self.rows(claim, tables)
        if seeds >= self.least_seeds or rows.empty:
            return super().few(claim, tables, seeds)
        return too_few(seeds, rows, self.least_seeds, f"enough rows to leave out every {claim.options['by']} in turn")

    def words(self, claim: Claim) -> str:
        """The law, the target and what is left out."""
        assert claim.quantity is not None
        assert claim.target is not None
        law = f"log {claim.target.label} by {claim.quantity.label}"
        law += ", exponents fixed" if _is_fixed(claim) else ", exponents fitted"
        return (
            f"mean over seeds of log (error of the best rival / error) in predicting {law}, "
            f"where each {claim.options['by'].replace('_', ' ')} is left out in turn{rows_in_words(claim)}"
        )


def _is_fixed(claim: Claim) -> bool:
    return bool(claim.options.get("exponents") == _FIXED)


def _laws(claim: Claim) -> Iterator[Law]:
    """The claim's own, its rivals, and the constant."""
    assert claim.quantity is not None
    yield Law(claim.quantity.label, claim.quantity.columns, _is_fixed(claim))
    yield from (Law(rival.label, rival.columns) for rival in claim.rivals)
    yield Law(CONSTANT)


def _can_be_left_out(groups: pd.Series, kept: str | None, most: int) -> bool:
    """Whether there are groups, and each leaves more rows than the largest law has parameters."""
    sizes = groups[groups != kept].value_counts()
    return bool(len(sizes) and (len(groups) - sizes > most).all())


def _predicted(law: Law, target: Quantity, rows: pd.DataFrame, by: str, kept: str | None) -> tuple[np.ndarray, Any]:
    logs, given = law.apart(rows)
    return left_out(logs, target.of(rows) - given, rows[by].to_numpy(), kept)


def left_out(
    features: np.ndarray, target: np.ndarray, groups: np.ndarray, kept: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What a linear law with an intercept misses of every row by, fitted to the rows of all other groups.

    Args:
        features: (rows, b).
        target: (rows,).
        groups: (rows,) the group of a row.
        kept: the group that is never left out.

    Returns:
        (rows,) target minus prediction, NaN in the group that is kept; (groups, b) the coefficients, a row per group
        that was left out, in ascending order.
    """
    design = np.column_stack([np.ones(len(target)), features])
    missed, fitted = np.full(len(target), np.nan), []
    for group in sorted(set(groups) - {kept}):
        out = groups == group
        coefficients = np.linalg.lstsq(design[~out], target[~out], rcond=None)[0]
        missed[out] = target[out] - design[out] @ coefficients
        fitted.append(coefficients[1:])
    return missed, np.array(fitted)


def _size(missed: np.ndarray) -> float:
    """The root mean square of what is known."""
    return max(float(np.sqrt(np.nanmean(missed**2))), _LEAST_ERROR)


def _detail(law: Law, errors: np.ndarray, fitted: list[np.ndarray]) -> dict[str, Any]:
    """The error of a law, with its exponents: those given, or the means of those fitted."""
    exponents = dict(law.columns)
    if not law.given:
        means = np.mean(np.concatenate(fitted), axis=0)
        exponents = {name: float(mean) for name, mean in zip(law.columns, means, strict=True)}
    return {**predictor_row(law.label, errors), **({"exponents": exponents} if exponents else {})}
