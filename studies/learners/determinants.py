"""The common table of determinants: decentralised SGD, and SGD with constant noise, against synchronous SGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, MEASURED, Comparison, determinant_rows
from awduality.learners import ALGORITHMS
from awduality.study.tables import Rows, derived_step
from studies.learners.matched import MATCHED

LEARNERS = Comparison(
    method=lambda row: ALGORITHMS[str(row["algorithm"])],
    baselines={ALGORITHMS[name]: ALGORITHMS["ssgd"] for name in ("dpsgd", "ssgd_star")},
    matched=[name for name in MATCHED if name != "seed"],
    measures=MEASURED,
)
"""Decentralised SGD, and SGD with constant noise, with synchronous SGD of the same setting; of ``runs.csv``."""


def run(tables: Mapping[str, pd.DataFrame], asked: Mapping[str, Any]) -> dict[str, Rows]:
    """A row per run that reached the target loss, and layer, at its first evaluation there."""
    return {"determinants": (determinant_rows(tables["runs"], LEARNERS, asked["target_loss"]), DETERMINANT_COLUMNS)}


if __name__ == "__main__":
    derived_step(run)
