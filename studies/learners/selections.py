"""Runs of algorithms: which of them a claim means, and which belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from awduality.claims.kind import Shape
from awduality.claims.rows import NAMES, interval_row
from awduality.claims.sides import AGAINST, OF, paired
from awduality.learners import ALGORITHMS, MIXINGS

TEST_ERROR = "last_test_error"
"""What the best σ₀ is chosen by."""

SETTING = ("learning_rate", "total_batch", "steps", "learners", "mixing")
"""What tells the settings of an algorithm apart."""

SELECTION: Shape = {
    "type": "object",
    "additionalProperties": False,
    "required": ["algorithm"],
    "description": "some runs of the experiments",
    "properties": {
        "algorithm": {"enum": list(ALGORITHMS), "description": "how they were trained"},
        "mixing": {"enum": list(MIXINGS), "description": "how learners average; any by default"},
        "noise": {"enum": ["best"], "description": "of SSGD*, the σ₀ of the lowest mean test error; p-values count it"},
    },
}
EXPERIMENTS = {**NAMES, "description": "where the runs are taken from; the first names the column of test samples"}
SIDES: Mapping[str, Shape] = {"experiments": EXPERIMENTS, OF: SELECTION, AGAINST: SELECTION}


def one_row_per_run(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first layer and pairing, and those of runs that have neither since nothing was measured."""
    for name in ("layer", "pairing"):
        known = runs[name].dropna()
        runs = runs[runs[name].isna() | runs[name].isin(known[:1])]
    return runs.drop_duplicates("run").reset_index(drop=True)


def selected(runs: pd.DataFrame, selection: Mapping[str, str]) -> tuple[pd.DataFrame, int]:
    """The runs of an algorithm, and the number of σ₀ among which the best was chosen (1 where there is no choice).

    The best σ₀ has the lowest mean test error over all its runs; one whose test error is unknown in some run is not it.
    """
    chosen = runs[runs["algorithm"] == selection["algorithm"]]
    if "mixing" in selection:
        chosen = chosen[chosen["mixing"] == selection["mixing"]]
    if "noise" not in selection or chosen.empty:
        return chosen, 1
    errors = chosen.groupby("noise")[TEST_ERROR].agg(lambda found: found.mean(skipna=False))
    if errors.isna().all():
        return chosen[:0], len(errors)
    return chosen[chosen["noise"] == errors.idxmin()], len(errors)


def matched(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of the same length: row by row, runs of the same rate, total batch, steps and seed.

    Learners are of the same number, too, except that SSGD, which is the same for every number, goes with all.
    """
    shared = ["learning_rate", "total_batch", "steps", "seed"]
    if not any((runs["algorithm"] == "ssgd").any() for runs in (first, second)):
        shared.append("learners")
    return paired(first, second, shared)


def setting_in_words(run: Mapping[str, Any] | pd.Series) -> str:
    """The setting of a run of several learners."""
    mixing = MIXINGS[run["mixing"]]
    return f"α = {run['learning_rate']:g}, batch {run['total_batch']}, {run['learners']} learners, {mixing}"


def selection_in_words(selection: Mapping[str, str]) -> str:
    """Which runs are meant, for a reader."""
    parts: Sequence[str] = [
        ALGORITHMS[selection["algorithm"]],
        *([f"({MIXINGS[selection['mixing']]})"] if "mixing" in selection else []),
        *(["at its best σ₀"] if "noise" in selection else []),
    ]
    return " ".join(parts)


def strengths(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """The mean test error of SSGD* at every σ₀, and how many of its runs reached the target loss."""
    return [
        {
            "setting": f"{ALGORITHMS[str(rows['algorithm'].iloc[0])]}, σ₀ = {noise:g}: test error",
            **interval_row(rows[TEST_ERROR].to_numpy(float)),
            "runs": len(rows),
            "converged": int((rows["ended"] == "converged").sum()),
        }
        for noise, rows in runs.groupby("noise")
    ]


def choice(runs: pd.DataFrame, selection: Mapping[str, str]) -> list[dict[str, Any]]:
    """The mean test error at every σ₀ among which the best was chosen; nothing where there is no choice."""
    return strengths(runs[runs["algorithm"] == selection["algorithm"]]) if "noise" in selection else []
