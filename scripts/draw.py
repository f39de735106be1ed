"""Draw one figure from its tables, as SVG and PNG."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from awduality.commandline import parse, recorded, run
from awduality.factors import FACTORS
from awduality.figures.catalogue import LEARNER_FIGURES, OVERVIEW
from awduality.figures.style import apply_style, savefig
from awduality.files import read_frame, read_json


def draw(figure: str, tables: Mapping[str, Any]) -> Figure:
    """One figure. Only its own module is imported: a figure's id is made of the code that draws it."""
    if figure in FACTORS:
        from awduality.figures.factor import draw_factor

        return draw_factor(figure, {Path(name).stem.rpartition("-")[2]: table for name, table in tables.items()})
    if figure in LEARNER_FIGURES:
        from awduality.figures.studies import draw_study

        return draw_study(figure, [tables[name] for name in LEARNER_FIGURES[figure]])
    if any(len(table) == 0 for table in tables.values()):
        from awduality.figures.overview import draw_nothing

        return draw_nothing("Nothing to show: no run has a geometry, or no run of the baseline converged.")
    inputs = [tables[name] for name in OVERVIEW[figure]]
    if figure == "nulls":
        from awduality.figures.nulls import draw_nulls

        return draw_nulls(*inputs)
    if figure == "layers":
        from awduality.figures.layers import draw_layers

        return draw_layers(*inputs)
    if figure in ("predictors", "verdicts"):
        from awduality.figures.verdicts import draw_predictors, draw_verdicts

        return draw_verdicts(*inputs) if figure == "verdicts" else draw_predictors(*inputs)
    from awduality.figures import overview

    drawn: Figure = getattr(overview, f"draw_{figure}")(*inputs)
    return drawn


def read(path: Path, figure: str) -> Any:
    """The rows of a table or of the claims; of the table of runs of a sweep those that are shown."""
    if path.suffix == ".json":
        return read_json(path)
    table = read_frame(path)
    if path.name == "runs.csv" and figure in OVERVIEW:
        from awduality.figures.overview import shown

        return shown(table)
    return table


@recorded
def main(argv: list[str] | None = None) -> None:
    """Draw a factor's figure or one over all runs."""
    parser = argparse.ArgumentParser(prog="scripts/draw.py", description=__doc__)
    parser.add_argument("figure", choices=[*FACTORS, *OVERVIEW, *LEARNER_FIGURES])
    parser.add_argument("--numbers", required=True, nargs="+", type=Path, help="the figure's tables, or claims.json")
    parser.add_argument("--svg-out", required=True, type=Path)
    parser.add_argument("--png-out", required=True, type=Path)
    arguments = parse(parser, argv)
    apply_style()
    figure = draw(arguments.figure, {path.name: read(path, arguments.figure) for path in arguments.numbers})
    savefig(figure, [arguments.svg_out, arguments.png_out])


if __name__ == "__main__":
    run(main)
