"""Draw one figure from its tables, as SVG and PNG."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from awduality.commandline import parse, run
from awduality.factors import FACTORS
from awduality.figures import factor, overview
from awduality.figures.catalogue import OVERVIEW
from awduality.figures.style import apply_style, savefig


def main(argv: list[str] | None = None) -> None:
    """Draw a factor's figure or one over all runs."""
    parser = argparse.ArgumentParser(prog="scripts/draw.py", description=__doc__)
    parser.add_argument("figure", choices=[*FACTORS, *OVERVIEW])
    parser.add_argument("--numbers", required=True, nargs="+", type=Path, help="the tables, from figure_numbers.py")
    parser.add_argument("--svg-out", required=True, type=Path)
    parser.add_argument("--png-out", required=True, type=Path)
    arguments = parse(parser, argv)
    apply_style()
    tables = {path.stem: pd.read_csv(path) for path in arguments.numbers}
    if arguments.figure in FACTORS:
        by_kind = {name.rpartition("-")[2]: table for name, table in tables.items()}
        figure = factor.draw_factor(arguments.figure, by_kind)
    elif tables["runs"].empty:
        figure = overview.draw_nothing("No run has a geometry: all diverged.")
    else:
        draw = getattr(overview, f"draw_{arguments.figure}")
        figure = draw(*(tables[table] for table in OVERVIEW[arguments.figure]))
    savefig(figure, [arguments.svg_out, arguments.png_out])


if __name__ == "__main__":
    run(main)
