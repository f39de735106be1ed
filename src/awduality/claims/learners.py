"""The claims of multi-learner studies: read from ``config/learner-claims.yaml``, measured and judged.

Rows are those of ``awduality.claims.evaluate``. The statistics are in ``awduality.claims.pairs`` and
``awduality.claims.course``. What a study has no runs for, or fewer than three seeds, is not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Claims, claim_from, control_problems, repeated_ids
from awduality.claims.course import course
from awduality.claims.evaluate import Row, claim_row
from awduality.claims.measure import Measured
from awduality.claims.pairs import Study, compared, share
from awduality.claims.statistics import adjusted
from awduality.config import schema_problems
from awduality.errors import InputError
from awduality.learners import ALGORITHMS, MIXINGS

_NEEDS = {
    "compared": ("against", "runs", "quantity"),
    "share": ("against", "column", "most"),
    "course": ("part",),
}

_KINDS: Mapping[str, Callable[[Claim, Study], Measured | str | None]] = MappingProxyType(
    {"compared": compared, "share": share, "course": course}
)

READ: tuple[str, ...] = (
    "config",
    "dataset",
    "layer",
    "pairing",
    "run",
    "experiments",
    "algorithm",
    "mixing",
    "learners",
)
READ += ("learning_rate", "total_batch", "noise", "steps", "seed", "ended", "train_loss", "last_test_error")
"""What every study reads of the table of runs; claims name further columns."""


def read_learner_claims(content: Mapping[str, Any], schema: Mapping[str, Any]) -> Claims:
    """Check the content of ``config/learner-claims.yaml``.

    Raises:
        InputError: all problems found, one per line.
    """
    problems = list(schema_problems(content, schema))
    found: list[Claim] = []
    if not problems:
        found = [claim_from(entry) for entry in content["claims"]]
        problems = [*repeated_ids(found), *(problem for claim in found for problem in _problems(claim))]
    if problems:
        raise InputError("the claims cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return Claims(content["level"], found)


def _problems(claim: Claim) -> Iterator[str]:
    """What the schema does not say."""
    given = {**claim.options, **({"quantity": claim.quantity} if claim.quantity else {})}
    needed = _NEEDS[claim.kind]
    if given.get("part") in ("dip", "recovery"):
        needed = (*needed, "against")
    for part in needed:
        if part not in given:
            yield f"claims.{claim.id}.statistic: kind {claim.kind!r} needs {part!r}"
    against = given.get("against", {})
    if against.get("algorithm") == "dpsgd" and "mixing" not in against:
        yield f"claims.{claim.id}.statistic.against: dpsgd needs a mixing, so that a run has one counterpart"
    if against.get("algorithm") == "ssgd_star" and "noise" not in against:
        yield f"claims.{claim.id}.statistic.against: ssgd_star needs noise: best, so that a run has one counterpart"
    yield from control_problems(claim)


def judge_learners(
    content: Mapping[str, Any],
    schema: Mapping[str, Any],
    runs: pd.DataFrame,
    course: pd.DataFrame,
    samples: pd.DataFrame,
    root_seed: int,
) -> list[Row]:
    """Judge every claim of a study; the same input gives the same verdicts, bit for bit.

    Args:
        content: of ``config/learner-claims.yaml``.
        schema: what that must look like.
        runs: a row per run and layer; the first layer and pairing are judged.
        course: a row per run and recorded step.
        samples: a row per test sample, a column per experiment.
        root_seed: of the random draws.

    Returns:
        One object per claim, as they stand in ``claims.json``; none where there are no runs.

    Raises:
        InputError: the claims cannot be used, or a table lacks a column.
    """
    claims = read_learner_claims(content, schema)
    for name, table, wanted in (("runs", runs, READ), ("course", course, ("run", "step", "spread", "effective_rate"))):
        if missing := [column for column in wanted if column not in table]:
            raise InputError(f"the table {name} of the study lacks the columns {', '.join(missing)}: make it again")
    if runs.empty:
        return []
    study = Study(one_row_per_run(runs), course, samples, root_seed)
    measured = [_KINDS[claim.kind](claim, study) for claim in claims.claims]
    p_adjusted = adjusted([found.p if isinstance(found, Measured) else np.nan for found in measured])  # one family
    labels = {name: str(next(iter(study.runs[name].dropna()), "")) for name in ("config", "dataset", "layer")}
    return [
        {**labels, **claim_row(claim, found, float(p), claims.level, _in_words(claim))}
        for claim, found, p in zip(claims.claims, measured, p_adjusted, strict=True)
    ]


def one_row_per_run(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first layer and pairing, and those of runs that have neither since nothing was measured."""
    for name in ("layer", "pairing"):
        known = runs[name].dropna()
        runs = runs[runs[name].isna() | runs[name].isin(known[:1])]
    return runs.drop_duplicates("run").reset_index(drop=True)


def _in_words(claim: Claim) -> str:
    options = claim.options
    of, against = (_name(options[side]) if side in options else "" for side in ("of", "against"))
    where = options["experiments"][0]
    if claim.kind == "compared":
        label = (
            f"{'log ' if claim.quantity and claim.quantity.log else ''}{claim.quantity.label if claim.quantity else ''}"
        )
        ended = "converged runs" if options["runs"] == "converged" else "all runs"
        return f"mean over seeds of {label}, {of} minus {against}, {ended} of {where}"
    if claim.kind == "share":
        return f"share of runs with {options['column']} ≤ {options['most']:g}, {of} minus {against}, {where}"
    words = {
        "dip": "least α_e/α of the first half of the log steps",
        "recovery": "α_e/α of the last quarter minus the least of the first half of the log steps",
        "rise": "log spread at the peak minus the first",
        "decay": "log spread of the last quarter minus that at the peak",
    }
    rest = f", {of} minus {against}" if against else f", {of}"
    return f"mean over seeds of {words[options['part']]}{rest}, {where}"


def _name(selection: Mapping[str, str]) -> str:
    parts: Sequence[str] = [
        ALGORITHMS[selection["algorithm"]],
        *([f"({MIXINGS[selection['mixing']]})"] if "mixing" in selection else []),
        *(["at its best σ₀"] if "noise" in selection else []),
    ]
    return " ".join(parts)
