"""The tables beside the figures: runs, regrets, what the mass of functions is made of, ensembles, determinants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, Comparison, determinant_rows
from awduality.study.tables import Planned, Results, Row, Rows, labelled, run_rows, table_step
from studies.universality_lens.experiment import LAYER, PRIORS
from studies.universality_lens.study import DESCENT, FUNCTIONS, LATE, SGLD
from studies.universality_lens.teachers import KINDS

LEAST_EFFECTIVE = 50  # draws: below it −log Z is not known well enough

MATCHED = Comparison(
    method=lambda row: {SGLD: "SGLD sample", DESCENT: "gradient descent"}.get(row["method"], ""),
    baselines={"SGLD sample": "gradient descent"},
    matched=("temperature",),
)
"""A sample of a chain against a descent that was stopped at the chain's mean training loss."""

_VOLUME = ("fit", "size", "sharpness", "size_matched", "sharpness_matched", "loss_matched")


def _short(value: float | np.ndarray) -> float | str:
    return float(f"{value:.7g}") if np.isfinite(value) else ""


def _mass(weight: float) -> float | str:
    """−log w; empty where nobody had the function."""
    return _short(-np.log(weight)) if weight else ""


def regret_rows(results: Results, one: Planned) -> list[Row]:
    """A row per width, prior and teacher: ρ_t, r_t of the network's prior, −log w; and the uniform prior's regret."""
    arrays, times = results.arrays("experiment", one), results.asked["times"]
    rows: list[Row] = []
    for place, width in enumerate(results.asked["widths"]):
        for row, prior in enumerate(PRIORS):
            for teacher, kind in enumerate(arrays["kind"]):
                head = {**labelled(results, one), "ended": one.ended, "width": width, "prior": prior}
                head |= {"teacher": teacher, "kind": KINDS[kind], "minority": int(arrays["minority"][teacher])}
                found = arrays["regret"][place, row, teacher]
                uniform = arrays["regret"][place, PRIORS.index("uniform"), teacher]
                numbers = {f"regret_{t}": _short(value) for t, value in zip(times, found, strict=True)}
                numbers |= {
                    f"r_{t}": _short(value)
                    for t, value in zip(times, arrays["resolvability"][place, teacher], strict=True)
                }
                numbers |= {f"uniform_{t}": _short(value) for t, value in zip(times, uniform, strict=True)}
                rows.append({**head, "neg_log_w": _mass(arrays["weight"][place, teacher]), **numbers})
    return rows


def volume_rows(results: Results, one: Planned) -> list[Row]:
    """A row per teacher and start."""
    arrays = results.arrays("experiment", one, "volume")
    minority = results.array("experiment", one, "minority")
    rows: list[Row] = []
    for teacher, start in np.ndindex(arrays["fit"].shape):
        enough = arrays["effective"][teacher] >= LEAST_EFFECTIVE
        reached = arrays["reached"][teacher, start] > 0
        head = {**labelled(results, one), "ended": "converged" if enough and reached else "left out"}
        head |= {"teacher": teacher, "start": start, "minority": int(minority[teacher])}
        head |= {"neg_log_z": _short(arrays["neg_log_z"][teacher]), "effective": _short(arrays["effective"][teacher])}
        head["learned"] = int(arrays["learned"][teacher, start])
        rows.append({**head, **{name: _short(arrays[name][teacher, start]) for name in _VOLUME}})
    return rows


def ensemble_rows(results: Results, one: Planned) -> list[Row]:
    """A row per number of members: the mean test NLL of ensembles of so many."""
    arrays = results.arrays("experiment", one)
    return [
        {**labelled(results, one), "ended": one.ended, "members": int(members), "nll": _short(nll)}
        for members, nll in zip(arrays["members"], arrays["nll"], strict=True)
    ]


def compared(runs: list[Row]) -> list[dict[str, Any]]:
    """The common table of determinants."""
    table = pd.DataFrame([row for row in runs if row["method"] in (SGLD, DESCENT)]).replace("", np.nan)
    words = [name for name in ("config", "dataset", "run", "experiments", "method", "ended") if name in table]
    numbers = [name for name in table if name not in words]
    return determinant_rows(table.astype(dict.fromkeys(numbers, float)).assign(layer=LAYER), MATCHED)


def run(results: Results) -> dict[str, Rows]:
    """Five tables."""
    done = [one for one in results.runs if one.ended == "converged"]
    of_functions = [one for one in done if one.settings["method"] == FUNCTIONS]
    trained = [one for one in done if one.settings["method"] in (SGLD, DESCENT, LATE)]
    runs = run_rows(results)
    return {
        "runs": runs,
        "regret": [row for one in of_functions for row in regret_rows(results, one)],
        "volume": [row for one in of_functions for row in volume_rows(results, one)],
        "ensembles": [row for one in trained for row in ensemble_rows(results, one)],
        "determinants": (compared(runs), DETERMINANT_COLUMNS),
    }


if __name__ == "__main__":
    table_step(run)
