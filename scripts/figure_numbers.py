"""Gather the numbers that the figures show, as tables beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.duality import controls, summary
from awduality.factors import FACTORS
from awduality.figures import numbers
from awduality.figures.null_numbers import null_curve_rows, null_run_rows, read_nulls
from awduality.files import write_table


def columns(names: list[str], *measures: str) -> list[str]:
    """Column names, with a mean and the half-width of its interval for every measure."""
    return [*names, *(f"{measure}_{part}" for measure in measures for part in ("mean", "half"))]


LABELS = ("config", "dataset", "layer", "pairing")
COLUMNS = {
    "gap": columns([*LABELS, "value", "runs", *numbers.ENDS, "shown"], *numbers.MEASURES),
    "directions": columns(["value", "n"], "sigma_g", "sigma_w_cumulative", "c", "eigenvalue"),
    "training": ["value", "seed", "steps", "train_loss", "test_loss"],
    "runs": [*LABELS, "run", "factor", "seed", "ended", *FACTORS, "train_loss", "test_error"]
    + [name for name in (*summary.COLUMNS, *summary.NULL_COLUMNS) if name not in ("run", *LABELS)],
    "duality-pairs": ["run", "test_loss", "dual_loss"],
    "null-curves": [*LABELS, "null", "curve", "n", "mean", "low", "high", "curves"],
    "null-runs": [*controls.COLUMNS],
}


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write three tables per sweep and those over all runs; a config without a converged run still gets its headers."""
    parser = argparse.ArgumentParser(prog="scripts/figure_numbers.py", description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<config>")
    parser.add_argument("--layer", required=True, help="the layer to show")
    parser.add_argument(
        "--pairing", required=True, choices=["test_to_train", "train_to_test"], help="the pairing to show"
    )
    parser.add_argument("--figures-out", required=True, type=Path, help="figures/<config>")
    arguments = parse(parser, argv)
    results = numbers.read_results(arguments.results, arguments.layer, arguments.pairing)
    nulls = read_nulls(arguments.results)
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
    for name, rows in tables.items():
        kind = name if name in layouts else name.rpartition("-")[2]
        write_table(arguments.figures_out / f"{name}.csv", rows, layouts[kind])


if __name__ == "__main__":
    run(main)
