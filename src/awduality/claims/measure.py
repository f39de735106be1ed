"""Each kind of statistic, measured: one value per seed, for the claim and for its null.

Sharpness is compared between runs of the same training loss, so only converged runs count; the others are reported as
excluded. Only identities are checked on every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity
from awduality.claims.statistics import (
    Series,
    bootstrap_interval,
    equivalence_p,
    mean_interval,
    mean_p,
    permutation_p,
    slopes,
)
from awduality.errors import InputError
from awduality.factors import BASELINE
from awduality.streams import stream

_LEAST_RUNS = 3  # runs that are ranked at least


@dataclass(frozen=True)
class Tables:
    """The numbers that claims read, of one layer."""

    runs: pd.DataFrame  # a row per run: settings, how it ended, measures of the first pairing
    null_runs: pd.DataFrame  # a row per baseline run, null and draw
    samples: pd.DataFrame  # a row per test sample: the slope of its loss along every sweep
    root_seed: int


@dataclass(frozen=True)
class Measured:
    """What was found for one claim."""

    values: np.ndarray  # (S,) one per seed; for an identity (1,)
    p: float = float("nan")
    n: int = 0  # runs that entered
    excluded: int = 0  # runs that did not: not converged, or without the number
    null_values: np.ndarray | None = None  # (S,) the same under the null
    null_interval: tuple[float, float] | None = None  # where the null gives an interval and no values
    against: str = ""  # the rival that decided
    details: list[dict[str, Any]] = field(default_factory=list)

    @property
    def estimate(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values)) if len(self.values) else float("nan")


def measure(claim: Claim, tables: Tables) -> Measured | None:
    """Measure one claim; None where the config has no runs for it."""
    found = _KINDS[claim.kind](claim, tables)
    return found if found is not None and len(found.values) else None


def claim_stream(claim: Claim, tables: Tables, purpose: Any) -> np.random.Generator:
    """Random numbers that depend on the root seed and the claim's id, not on which other claims are tested."""
    index = int.from_bytes(hashlib.sha256(claim.id.encode()).digest()[:6], "big")
    return stream(tables.root_seed, purpose, index)


def _largest(claim: Claim, tables: Tables) -> Measured | None:
    table = tables.null_runs if claim.options.get("table") == "null-runs" else tables.runs
    columns = list(claim.options["columns"])
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"claim {claim.id}: there is no column {', '.join(missing)}")
    values = table[columns].to_numpy(float)
    found = values[np.isfinite(values).any(axis=1)]
    return Measured(np.array([np.nanmax(found)]), n=len(found)) if len(found) else None


def _mean(claim: Claim, tables: Tables) -> Measured | None:
    assert claim.quantity is not None
    runs, excluded = _usable(tables.runs, claim.quantity, claim.null.quantity if claim.null else None)
    values = _by_seed(runs, claim.quantity)
    null = _by_seed(runs, claim.null.quantity) if claim.null and claim.null.quantity else None
    p = equivalence_p(values, claim.margin) if claim.expected == "equivalent" else mean_p(values)
    return Measured(values, p, len(runs), excluded, null)


def _trend(claim: Claim, tables: Tables) -> Measured | None:
    assert claim.quantity is not None
    factor = claim.options["factor"]
    swept = sweep(tables.runs, factor)
    null_quantity = claim.null.quantity if claim.null else None
    runs, excluded = _usable(swept, claim.quantity, null_quantity)
    series = sweep_series(runs, factor, claim.quantity.of(runs))
    if not series:
        return None
    values = slopes(series)
    if claim.expected == "equivalent":
        p = equivalence_p(values, claim.margin)
    else:
        p = permutation_p(series, claim_stream(claim, tables, "null"))
    null_values, interval = None, None
    if null_quantity:
        null_values = slopes(sweep_series(runs, factor, null_quantity.of(runs)))
    elif claim.null and claim.null.name == "test_samples" and factor in tables.samples:
        interval = _over_samples(claim, tables, factor)
    return Measured(values, p, len(runs), excluded, null_values, interval)


def _over_samples(claim: Claim, tables: Tables, factor: str) -> tuple[float, float] | None:
    per_sample = tables.samples[factor].dropna().to_numpy(float)
    return bootstrap_interval(per_sample, claim_stream(claim, tables, "bootstrap")) if len(per_sample) > 1 else None


def _rank(claim: Claim, tables: Tables) -> Measured | None:
    assert claim.quantity is not None
    assert claim.target is not None
    within = claim.options["scope"] == "within"
    runs, excluded = _usable(tables.runs, claim.quantity, claim.target, *claim.rivals)

    def ranks(target: Quantity, predictor: Quantity) -> np.ndarray:
        return rank_correlations(runs, target, predictor, within)

    own = ranks(claim.target, claim.quantity)
    if not len(own):
        return None
    details = [_interval_row(claim.quantity.label, own)]
    if not claim.rivals:
        null = None
        if claim.null and claim.null.quantity:
            null = ranks(claim.null.target or claim.target, claim.null.quantity)
        return Measured(own, mean_p(own), len(runs), excluded, null, details=details)
    advantages = {rival.label: own - ranks(claim.target, rival) for rival in claim.rivals}
    details += [_interval_row(label, own - advantage) for label, advantage in advantages.items()]
    worst = min(advantages, key=lambda label: float(np.mean(advantages[label])))
    values = advantages[worst]
    if np.mean(values) > 0:  # every rival must be beaten: the largest p-value decides
        p = float(np.max([mean_p(advantage) for advantage in advantages.values()]))
    else:  # one of several rivals is better: its p-value, for having been chosen among them
        p = min(1.0, len(advantages) * mean_p(values))
    return Measured(values, p, len(runs), excluded, own - values, against=worst, details=details)


def _interval_row(label: str, values: np.ndarray) -> dict[str, Any]:
    mean, half = mean_interval(values)
    return {"predictor": label, "estimate": float(mean), "interval": [float(mean - half), float(mean + half)]}


def _untested(_claim: Claim, _tables: Tables) -> None:
    return None


def sweep(runs: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The runs of a factor's sweep, the baseline among them; none where the config does not sweep it."""
    if not (runs["factor"] == factor).any():
        return runs.iloc[:0]
    return runs[runs["factor"].isin([factor, BASELINE])]


def sweep_series(runs: pd.DataFrame, factor: str, y: np.ndarray) -> list[Series]:
    """One series per seed along a sweep: x runs from 0 at the smallest value that is left to 1 at the largest.

    Values are placed by rank, so that x = 1 means the whole sweep whatever the spacing of its values. Seeds with fewer
    than two values tell nothing and are left out.
    """
    levels = {value: place for place, value in enumerate(sorted(runs[factor].unique()))}
    if len(levels) < 2:
        return []
    x = runs[factor].map(levels).to_numpy(float) / (len(levels) - 1)
    seeds = runs["seed"].to_numpy()
    groups = [seeds == seed for seed in np.unique(seeds)]
    return [Series(x[group], y[group]) for group in groups if group.sum() > 1]


def rank_correlations(runs: pd.DataFrame, target: Quantity, predictor: Quantity, within: bool) -> np.ndarray:
    """(S,) Spearman's correlation of two quantities over the runs of each seed.

    Args:
        runs: the runs.
        target: what is ranked.
        predictor: what ranks it.
        within: correlate within each factor's sweep, and average over the factors.
    """
    x, y = target.of(runs), predictor.of(runs)
    found = []
    for seed in sorted(runs["seed"].unique()):
        of_seed = (runs["seed"] == seed).to_numpy()
        if within:
            groups = [of_seed & mask for mask in _sweep_masks(runs)]
            values = [_spearman(x[group], y[group]) for group in groups if group.sum() >= _LEAST_RUNS]
            found.append(float(np.mean(values)) if values else np.nan)
        else:
            found.append(_spearman(x[of_seed], y[of_seed]) if of_seed.sum() >= _LEAST_RUNS else np.nan)
    kept = np.array(found)
    return np.asarray(kept[np.isfinite(kept)])


def _sweep_masks(runs: pd.DataFrame) -> Iterator[np.ndarray]:
    for factor in runs["factor"].unique():
        if factor != BASELINE:
            yield runs["factor"].isin([factor, BASELINE]).to_numpy()


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(x), rankdata(y)
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _usable(runs: pd.DataFrame, *quantities: Quantity | None) -> tuple[pd.DataFrame, int]:
    """The converged runs for which every quantity is known, and how many runs are left out."""
    good = (runs["ended"] == "converged").to_numpy()
    for quantity in quantities:
        if quantity is not None:
            good = good & np.isfinite(quantity.of(runs))
    return runs[good], int((~good).sum())


def _by_seed(runs: pd.DataFrame, quantity: Quantity) -> np.ndarray:
    values = pd.Series(quantity.of(runs), index=runs.index)
    return values.groupby(runs["seed"]).mean().to_numpy(float)


_KINDS: Mapping[str, Callable[[Claim, Tables], Measured | None]] = MappingProxyType(
    {
        "largest": _largest,
        "mean": _mean,
        "trend": _trend,
        "rank": _rank,
        "none": _untested,
        "acting": _untested,  # decided from the verdicts of the grid, see awduality.claims.evaluate
    }
)
