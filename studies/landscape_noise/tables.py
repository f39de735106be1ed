"""The numbers beside the figures: runs, their courses, the gradient-diversity term, determinants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, Comparison, determinant_rows
from awduality.study.tables import Results, Row, Rows, labelled, run_rows, table_step
from studies.landscape_noise.experiment import LOOKED
from studies.landscape_noise.study import ALGORITHMS
from studies.landscape_noise.training import COURSE


def method_of(row: Mapping[str, Any]) -> str:
    """An arm in words."""
    words = ALGORITHMS[row["algorithm"]]
    return f"{words}, σ₀ = {row['noise']:g}" if row["algorithm"] == "ssgd_star" else words


def array_rows(results: Results, part: str, names: Sequence[str]) -> list[Row]:
    """A row per run and place in its arrays of this part."""
    return [
        {**labelled(results, one), **dict(zip(names, values, strict=True))}
        for one in results.runs
        for found in [results.arrays("experiment", one, part)]
        for values in zip(*(found[name] for name in names), strict=True)
    ]


def determinants_of(results: Results, runs: Sequence[Row]) -> list[Row]:
    """The rows of the common table."""
    table = pd.DataFrame(runs).assign(layer=results.asked["layers"][0]).replace("", np.nan)
    words = {*results.labels, "run", "experiments", "algorithm", "ended", "layer"}
    table = table.astype({str(name): float for name in table if name not in words})
    methods = {name: "SSGD" for row in runs if (name := method_of(row)) != "SSGD"}
    rule = Comparison(method_of, methods, matched=("learning_rate",))
    return determinant_rows(table, rule, results.asked["target_loss"])


def run(results: Results) -> dict[str, Rows]:
    """All tables."""
    runs = run_rows(results)
    heads = [*results.labels, "run", *results.runs[0].settings, "seed"]
    return {
        "runs": runs,
        "course": (array_rows(results, "course", COURSE), [*heads, *COURSE]),
        "diversity": (array_rows(results, "looks", LOOKED), [*heads, *LOOKED]),
        "determinants": (determinants_of(results, runs), DETERMINANT_COLUMNS),
    }


if __name__ == "__main__":
    table_step(run)
