"""Gather the numbers that the figures show and that claims are judged from, as tables beside them."""

from __future__ import annotations

from awduality.duality import controls, summary
from awduality.duality.temperature import TEMPERED_COLUMNS
from awduality.study.tables import Results, Rows, table_step
from studies.sweeps import numbers
from studies.sweeps.null_numbers import null_curve_rows, null_run_rows, read_nulls
from studies.sweeps.study import FACTORS


def _columns(names: list[str], *measures: str) -> list[str]:
    """Column names, with a mean and the half-width of its interval for every measure."""
    return [*names, *(f"{measure}_{part}" for measure in measures for part in ("mean", "half"))]


LABELS = ("config", "dataset", "layer", "pairing")
COLUMNS = {
    "gap": _columns([*LABELS, "value", "runs", *numbers.ENDS, "shown"], *numbers.MEASURES),
    "directions": _columns(["value", "n"], "sigma_g", "sigma_w_cumulative", "c", "eigenvalue"),
    "training": ["value", "seed", "steps", "train_loss", "test_loss"],
    "runs": [*LABELS, "run", "factor", "seed", "ended", *FACTORS, "train_loss", "test_error"]
    + [name for name in (*summary.COLUMNS, *summary.NULL_COLUMNS) if name not in ("run", *LABELS)]
    + ["error_gap", *TEMPERED_COLUMNS],
    "duality-pairs": ["run", "test_loss", "dual_loss"],
    "null-curves": [*LABELS, "null", "curve", "n", "mean", "low", "high", "curves"],
    "null-runs": [*controls.COLUMNS],
}


def run(found: Results) -> dict[str, Rows]:
    """Three tables per sweep and those over all runs; a config without a converged run still gets their headers."""
    layer, pairing = found.asked["layers"][0], found.asked["pairings"][0]
    results, nulls = numbers.read_results(found.folder, layer, pairing), read_nulls(found.folder)
    tables = {
        "runs": numbers.run_rows(results),
        "samples": numbers.sample_rows(results),
        "duality-pairs": numbers.duality_rows(results),
        "null-curves": null_curve_rows(nulls, results.labels),
        "null-runs": null_run_rows(nulls),
    }
    for factor in results.sweeps:
        tables[f"{factor}-gap"] = numbers.gap_rows(results, factor)
        tables[f"{factor}-directions"] = numbers.direction_rows(results, factor)
        tables[f"{factor}-training"] = numbers.training_rows(results, factor)
    layouts = COLUMNS | {"samples": ["sample", *results.sweeps]}
    return {
        name: (rows, layouts[name if name in layouts else name.rpartition("-")[2]]) for name, rows in tables.items()
    }


if __name__ == "__main__":
    table_step(run)
