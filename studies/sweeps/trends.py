"""Trends along the sweep of a factor, and what may be compared where the sweep does not match in something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity, listed, quantity_from
from awduality.claims.kind import Measured, Registry, Row, Shape, Tables, claim_stream
from awduality.claims.ordered import Trend
from awduality.claims.rows import QUANTITY, columns_of, interval_row
from awduality.claims.statistics import bootstrap_interval, mean_interval, slopes
from awduality.claims.verdicts import EFFECT
from awduality.claims.words import Verdicts
from awduality.errors import InputError
from studies.sweeps.study import BASELINE, FACTORS

SAMPLES = "samples"
"""The table with a row per test sample: per factor the slope of its loss along the sweep."""

_MATCHED: Shape = {
    "type": "object",
    "additionalProperties": False,
    "required": ["claim", "quantity", "margin"],
    "description": "what the sweep must match in",
    "properties": {
        "claim": {"type": "string", "description": "the id of the claim that it does, which must be supported"},
        "quantity": QUANTITY,
        "margin": {"type": "number", "exclusiveMinimum": 0, "description": "within which two values of it match"},
    },
}

_FACTOR: Mapping[str, Shape] = {"factor": {"type": "string", "description": "the factor of a trend"}}


def sweep(runs: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The runs of a factor's sweep, the baseline among them; none where the config does not sweep it."""
    return runs[in_sweep(runs, factor)] if factor in factors_of(runs) else runs.iloc[:0]


def factors_of(runs: pd.DataFrame) -> list[str]:
    """The factors that are swept."""
    return [factor for factor in runs["factor"].unique() if factor != BASELINE]


def in_sweep(runs: pd.DataFrame, factor: str) -> np.ndarray:
    """(runs,) whether a run belongs to a factor's sweep."""
    return runs["factor"].isin([factor, BASELINE]).to_numpy()


class SweepTrend(Trend):
    """The change of a quantity along a sweep, from one end to the other.

    Where the sweep must match in another quantity, and the claim that it does is not supported, the trend is not
    tested: sharpness falls with the training loss, so that a trend of one can be that of the other. Its p-value stays
    in the family, which is the larger for it.
    """

    needs: Mapping[str, Shape] = {"quantity": Trend.needs["quantity"], **_FACTOR}
    may: Mapping[str, Shape] = {**Trend.may, "matched": _MATCHED}
    least_seeds = 0
    span = "from one end of the sweep to the other"

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """A factor that does not exist."""
        yield from super().problems(claim, registry)
        yield from factor_problems(claim)

    def over(self, claim: Claim) -> str:
        """The factor."""
        return str(claim.options["factor"])

    def rows(self, claim: Claim, tables: Tables) -> pd.DataFrame:
        """The runs of the sweep."""
        return sweep(super().rows(claim, tables), self.over(claim))

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """What must match, too."""
        matched = claim.options.get("matched", {"quantity": {"columns": {}}})["quantity"]["columns"]
        return columns_of(claim, over=[self.over(claim), "seed"], matched=matched)

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """The same between the values that match, in the details, where not all do."""
        found, matched = super().measure(claim, tables), claim.options.get("matched")
        if not isinstance(found, Measured) or matched is None:
            return found
        assert claim.quantity is not None
        quantity, factor = quantity_from(matched["quantity"]), self.over(claim)
        assert quantity is not None
        rows, _ = self.good(claim, tables)
        values = matching_values(rows, factor, quantity, matched["margin"])
        if not 1 < len(values) < rows[factor].nunique():
            return found
        here = rows[rows[factor].isin(values)]
        changes = slopes(self.series(claim, here, claim.quantity))
        setting = f"{factor} = {values[0]:g} to {values[-1]:g}, matched in {quantity.label}"
        return replace(found, details=[*found.details, {"setting": setting, **interval_row(changes)}])

    def decide(self, claim: Claim, rows: Mapping[str, Row]) -> Row:
        """Not tested, with the reason, where the sweep is not shown to match; the numbers go to the details."""
        row, matched = rows[claim.id], claim.options.get("matched")
        if matched is None or row["verdict"] == "not tested" or rows[matched["claim"]]["verdict"] == "supported":
            return {}
        check, label = matched["claim"], matched["quantity"].get("label", "what must match")
        said = Verdicts(rows)
        reason = (
            f"not comparable: the values of {self.over(claim)} are not shown to match in {label} "
            f"({check}: {said.effect(check)}, {said.verdict(check)}), and sharpness falls with it"
        )
        whole = {"setting": "the whole sweep, not matched", "estimate": row["estimate"], "interval": row["interval"]}
        return {"verdict": "not tested", "reason": reason, "details": [whole, *row["details"]]} | dict.fromkeys(EFFECT)

    def over_samples(self, claim: Claim, tables: Tables) -> tuple[float, float]:
        """The interval of the slope over test samples."""
        samples, factor = tables.frames[SAMPLES], self.over(claim)
        if factor not in samples:
            raise InputError(
                f"claim {claim.id}: the table of test samples has no column {factor!r}: make the tables again"
            )
        values = samples[factor].to_numpy(float)
        return bootstrap_interval(values, claim_stream(claim, tables.root_seed, "bootstrap"))


def factor_problems(claim: Claim) -> Iterator[str]:
    """A factor that does not exist."""
    factor = claim.options.get("factor")
    if factor is not None and factor not in FACTORS:
        yield f"statistic: unknown factor {factor!r}: wanted {listed(FACTORS)}"


def matching_values(rows: pd.DataFrame, factor: str, quantity: Quantity, margin: float) -> list[float]:
    """The longest run of adjacent values of which every two agree; the first, where several are as long.

    Two values agree if the 95% interval over seeds of the difference lies within the margin.

    Args:
        rows: runs along the sweep, every seed at every value.
        factor: the column of the sweep.
        quantity: what must agree.
        margin: the largest difference.

    Returns:
        Values in ascending order; one where no two adjacent values agree.
    """
    table = rows[[factor, "seed"]].assign(_=quantity.of(rows)).pivot_table(index="seed", columns=factor, values="_")
    values, of_seed = list(table.columns), table.to_numpy(float)
    longest: Sequence[int] = range(min(1, len(values)))
    for first in range(len(values)):
        last = first
        while last + 1 < len(values) and all(
            _agree(of_seed[:, one] - of_seed[:, last + 1], margin) for one in range(first, last + 1)
        ):
            last += 1
        longest = max(longest, range(first, last + 1), key=len)
    return [float(values[place]) for place in longest]


def _agree(differences: np.ndarray, margin: float) -> bool:
    mean, half = mean_interval(differences)
    return bool(abs(mean) + half < margin)
