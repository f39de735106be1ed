"""Write the README's table of results from the committed numbers, so that none of them is typed by hand."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from awduality.commandline import parse, run
from awduality.errors import InputError
from awduality.factors import FACTORS, format_value
from awduality.files import write_text

START, END = "<!-- results: written by scripts/update_readme.py -->\n", "<!-- end of results -->\n"


def mean(row: dict[str, str], measure: str) -> str:
    """A mean and the half-width of its interval, if it has one: ``0.218 ± 0.037``."""
    half = row[f"{measure}_half"]
    return f"{float(row[f'{measure}_mean']):.3f}" + (f" ± {float(half):.3f}" if half else "")


def table(figures: Path) -> str:
    """A row per sweep: its smallest and largest value that converged, and the gap and its parts there."""
    measures = {"gap": "gap (nats)", "sharp_part": "sharp part", "flat_part": "flat part"}
    lines = [f"| factor | from → to | {' | '.join(measures.values())} |", "|---" * (2 + len(measures)) + "|"]
    for factor in FACTORS:
        path = figures / f"{factor}-gap.csv"
        if not path.exists():
            continue
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if row["shown"] == "converged"]
        if rows:
            first, last = rows[0], rows[-1]
            ends = " → ".join(format_value(float(row["value"])) for row in (first, last))
            cells = [f"{mean(first, measure)} → {mean(last, measure)}" for measure in measures]
            name = f"[{FACTORS[factor].plain}]({figures.as_posix()}/{factor}.svg)"
            lines.append(f"| {name} | {ends} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Write the table, or check that it is up to date."""
    parser = argparse.ArgumentParser(prog="scripts/update_readme.py", description=__doc__)
    parser.add_argument("--figures", type=Path, default=Path("figures/digits"), help="where the numbers lie")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the table is out of date")
    arguments = parse(parser, argv)
    text = arguments.readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise InputError(f"{arguments.readme} lacks the lines {START.strip()!r} and {END.strip()!r}: put them back")
    updated = f"{before}{START}{table(arguments.figures)}{END}{after}"
    if not arguments.check:
        write_text(arguments.readme, updated)
    elif updated != text:
        raise InputError(f"the table in {arguments.readme} is out of date: run python scripts/update_readme.py")


if __name__ == "__main__":
    run(main)
