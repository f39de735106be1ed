"""Tables beside the figures: runs, what every measure errs by, and what claims are judged from, a row per seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, Comparison, determinant_rows
from awduality.study.tables import Planned, Results, Row, Rows, run_rows, table_step
from studies.generalization_measures.arms import AXES
from studies.generalization_measures.arms import MEASURES as ARM
from studies.generalization_measures.candidates import (
    EIGENVALUE,
    MEASURES,
    PAC_BAYES,
    PRODUCT,
    PUBLISHED,
    SIZE,
    of_group,
    pac_bayes_bound,
)
from studies.generalization_measures.judging import NAMES, Board, Judged, board, judged, rank_numbers
from studies.generalization_measures.protocol import axis_means, jackknife

LAYER = "fc2"
WRONG = 0.99  # the error from which a measure is wrong in an environment
OF_SEEDS = (
    *("published_wrong", "oracle_wrong", "product_wrong"),  # largest error less ``WRONG``; of 14 the least such
    "pac_bayes_lead",  # mean error of the PAC-Bayes measures less the median one of the other published ones
    *("product_less_eigenvalue", "product_less_size"),  # means over axes
    *("product_less_eigenvalue_balanced", "product_less_size_balanced"),
    "product_worst_axis",  # less one half
    "own_less_product",  # mean error with training samples only, less that with test samples
    "product_less_pac_bayes",  # the best one, means over all axes but that of n, by which bounds are divided
)
SEED_COLUMNS = ("config", "dataset", "seed", *OF_SEEDS, "bound_excess", "largest_gap")
_TOLD = ("mean", "mean_se", "axis_mean", "axis_mean_se", "without_size", "p90", "largest")
MEASURE_COLUMNS = (
    *("config", "dataset", "weights", "measure", "group", "environments", *_TOLD),
    *(f"on_{axis}" for axis in AXES),
    *("tau", "psi"),
)
ERROR_COLUMNS = (
    "config",
    "dataset",
    "axis",
    *(f"first_{axis}" for axis in AXES),
    "second",
    "effective",
    "measure",
    "error",
)


def statistics(errors: np.ndarray, axes: list[str]) -> np.ndarray:
    """``OF_SEEDS`` of the errors (E, M) of environments."""
    at = {name: place for place, name in enumerate(NAMES)}
    mean, largest = np.nanmean(errors, axis=0), np.nanmax(errors, axis=0)
    by_axis = axis_means(errors, axes, AXES)
    overall, beside_n = np.nanmean(by_axis, axis=0), np.nanmean(by_axis[1:], axis=0)
    others = [at[name] for name in of_group(PUBLISHED) if name not in PAC_BAYES]
    product, balanced = at[PRODUCT], at[f"{PRODUCT}_balanced"]
    return np.array(
        [
            largest[[at[name] for name in of_group(PUBLISHED)]].min() - WRONG,
            largest[at["oracle"]] - WRONG,
            largest[product] - WRONG,
            mean[[at[name] for name in PAC_BAYES]].mean() - np.median(mean[others]),
            overall[product] - overall[at[EIGENVALUE]],
            overall[product] - overall[at[SIZE]],
            overall[balanced] - overall[at[f"{EIGENVALUE}_balanced"]],
            overall[balanced] - overall[at[f"{SIZE}_balanced"]],
            np.nanmax(by_axis[:, product]) - 0.5,
            mean[at[f"{PRODUCT}_own"]] - mean[product],
            beside_n[product] - beside_n[[at[name] for name in PAC_BAYES]].min(),
        ]
    )


def laid_out(results: Results) -> tuple[Board, pd.DataFrame]:
    """The runs that measures are tried on, of all seeds of which every run converged, and their rows."""
    runs = [one for one in results.runs if one.settings["arm"] == ARM]
    broken = {one.seed for one in runs if one.ended != "converged"}
    runs = sorted((one for one in runs if one.seed not in broken), key=_place)
    seeds = sorted({one.seed for one in runs})
    settings = [{axis: one.settings[axis] for axis in AXES} for one in runs[:: max(len(seeds), 1)]]
    rows = results.frame("experiment").set_index("run").loc[[one.id for one in runs]]
    columns = {str(name): rows[name].to_numpy(float) for name in rows if pd.api.types.is_numeric_dtype(rows[name])}
    wrong = np.stack([results.array("experiment", one, "wrong") for one in runs])
    return board(settings, seeds, columns, wrong.reshape(len(settings), len(seeds), -1)), rows


def _place(one: Planned) -> tuple[Any, ...]:
    return (*(one.settings[axis] for axis in AXES), one.seed)


def measure_rows(weights: str, of: Judged, ranks: tuple[np.ndarray, np.ndarray]) -> list[Row]:
    """A row per measure: errors over environments, over axes, and on each."""
    if not of.environments:
        return []

    def summarised(errors: np.ndarray) -> np.ndarray:
        by_axis = axis_means(errors, of.axes, AXES)
        return np.stack([np.nanmean(errors, axis=0), np.nanmean(by_axis, axis=0)])

    whole, by_axis = of.cubes[0], axis_means(of.cubes[0], of.axes, AXES)
    values = jackknife(summarised, of.cubes)
    spread = values.std(0, ddof=1) / len(values) ** 0.5
    mean, overall = summarised(whole)
    told = [mean, spread[0], overall, spread[1], np.nanmean(by_axis[1:], axis=0)]
    told += [np.nanquantile(whole, 0.9, axis=0), np.nanmax(whole, axis=0)]
    return [
        {
            "weights": weights,
            "measure": name,
            "group": MEASURES[name].group,
            "environments": len(whole),
            **{key: _plain(column[place]) for key, column in zip(_TOLD, told, strict=True)},
            **{f"on_{axis}": _plain(by_axis[row, place]) for row, axis in enumerate(AXES)},
            "tau": _plain(ranks[0][place]),
            "psi": _plain(ranks[1][place]),
        }
        for place, name in enumerate(NAMES)
    ]


def _plain(value: float) -> float | str:
    return float(f"{value:.6g}") if np.isfinite(value) else ""


def error_rows(of: Judged, on: Board) -> list[Row]:
    """A row per environment that counts and measure; of the second setting, what it has along the axis."""
    return [
        {
            "axis": one.axis,
            **{f"first_{axis}": on.settings[one.first][axis] for axis in AXES},
            "second": on.settings[one.second][one.axis],
            "effective": _plain(share),
            "measure": name,
            "error": _plain(error),
        }
        for one, share, errors in zip(of.environments, of.effective, of.cubes[0], strict=True)
        for name, error in zip(NAMES, errors, strict=True)
    ]


def seed_rows(of: Judged, on: Board, rows: pd.DataFrame) -> list[Row]:
    """Pseudo-values of every statistic of the errors; and of a seed's own runs the least bound, and the largest gap."""
    if not of.environments:
        return []
    values = jackknife(lambda errors: statistics(errors, of.axes), of.cubes)
    columns = {name: rows[name].to_numpy(float) for name in ("train_size", "precision", "norm", "distance")}
    bounds = np.minimum(pac_bayes_bound(columns, "norm"), pac_bayes_bound(columns, "distance"))
    least = bounds.reshape(on.gap.shape).min(0)
    return [
        {
            "seed": seed,
            **dict(zip(OF_SEEDS, values[place].tolist(), strict=True)),
            "bound_excess": float(least[place] - 1),
            "largest_gap": float(on.gap[:, place].max()),
        }
        for place, seed in enumerate(on.seeds)
    ]


def comparison(on: Board) -> Comparison:
    """The smallest of every axis but the training size is the baseline, a change of one of them a method."""
    least = {axis: min(setting[axis] for setting in on.settings) for axis in AXES[1:]}
    words = dict(zip(AXES[1:], ("wider", "deeper", "larger rate", "larger batch"), strict=True))

    def method(row: Mapping[str, Any]) -> str:
        changed = [axis for axis, value in least.items() if row["arm"] != ARM or float(row[axis]) != value]
        return "plain" if not changed else words[changed[0]] if len(changed) == 1 else ""

    return Comparison(method, dict.fromkeys(words.values(), "plain"), ("train_size",))


def run(results: Results) -> dict[str, Rows]:
    """All tables."""
    on, rows = laid_out(results)
    ours, theirs, ranks = judged(on), judged(on, published=True), rank_numbers(on)
    measures = [*measure_rows("paired", ours, ranks), *measure_rows("published", theirs, ranks)]
    runs = run_rows(results)
    words = ("config", "dataset", "run", "layer", "ended", "experiments", "arm")
    frame = pd.DataFrame([{**row, "layer": LAYER} for row in runs if row["arm"] == ARM])
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in frame.columns.difference(list(words))}
    frame = frame.assign(**numbers)
    rule, target = comparison(on), float(results.asked["target_loss"])
    labels = results.labels
    return {
        "runs": runs,
        "measures": ([{**labels, **row} for row in measures], MEASURE_COLUMNS),
        "errors": ([{**labels, **row} for row in error_rows(ours, on)], ERROR_COLUMNS),
        "seeds": ([{**labels, **row} for row in seed_rows(ours, on, rows)], SEED_COLUMNS),
        "determinants": (determinant_rows(frame, rule, target), DETERMINANT_COLUMNS),
    }


if __name__ == "__main__":
    table_step(run)
