"""Draw one figure from its tables, as SVG and PNG."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from awduality.commandline import parse, run
from awduality.factors import FACTORS
from awduality.figures import factor, nulls, overview, verdicts
from awduality.figures.catalogue import OVERVIEW
from awduality.figures.style import apply_style, savefig
from awduality.files import read_json

DRAW: dict[str, Callable[..., Figure]] = {
    "codeterminants": overview.draw_codeterminants,
    "duality": overview.draw_duality,
    "estimate": overview.draw_estimate,
    "nulls": nulls.draw_nulls,
    "predictors": verdicts.draw_predictors,
    "size": overview.draw_size,
    "verdicts": verdicts.draw_verdicts,
}


def read(path: Path) -> Any:
    """The rows of a table or of the claims; of the table of runs those that are shown."""
    if path.suffix == ".json":
        return read_json(path)
    table = pd.read_csv(path)
    return overview.shown(table) if path.name == "runs.csv" else table


def main(argv: list[str] | None = None) -> None:
    """Draw a factor's figure or one over all runs."""
    parser = argparse.ArgumentParser(prog="scripts/draw.py", description=__doc__)
    parser.add_argument("figure", choices=[*FACTORS, *OVERVIEW])
    parser.add_argument(
        "--numbers", required=True, nargs="+", type=Path, help="the tables, from figure_numbers.py, or claims.json"
    )
    parser.add_argument("--svg-out", required=True, type=Path)
    parser.add_argument("--png-out", required=True, type=Path)
    arguments = parse(parser, argv)
    apply_style()
    tables = {path.name: read(path) for path in arguments.numbers}
    if arguments.figure in FACTORS:
        by_kind = {Path(name).stem.rpartition("-")[2]: table for name, table in tables.items()}
        figure = factor.draw_factor(arguments.figure, by_kind)
    elif any(len(table) == 0 for table in tables.values()):
        figure = overview.draw_nothing("Nothing to show: no run has a geometry, or no run of the baseline converged.")
    else:
        figure = DRAW[arguments.figure](*(tables[name] for name in OVERVIEW[arguments.figure]))
    savefig(figure, [arguments.svg_out, arguments.png_out])


if __name__ == "__main__":
    run(main)
