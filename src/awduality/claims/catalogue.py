"""The claims under test, as data: a file of them, read and checked against the schema and the kinds of a study."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from awduality.config import schema_problems
from awduality.errors import InputError

if TYPE_CHECKING:
    from awduality.claims.kind import Registry

OURS = "ours"
"""What a claim is part of that the paper does not make."""

LOG, LINEAR = "log", "linear"


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

    @property
    def words(self) -> str:
        """What it is called, and whether its logarithm is meant."""
        return f"{'log ' if self.log else ''}{self.label}"


@dataclass(frozen=True)
class Null:
    """The control that a claim must beat."""

    name: str
    rule: str = ""
    quantity: Quantity | None = None
    target: Quantity | None = None
    given: Quantity | None = None


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
    target: Quantity | None = None  # of a rank correlation: the other side
    on: Quantity | None = None  # of a slope: what the quantity is regressed on
    given: Quantity | None = None  # of a partial correlation: what is held fixed
    rivals: Sequence[Quantity] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # the rest of the statistic, by its kind
    headline: str = ""  # what the README's table calls it; empty where it does not stand there

    @property
    def quantities(self) -> list[Quantity]:
        """Everything that is measured of a row, for the claim and for its null."""
        null = [self.null.quantity, self.null.target, self.null.given] if self.null else []
        found = [self.quantity, self.target, self.on, self.given, *self.rivals, *null]
        return [quantity for quantity in found if quantity is not None]


@dataclass(frozen=True)
class Claims:
    """All claims, and the level at which the family is tested."""

    level: float
    claims: Sequence[Claim]


def read_claims(content: Mapping[str, Any], schema: Mapping[str, Any], registry: Registry) -> Claims:
    """Check the content of a file of claims, and take in those that it states in a way of its study's own.

    Args:
        content: of the file.
        schema: what every such file must look like; what a statistic may hold its kind says.
        registry: the kinds of statistic, and what else a study says of its claims.

    Raises:
        InputError: all problems found, one per line.
    """
    problems = [*schema_problems(content, schema), *_of_statistics(content, schema, registry)]
    found: list[Claim] = []
    if not problems:
        found = [claim_from(entry) for entry in [*content["claims"], *registry.further(content)]]
        problems = [*_of_no_study(content, registry), *registry.problems(content)]
        problems += _contradictions(content, found, registry)
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
        on=_quantity(statistic.pop("on", None)),
        given=_quantity(statistic.pop("given", None)),
        rivals=[quantity for given in statistic.pop("rivals", []) if (quantity := _quantity(given))],
        options=statistic,
        headline=entry.get("headline", ""),
    )


def _expected(text: str) -> tuple[str, float]:
    if text.startswith("equivalent"):
        return "equivalent", float(text.removeprefix("equivalent(").removesuffix(")"))
    return text, float("nan")


def _quantity(entry: Mapping[str, Any] | None) -> Quantity | None:
    if entry is None:
        return None
    label = entry.get("label", " × ".join(entry["columns"]))
    return Quantity(entry["columns"], entry.get("scale") == LOG, label)


def _null(entry: Mapping[str, Any] | None) -> Null | None:
    if entry is None:
        return None
    sides = (_quantity(entry.get(side)) for side in ("quantity", "target", "given"))
    return Null(entry["name"], entry.get("rule", ""), *sides)


IN_THE_TEST = ("permutation", "rivals", "ssgd", "choices")
"""Nulls that the test itself is against."""

TEST_SAMPLES = "test_samples"
"""The null that an effect is one of few test samples: its interval over samples must exclude zero as well."""


def _of_statistics(content: Mapping[str, Any], schema: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """What the kinds find wrong in their statistics, where an entry has come so far that they can be asked."""
    entries = content.get("claims") if isinstance(content, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        statistic = entry.get("statistic") if isinstance(entry, Mapping) else None
        if isinstance(statistic, Mapping) and isinstance(statistic.get("kind"), str):
            yield from _of_statistic(f"claims.{entry.get('id')}.statistic", statistic, schema, registry)


def _of_statistic(
    where: str, statistic: Mapping[str, Any], schema: Mapping[str, Any], registry: Registry
) -> Iterator[str]:
    kind = registry.kinds.get(statistic["kind"])
    if kind is None:
        got, known = statistic["kind"], list(registry.kinds)
        yield f"{where}.kind: got {got!r}, wanted one of {', '.join(known)}{did_you_mean(got, known)}"
        return
    shape = {"type": "object", "additionalProperties": False, "properties": {**kind.needs, **kind.may}}
    given = {key: value for key, value in statistic.items() if key != "kind"}
    yield from schema_problems({where: given}, {"properties": {where: shape}, "$defs": schema.get("$defs", {})})
    for part in kind.needs:
        if part not in given:
            yield f"{where}: kind {statistic['kind']!r} needs {part!r}"


def _of_no_study(content: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """Claims that the file states in a way that its study does not take in."""
    if "grid" in content and "grid" not in registry.forms:
        yield "grid: this study has no claims of this form: state them one by one, under claims"


def _contradictions(content: Mapping[str, Any], claims: Sequence[Claim], registry: Registry) -> Iterator[str]:
    """What no schema can say of a claim alone, and what of all together: ids used twice, claims of no paper."""
    yield from repeated_ids(claims)
    known = {**registry.paper, **content.get("paper", {})}
    for claim in claims:
        if claim.of not in (OURS, *known):
            yield f"claims.{claim.id}.of: got {claim.of!r}, wanted one of {', '.join((OURS, *known))}" + did_you_mean(
                claim.of, known
            )
        yield from control_problems(claim)
        kind = registry.kinds[claim.kind]
        if claim.identity != kind.exact or (claim.identity and claim.expected != "equivalent"):
            exact = " or ".join(repr(name) for name, one in registry.kinds.items() if one.exact)
            yield f"claims.{claim.id}: an identity has a statistic of kind {exact} and expects equivalent(margin)"
        if claim.expected == "equivalent" and not kind.equivalence:
            yield f"claims.{claim.id}.expected: kind {claim.kind!r} cannot test for no effect: wanted +, - or any"
        yield from (f"claims.{claim.id}.{problem}" for problem in kind.problems(claim, registry))


def repeated_ids(claims: Sequence[Claim]) -> Iterator[str]:
    """Ids that are used more than once."""
    names = [claim.id for claim in claims]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"claims: the id {name!r} is used {names.count(name)} times"


def control_problems(claim: Claim) -> Iterator[str]:
    """What a claim's control lacks."""
    if claim.null and claim.null.name not in (*IN_THE_TEST, TEST_SAMPLES) and not claim.null.quantity:
        yield f"claims.{claim.id}.control: the null {claim.null.name!r} needs a quantity"
    if claim.null and claim.null.quantity and not claim.null.rule:
        yield f"claims.{claim.id}.control: a quantity under the null needs a rule, exceeds or persists"


def did_you_mean(got: object, known: Iterable[str]) -> str:
    """The nearest known name, as the end of a message; nothing where none is near."""
    close = difflib.get_close_matches(str(got), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def listed(names: Collection[object]) -> str:
    """Names in a message."""
    return ", ".join(map(str, names)) or "none"
