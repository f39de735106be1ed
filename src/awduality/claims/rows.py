"""Which rows of a table a claim is about, and what they give per seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity, did_you_mean, listed
from awduality.claims.kind import RUNS, Registry, Shape, Tables
from awduality.claims.statistics import mean_interval
from awduality.errors import InputError

Selection = Mapping[str, Any]
"""Column → the value that it must have, or a list of them."""

CONVERGED = "converged"

_VALUE: Shape = {"type": ["string", "number", "boolean"]}
SELECTION: Shape = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"anyOf": [_VALUE, {"type": "array", "minItems": 1, "items": _VALUE}]},
    "description": "column -> its value, or a list of values",
}
QUANTITY: Shape = {"$ref": "#/$defs/quantity"}
NAMES: Shape = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "description": "a name"},
    "description": "names",
}
NUMBER: Shape = {"type": "number", "description": "a number"}
ROWS: Mapping[str, Shape] = {
    "table": {"type": "string", "description": "the table beside the figures, without .csv; runs by default"},
    "experiments": {**NAMES, "description": "rows of runs that one of these experiments asks for; by default all"},
    "where": SELECTION,
    "runs": {"enum": [CONVERGED, "all"], "description": "which runs count, by how they ended; converged by default"},
}
"""What most statistics may say of the rows that they are about."""


def table_of(claim: Claim) -> str:
    """The table that a claim reads."""
    return str(claim.options.get("table", RUNS))


def rows_of(claim: Claim, tables: Tables) -> pd.DataFrame:
    """The rows that a claim is about, however their runs ended, numbered from 0."""
    rows = tables[table_of(claim)]
    if names := claim.options.get("experiments"):
        rows = asked_for(rows, names)
    if where := claim.options.get("where"):
        rows = rows[chosen(rows, where)]
    return rows.reset_index(drop=True)


def no_rows(claim: Claim, tables: Tables) -> str | None:
    """Why a claim has no rows, where it names experiments that the config has none of; None where that is not why."""
    table, names = tables[table_of(claim)], claim.options.get("experiments", [])
    known = dict.fromkeys(name for asked in table["experiments"].dropna() for name in asked.split()) if names else {}
    if not names or set(names) & set(known):
        return None
    return f"no runs of the experiments {listed(names)} in this config, only of {listed(known)}"


def asked_for(rows: pd.DataFrame, experiments: Sequence[str]) -> pd.DataFrame:
    """The rows of runs that any of the experiments asks for."""
    asked = rows["experiments"].fillna("").str.split()
    return rows[np.array([not set(experiments).isdisjoint(of_run) for of_run in asked], dtype=bool)]


def chosen(rows: pd.DataFrame, selection: Selection) -> np.ndarray:
    """(rows,) whether a row has the values of a selection; numbers to nine digits, since text may not keep all.

    Raises:
        InputError: a column of numbers is compared with text.
    """
    good = np.ones(len(rows), dtype=bool)
    for name, given in selection.items():
        column = rows[name]
        found = np.zeros(len(rows), dtype=bool)
        for value in _values(given):
            if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
                if isinstance(value, str) and len(rows):
                    raise InputError(f"{name}: got the text {value!r} for a column of numbers: write it as a number")
                found |= np.zeros(len(rows), bool) if isinstance(value, str) else np.isclose(column, value, 1e-9, 0)
            else:
                found |= (column == value).to_numpy(bool)
        good &= found
    return good


def _values(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def selection_in_words(selection: Selection) -> str:
    """The same for a reader."""
    return ", ".join(
        f"{name.replace('_', ' ')} = {' or '.join(_in_words(value) for value in _values(given))}"
        for name, given in selection.items()
    )


def _in_words(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def rows_in_words(claim: Claim) -> str:
    """What a claim's rows are, as the end of its statistic; empty where it is about all converged runs."""
    options = claim.options
    parts = [f"where {selection_in_words(options['where'])}"] if "where" in options else []
    parts += [f"in {' and '.join(options['experiments'])}"] if "experiments" in options else []
    parts += ["all runs"] if options.get("runs") == "all" else []
    return "".join(f", {part}" for part in parts)


def columns_of(claim: Claim, *selections: str, **rest: Any) -> dict[str, list[str]]:
    """The columns that a claim reads of its table.

    Args:
        claim: the claim.
        selections: parts of its statistic that are selections; ``where`` is one.
        rest: further columns, by part.
    """
    found = [name for quantity in claim.quantities for name in quantity.columns]
    for part in ("where", *selections):
        found += claim.options.get(part, {})
    found += ["experiments"] if "experiments" in claim.options else []
    for names in rest.values():
        found += names
    return {table_of(claim): found}


def row_problems(claim: Claim, registry: Registry, *selections: str) -> Iterator[str]:
    """Experiments that the study does not know, and values that a setting cannot have."""
    for name in claim.options.get("experiments", []):
        if registry.experiments and name not in registry.experiments:
            known = registry.experiments
            yield f"statistic.experiments: got {name!r}, wanted one of {listed(known)}{did_you_mean(name, known)}"
    for part in ("where", *selections):
        yield from selection_problems(part, claim.options.get(part, {}), registry)


def selection_problems(part: str, selection: Selection, registry: Registry) -> Iterator[str]:
    """Values that a setting cannot have."""
    for name, given in selection.items():
        choices = registry.settings[name].choices if name in registry.settings else {}
        for value in _values(given):
            if choices and value not in choices:
                known = listed(choices)
                yield f"statistic.{part}.{name}: got {value!r}, wanted one of {known}{did_you_mean(value, choices)}"


def counted(claim: Claim, rows: pd.DataFrame, *quantities: Quantity) -> np.ndarray:
    """(rows,) whether a row counts: its run ended as the claim asks, and every quantity is known."""
    good = np.ones(len(rows), dtype=bool)
    if claim.options.get("runs", CONVERGED) == CONVERGED and "ended" in rows:
        good &= (rows["ended"] == CONVERGED).to_numpy()
    for quantity in quantities:
        good &= np.isfinite(quantity.of(rows))
    return good


def by_seed(rows: pd.DataFrame, values: np.ndarray) -> pd.Series:
    """Seed → the mean of the values of its rows."""
    return pd.Series(values, index=rows.index).groupby(rows["seed"]).mean()


def interval_row(values: np.ndarray) -> dict[str, Any]:
    """The mean of some values with its 95% interval, and their median, for the details of a claim."""
    mean, half = mean_interval(values) if len(values) else (np.nan, np.nan)
    median = float(np.median(values)) if len(values) else np.nan
    return {"estimate": float(mean), "interval": [float(mean - half), float(mean + half)], "median": median}


def too_few(seeds: int, rows: pd.DataFrame, least: int, what: str = "rows that count") -> str:
    """Why nothing is tested."""
    of = rows["seed"].nunique() if "seed" in rows else 0
    return f"{seeds} of {of} seeds have {what}; {least} are needed"
