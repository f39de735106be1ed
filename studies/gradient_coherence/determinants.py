"""The common table of determinants: what keeps networks from memorising, against plain training on the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, Comparison, determinant_rows
from awduality.study.tables import Rows, derived_step

PLAIN, CLEAN = "plain, wrong labels", "plain, right labels"
_NAMES = {"m3": "median of 3", "rm3": "rolling median of 3", "mean3": "mean of 3"}
_MATCHED = ("permuted", "learning_rate", "batch_size", "train_size", "steps")


def method_name(row: Mapping[str, Any]) -> str:
    """How the table calls the way that a run was trained; empty where its solution was not analysed."""
    if not isinstance(row["layer"], str) or not row["layer"]:
        return ""
    if row["method"] == "mean" and not row["per_cent"]:
        return PLAIN if row["permuted"] else CLEAN
    words = {"mean": f"winsorised {row['per_cent']:g}%", "normed": f"plain, length of winsorised {row['per_cent']:g}%"}
    return str({**_NAMES, **words}[row["method"]])


def run(tables: Mapping[str, pd.DataFrame], asked: Mapping[str, Any]) -> dict[str, Rows]:
    """A row per run whose loss on the rightly labelled examples reached the target, at its first record there."""
    rows: list[dict[str, Any]] = tables["runs"].to_dict("records")  # type: ignore[assignment]
    names = {method_name(row) for row in rows} - {PLAIN, CLEAN, ""}
    rule = Comparison(method_name, dict.fromkeys(sorted(names), PLAIN), _MATCHED)
    return {"determinants": (determinant_rows(tables["runs"], rule, asked["target_loss"]), DETERMINANT_COLUMNS)}


if __name__ == "__main__":
    derived_step(run)
