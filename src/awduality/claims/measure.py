"""Each kind of statistic, measured: one value per seed, for the claim and for its null.

Sharpness is compared between runs of the same training loss, so only converged runs count; the others are reported as
excluded. Only identities are checked on every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity
from awduality.claims.statistics import (
    bootstrap_interval,
    equivalence_p,
    mean_interval,
    mean_p,
    permutation_p,
    slopes,
    sweep_series,
)
from awduality.errors import InputError
from awduality.streams import stream
from studies.sweeps.study import BASELINE

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
    interval: tuple[float, float] | None = None  # where it is not Student's t-interval of the values

    @property
    def estimate(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values)) if len(self.values) else float("nan")


def measure(claim: Claim, tables: Tables) -> Measured | None:
    """Measure one claim; None where the config has no runs for it."""
    found = _KINDS[claim.kind](claim, tables)
    return found if found is not None and len(found.values) else None


def claim_stream(claim: Claim, root_seed: int, purpose: Any) -> np.random.Generator:
    """Random numbers that depend on the root seed and the claim's id, not on which other claims are tested."""
    index = int.from_bytes(hashlib.sha256(claim.id.encode()).digest()[:6], "big")
    return stream(root_seed, purpose, index)


def _largest(claim: Claim, tables: Tables) -> Measured | None:
    table = tables.null_runs if claim.options.get("table") == "null-runs" else tables.runs
    columns = list(claim.options["columns"])
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"claim {claim.id}: there is no column {', '.join(missing)}")
    values = table[columns].to_numpy(float)
    found = values[~np.isnan(values).all(axis=1)]
    return Measured(np.array([np.nanmax(found)]), n=len(found)) if len(found) else None


def _mean(claim: Claim, tables: Tables) -> Measured | None:
    assert claim.quantity is not None
    runs, excluded = _usable(tables.runs, claim.quantity, claim.null.quantity if claim.null else None)
    values = _by_seed(runs, claim.quantity)
    null = _by_seed(runs, claim.null.quantity) if claim.null and claim.null.quantity else None
    p = equivalence_p(values, claim.margin) if claim.expected == "equivalent" else mean_p(values)
    return Measured(values, p, len(runs), excluded, null, details=_shuffled(runs, claim.quantity))


def _shuffled(runs: pd.DataFrame, quantity: Quantity) -> list[dict[str, Any]]:
    """The same with shuffled scalars, for the reader, where the pipeline has measured it."""
    columns = {f"{name}_shuffled": power for name, power in quantity.columns.items()}
    if not set(columns) <= set(runs):
        return []
    return [_interval_row("shuffled scalars", _by_seed(runs, Quantity(columns, quantity.log, "")))]


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
        p = permutation_p(series, claim_stream(claim, tables.root_seed, "null"))
    null_values, interval = None, None
    if null_quantity:
        null_values = slopes(sweep_series(runs, factor, null_quantity.of(runs)))
    elif claim.null and claim.null.name == "test_samples":
        interval = _over_samples(claim, tables, factor)
    return Measured(values, p, len(runs), excluded, null_values, interval)


def _over_samples(claim: Claim, tables: Tables, factor: str) -> tuple[float, float]:
    if factor not in tables.samples:
        raise InputError(f"claim {claim.id}: the table of test samples has no column {factor!r}: run figure_numbers.py")
    values = tables.samples[factor].to_numpy(float)
    return bootstrap_interval(values, claim_stream(claim, tables.root_seed, "bootstrap"))


def _rank(claim: Claim, tables: Tables) -> Measured | None:
    assert claim.quantity is not None
    assert claim.target is not None
    within = claim.options["scope"] == "within"
    under_null = (claim.null.quantity, claim.null.target) if claim.null else ()
    runs, excluded = _usable(tables.runs, claim.quantity, claim.target, *claim.rivals, *under_null)

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
    leads = {rival.label: own - ranks(claim.target, rival) for rival in claim.rivals}
    details += [_interval_row(label, own - lead) for label, lead in leads.items()]
    if within:
        details += list(_per_factor(runs, claim.target, [claim.quantity, *claim.rivals]))
    p_values = {label: mean_p(lead) for label, lead in leads.items()}
    decides = min(leads, key=lambda label: float(np.mean(leads[label])))
    p = float(np.minimum(1.0, len(leads) * p_values[decides]))  # a rival that is better, chosen among several
    if np.mean(leads[decides]) > 0:  # none is: every rival must be beaten, so the least certain lead decides
        decides = max(p_values, key=lambda label: p_values[label])
        p = p_values[decides]
    lead = leads[decides]
    return Measured(lead, p, len(runs), excluded, own - lead, against=decides, details=details)


def _per_factor(runs: pd.DataFrame, target: Quantity, predictors: Sequence[Quantity]) -> Iterator[dict[str, Any]]:
    """How well each predictor ranks within each sweep, for the reader."""
    for factor in _factors(runs):
        swept = sweep(runs, factor)
        for predictor in predictors:
            found = rank_correlations(swept, target, predictor, within=False)
            if len(found):
                yield {"factor": factor, **_interval_row(predictor.label, found)}


def _interval_row(label: str, values: np.ndarray) -> dict[str, Any]:
    mean, half = mean_interval(values)
    return {"predictor": label, "estimate": float(mean), "interval": [float(mean - half), float(mean + half)]}


def _untested(_claim: Claim, _tables: Tables) -> None:
    return None


def sweep(runs: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The runs of a factor's sweep, the baseline among them; none where the config does not sweep it."""
    return runs[_in_sweep(runs, factor)] if factor in _factors(runs) else runs.iloc[:0]


def _factors(runs: pd.DataFrame) -> list[str]:
    """The factors that are swept."""
    return [factor for factor in runs["factor"].unique() if factor != BASELINE]


def _in_sweep(runs: pd.DataFrame, factor: str) -> np.ndarray:
    return runs["factor"].isin([factor, BASELINE]).to_numpy()


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
            groups = [of_seed & _in_sweep(runs, factor) for factor in _factors(runs)]
            values = [_spearman(x[group], y[group]) for group in groups if group.sum() >= _LEAST_RUNS]
            found.append(float(np.mean(values)) if values else np.nan)
        else:
            found.append(_spearman(x[of_seed], y[of_seed]) if of_seed.sum() >= _LEAST_RUNS else np.nan)
    kept = np.array(found)
    return np.asarray(kept[np.isfinite(kept)])


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
