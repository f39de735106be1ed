"""The kinds of statistic that every study has, on the rows of one table: one value per seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity
from awduality.claims.kind import LEAST_SEEDS, Kind, Measured, Registry, Shape, Tables, p_of
from awduality.claims.rows import (
    NAMES,
    NUMBER,
    QUANTITY,
    ROWS,
    asked_for,
    by_seed,
    columns_of,
    counted,
    interval_row,
    no_rows,
    row_problems,
    rows_in_words,
    rows_of,
    too_few,
)
from awduality.claims.statistics import Series, slopes


class OfRows(Kind):
    """A statistic on the rows of one table."""

    may: Mapping[str, Shape] = ROWS
    least_seeds = LEAST_SEEDS

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """Experiments and values that do not exist."""
        yield from row_problems(claim, registry)

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """The quantities, the columns that choose rows, and the seed."""
        return columns_of(claim, seed=["seed"])

    def rows(self, claim: Claim, tables: Tables) -> pd.DataFrame:
        """The rows that the claim is about, however their runs ended."""
        return rows_of(claim, tables)

    def good(self, claim: Claim, tables: Tables) -> tuple[pd.DataFrame, int]:
        """The rows that count, and how many do not."""
        rows = self.rows(claim, tables)
        good = counted(claim, rows, *claim.quantities)
        return rows[good], int((~good).sum())

    def few(self, claim: Claim, tables: Tables, seeds: int) -> str | None:
        """Why there are too few seeds; None where there are enough, or no rows at all."""
        if seeds >= self.least_seeds:
            return None
        rows = self.rows(claim, tables)
        return too_few(seeds, rows, self.least_seeds) if len(rows) else no_rows(claim, tables)


class Largest(OfRows):
    """The largest absolute value of some columns over all rows: what an identity is held to."""

    needs: Mapping[str, Shape] = {"columns": NAMES}
    exact = True

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """Its columns, and those that choose rows."""
        return columns_of(claim, columns=claim.options["columns"])

    def measure(self, claim: Claim, tables: Tables) -> Measured | None:
        """On every row that has one of the numbers, however its run ended, unless the claim asks for converged runs."""
        rows = self.rows(claim, tables)
        rows = rows[counted(claim, rows)] if "runs" in claim.options else rows
        values = np.abs(rows[list(claim.options["columns"])].to_numpy(float))
        found = values[~np.isnan(values).all(axis=1)]
        return Measured(np.array([np.nanmax(found)]), n=len(found)) if len(found) else None

    def words(self, claim: Claim) -> str:
        """The columns."""
        return f"largest of {' and '.join(claim.options['columns'])}{rows_in_words(claim)}"


class Mean(OfRows):
    """The mean over a seed's rows, against zero or a number."""

    needs: Mapping[str, Shape] = {"quantity": QUANTITY}
    may: Mapping[str, Shape] = {**ROWS, "minus": {**NUMBER, "description": "the value that it is compared with"}}

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """A value that has no logarithm, too."""
        yield from super().problems(claim, registry)
        if claim.quantity and claim.quantity.log and claim.options.get("minus", 1) <= 0:
            yield f"statistic.minus: got {claim.options['minus']}, wanted more than 0, since ratios are compared"

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """The same of the null's quantity, if there is one, on the same rows."""
        assert claim.quantity is not None
        rows, excluded = self.good(claim, tables)
        values = by_seed(rows, claim.quantity.of(rows)).to_numpy(float)
        if (reason := self.few(claim, tables, len(values))) is not None:
            return reason
        if "minus" in claim.options:
            values = values - _reference(claim)
        under_null = claim.null.quantity if claim.null else None
        null = by_seed(rows, under_null.of(rows)).to_numpy(float) if under_null else None
        details = self.details(claim, rows)
        return Measured(values, p_of(claim, values), len(rows), excluded, null, details=details)

    def details(self, claim: Claim, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """The same in every experiment, for the reader, where the claim names several."""
        return list(_per_experiment(claim, rows)) if len(claim.options.get("experiments", [])) > 1 else []

    def words(self, claim: Claim) -> str:
        """The quantity, and what it is compared with."""
        assert claim.quantity is not None
        minus = f" minus {claim.options['minus']:g}" if "minus" in claim.options and not claim.quantity.log else ""
        if "minus" in claim.options and claim.quantity.log:
            minus = f" minus log {claim.options['minus']:g}"
        return f"mean over seeds of {claim.quantity.words}{minus}{rows_in_words(claim)}"


def _reference(claim: Claim) -> float:
    """What is subtracted: of ratios the logarithm of the value."""
    value = float(claim.options["minus"])
    return float(np.log(value)) if claim.quantity and claim.quantity.log else value


def _per_experiment(claim: Claim, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    assert claim.quantity is not None
    for name in claim.options["experiments"]:
        here = asked_for(rows, [name])
        values = by_seed(here, claim.quantity.of(here)).to_numpy(float)
        yield {"setting": name, **interval_row(values), "runs": len(here)}


class Slope(OfRows):
    """The least-squares slope of a quantity on another over the rows of every seed, against zero or a number."""

    ratios = False  # of two logarithms it is an exponent

    needs: Mapping[str, Shape] = {"quantity": QUANTITY, "on": QUANTITY}
    may: Mapping[str, Shape] = {**ROWS, "minus": {**NUMBER, "description": "the slope that it is compared with"}}

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Seeds whose rows have fewer than two values of what is regressed on tell nothing."""
        assert claim.quantity is not None
        assert claim.on is not None
        rows, excluded = self.good(claim, tables)
        found = slopes(_clouds(rows, claim.on, claim.quantity))
        if (reason := self.few(claim, tables, len(found))) is not None:
            return reason
        values = found - claim.options.get("minus", 0.0)
        null = None
        if claim.null and claim.null.quantity:
            null = slopes(_clouds(rows, claim.null.target or claim.on, claim.null.quantity))
        return Measured(values, p_of(claim, values), len(rows), excluded, null)

    def words(self, claim: Claim) -> str:
        """Both quantities, and the slope that it is compared with."""
        assert claim.quantity is not None
        assert claim.on is not None
        minus = f" minus {claim.options['minus']:g}" if "minus" in claim.options else ""
        slope = f"slope of {claim.quantity.words} on {claim.on.words}"
        return f"mean over seeds of the {slope}{minus}{rows_in_words(claim)}"


def _clouds(rows: pd.DataFrame, x: Quantity, y: Quantity) -> list[Series]:
    """The points of every seed that has at least two places on the abscissa."""
    of_x, of_y, seeds = x.of(rows), y.of(rows), rows["seed"].to_numpy()
    groups = [seeds == seed for seed in np.unique(seeds)]
    return [Series(of_x[group], of_y[group]) for group in groups if np.ptp(of_x[group]) > 0]
