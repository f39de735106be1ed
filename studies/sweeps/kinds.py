"""The claims of the sweeps: trends along a sweep, ranks within sweeps, and the grid of factors × measures.

Sharpness is compared between runs of the same training loss, so only converged runs count; the others are reported as
excluded. Only identities are checked on every run. Every layer is judged on its own, all in one family.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity, listed
from awduality.claims.frame import Mean
from awduality.claims.kind import RUNS, Kind, Registry, Row, Shape, Tables, claim_stream
from awduality.claims.ordered import Rank, Trend, predictor_row, rank_correlations, spearman
from awduality.claims.rows import by_seed, columns_of
from awduality.claims.statistics import bootstrap_interval
from awduality.errors import InputError
from studies.sweeps.acting import Acting
from studies.sweeps.study import BASELINE, FACTORS

PAPER: Mapping[str, str] = MappingProxyType(
    {
        "duality": "every change of the input of a layer has a dual change of its weights",
        "decomposition": "the gap is the sum over directions of correlation × sharpness × size",
        "size-norm": "size follows the norm of the weights",
        "codeterminants": "sharpness and size together rank solutions by their gap",
        "factors": "regularization schemes act through sharpness or size",
        "init-scale": "a larger initial scale gives larger weights",
        "multi-learner": "decentralised training finds flatter solutions of the same size",
    }
)
"""The claims of the paper, by the key that tests name."""

REVERSED = "_reversed"
"""What is appended to a column's name for the second pairing."""

SAMPLES = "samples"
"""The table with a row per test sample: per factor the slope of its loss along the sweep."""

_FACTOR: Mapping[str, Shape] = {"factor": {"type": "string", "description": "the factor of a trend"}}


def parts(tables: Tables) -> Iterator[tuple[Row, Tables]]:
    """Every layer: a row per run, with the columns of the second pairing beside those of the first."""
    runs, null_runs = tables.frames[RUNS], tables.frames["null-runs"]
    labels = {name: str(found) for name in ("config", "dataset") for found in runs[name][:1]}
    for layer in runs["layer"].unique():
        here = {
            RUNS: one_row_per_run(runs[runs["layer"] == layer]),
            "null-runs": null_runs[null_runs["layer"] == layer],
        }
        yield {**labels, "layer": str(layer)}, Tables({**tables.frames, **here}, tables.root_seed, tables.settings)


def one_row_per_run(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first pairing, with the columns of the second beside them, empty where there is none."""
    pairings = runs["pairing"].unique()
    first = runs[runs["pairing"] == pairings[0]].set_index("run", drop=False).rename_axis(None)
    second = runs[runs["pairing"] == pairings[1]] if len(pairings) > 1 else runs.iloc[:0]
    joined: pd.DataFrame = first.join(second.set_index("run").add_suffix(REVERSED))
    return joined


def sweep(runs: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The runs of a factor's sweep, the baseline among them; none where the config does not sweep it."""
    return runs[_in_sweep(runs, factor)] if factor in _factors(runs) else runs.iloc[:0]


def _factors(runs: pd.DataFrame) -> list[str]:
    """The factors that are swept."""
    return [factor for factor in runs["factor"].unique() if factor != BASELINE]


def _in_sweep(runs: pd.DataFrame, factor: str) -> np.ndarray:
    return runs["factor"].isin([factor, BASELINE]).to_numpy()


class MeanOfLayer(Mean):
    """A mean, told with shuffled scalars where the pipeline has measured those."""

    least_seeds = 0

    def details(self, claim: Claim, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """The same with shuffled scalars, for the reader."""
        assert claim.quantity is not None
        columns = {f"{name}_shuffled": power for name, power in claim.quantity.columns.items()}
        if not set(columns) <= set(rows):
            return []
        shuffled = Quantity(columns, claim.quantity.log, "")
        return [predictor_row("shuffled scalars", by_seed(rows, shuffled.of(rows)).to_numpy(float))]


class SweepTrend(Trend):
    """The change of a quantity along a sweep, from one end to the other."""

    needs: Mapping[str, Shape] = {"quantity": Trend.needs["quantity"], **_FACTOR}
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

    def over_samples(self, claim: Claim, tables: Tables) -> tuple[float, float]:
        """The interval of the slope over test samples."""
        samples, factor = tables.frames[SAMPLES], self.over(claim)
        if factor not in samples:
            raise InputError(
                f"claim {claim.id}: the table of test samples has no column {factor!r}: make the tables again"
            )
        values = samples[factor].to_numpy(float)
        return bootstrap_interval(values, claim_stream(claim, tables.root_seed, "bootstrap"))


class SweepRank(Rank):
    """Spearman's correlation over all runs of a seed, or within each factor's sweep and averaged over factors."""

    needs: Mapping[str, Shape] = {
        **Rank.needs,
        "scope": {"enum": ["overall", "within"], "description": "rank over all runs of a seed or within each factor"},
    }
    least_seeds = 0

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """The factor that a run belongs to, too."""
        return columns_of(claim, rest=["factor", "seed"])

    def ranks(self, claim: Claim, rows: pd.DataFrame, target: Quantity, predictor: Quantity) -> np.ndarray:
        """(S,) the correlation in every seed."""
        if claim.options["scope"] == "overall":
            return rank_correlations(rows, target, predictor)
        x, y = target.of(rows), predictor.of(rows)
        found = []
        for seed in sorted(rows["seed"].unique()):
            of_seed = (rows["seed"] == seed).to_numpy()
            groups = [of_seed & _in_sweep(rows, factor) for factor in _factors(rows)]
            within = [value for group in groups if np.isfinite(value := spearman(x[group], y[group]))]
            found += [float(np.mean(within))] if within else []
        return np.array(found)

    def details(self, claim: Claim, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """How well each predictor ranks within each sweep, where ranks are within sweeps."""
        assert claim.quantity is not None
        assert claim.target is not None
        details = []
        for factor in _factors(rows) if claim.options["scope"] == "within" else []:
            swept = sweep(rows, factor)
            for predictor in (claim.quantity, *claim.rivals):
                found = rank_correlations(swept, claim.target, predictor)
                if len(found):
                    details.append({"factor": factor, **predictor_row(predictor.label, found)})
        return details

    def words(self, claim: Claim) -> str:
        """The correlation."""
        return "mean over seeds of Spearman's correlation" + (" minus that of the best rival" if claim.rivals else "")


def factor_problems(claim: Claim) -> Iterator[str]:
    """A factor that does not exist."""
    factor = claim.options.get("factor")
    if factor is not None and factor not in FACTORS:
        yield f"statistic: unknown factor {factor!r}: wanted {listed(FACTORS)}"


KINDS: Mapping[str, Kind] = MappingProxyType(
    {"mean": MeanOfLayer(), "trend": SweepTrend(), "rank": SweepRank(), "acting": Acting()}
)


FORMS = ("grid",)
"""Keys of the file that state claims in a way of this study's own."""


def further_claims(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The grid of a file of claims: for every factor and measure, the trend of the measure along the sweep."""
    grid = content.get("grid", {"factors": {}})
    for factor, row in grid["factors"].items():
        for measure, expected in row["expected"].items():
            entry = grid["measures"].get(measure)
            if entry is None or factor not in FACTORS:
                continue  # reported by problems
            yield {
                "id": f"{factor}/{measure}",
                "of": row["of"],
                "statement": _sentence(factor, entry["words"], expected),
                "known_from": row["known_from"],
                "statistic": {"kind": "trend", "quantity": entry["quantity"], "factor": factor},
                "control": entry["control"],
                "expected": expected,
                "why": grid["why"],
            }


def _sentence(factor: str, words: str, expected: str) -> str:
    does = {"+": "raises", "-": "lowers", "any": "changes"}.get(expected, "leaves about the same")
    name = FACTORS[factor].plain
    name = name if name[1:2].isdigit() else name[:1].lower() + name[1:]
    return f"A larger {name} {does} {words}."


def problems(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in the grid, and in claims that are decided from it."""
    grid = content.get("grid", {"factors": {}, "measures": {}})
    measures, factors = grid["measures"], grid["factors"]
    for factor, row in factors.items():
        if factor not in FACTORS:
            yield f"grid.factors: unknown factor {factor!r}: the factors are {listed(FACTORS)}"
        if set(row["expected"]) != set(measures):
            different = sorted(set(row["expected"]) ^ set(measures))
            yield f"grid.factors.{factor}.expected: wanted every measure once; missing or unknown: {different}"
    for entry in content["claims"]:
        statistic = entry["statistic"]
        needed = ["gap", "train_loss"] if statistic["kind"] == "acting" else []
        for part, known in (("factors", factors), ("through", measures)):
            for name in [*statistic.get(part, []), *(needed if part == "through" else [])]:
                if name not in known:
                    yield f"claims.{entry['id']}.statistic: {name!r} is not in the grid, wanted {listed(known)}"
