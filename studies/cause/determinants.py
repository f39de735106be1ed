"""The common table of determinants: every cell of the plane against its neighbour without the cause in question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from awduality.duality.determinants import DETERMINANT_COLUMNS, Comparison, determinant_rows
from awduality.study.tables import Rows, derived_step


def method_name(norm: float, rho: float, batch: int) -> str:
    """How the table calls the way that a run was trained."""
    held = f"norm {norm:g}" if norm else "free norm"
    return f"{held}, batches of {batch}, " + (f"ρ = {rho:g}" if rho else "plain")


def baselines(runs: pd.DataFrame) -> dict[str, str]:
    """Method → the one that it is compared with.

    What has a perturbation is compared with plain SGD of the same norm; plain SGD of another batch size with that of
    the plane, of the same norm; plain SGD of a larger norm with that of the smallest.
    """
    cells = runs[["norm", "rho", "batch_size"]].drop_duplicates().itertuples(index=False, name=None)
    of_plane = int(runs["batch_size"].mode().iloc[0])
    held = runs.loc[runs["norm"] > 0, "norm"]
    found = {}
    for norm, rho, batch in cells:
        if rho:
            found[method_name(norm, rho, batch)] = method_name(norm, 0.0, batch)
        elif batch != of_plane:
            found[method_name(norm, rho, batch)] = method_name(norm, 0.0, of_plane)
        elif norm and norm > held.min():
            found[method_name(norm, rho, batch)] = method_name(held.min(), 0.0, batch)
    return found


def run(tables: Mapping[str, pd.DataFrame], asked: Mapping[str, Any]) -> dict[str, Rows]:
    """A row per run that reached the target loss."""
    runs = tables["runs"]
    rule = Comparison(lambda row: method_name(row["norm"], row["rho"], int(row["batch_size"])), baselines(runs))
    return {"determinants": (determinant_rows(runs, rule, asked["target_loss"]), DETERMINANT_COLUMNS)}


if __name__ == "__main__":
    derived_step(run)
