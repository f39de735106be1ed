"""The kind of statistic that counts runs: the share within a bound on one side against that on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim
from awduality.claims.kind import Measured, Registry, Shape, Tables
from awduality.claims.rows import NUMBER, ROWS, SELECTION, columns_of, rows_in_words, selection_in_words
from awduality.claims.sides import AGAINST, OF, TwoSided, choices_of


class Share(TwoSided):
    """How many more runs of one side than of the other are within a bound: Fisher's exact test, two-sided.

    The interval of the difference is Newcombe's. The runs of a side are of one setting: runs of several settings share
    their seeds, and the test takes them for independent. All runs count, however they ended.
    """

    needs: Mapping[str, Shape] = {
        OF: SELECTION,
        AGAINST: SELECTION,
        "column": {"type": "string", "description": "what is bounded"},
    }
    may: Mapping[str, Shape] = {
        **{name: shape for name, shape in ROWS.items() if name != "runs"},
        "most": {**NUMBER, "description": "the bound: runs with no more are counted"},
        "least": {**NUMBER, "description": "the bound: runs with no less are counted"},
    }
    least_runs = 3  # on either side
    equivalence = False

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """One bound is needed."""
        yield from super().problems(claim, registry)
        if len({"most", "least"} & set(claim.options)) != 1:
            yield "statistic: kind 'share' needs 'most' or 'least', one of the two"

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """The column that is bounded."""
        return columns_of(claim, OF, AGAINST, column=[claim.options["column"]])

    def setting(self, tables: Tables, rows: pd.DataFrame) -> list[str]:
        """The columns that make a setting, of which each side must have one."""
        return tables.settings_of(rows)

    def setting_in_words(self, row: pd.Series, settings: Sequence[str]) -> str:
        """A setting for a reader."""
        return selection_in_words(dict(row[list(settings)]))

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Where a side was chosen as the best among several, the p-value counts the choice, whatever comes out."""
        from scipy.stats import fisher_exact
        from statsmodels.stats.proportion import confint_proportions_2indep

        rows = self.rows(claim, tables)
        sides = [self.side(claim, rows, name) for name in (OF, AGAINST)]
        if any(side.rows.empty for side in sides):
            return self.missing(claim, tables, sides)
        settings = self.setting(tables, rows)
        for side in sides:
            if settings and len(found := side.rows.drop_duplicates(settings)) > 1:
                words = "; ".join(self.setting_in_words(run, settings) for _, run in found.iterrows())
                return f"wanted runs of one setting, got {len(found)}: {words}"
        column = claim.options["column"]
        # A diverged run is not within the bound, whether its number is known or not.
        known = [side.rows[side.rows[column].notna() | _diverged(side.rows)] for side in sides]
        if min(map(len, known)) < self.least_runs:
            return f"{min(map(len, known))} runs with a {column}; {self.least_runs} are needed"
        within = [_within(claim, side) for side in known]
        counts = [(int(found.sum()), len(found)) for found in within]
        p = float(fisher_exact(np.array([[count, total - count] for count, total in counts])).pvalue)
        choices = choices_of(sides)
        low, high = confint_proportions_2indep(*counts[0], *counts[1], method="newcomb", compare="diff")
        return Measured(
            within[0] - within[1].mean(),
            min(1.0, choices * p),
            n=sum(map(len, known)),
            excluded=sum(len(side.rows) for side in sides) - sum(map(len, known)),
            interval=(float(low), float(high)),
            details=self.details(claim, rows, known, counts),
            choices=choices,
        )

    def details(
        self, claim: Claim, rows: pd.DataFrame, known: Sequence[pd.DataFrame], counts: Sequence[tuple[int, int]]
    ) -> list[dict[str, Any]]:
        """How many runs of either side are within the bound."""
        del rows, known
        sides = [self.side_in_words(claim, name) for name in (OF, AGAINST)]
        return [
            {"setting": words, "runs": total, "within": count}
            for words, (count, total) in zip(sides, counts, strict=True)
        ]

    def words(self, claim: Claim) -> str:
        """The bound and both sides."""
        sides = f"{self.side_in_words(claim, OF)} minus {self.side_in_words(claim, AGAINST)}"
        return f"share of runs with {bound_in_words(claim)}, {sides}{rows_in_words(claim)}"


def bound_in_words(claim: Claim) -> str:
    """The bound of a share."""
    options = claim.options
    sign, value = ("≤", options["most"]) if "most" in options else ("≥", options["least"])
    return f"{options['column']} {sign} {value:g}"


def _within(claim: Claim, rows: pd.DataFrame) -> np.ndarray:
    column, options = rows[claim.options["column"]].astype(float), claim.options
    found = column <= options["most"] if "most" in options else column >= options["least"]
    return np.asarray(found, dtype=float)


def _diverged(rows: pd.DataFrame) -> pd.Series:
    return rows["ended"] == "diverged" if "ended" in rows else pd.Series(False, index=rows.index)
