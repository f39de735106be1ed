"""The numbers beside the figures: runs, densities on the ring, bounds of the shift, courses, determinants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, Comparison, determinant_rows
from awduality.study.tables import Results, Row, Rows, labelled, run_rows, table_step

NETWORKS = Comparison(
    method=lambda row: method_of(row),
    baselines=dict.fromkeys(("minibatch, B = 5", "gaussian, B = 5", "shift, B = 5", "isotropic, B = 5"), "none"),
    matched=("learning_rate",),
    measures={"trace": "layer_trace"},
)
"""Noise of every kind, of the power of a minibatch of five, against none."""


def method_of(row: Mapping[str, Any]) -> str:
    """The noise of a network that is compared, in words."""
    if row["ends"] != "target":
        return ""
    return "none" if row["noise"] == "none" else f"{row['noise']}, B = {int(row['batch_size'])}"


def density_rows(results: Results) -> list[Row]:
    """A row per run on the ring and place, the middle of a bin."""
    rows: list[Row] = []
    for one in results.runs:
        if one.settings["model"] == "langevin":
            density = results.array("experiment", one, "density")
            places = (np.arange(len(density)) + 0.5) * 2 * np.pi / len(density) - np.pi
            rows += [
                {**labelled(results, one), "x": x, "density": value} for x, value in zip(places, density, strict=True)
            ]
    return rows


def bound_rows(results: Results) -> list[Row]:
    """A row per rate and seed: the strength, in units of the predicted bound, at which half of the walkers are lost."""
    lost = results.frame("experiment")
    lost = lost[(lost["model"] == "shift") & (lost["noise"] == "lost")]
    rows: list[Row] = []
    for (rate, seed), of in lost.groupby(["learning_rate", "seed"]):
        ordered = of.sort_values("strength")
        half = half_lost(ordered["strength"].to_numpy(float), ordered["lost"].to_numpy(float))
        if half is not None:
            named = {"learning_rate": rate, "seed": int(float(str(seed))), "ended": "converged", "half": half}
            rows.append({**results.labels, "experiments": "bound", **named})
    return rows


def half_lost(strengths: np.ndarray, lost: np.ndarray) -> float | None:
    """The strength at which the share that is lost first reaches a half, between two strengths linearly."""
    above = np.flatnonzero(lost >= 0.5)
    if not len(above) or above[0] == 0:
        return None
    high = int(above[0])
    step = (0.5 - lost[high - 1]) / (lost[high] - lost[high - 1])
    return float(strengths[high - 1] + step * (strengths[high] - strengths[high - 1]))


def course_rows(results: Results) -> list[Row]:
    """A row per network and step at which it was followed."""
    rows: list[Row] = []
    for one in results.runs:
        if one.settings["ends"] == "target":
            course = results.arrays("experiment", one, "course")
            names = list(course)
            rows += [
                {**labelled(results, one), **dict(zip(names, values, strict=True))}
                for values in zip(*course.values(), strict=True)
            ]
    return rows


def run(results: Results) -> dict[str, Rows]:
    """All tables; a config without one of the models has the headers of its tables."""
    runs = run_rows(results)
    labels = ["config", "dataset", "run", *results.runs[0].settings, "seed"]
    measured = pd.DataFrame(runs).assign(layer="fc2").replace("", np.nan)
    numbers = [str(name) for name in measured if name not in (*labels, "experiments", "ended", "layer")]
    measured = measured.astype(dict.fromkeys(numbers, float))
    measured = measured[measured["ends"] == "target"]
    compared = determinant_rows(measured, NETWORKS, results.asked["target_loss"]) if len(measured) else []
    return {
        "runs": runs,
        "density": (density_rows(results), [*labels, "x", "density"]),
        "bounds": (bound_rows(results), ["config", "dataset", "experiments", "learning_rate", "seed", "ended", "half"]),
        "course": (course_rows(results), [*labels, "loss", "step", "trace"]),
        "determinants": (compared, DETERMINANT_COLUMNS),
    }


if __name__ == "__main__":
    table_step(run)
