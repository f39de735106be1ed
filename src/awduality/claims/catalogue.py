"""The claims under test, as data: ``config/claims.yaml``, checked, and its grid of factors × measures expanded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from awduality.config import schema_problems
from awduality.errors import InputError
from studies.sweeps.study import FACTORS


@dataclass(frozen=True)
class Quantity:
    """A product of powers of columns, compared as it is or by ratios."""

    columns: Mapping[str, float]
    log: bool
    label: str

    def of(self, table: pd.DataFrame) -> np.ndarray:
        """(rows,) the values, logarithms where ratios are compared (of positive columns only); NaN where there is none.

        Raises:
            InputError: a column does not exist.
        """
        missing = [name for name in self.columns if name not in table]
        if missing:
            raise InputError(f"the table of runs lacks the columns {', '.join(missing)}, which a claim reads")
        columns = {name: table[name].to_numpy(float) for name in self.columns}
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.log:
                values = np.sum([power * np.log(columns[name]) for name, power in self.columns.items()], axis=0)
            else:
                values = np.prod([columns[name] ** power for name, power in self.columns.items()], axis=0)
        return np.where(np.isfinite(values), values, np.nan)


@dataclass(frozen=True)
class Null:
    """The control that a claim must beat."""

    name: str
    rule: str = ""
    quantity: Quantity | None = None
    target: Quantity | None = None


@dataclass(frozen=True)
class Claim:
    """One statement under test."""

    id: str
    of: str  # the claim of the paper that it is part of
    statement: str
    known_from: str
    kind: str
    expected: str  # "+", "-", "any" or "equivalent"
    margin: float  # of "equivalent"; NaN otherwise
    why: str
    identity: bool = False
    null: Null | None = None
    quantity: Quantity | None = None
    target: Quantity | None = None
    rivals: Sequence[Quantity] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # the rest of the statistic, by its kind


@dataclass(frozen=True)
class Claims:
    """All claims, and the level at which the family is tested."""

    level: float
    claims: Sequence[Claim]


def read_claims(content: Mapping[str, Any], schema: Mapping[str, Any]) -> Claims:
    """Check the content of ``config/claims.yaml`` and expand its grid.

    Raises:
        InputError: all problems found, one per line.
    """
    problems = list(schema_problems(content, schema))
    found: list[Claim] = []
    if not problems:
        found = [claim_from(entry) for entry in content["claims"]] + list(_grid(content["grid"]))
        problems = list(_contradictions(content, found))
    if problems:
        raise InputError("the claims cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return Claims(content["level"], found)


def claim_from(entry: Mapping[str, Any]) -> Claim:
    """One claim, from its entry in a file that was found to fit its schema."""
    statistic = dict(entry["statistic"])
    expected, margin = _expected(entry["expected"])
    return Claim(
        id=entry["id"],
        of=entry["of"],
        statement=entry["statement"],
        known_from=entry["known_from"],
        kind=statistic.pop("kind"),
        expected=expected,
        margin=margin,
        why=entry["why"],
        identity=entry.get("identity", False),
        null=_null(entry.get("control")),
        quantity=_quantity(statistic.pop("quantity", None)),
        target=_quantity(statistic.pop("target", None)),
        rivals=[quantity for given in statistic.pop("rivals", []) if (quantity := _quantity(given))],
        options=statistic,
    )


def _grid(grid: Mapping[str, Any]) -> Iterator[Claim]:
    for factor, row in grid["factors"].items():
        for measure, expectation in row["expected"].items():
            entry = grid["measures"].get(measure)
            if entry is None or factor not in FACTORS:
                continue  # reported by _contradictions
            expected, margin = _expected(expectation)
            yield Claim(
                id=f"{factor}/{measure}",
                of=row["of"],
                statement=_sentence(factor, entry["words"], expected),
                known_from=row["known_from"],
                kind="trend",
                expected=expected,
                margin=margin,
                why=grid["why"],
                null=_null(entry["control"]),
                quantity=_quantity(entry["quantity"]),
                options={"factor": factor},
            )


def _sentence(factor: str, words: str, expected: str) -> str:
    does = {"+": "raises", "-": "lowers", "any": "changes", "equivalent": "leaves about the same"}[expected]
    name = FACTORS[factor].plain
    name = name if name[1:2].isdigit() else name[:1].lower() + name[1:]
    return f"A larger {name} {does} {words}."


def _expected(text: str) -> tuple[str, float]:
    if text.startswith("equivalent"):
        return "equivalent", float(text.removeprefix("equivalent(").removesuffix(")"))
    return text, float("nan")


def _quantity(entry: Mapping[str, Any] | None) -> Quantity | None:
    if entry is None:
        return None
    label = entry.get("label", " × ".join(entry["columns"]))
    return Quantity(entry["columns"], entry.get("scale") == "log", label)


def _null(entry: Mapping[str, Any] | None) -> Null | None:
    if entry is None:
        return None
    return Null(entry["name"], entry.get("rule", ""), _quantity(entry.get("quantity")), _quantity(entry.get("target")))


IN_THE_TEST = ("permutation", "rivals", "ssgd", "choices")
"""Nulls that the test itself is against."""

_WITHOUT_QUANTITY = (*IN_THE_TEST, "test_samples")

_NEEDS = {
    "largest": ("columns",),
    "mean": ("quantity",),
    "trend": ("quantity", "factor"),
    "rank": ("quantity", "target", "scope"),
    "acting": ("factors", "through"),
    "none": ("reason",),
}


def _contradictions(content: Mapping[str, Any], claims: Sequence[Claim]) -> Iterator[str]:
    """What the schema does not say: unknown factors and measures, ids used twice, statistics that lack a part."""
    measures, factors = content["grid"]["measures"], content["grid"]["factors"]
    for factor, row in factors.items():
        if factor not in FACTORS:
            yield f"grid.factors: unknown factor {factor!r}: the factors are {', '.join(FACTORS)}"
        if set(row["expected"]) != set(measures):
            different = sorted(set(row["expected"]) ^ set(measures))
            yield f"grid.factors.{factor}.expected: wanted every measure once; missing or unknown: {different}"
    yield from repeated_ids(claims)
    for entry in content["claims"]:
        statistic = entry["statistic"]
        for part in _NEEDS[statistic["kind"]]:
            if part not in statistic:
                yield f"claims.{entry['id']}.statistic: kind {statistic['kind']!r} needs {part!r}"
        if statistic.get("factor", next(iter(FACTORS))) not in FACTORS:
            yield f"claims.{entry['id']}.statistic: unknown factor {statistic['factor']!r}: wanted {', '.join(FACTORS)}"
        needed = ["gap", "train_loss"] if statistic["kind"] == "acting" else []
        for part, known in (("factors", factors), ("through", measures)):
            for name in [*statistic.get(part, []), *(needed if part == "through" else [])]:
                if name not in known:
                    yield f"claims.{entry['id']}.statistic: {name!r} is not in the grid, wanted {', '.join(known)}"
    for claim in claims:
        yield from control_problems(claim)
        if claim.identity != (claim.kind == "largest") or (claim.identity and claim.expected != "equivalent"):
            yield f"claims.{claim.id}: an identity has a statistic of kind 'largest' and expects equivalent(margin)"


def repeated_ids(claims: Sequence[Claim]) -> Iterator[str]:
    """Ids that are used more than once."""
    names = [claim.id for claim in claims]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"claims: the id {name!r} is used {names.count(name)} times"


def control_problems(claim: Claim) -> Iterator[str]:
    """What a claim's control lacks."""
    if claim.null and claim.null.name not in _WITHOUT_QUANTITY and not claim.null.quantity:
        yield f"claims.{claim.id}.control: the null {claim.null.name!r} needs a quantity"
    if claim.null and claim.null.quantity and not claim.null.rule:
        yield f"claims.{claim.id}.control: a quantity under the null needs a rule, exceeds or persists"
