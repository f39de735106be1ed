"""The numbers beside the figures: runs, clouds, courses, and what is found from several runs of a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from awduality.study.tables import Planned, Results, Row, Rows, labelled, run_rows, table_step

PHASE, DAMPED = "phase", ("even", "uneven")
"""The experiments over the coupling, and those over the penalty."""


def half_point(couplings: np.ndarray, sizes: np.ndarray) -> float:
    """The coupling at which the cloud first has half of its size at the smallest one, between two linearly.

    Args:
        couplings: (V,) ascending.
        sizes: (V,) size of the cloud at each.

    Returns:
        One, the largest coupling that there is, where the cloud never has half of its size.
    """
    half = sizes[0] / 2
    below = np.flatnonzero(sizes <= half)
    if not len(below):
        return 1.0
    place = int(below[0])
    share = (sizes[place - 1] - half) / (sizes[place - 1] - sizes[place])
    return float(couplings[place - 1] + share * (couplings[place] - couplings[place - 1]))


def best_penalty(penalties: np.ndarray, errors: np.ndarray) -> float | None:
    """The penalty of least error: the vertex of a parabola through the three best neighbours, over log ρ.

    Args:
        penalties: (V,) ascending and positive.
        errors: (V,) logarithms of the error at each.

    Returns:
        Nothing where the least error is at an end of the range.
    """
    place = int(errors.argmin())
    if place in (0, len(errors) - 1):
        return None
    x, y = np.log(penalties[place - 1 : place + 2]), errors[place - 1 : place + 2]
    curve = np.polyfit(x - x[1], y, 2)
    return float(np.exp(x[1] - curve[1] / (2 * curve[0])))


def _series(runs: pd.DataFrame, along: str, apart: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The finished runs of every seed and value of ``apart``, by ascending ``along``."""
    finished = runs[runs["ended"] == "converged"]
    for (value, seed), rows in finished.groupby([apart, "seed"]):
        yield {apart: value, "seed": int(float(str(seed))), "ended": "converged"}, rows.sort_values(along)


def boundary_rows(runs: pd.DataFrame, labels: Mapping[str, Any]) -> list[Row]:
    """A row per rate of the discriminator and seed: the coupling at which the cloud has half of its size."""
    rows: list[Row] = []
    for named, of in _series(runs, "coupling", "rate_d"):
        found = half_point(of["coupling"].to_numpy(float), of["size"].to_numpy(float))
        rows.append({**labels, "experiments": PHASE, **named, "boundary": found})
    return rows


def optimum_rows(runs: pd.DataFrame, labels: Mapping[str, Any]) -> list[Row]:
    """A row per ratio of the rates and seed: the penalty of least integrated error."""
    rows: list[Row] = []
    for named, of in _series(runs[runs["penalty"] > 0], "penalty", "ratio"):
        found = best_penalty(of["penalty"].to_numpy(float), np.log(of["error"].to_numpy(float)))
        if found is not None:
            rows.append({**labels, "experiments": " ".join(DAMPED), **named, "best": found})
    return rows


def interior_rows(runs: pd.DataFrame, labels: Mapping[str, Any]) -> list[Row]:
    """A row per ratio and seed: the error at the penalty that is best for the other seeds, at none, at the largest."""
    rows: list[Row] = []
    for ratio, of in runs[runs["ended"] == "converged"].groupby("ratio"):
        table = of.pivot_table(index="penalty", columns="seed", values="error").map(np.log)
        for seed in table:
            others = table.drop(columns=seed).mean(axis=1)
            inner = others[(others.index > 0) & (others.index < others.index.max())]
            if inner.empty or not np.isfinite(inner).any():
                continue
            chosen = inner.idxmin()
            errors = {"chosen": table[seed][chosen], "none": table[seed].iloc[0], "largest": table[seed].iloc[-1]}
            named = {"ratio": ratio, "seed": int(float(str(seed))), "ended": "converged", "penalty": chosen}
            rows.append(
                {**labels, "experiments": " ".join(DAMPED), **named}
                | {f"error_{name}": float(np.exp(value)) for name, value in errors.items()}
            )
    return rows


def cloud_rows(results: Results) -> list[Row]:
    """A row per particle at the end, of the runs of the first seed."""
    return [
        {**labelled(results, one), "ended": one.ended, "x": x, "y": y}
        for one in _first_seed(results)
        for x, y in results.array("experiment", one, "cloud")
    ]


def course_rows(results: Results) -> list[Row]:
    """A row per look at the error, of the runs of the first seed along the penalty."""
    return [
        {**labelled(results, one), "ratio": _ratio(one.settings), "step": step, "error": error}
        for one in _first_seed(results)
        if set(one.experiments) & set(DAMPED) and one.ended == "converged"
        for step, error in zip(*results.array("experiment", one, "course"), strict=True)
    ]


def _first_seed(results: Results) -> list[Planned]:
    return [one for one in results.runs if one.seed == 0 and one.settings["model"] != "kernel"]


def _ratio(settings: Mapping[str, Any]) -> float:
    """r_G ÷ r_D, to nine digits."""
    return float(f"{settings['rate_g'] / settings['rate_d']:.9g}") if settings["rate_d"] else 0.0


def run(results: Results) -> dict[str, Rows]:
    """All tables; a config without an experiment has the headers of its tables."""
    rows = run_rows(results)
    runs = pd.DataFrame(rows).replace("", np.nan)
    runs = runs.assign(ratio=[_ratio(one.settings) for one in results.runs])
    runs[["size", "error"]] = runs[["size", "error"]].astype(float)
    asked = [set(one.experiments) for one in results.runs]
    of_phase, of_damped = (runs[[bool(names & chosen) for names in asked]] for chosen in ({PHASE}, set(DAMPED)))
    labels, begin = results.labels, [*results.labels, "experiments"]
    setting = [*results.labels, "run", *results.runs[0].settings, "seed"]
    errors = [f"error_{name}" for name in ("chosen", "none", "largest")]
    return {
        "runs": rows,
        "clouds": (cloud_rows(results), [*setting, "ended", "x", "y"]),
        "course": (course_rows(results), [*setting, "ratio", "step", "error"]),
        "boundaries": (boundary_rows(of_phase, labels), [*begin, "rate_d", "seed", "ended", "boundary"]),
        "optima": (optimum_rows(of_damped, labels), [*begin, "ratio", "seed", "ended", "best"]),
        "interior": (interior_rows(of_damped, labels), [*begin, "ratio", "seed", "ended", "penalty", *errors]),
    }


if __name__ == "__main__":
    table_step(run)
