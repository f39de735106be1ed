"""The kinds of statistic that set some rows against others: paired differences, and differences of differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import TEST_SAMPLES, Claim, listed
from awduality.claims.frame import OfRows
from awduality.claims.kind import Measured, Registry, Shape, Tables, p_of
from awduality.claims.rows import (
    CONVERGED,
    NAMES,
    QUANTITY,
    ROWS,
    SELECTION,
    by_seed,
    chosen,
    columns_of,
    interval_row,
    no_rows,
    row_problems,
    rows_in_words,
    selection_in_words,
    selection_problems,
    too_few,
)
from awduality.errors import InputError

OF, AGAINST = "of", "against"


@dataclass(frozen=True)
class Side:
    """The rows of one side, and the number of variants among which it was chosen as the best."""

    rows: pd.DataFrame
    choices: int = 1


@dataclass(frozen=True)
class Pairs:
    """Rows of two sides, paired, and the difference of a quantity in every pair."""

    one: pd.DataFrame
    other: pd.DataFrame
    values: np.ndarray  # (P,) in the first minus in the second
    null: np.ndarray | None  # (P,) the same of the null's quantity
    good: np.ndarray  # (P,) whether a pair counts

    def by_seed(self, values: np.ndarray) -> pd.Series:
        """Seed → the mean over its pairs that count."""
        return by_seed(self.one[self.good], values[self.good])


def choices_of(sides: Iterable[Side]) -> int:
    """Among how many combinations of variants the sides were chosen."""
    return math.prod(side.choices for side in sides)


class TwoSided(OfRows):
    """A statistic on two sides of the rows."""

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """Values that do not exist, on either side too."""
        yield from row_problems(claim, registry, OF, AGAINST)

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """What the sides differ in, too."""
        matched = claim.options.get("matched", [])
        return columns_of(claim, OF, AGAINST, matched=[name for name in matched if name != "seed"], seed=["seed"])

    def side(self, claim: Claim, rows: pd.DataFrame, name: str) -> Side:
        """The rows of one side."""
        return Side(rows[chosen(rows, claim.options[name])])

    def side_in_words(self, claim: Claim, name: str) -> str:
        """One side for a reader."""
        return selection_in_words(claim.options[name])

    def missing(self, claim: Claim, tables: Tables, sides: Sequence[Side]) -> str | None:
        """Why a side has no rows; None where the config has none of the kind."""
        rows = self.rows(claim, tables)
        if rows.empty:
            return no_rows(claim, tables)
        names = [name for name, side in zip((OF, AGAINST), sides, strict=True) if side.rows.empty]
        return f"no rows with {' nor with '.join(self.side_in_words(claim, name) for name in names)}"


class Compared(TwoSided):
    """A quantity on one side minus that on the other, paired: per seed the mean over pairs."""

    needs: Mapping[str, Shape] = {OF: SELECTION, AGAINST: SELECTION, "quantity": QUANTITY}
    may: Mapping[str, Shape] = {
        **ROWS,
        "matched": {
            **NAMES,
            "description": "columns that rows of a pair share, beside the seed; by default all "
            "settings that neither side fixes",
        },
    }

    def pair(
        self, claim: Claim, tables: Tables, first: pd.DataFrame, second: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Two tables of the same length: row by row, what is set against each other."""
        fixed = {**claim.options[OF], **claim.options[AGAINST]}
        named = claim.options.get("matched")
        shared = named or [name for name in tables.settings_of(first) if name not in fixed]
        keys = list(dict.fromkeys([*shared, "seed"]))
        if first.duplicated(keys).any() and second.duplicated(keys).any():
            raise InputError(
                f"claims.{claim.id}.statistic: several rows of either side have the same {listed(keys)}: name the "
                "columns that rows of a pair share with matched, or leave rows out with where"
            )
        return paired(first, second, keys)

    def pairs(self, claim: Claim, tables: Tables, first: pd.DataFrame, second: pd.DataFrame) -> Pairs:
        """The pairs, and what the quantity differs by in each."""
        assert claim.quantity is not None
        one, other = self.pair(claim, tables, first, second)
        under_null = claim.null.quantity if claim.null else None
        values = claim.quantity.of(one) - claim.quantity.of(other)
        null = under_null.of(one) - under_null.of(other) if under_null else None
        good = np.isfinite(values) & (np.isfinite(null) if null is not None else True)
        if converged_only(claim) and "ended" in one:
            good &= ((one["ended"] == CONVERGED) & (other["ended"] == CONVERGED)).to_numpy()
        return Pairs(one, other, values, null, good)

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Where a side was chosen as the best among several, the p-value counts the choice.

        It does so whatever was chosen by, what is measured, and how that comes out: a setting that is best in one
        quantity stands for all others that were tried, and might differ from them in every other quantity.
        """
        rows = self.rows(claim, tables)
        first, second = (self.side(claim, rows, name) for name in (OF, AGAINST))
        if first.rows.empty or second.rows.empty:
            return self.missing(claim, tables, (first, second))
        pairs = self.pairs(claim, tables, first.rows, second.rows)
        if pairs.one.empty:
            return self.no_pairs(claim)
        details = self.details(claim, tables, pairs)
        values = pairs.by_seed(pairs.values).to_numpy(float)
        if len(values) < self.least_seeds:
            what = "pairs in which both converged" if converged_only(claim) else "pairs"
            return too_few(len(values), pairs.one, self.least_seeds, what)
        choices = choices_of((first, second))
        return Measured(
            values,
            min(1.0, choices * p_of(claim, values)),
            n=int(pairs.good.sum()),
            excluded=int((~pairs.good).sum()),
            null_values=None if pairs.null is None else pairs.by_seed(pairs.null).to_numpy(float),
            null_interval=self.over_samples(claim, tables) if claim.null and claim.null.name == TEST_SAMPLES else None,
            details=details,
            choices=choices,
        )

    def no_pairs(self, claim: Claim) -> str | None:
        """Why no two rows go together."""
        del claim
        return "no two rows of the sides fit each other in seed and all other settings: see matched"

    def over_samples(self, claim: Claim, tables: Tables) -> tuple[float, float] | None:
        """The interval over test samples, where a study has a number of each; nothing is beaten without."""
        del claim, tables
        return None

    def details(self, claim: Claim, tables: Tables, pairs: Pairs) -> list[dict[str, Any]]:
        """The comparison in every setting that the sides share, for the reader, where there are several."""
        fixed = {**claim.options[OF], **claim.options[AGAINST]}
        one = pairs.one
        varied = [name for name in tables.settings_of(one) if name not in fixed and one[name].nunique() > 1]
        return list(by_setting(pairs, varied, lambda row: selection_in_words(dict(row[varied])))) if varied else []

    def words(self, claim: Claim) -> str:
        """The quantity and both sides."""
        assert claim.quantity is not None
        sides = f"{self.side_in_words(claim, OF)} minus {self.side_in_words(claim, AGAINST)}"
        return f"mean over seeds of {claim.quantity.words}, {sides}{rows_in_words(claim)}"


def converged_only(claim: Claim) -> bool:
    """Whether only runs count that reached what they were trained for."""
    return bool(claim.options.get("runs", CONVERGED) == CONVERGED)


def paired(first: pd.DataFrame, second: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of the same length: row by row, rows that have the same values of the keys."""
    names = list(keys)
    places = [rows[names].assign(**{name: np.arange(len(rows))}) for name, rows in (("_1", first), ("_2", second))]
    found = places[0].merge(places[1], on=names)
    return first.iloc[found["_1"]].reset_index(drop=True), second.iloc[found["_2"]].reset_index(drop=True)


def by_setting(pairs: Pairs, settings: Sequence[str], words: Any) -> Iterator[dict[str, Any]]:
    """The comparison in every setting: with how many pairs entered, and how many runs of either side converged.

    Args:
        pairs: all pairs.
        settings: columns of the first side that make a setting.
        words: a row of the first side → its setting for a reader.
    """
    for _, rows in pairs.one.groupby(list(settings)):
        here = rows.index.to_numpy()
        kept = here[pairs.good[here]]
        counts = {}
        if "ended" in rows:
            ended = [side["ended"].iloc[here] == CONVERGED for side in (pairs.one, pairs.other)]
            counts = {"converged": [int(found.sum()) for found in ended]}
        found = {"setting": words(rows.iloc[0]), **interval_row(pairs.values[kept]), "pairs": len(kept)}
        yield {**found, "of_pairs": len(here), **counts}


class Contrast(Compared):
    """A difference of differences: what two sides differ by in one part of the rows, minus the same in another."""

    needs: Mapping[str, Shape] = {
        **Compared.needs,
        "between": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": SELECTION,
            "description": "two selections of rows: the difference in the second is subtracted from that in the first",
        },
    }

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """Values that do not exist in the two parts, too."""
        yield from super().problems(claim, registry)
        for place, selection in enumerate(claim.options["between"]):
            yield from selection_problems(f"between.{place}", selection, registry)

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """What the parts differ in, too."""
        ((table, columns),) = super().reads(claim).items()
        return {table: [*columns, *(name for part in claim.options["between"] for name in part)]}

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Per seed that has pairs in both parts: the mean over pairs in the first minus that in the second."""
        rows = self.rows(claim, tables)
        found: list[Pairs] = []
        choices = 1
        for part in claim.options["between"]:
            here = rows[chosen(rows, part)]
            sides = [self.side(claim, here, name) for name in (OF, AGAINST)]
            if any(side.rows.empty for side in sides):
                words = selection_in_words(part)
                return f"no rows of one of the sides where {words}" if len(rows) else no_rows(claim, tables)
            found.append(self.pairs(claim, tables, sides[0].rows, sides[1].rows))
            choices *= choices_of(sides)
        means = [pairs.by_seed(pairs.values) for pairs in found]
        values = (means[0] - means[1]).dropna().sort_index()
        if len(values) < self.least_seeds:
            what = "pairs in both parts" + (" in which both converged" if converged_only(claim) else "")
            return too_few(len(values), rows, self.least_seeds, what)
        under_null = [pairs.by_seed(pairs.null) for pairs in found if pairs.null is not None]
        null = (under_null[0] - under_null[1]).reindex(values.index).to_numpy(float) if under_null else None
        details = [
            {"setting": selection_in_words(part), **interval_row(mean.to_numpy(float)), "pairs": int(pairs.good.sum())}
            for part, mean, pairs in zip(claim.options["between"], means, found, strict=True)
        ]
        measured = values.to_numpy(float)
        return Measured(
            measured,
            min(1.0, choices * p_of(claim, measured)),
            n=sum(int(pairs.good.sum()) for pairs in found),
            excluded=sum(int((~pairs.good).sum()) for pairs in found),
            null_values=null,
            details=details,
            choices=choices,
        )

    def words(self, claim: Claim) -> str:
        """The two parts, too."""
        assert claim.quantity is not None
        sides = f"{self.side_in_words(claim, OF)} minus {self.side_in_words(claim, AGAINST)}"
        first, second = (selection_in_words(part) for part in claim.options["between"])
        where = f"where {first} minus the same where {second}"
        return f"mean over seeds of {claim.quantity.words}, {sides}, {where}{rows_in_words(claim)}"
