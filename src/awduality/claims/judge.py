"""Every claim of a study judged from the tables beside its figures: all tests are one family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Claims, did_you_mean, read_claims
from awduality.claims.frame import Largest, Mean, Slope
from awduality.claims.held_out import HeldOut
from awduality.claims.kind import Kind, Measured, Registry, Row, Tables, Untested
from awduality.claims.ordered import PartialRank, Rank, Trend
from awduality.claims.shares import Share
from awduality.claims.sides import Compared, Contrast
from awduality.claims.statistics import adjusted
from awduality.claims.verdicts import claim_row
from awduality.errors import InputError
from awduality.study.discovery import FOLDER, ROOT, module, study

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "largest": Largest(),
        "mean": Mean(),
        "compared": Compared(),
        "trend": Trend(),
        "slope": Slope(),
        "rank": Rank(),
        "partial_rank": PartialRank(),
        "held_out": HeldOut(),
        "share": Share(),
        "contrast": Contrast(),
        "none": Untested(),
    }
)
"""The kinds of statistic that every study has."""


_OWN: Mapping[str, str] = MappingProxyType(
    {"paper": "PAPER", "forms": "FORMS", "further": "further_claims", "problems": "problems", "parts": "parts"}
)
"""Fields of the registry, and what a study's module calls them."""


def kinds_of(name: str) -> Registry:
    """The kinds of a study's claims, the frame's and its own, and what else its module ``kinds.py`` says of claims.

    That module has ``KINDS``, by name, of which one may take the place of the frame's; and if need be ``PAPER``, the
    claims of the paper; ``FORMS``, ``further_claims`` and ``problems``, for claims that its file states in a way of its
    own; ``parts``, for tables that are judged part by part: see ``Registry``.
    """
    declared = study(name)
    own = module(name, "kinds") if (ROOT / FOLDER / name / "kinds.py").is_file() else None
    rest = {field: getattr(own, said) for field, said in _OWN.items() if hasattr(own, said)}
    return Registry(
        {**KINDS, **getattr(own, "KINDS", {})},
        declared.settings,
        declared.experiments,
        **rest,
    )


def judge(claims: Claims, tables: Mapping[str, pd.DataFrame], root_seed: int, registry: Registry) -> list[Row]:
    """Judge every claim; the same input gives the same verdicts, bit for bit.

    Args:
        claims: what is tested.
        tables: the tables beside the figures, by name without ``.csv``.
        root_seed: of the random draws.
        registry: the kinds of the study.

    Returns:
        One object per claim, and per part of the tables that is judged on its own, as they stand in ``claims.json``.

    Raises:
        InputError: a table or a column that claims read is missing; all problems, one per line.
    """
    parts = list(registry.parts(Tables(tables, root_seed, registry.settings)))
    problems = [problem for _, part in parts for problem in _missing(claims.claims, part, registry)]
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        raise InputError(f"the claims cannot be judged from these tables:\n{lines}")
    found = [
        (labels, claim, _measure(registry.kinds[claim.kind], claim, part))
        for labels, part in parts
        for claim in claims.claims
    ]
    # One family: all tests of all parts. An identity has no p-value.
    p_adjusted = adjusted([one.p if isinstance(one, Measured) else np.nan for _, _, one in found])
    tests = int(np.isfinite(p_adjusted).sum())
    titled = any(claim.headline for claim in claims.claims)
    rows = [
        {
            **labels,
            **claim_row(claim, one, float(p), claims.level, registry.kinds[claim.kind].words(claim), tests),
            **({} if registry.kinds[claim.kind].ratios else {"scale": "linear"}),
            **({"headline": claim.headline or None} if titled else {}),
        }
        for (labels, claim, one), p in zip(found, p_adjusted, strict=True)
    ]
    count = len(claims.claims)
    for first in range(0, len(rows), count):
        _decide(claims.claims, rows[first : first + count], registry)
    return rows


def judged(
    content: Mapping[str, Any],
    schema: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    root_seed: int,
    name: str,
) -> list[Row]:
    """Read the claims of a study and judge them: what the command and the audit do.

    Args:
        content: of the file of claims.
        schema: what that must look like.
        tables: the tables beside the figures, by name without ``.csv``.
        root_seed: of the random draws.
        name: the study.
    """
    registry = kinds_of(name)
    return judge(read_claims(content, schema, registry), tables, root_seed, registry)


def _measure(kind: Kind, claim: Claim, tables: Tables) -> Measured | str | None:
    found = kind.measure(claim, tables)
    return None if isinstance(found, Measured) and not len(found.values) else found


def _missing(claims: Sequence[Claim], tables: Tables, registry: Registry) -> Iterator[str]:
    """Tables and columns that claims read and that are not there."""
    for claim in claims:
        for name, columns in registry.kinds[claim.kind].reads(claim).items():
            if name not in tables.frames:
                known = list(tables.frames)
                yield (
                    f"claims.{claim.id}.statistic.table: there is no table {name!r} among those that claims are judged "
                    f"from, {', '.join(known)}{did_you_mean(name, known)}"
                )
                continue
            table = tables[name]
            for column in dict.fromkeys(column for column in columns if column not in table):
                close = did_you_mean(column, table.columns)
                yield f"claims.{claim.id}.statistic: the table {name} lacks the column {column!r}{close}"


def _decide(claims: Sequence[Claim], rows: Sequence[Row], registry: Registry) -> None:
    """Decide, in place, the claims that depend on the verdicts on others."""
    by_id = {row["id"]: row for row in rows}
    for claim in claims:
        by_id[claim.id] |= registry.kinds[claim.kind].decide(claim, by_id)
