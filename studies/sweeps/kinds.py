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

from awduality.claims.catalogue import Claim, Quantity, expectation, listed
from awduality.claims.frame import Mean
from awduality.claims.kind import RUNS, Kind, Row, Shape, Tables
from awduality.claims.ordered import Rank, predictor_row, rank_correlations, spearman
from awduality.claims.rows import by_seed, columns_of
from studies.sweeps.acting import Acting
from studies.sweeps.study import FACTORS
from studies.sweeps.trends import SweepTrend, factors_of, in_sweep, sweep

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
            groups = [of_seed & in_sweep(rows, factor) for factor in factors_of(rows)]
            within = [value for group in groups if np.isfinite(value := spearman(x[group], y[group]))]
            found += [float(np.mean(within))] if within else []
        return np.array(found)

    def details(self, claim: Claim, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """How well each predictor ranks within each sweep, where ranks are within sweeps."""
        assert claim.quantity is not None
        assert claim.target is not None
        details = []
        for factor in factors_of(rows) if claim.options["scope"] == "within" else []:
            swept = sweep(rows, factor)
            for predictor in (claim.quantity, *claim.rivals):
                found = rank_correlations(swept, claim.target, predictor)
                if len(found):
                    details.append({"factor": factor, **predictor_row(predictor.label, found)})
        return details

    def words(self, claim: Claim) -> str:
        """The correlation."""
        return "mean over seeds of Spearman's correlation" + (" minus that of the best rival" if claim.rivals else "")


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
                "statistic": {
                    "kind": "trend",
                    "quantity": entry["quantity"],
                    "factor": factor,
                    **_matched(factor, entry, row["expected"], grid["measures"]),
                },
                "control": entry["control"],
                "expected": expected,
                "why": grid["why"],
            }


def _matched(
    factor: str, entry: Mapping[str, Any], expected: Mapping[str, str], measures: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What a measure of the grid must be matched in; nothing where it need not be."""
    name = entry.get("matched")
    if name is None or name not in measures or not expected.get(name, "").startswith("equivalent"):
        return {}  # none, or reported by problems
    check = {"claim": f"{factor}/{name}", "quantity": measures[name]["quantity"]}
    return {"matched": {**check, "margin": expectation(expected[name])[1]}}


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
    for measure, entry in measures.items():
        matched = entry.get("matched")
        if matched is not None and matched not in measures:
            yield f"grid.measures.{measure}.matched: {matched!r} is not in the grid, wanted {listed(measures)}"
        for factor, row in factors.items() if matched in measures else ():
            if not row["expected"].get(matched, "").startswith("equivalent"):
                yield f"grid.factors.{factor}.expected.{matched}: {measure} is matched in it: wanted equivalent(margin)"
    known = {f"{factor}/{measure}" for factor in factors for measure in measures}
    known |= {entry["id"] for entry in content["claims"]}
    for entry in content["claims"]:
        statistic = entry["statistic"]
        if "matched" in statistic and statistic["matched"]["claim"] not in known:
            yield f"claims.{entry['id']}.statistic.matched.claim: there is no claim {statistic['matched']['claim']!r}"
        needed = ["gap", "train_loss"] if statistic["kind"] == "acting" else []
        for part, there in (("factors", factors), ("through", measures)):
            for name in [*statistic.get(part, []), *(needed if part == "through" else [])]:
                if name not in there:
                    yield f"claims.{entry['id']}.statistic: {name!r} is not in the grid, wanted {listed(there)}"
