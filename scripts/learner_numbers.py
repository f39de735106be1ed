"""Gather the numbers that the figures of a study of many learners show, as tables beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.figures import learner_numbers as numbers
from awduality.files import write_table


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write three tables; a study without a converged run still gets its headers."""
    parser = argparse.ArgumentParser(prog="scripts/learner_numbers.py", description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<config>")
    parser.add_argument("--layer", required=True, help="the layer to show")
    parser.add_argument("--figures-out", required=True, type=Path, help="figures/<config>")
    arguments = parse(parser, argv)
    results = numbers.read_study(arguments.results, arguments.layer)
    tables = {
        "runs": (numbers.run_rows(results), numbers.RUN_COLUMNS),
        "course": (numbers.course_rows(results), numbers.COURSE_COLUMNS),
        "samples": (numbers.sample_rows(results), ("sample", *results.experiments)),
    }
    for name, (rows, columns) in tables.items():
        write_table(arguments.figures_out / f"{name}.csv", rows, columns)


if __name__ == "__main__":
    run(main)
