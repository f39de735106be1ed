"""Write the README's table of results from the committed numbers, so that none of them is typed by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from awduality.commandline import parse, run
from awduality.errors import InputError
from awduality.figures.results_table import results_table
from awduality.files import write_text

START, END = "<!-- results: written by scripts/update_readme.py -->\n", "<!-- end of results -->\n"


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
    updated = f"{before}{START}{results_table(arguments.figures)}{END}{after}"
    if not arguments.check:
        write_text(arguments.readme, updated)
    elif updated != text:
        raise InputError(f"the table in {arguments.readme} is out of date: run python scripts/update_readme.py")


if __name__ == "__main__":
    run(main)
