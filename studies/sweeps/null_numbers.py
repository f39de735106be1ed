"""The numbers that the figure of the nulls shows: curves of the baseline's runs over the directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from awduality.duality.controls import COLUMNS
from awduality.files import read_arrays, read_frame, read_json
from studies.sweeps.numbers import spread
from studies.sweeps.study import BASELINE

Row = dict[str, Any]

BAND = (2.5, 97.5)
"""Percentiles over runs and draws that bands span."""


@dataclass(frozen=True)
class NullResults:
    """The baseline's solutions under every null, all layers."""

    rows: pd.DataFrame  # a row per run, layer, null and draw
    arrays: Mapping[str, np.ndarray]  # "<run>/<layer>/<null>/<draw>/<name>"


def read_nulls(folder: Path) -> NullResults:
    """Read ``results/<config>/nulls`` of the baseline's shards in the plan."""
    planned = {run["shard"] for run in read_json(folder / "plan.json")["runs"]}
    paths = [folder / "nulls" / f"{shard}.csv" for shard in sorted(planned) if shard.startswith(f"{BASELINE}-")]
    arrays: dict[str, np.ndarray] = {}
    for path in paths:
        arrays |= read_arrays(path.with_suffix(".safetensors"))
    return NullResults(pd.concat([read_frame(path) for path in paths])[[*COLUMNS]], arrays)


def null_run_rows(results: NullResults) -> list[Row]:
    """All rows, as they are."""
    return [{str(name): value for name, value in row.items()} for row in results.rows.to_dict("records")]


def null_curve_rows(results: NullResults, labels: Mapping[str, str]) -> list[Row]:
    """A row per null, curve and rank n: the mean over runs and draws, and the ends of the band.

    Curves are σ_g, c, and the cumulative share of the estimate, over the directions by descending σ_g.
    """
    curves: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    estimates = results.rows.set_index(["run", "layer", "null", "draw"])["estimate"]
    for name, array in results.arrays.items():
        run, layer, null, draw, quantity = name.split("/")
        if layer == labels["layer"]:
            if quantity == "contribution":
                quantity, array = "share", np.cumsum(array) / estimates.loc[run, layer, null, int(draw)]
            curves[null, quantity].append(array)
    rows = []
    for (null, quantity), found in curves.items():
        length = min(map(len, found))
        stacked = np.stack([array[:length] for array in found])
        low, high = np.percentile(stacked, BAND, axis=0)
        rows += [
            {**labels, "null": null, "curve": quantity, "n": int(rank) + 1}
            | {"mean": stacked[:, rank].mean(), "low": low[rank], "high": high[rank], "curves": len(found)}
            for rank in spread(length)
        ]
    return rows
