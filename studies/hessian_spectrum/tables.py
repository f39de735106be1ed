"""Tables beside the figures: of runs, of states of a run, of levels of the loss, of determinants, of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, MEASURES, Comparison, determinant_rows
from awduality.study.tables import Planned, Results, Row, Rows, labelled, run_rows, table_step

STATES = ("init", "trained", "permuted")
LAYER = "fc2"
SPECTRUM = (
    *("top_eigenvalue", "trace", "zeros", "zeros_loose", "zeros_strict", "stable_rank", "effective_rank"),
    *("negative", "outliers", "gap_index", "gap_index_raw"),
)
CHECKED = ("zeros", "outliers", "trace")  # measured by products too, at one width
OF_RUNS = (
    *("loss", "loss_permuted", "gradient", "steps", "parameters"),
    *("zeros_gain", "zeros_factors", "rank_excess"),
    *("overlap", "overlap_null", "overlap_gain", "means_dimension"),
    *(f"{name}_{state}" for state in STATES for name in SPECTRUM),
    *(f"{name}_{state}_by_products" for state in STATES[:2] for name in CHECKED),
    *("end_loss", "top_eigenvalue", "distance", "barrier", "bent_barrier"),
)
OF_LEVELS = (
    *("level", "step", "loss", "top_eigenvalue", "trace", "outliers", "top_eigenvalue_balanced"),
    *("layer_top_eigenvalue", "layer_trace_share", "interlacing_excess"),
)
METHODS = {"large": "full batch", "fast": "full batch, fivefold rate", "small": "batches of 10"}
RULE = Comparison(
    method=lambda row: METHODS.get(str(row["arm"]), ""),
    baselines={METHODS["fast"]: METHODS["large"], METHODS["small"]: METHODS["large"]},
    matched=("width",),
)
_HEADS = ("config", "dataset", "run")
_FULLY, _POINTS, _LAST = 60, 200, 20  # points of a spectrum that a picture has: largest, between, smallest


def run(results: Results) -> dict[str, Rows]:
    """All tables; each has the same columns whatever the config asks for."""
    settings = list(results.runs[0].settings)
    heads = [*_HEADS, *settings, "seed"]
    told = [*heads, "experiments", "ended"]
    runs = run_rows(results)
    levels = list(level_rows(results))
    return {
        "runs": (
            [{name: row.get(name, "") for name in (*told, *OF_RUNS)} for row in runs],
            [*told, *OF_RUNS],
        ),
        "states": (list(state_rows(runs, told)), [*told, "state", *SPECTRUM, "gap_miss", "gap_hit"]),
        "levels": (
            [{name: row[name] for name in (*told, *OF_LEVELS)} for row in levels],
            [*told, *OF_LEVELS],
        ),
        "determinants": (_determinants(levels), list(DETERMINANT_COLUMNS)),
        "spectra": (list(spectrum_rows(results)), [*heads, "state", "rank", "eigenvalue", "parameters", "bound"]),
        "segments": (list(segment_rows(results)), [*heads, "path", "place", "loss"]),
    }


def state_rows(runs: list[Row], told: list[str]) -> Iterator[Row]:
    """A row per run and state of what its row of ``runs`` says of that state.

    ``gap_miss`` is the distance of the gap index from k, where k is known, of clusters; ``gap_hit`` says if it is zero.
    """
    for row in runs:
        for state in STATES:
            found = {name: row.get(f"{name}_{state}", "") for name in SPECTRUM}
            if found["gap_index"] == "":
                continue
            miss = abs(float(found["gap_index"]) - int(row["classes"])) if int(row["classes"]) else ""
            hit = "" if miss == "" else int(miss == 0)
            yield {**{name: row[name] for name in told}, "state": state, **found, "gap_miss": miss, "gap_hit": hit}


def _told(results: Results, one: Planned) -> Row:
    return {**labelled(results, one), "experiments": " ".join(one.experiments), "ended": one.ended}


def level_rows(results: Results) -> Iterator[Row]:
    """A row per run and level of the training loss that it has passed.

    Reaching a level is all that counts for it, so its row has ended as converged, wherever the run did later.
    """
    for one in results.runs:
        found = results.arrays("experiment", one, "levels")
        for place in range(len(found.get("level", ()))):
            measured = {name: array[place].item() for name, array in found.items()}
            yield {**_told(results, one), "ended": "converged", **measured}


def _determinants(levels: list[Row]) -> list[dict[str, Any]]:
    if not levels:
        return []
    plain = [name for name in levels[0] if "/" not in name and name not in MEASURES]
    rows = [
        {
            **{name: row[name] for name in plain},
            **{name: row[f"{LAYER}/{name}"] for name in MEASURES},
            "layer": LAYER,
            "target_loss": row["level"],
        }
        for row in levels
    ]
    return determinant_rows(pd.DataFrame(rows), RULE)


def spectrum_rows(results: Results) -> Iterator[Row]:
    """Ordered eigenvalues of two runs of the first seed: of clusters, and of images at the largest exact width.

    Of clusters, the largest number of which the rank of the Gauss–Newton part has a bound below the number of
    parameters, else the smallest. ``bound`` is that bound.
    """
    for one, samples, classes in _shown(results):
        arrays = results.arrays("experiment", one)
        for state in STATES:
            if (values := arrays.get(f"eigenvalues_{state}")) is None:
                continue
            bound = min(samples * (classes - 1), len(values))
            for rank in shown_ranks(len(values)):
                words = {"state": state, "rank": rank + 1, "eigenvalue": float(values[rank])}
                yield {**labelled(results, one), **words, "parameters": len(values), "bound": bound}


def _shown(results: Results) -> Iterator[tuple[Planned, int, int]]:
    section: Mapping[str, Any] = results.config["hessian_spectrum"]
    first = [one for one in results.runs if one.seed == 0 and one.ended in ("converged", "budget")]
    clusters = [one for one in first if one.settings["arm"] == "clusters"]
    if clusters:
        least, points = min(one.settings["deviation"] for one in clusters), int(section["cluster_samples"])
        chosen = [one for one in clusters if one.settings["deviation"] == least]
        sizes = {one.id: len(results.array("experiment", one, "eigenvalues_init")) for one in chosen}
        numbers = {one.id: int(one.settings["classes"]) for one in chosen}
        bounded = [one for one in chosen if points * (numbers[one.id] - 1) < sizes[one.id]]
        best = max(bounded, key=lambda one: numbers[one.id], default=min(chosen, key=lambda one: numbers[one.id]))
        yield best, points, numbers[best.id]
    images = [one for one in first if one.settings["arm"] == "images"]
    exact = [one for one in images if _is_exact(results, one)]
    for one in sorted(exact, key=lambda one: int(one.settings["width"]))[-1:]:
        yield one, int(section["samples"]), int(results.array("experiment", one, "classes"))


def _is_exact(results: Results, one: Planned) -> bool:
    return "eigenvalues_trained" in results.arrays("experiment", one) and bool(
        results.array("experiment", one, "exact")
    )


def shown_ranks(size: int) -> np.ndarray:
    """Which of the ordered eigenvalues a picture shows, from 0: all of the largest and smallest, some between."""
    if size <= _FULLY + _POINTS + _LAST:
        return np.arange(size)
    between = np.linspace(_FULLY, size - _LAST - 1, _POINTS).round().astype(int)
    return np.unique(np.concatenate([np.arange(_FULLY), between, np.arange(size - _LAST, size)]))


def segment_rows(results: Results) -> Iterator[Row]:
    """The loss along every path, a row per point."""
    for one in results.runs:
        for path, losses in results.arrays("experiment", one, "path").items():
            for place, loss in zip(np.linspace(0, 1, len(losses)), losses, strict=True):
                yield {**labelled(results, one), "path": path, "place": float(place), "loss": float(loss)}


if __name__ == "__main__":
    table_step(run)
