"""From the pipeline's results to the numbers that figures show.

Means are over the seeds of a value, with the half-width of a 95% t-interval. A value's means are over its converged
runs, since sharpness can only be compared at the same training loss; where none converged, over those that ended by
their budget, and ``shown`` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.statistics import at_every_seed, mean_interval, slopes, sweep_series
from awduality.curvature.spectrum import above_tolerance
from awduality.errors import InputError
from awduality.files import read_arrays, read_frame, read_json
from awduality.study.tables import labels_of, per_sample
from studies.sweeps.study import FACTORS, sweeps

Row = dict[str, Any]

MEASURES = ("gap", "estimate", "sharp_part", "flat_part")
"""What is shown with intervals for every value of a factor."""

ENDS = ("converged", "budget", "dead", "diverged")
"""How a run can end; dead is a budget run whose network is silent, so that the layer has no curvature."""

_POINTS = 60  # points per curve, spread evenly on a logarithmic axis


@dataclass(frozen=True)
class Results:
    """All results of a config, for one layer and one pairing."""

    labels: Mapping[str, str]  # config, dataset, layer, pairing: they stand in every table
    sweeps: Mapping[str, list[int | float]]  # factor -> its values
    geometry: pd.DataFrame  # a row per run, layer and pairing
    runs: (
        pd.DataFrame
    )  # a row per run, by id: settings, how it ended, the plan's shard and experiments, geometry if any
    arrays: Mapping[str, np.ndarray]  # "<run>/history/<name>", "<run>/eigenvalues", "<run>/<name>"


def read_results(folder: Path, layer: str, pairing: str) -> Results:
    """Read ``results/<config>/``.

    Raises:
        InputError: the layer or the pairing was not analysed.
    """
    plan = read_json(folder / "plan.json")
    planned = pd.DataFrame(plan["runs"]).set_index("id")
    shards = sorted(planned["shard"].unique())
    runs = pd.concat([read_frame(folder / "runs" / f"{shard}.csv") for shard in shards])
    geometry = pd.concat([read_frame(folder / "geometry" / f"{shard}.csv") for shard in shards])
    geometry = geometry.drop(columns=[*FACTORS, "seed", "ended"])  # as in runs
    chosen = geometry[(geometry["layer"] == layer) & (geometry["pairing"] == pairing)]
    if chosen.empty and not geometry.empty:
        raise InputError(
            f"no geometry for layer {layer!r} and pairing {pairing!r}: there is {sorted(geometry['layer'].unique())} "
            f"and {sorted(geometry['pairing'].unique())}"
        )
    arrays: dict[str, np.ndarray] = {}
    for shard in shards:
        arrays |= read_arrays(folder / "runs" / f"{shard}.safetensors")
        for name, array in read_arrays(folder / "geometry" / f"{shard}.safetensors").items():
            run, _, rest = name.partition("/")
            if rest == f"{layer}/eigenvalues":
                arrays[f"{run}/eigenvalues"] = array
            elif rest == "test_losses":
                arrays[name] = array
            elif rest.startswith(f"{layer}/{pairing}/"):
                arrays[f"{run}/{rest.removeprefix(f'{layer}/{pairing}/')}"] = array
    joined = runs.set_index("run").join(chosen.set_index("run")).loc[planned.index]
    joined[["shard", "experiments"]] = planned[["shard", "experiments"]]
    dead = (joined["ended"] == "budget") & (joined["rank"] == 0)
    joined["ended"] = joined["ended"].mask(dead, "dead")
    labels = {**labels_of(folder), "layer": layer, "pairing": pairing}
    return Results(labels, sweeps(read_json(folder / "config.json")), geometry, joined, arrays)


def runs_of_sweep(results: Results, factor: str) -> Iterator[tuple[int | float, pd.DataFrame]]:
    """The values of a sweep, each with its runs."""
    swept = results.runs[[factor in asking for asking in results.runs["experiments"]]]
    for value in results.sweeps[factor]:
        yield value, swept[swept[factor] == value].sort_values("seed")


def shown_runs(runs: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The runs whose mean is shown for a value, and what they are: ``converged``, ``budget`` or nothing.

    Dead runs are never shown: a step that was too large has silenced the network, its loss is that of guessing, and its
    gap of zero says nothing.
    """
    for ended in ("converged", "budget"):
        chosen = runs[runs["ended"] == ended]
        if len(chosen):
            return ended, chosen
    return "", runs.iloc[:0]


def gap_rows(results: Results, factor: str) -> list[Row]:
    """A row per value: how its runs ended, and the gap, its estimate and the estimate's parts with intervals."""
    rows = []
    for value, runs in runs_of_sweep(results, factor):
        shown, chosen = shown_runs(runs)
        counts = runs["ended"].value_counts()
        row: Row = {**results.labels, "value": value, "runs": len(runs)}
        row |= {ended: int(counts.get(ended, 0)) for ended in ENDS}
        row["shown"] = shown
        for measure in MEASURES:
            mean, half = mean_interval(chosen[measure].to_numpy(float)) if shown else (np.nan, np.nan)
            row |= {f"{measure}_mean": float(mean), f"{measure}_half": float(half)}
        rows.append(row)
    return rows


def direction_rows(results: Results, factor: str) -> list[Row]:
    """A row per value and rank n: σ_g, cumulative σ_w and c by descending σ_g; eigenvalues by their own size."""
    rows = []
    for value, runs in runs_of_sweep(results, factor):
        shown, chosen = shown_runs(runs)
        if not shown:
            continue
        curves = [_curves(results.arrays, run) for run in chosen.index]
        length = min(len(curve["eigenvalue"]) for curve in curves)
        ranks = spread(length)
        columns: dict[str, np.ndarray] = {}
        for name in curves[0]:
            mean, half = mean_interval(np.stack([curve[name][:length] for curve in curves]))
            columns |= {f"{name}_mean": mean[ranks], f"{name}_half": half[ranks]}
        rows += [
            {"value": value, "n": int(rank) + 1, **{name: column[place] for name, column in columns.items()}}
            for place, rank in enumerate(ranks)
        ]
    return rows


def _curves(arrays: Mapping[str, np.ndarray], run: str) -> dict[str, np.ndarray]:
    eigenvalues = arrays[f"{run}/eigenvalues"]
    above = above_tolerance(eigenvalues)
    sigma_g, sigma_w, c = (arrays[f"{run}/{name}"][above] for name in ("sigma_g", "sigma_w", "c"))
    order = np.argsort(-sigma_g, kind="stable")
    return {
        "sigma_g": sigma_g[order],
        "sigma_w_cumulative": np.cumsum(sigma_w[order]),
        "c": c[order],
        "eigenvalue": eigenvalues[above],
    }


def training_rows(results: Results, factor: str) -> list[Row]:
    """The training and test loss of every run over its steps."""
    rows = []
    for value, runs in runs_of_sweep(results, factor):
        for run, entry in runs.iterrows():
            step, train, test = (
                results.arrays[f"{run}/history/{name}"] for name in ("step", "train_loss", "test_loss")
            )
            rows += [
                {
                    "value": value,
                    "seed": int(entry["seed"]),
                    "steps": int(step[place]),
                    "train_loss": train[place],
                    "test_loss": test[place],
                }
                for place in spread(len(train))
            ]
    return rows


def run_rows(results: Results) -> list[Row]:
    """A row per run, layer and pairing, those shown first: settings, how the run ended, every measure."""
    measured = results.geometry.set_index(["layer", "pairing", "run"]).sort_index()
    combinations = results.geometry[["layer", "pairing"]].drop_duplicates().itertuples(index=False, name=None)
    shown = (results.labels["layer"], results.labels["pairing"])
    rows = []
    for layer, pairing in sorted(combinations, key=lambda names: names != shown):
        of_layer = measured.loc[layer, pairing]
        for run, entry in results.runs.iterrows():
            factor = entry["shard"].rpartition("-")[0]  # a run other than the baseline belongs to one sweep
            row: Row = {**results.labels, "layer": layer, "pairing": pairing, "run": run}
            row |= {"factor": factor, "seed": entry["seed"], "ended": entry["ended"]}
            row |= {name: FACTORS[name].kind(entry[name]) for name in FACTORS}
            row |= {name: entry[name] for name in ("train_loss", "test_error")}
            row["error_gap"] = entry["test_error"] - entry["train_error"]
            rows.append(row | (of_layer.loc[run].to_dict() if run in of_layer.index else {}))
    return rows


def sample_rows(results: Results) -> list[Row]:
    """A row per test sample: how its loss changes along every sweep, the mean over seeds of the slope."""
    losses = {
        run: results.arrays[f"{run}/test_losses"]
        for run in results.runs.index
        if f"{run}/test_losses" in results.arrays
    }
    runs = results.runs
    columns: dict[str, np.ndarray] = {}
    for factor in results.sweeps:
        swept = runs[[factor in asking for asking in runs["experiments"]]]
        good = ((swept["ended"] == "converged") & swept.index.isin(list(losses))).to_numpy()
        swept = swept[at_every_seed(swept, factor, good)]  # as the trends of the claims
        if len(swept):
            series = sweep_series(swept, factor, np.stack([losses[run] for run in swept.index]))
            columns |= {factor: np.mean(slopes(series), axis=0)} if series else {}
    return per_sample(columns)


def duality_rows(results: Results) -> list[Row]:
    """The losses of the pairs of one run, of the test sample and of its dual: the first run that has a geometry."""
    for run in results.runs.index:
        if f"{run}/test_loss" in results.arrays:
            test, dual = (results.arrays[f"{run}/{name}"] for name in ("test_loss", "dual_loss"))
            return [{"run": run, "test_loss": a, "dual_loss": b} for a, b in zip(test, dual, strict=True)]
    return []


def spread(length: int) -> np.ndarray:
    """Up to 60 positions in 0 … length − 1, evenly spread on a logarithmic axis, both ends among them."""
    return np.unique(np.geomspace(1, length, min(length, _POINTS)).round().astype(int)) - 1
