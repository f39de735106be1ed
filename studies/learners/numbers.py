"""From the results of a study of many learners to the numbers that its figures show and its claims are judged from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from awduality.errors import InputError
from awduality.files import read_arrays, read_json, read_table
from awduality.learners import SETTINGS
from awduality.study.tables import labels_of, per_sample
from studies.learners.matched import in_experiment, matched_pairs

Row = dict[str, Any]

LABELS = ("config", "dataset", "layer", "pairing")

OUTCOME = (
    *("step", "train_loss", "test_loss", "train_error", "test_error"),  # of the solution
    *("last_train_loss", "last_test_loss", "last_test_error", "learner_test_error"),  # medians of the last evaluations
)
"""What training says of a run."""

GEOMETRY = (
    *("gap", "estimate", "sharp_part", "top_eigenvalue", "trace", "sigma_g_norm", "sigma_w_norm"),
    *("layer_norm", "weight_norm"),
    *("top_eigenvalue_balanced", "trace_balanced", "sigma_g_norm_balanced", "sigma_w_norm_balanced"),
)
"""What is said of a layer of a solution; see ``awduality.duality.summary``."""

COURSE = ("step", "train_loss", "spread", "effective_rate")
"""What is followed along training; see ``awduality.training.multilearner``."""

RUN_COLUMNS = (*LABELS, "run", "experiments", *SETTINGS, "seed", "ended", *OUTCOME, *GEOMETRY)
COURSE_COLUMNS = ("run", *COURSE)

_TEXT = ("run", "layer", "algorithm", "mixing", "ended")  # an id of digits alone must not become a number


@dataclass(frozen=True)
class StudyResults:
    """All results of a study."""

    labels: Mapping[str, str]  # config, dataset, layer to show, pairing
    experiments: Sequence[str]
    runs: pd.DataFrame  # a row per run, by id, in the order of the plan: settings, outcome, ended, experiments
    geometry: pd.DataFrame  # a row per run that did not diverge, and layer
    arrays: Mapping[str, np.ndarray]  # "<run>/course/<name>", "<run>/test_losses"


def read_study(folder: Path, layer: str) -> StudyResults:
    """Read ``results/<config>/``.

    Raises:
        InputError: the layer was not analysed.
    """
    planned = read_json(folder / "plan.json")["runs"]
    shards = sorted({run["shard"] for run in planned})
    runs = (
        _read([folder / "runs" / f"{shard}.csv" for shard in shards]).set_index("run").loc[[r["id"] for r in planned]]
    )
    runs["experiments"] = [" ".join(run["experiments"]) for run in planned]
    geometry = _read([folder / "geometry" / f"{shard}.csv" for shard in shards])
    layers = list(geometry["layer"].unique()) if len(geometry) else []
    if layers and layer not in layers:
        raise InputError(f"no geometry for layer {layer!r}: there is {', '.join(layers)}")
    arrays: dict[str, np.ndarray] = {}
    for shard in shards:
        followed = read_arrays(folder / "runs" / f"{shard}.safetensors")
        arrays |= {name: array for name, array in followed.items() if name.split("/")[1] == "course"}
        arrays |= read_arrays(folder / "geometry" / f"{shard}.safetensors")
    experiments = list(dict.fromkeys(name for run in planned for name in run["experiments"]))
    labels = {**labels_of(folder), "layer": layer, "pairing": "test_to_train"}  # the default of nearest_pairs
    return StudyResults(labels, experiments, runs, geometry, arrays)


def run_rows(results: StudyResults) -> list[Row]:
    """A row per run and layer, the layer shown first; without a geometry where a run has none."""
    shown = results.labels["layer"]
    analysed = list(results.geometry["layer"].unique()) if len(results.geometry) else []
    rows: list[Row] = []
    for layer in [shown, *(name for name in analysed if name != shown)]:
        chosen = results.geometry[results.geometry["layer"] == layer] if analysed else results.geometry
        measured = {row["run"]: row for row in chosen.to_dict("records")}
        for run, entry in results.runs.iterrows():
            row: Row = {**results.labels, "layer": layer, "run": run, "experiments": entry["experiments"]}
            row |= {name: kind(entry[name]) for name, kind in SETTINGS.items()}
            row |= {"seed": int(entry["seed"]), "ended": entry["ended"], "step": int(entry["step"])}
            row |= {name: entry[name] for name in OUTCOME if name != "step"}
            rows.append(row | {name: measured.get(run, {}).get(name) for name in GEOMETRY})
    return rows


def course_rows(results: StudyResults) -> list[Row]:
    """A row per run and step at which it was followed."""
    rows: list[Row] = []
    for run in results.runs.index:
        columns = [results.arrays[f"{run}/course/{name}"] for name in COURSE]
        rows += [
            {"run": run, **dict(zip(COURSE, values, strict=True)), "step": int(values[0])}
            for values in zip(*columns, strict=True)
        ]
    return rows


def sample_rows(results: StudyResults) -> list[Row]:
    """A row per test sample: per experiment the mean over its matched pairs of ℓ_DPSGD − ℓ_SSGD.

    An experiment without a pair has no column.
    """
    columns: dict[str, np.ndarray] = {}
    for name in results.experiments:
        pairs = matched_pairs(in_experiment(results.runs.reset_index(), name))
        differences = [
            results.arrays[f"{dpsgd}/test_losses"] - results.arrays[f"{ssgd}/test_losses"]
            for dpsgd, ssgd in zip(pairs["run"], pairs["run_ssgd"], strict=True)
        ]
        if differences:
            columns[name] = np.mean(differences, axis=0)
    return per_sample(columns)


def _read(paths: Sequence[Path]) -> pd.DataFrame:
    """Tables as one, numbers to the last bit."""
    rows = [row for path in paths for row in read_table(path)]
    if not rows:
        return pd.DataFrame(columns=["run", "layer"])
    table = pd.DataFrame(rows)
    for name in table.columns.difference(list(_TEXT)):
        table[name] = [float(cell) if cell else np.nan for cell in table[name]]
    return table
