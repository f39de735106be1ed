"""Kinds of statistic on the order of rows: a trend along a setting, and rank correlations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import TEST_SAMPLES, Claim, Quantity
from awduality.claims.frame import OfRows
from awduality.claims.kind import Measured, Registry, Shape, Tables, claim_stream, p_of
from awduality.claims.rows import QUANTITY, ROWS, by_seed, columns_of, counted, interval_row, rows_in_words
from awduality.claims.statistics import Series, at_every_seed, mean_p, permutation_p, slopes, sweep_series

_LEAST_VALUES = 2  # of a setting, for a trend
_LEAST_RANKED = 3  # rows that are ranked at least
_NOTHING_LEFT = 1e-12  # share of the variance of ranks that is rounding


class Trend(OfRows):
    """The change of a quantity from the smallest value of a setting to the largest, within every seed.

    Of the values at which every seed has ended as asked and has the number; the others are told apart, in the details.
    """

    needs: Mapping[str, Shape] = {
        "quantity": QUANTITY,
        "over": {"type": "string", "description": "the setting, from its smallest value to its largest"},
    }
    span = "from the smallest {over} to the largest"

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """The setting, too."""
        return columns_of(claim, over=[self.over(claim), "seed"])

    def over(self, claim: Claim) -> str:
        """The setting."""
        return str(claim.options["over"])

    def series(self, claim: Claim, rows: pd.DataFrame, quantity: Quantity) -> list[Series]:
        """Per seed, the values of a quantity along the setting; the mean, where several rows have one value of it."""
        over, values = self.over(claim), quantity.of(rows)
        if rows.duplicated([over, "seed"]).any():
            means = rows[[over, "seed"]].assign(_=values).groupby([over, "seed"], as_index=False).mean()
            rows, values = means, means["_"].to_numpy(float)
        return sweep_series(rows, over, values)

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Tested by permutations within seeds; equivalence by two one-sided t-tests over seeds."""
        assert claim.quantity is not None
        everything, over = self.rows(claim, tables), self.over(claim)
        rows, excluded = self.good(claim, tables)
        if len(everything) and rows[over].nunique() < _LEAST_VALUES:
            whole = f"{rows[over].nunique()} of {everything[over].nunique()} values of {over}"
            return f"every seed ended as asked, with the number, at {whole}; {_LEAST_VALUES} are needed"
        series = self.series(claim, rows, claim.quantity)
        if (reason := self.few(claim, tables, len(series))) is not None:
            return reason
        if not series:
            return None
        values = slopes(series)
        if claim.expected == "equivalent":
            p = p_of(claim, values)
        else:
            p = permutation_p(series, claim_stream(claim, tables.root_seed, "null"))
        null_values, interval = None, None
        if claim.null and claim.null.quantity:
            null_values = slopes(self.series(claim, rows, claim.null.quantity))
        elif claim.null and claim.null.name == TEST_SAMPLES:
            interval = self.over_samples(claim, tables)
        return Measured(values, p, len(rows), excluded, null_values, interval, details=self.apart(claim, everything))

    def good(self, claim: Claim, tables: Tables) -> tuple[pd.DataFrame, int]:
        """The rows at the values of the setting at which every seed counts, and how many others there are."""
        rows = self.rows(claim, tables)
        kept = at_every_seed(rows, self.over(claim), counted(claim, rows, *claim.quantities))
        return rows[kept], int((~kept).sum())

    def apart(self, claim: Claim, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """The values that are left out: how many seeds count there, and the mean of the quantity over those."""
        assert claim.quantity is not None
        over, found = self.over(claim), []
        good = counted(claim, rows, *claim.quantities)
        left_out = rows[~at_every_seed(rows, over, good)]
        for value, of_value in left_out.groupby(over):
            here = of_value[good[rows.index.get_indexer(of_value.index)]]
            values = by_seed(here, claim.quantity.of(here)).to_numpy(float)
            seeds = {"seeds": len(values), "of_seeds": rows["seed"].nunique()}
            found.append({"setting": f"{over} = {value:g}, left out", **seeds, **interval_row(values)})
        return found

    def over_samples(self, claim: Claim, tables: Tables) -> tuple[float, float] | None:
        """The interval over test samples, where a study has a number of each; nothing is beaten without."""
        del claim, tables
        return None

    def words(self, claim: Claim) -> str:
        """The quantity and the setting."""
        assert claim.quantity is not None
        span = self.span.format(over=self.over(claim).replace("_", " "))
        ended = "counts" if claim.options.get("runs") == "all" else "converged"
        span += f", over the values at which every seed {ended}"
        return f"mean over seeds of the change of {claim.quantity.words} {span}{rows_in_words(claim)}"


class Rank(OfRows):
    """Spearman's correlation of a quantity with a target over the rows of every seed; its lead over rivals, if any."""

    needs: Mapping[str, Shape] = {"quantity": QUANTITY, "target": QUANTITY}
    may: Mapping[str, Shape] = {
        **ROWS,
        "rivals": {"type": "array", "minItems": 1, "items": QUANTITY, "description": "predictors that must be beaten"},
    }

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """A lead over rivals has no margin, too."""
        yield from super().problems(claim, registry)
        if claim.rivals and claim.expected == "equivalent":
            yield "expected: a lead over rivals cannot be tested for no effect: wanted +, - or any"

    def ranks(self, claim: Claim, rows: pd.DataFrame, target: Quantity, predictor: Quantity) -> np.ndarray:
        """(S,) the correlation in every seed."""
        del claim
        return rank_correlations(rows, target, predictor)

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Where there are rivals, the one that is beaten least decides, and every one must be beaten."""
        assert claim.quantity is not None
        assert claim.target is not None
        rows, excluded = self.good(claim, tables)
        own = self.ranks(claim, rows, claim.target, claim.quantity)
        if (reason := self.few(claim, tables, len(own))) is not None:
            return reason
        if not len(own):
            return None
        details = [predictor_row(claim.quantity.label, own)]
        if not claim.rivals:
            null = None
            if claim.null and claim.null.quantity:
                null = self.ranks(claim, rows, claim.null.target or claim.target, claim.null.quantity)
            return Measured(own, p_of(claim, own), len(rows), excluded, null, details=details)
        leads = {rival.label: own - self.ranks(claim, rows, claim.target, rival) for rival in claim.rivals}
        details += [predictor_row(label, own - lead) for label, lead in leads.items()]
        details += self.details(claim, rows)
        decides, p = least_lead(leads)
        lead = leads[decides]
        return Measured(lead, p, len(rows), excluded, own - lead, against=decides, details=details)

    def details(self, claim: Claim, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """Further rows for the reader, where there are rivals."""
        del claim, rows
        return []

    def words(self, claim: Claim) -> str:
        """Both quantities."""
        assert claim.quantity is not None
        assert claim.target is not None
        rival = " minus that of the best rival" if claim.rivals else ""
        of = f"Spearman's correlation of {claim.quantity.label} with {claim.target.label}"
        return f"mean over seeds of {of}{rival}{rows_in_words(claim)}"


class PartialRank(OfRows):
    """Spearman's partial correlation of a quantity with a target, a third one given, over the rows of every seed.

    What the quantity says of the order of the target beyond what the third says: the correlation of what is left of the
    ranks of both after linear regression on the ranks of the third.
    """

    needs: Mapping[str, Shape] = {"quantity": QUANTITY, "target": QUANTITY, "given": QUANTITY}

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Seeds with fewer than four rows tell nothing."""
        assert claim.quantity is not None
        assert claim.target is not None
        assert claim.given is not None
        rows, excluded = self.good(claim, tables)
        values = _partial(rows, claim.quantity, claim.target, claim.given)
        if (reason := self.few(claim, tables, len(values))) is not None:
            return reason
        null = None
        if claim.null and claim.null.quantity:
            target, given = claim.null.target or claim.target, claim.null.given or claim.given
            null = _partial(rows, claim.null.quantity, target, given)
        pair = (claim.quantity, claim.given)
        details = [predictor_row(one.label, rank_correlations(rows, claim.target, one)) for one in pair]
        return Measured(values, p_of(claim, values), len(rows), excluded, null, details=details)

    def words(self, claim: Claim) -> str:
        """All three quantities."""
        assert claim.quantity is not None
        assert claim.target is not None
        assert claim.given is not None
        of = f"{claim.quantity.label} with {claim.target.label}, given {claim.given.label}"
        return f"mean over seeds of Spearman's partial correlation of {of}{rows_in_words(claim)}"


def _partial(rows: pd.DataFrame, x: Quantity, y: Quantity, given: Quantity) -> np.ndarray:
    """(S,) the partial correlation in every seed that has at least four rows."""
    sides, seeds = [one.of(rows) for one in (x, y, given)], rows["seed"].to_numpy()
    groups = [seeds == seed for seed in np.unique(seeds)]
    found = np.array([partial_spearman(*(side[group] for side in sides)) for group in groups])
    return np.asarray(found[np.isfinite(found)])


def partial_spearman(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Spearman's partial correlation of x and y; 0 where the third leaves nothing of one, NaN for fewer than four."""
    if len(x) <= _LEAST_RANKED:
        return float("nan")
    both, of_x, of_y = spearman(x, y), spearman(x, given), spearman(y, given)
    left = (1 - of_x**2) * (1 - of_y**2)
    return float((both - of_x * of_y) / np.sqrt(left)) if left > _NOTHING_LEFT else 0.0


def least_lead(leads: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """The rival that decides whether all are beaten, and the two-sided p-value of the lead over it.

    Args:
        leads: rival → (S,) by how much it is beaten in every seed.
    """
    p_values = {label: mean_p(lead) for label, lead in leads.items()}
    decides = min(leads, key=lambda label: float(np.mean(leads[label])))
    if np.mean(leads[decides]) <= 0:  # a rival that is better, chosen among several
        return decides, float(np.minimum(1.0, len(leads) * p_values[decides]))
    decides = max(p_values, key=lambda label: p_values[label])  # none is better: the least certain lead decides
    return decides, p_values[decides]


def predictor_row(label: str, values: np.ndarray) -> dict[str, Any]:
    """A predictor with its mean over seeds, for the details of a claim."""
    return {"predictor": label, **interval_row(values)}


def rank_correlations(rows: pd.DataFrame, target: Quantity, predictor: Quantity) -> np.ndarray:
    """(S,) Spearman's correlation of two quantities over the rows of each seed that has at least three."""
    x, y, seeds = target.of(rows), predictor.of(rows), rows["seed"].to_numpy()
    groups = [seeds == seed for seed in np.unique(seeds)]
    found = np.array([spearman(x[group], y[group]) for group in groups])
    return np.asarray(found[np.isfinite(found)])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation; 0 where one of the two does not vary, NaN for fewer than three values."""
    from scipy.stats import rankdata

    if len(x) < _LEAST_RANKED:
        return float("nan")
    ranks = rankdata(x), rankdata(y)
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
