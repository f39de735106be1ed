"""Write down where the numbers beside the figures come from: config, data, code, packages, digests of all results."""

from __future__ import annotations

import argparse
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.files import read_json, write_json
from awduality.provenance import check_whole, origin


@recorded
def main(argv: list[str] | None = None) -> None:
    """Gather the records given by --after: those of every job up to the one that wrote the numbers."""
    parser = argparse.ArgumentParser(prog="scripts/origin.py", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="the resolved config, from plan.py")
    parser.add_argument("--origin-out", required=True, type=Path, help="beside the figures, to be committed (JSON)")
    arguments = parse(parser, argv)
    records = [read_json(path) for path in arguments.after]
    for record in records:
        check_whole(record)
    write_json(arguments.origin_out, origin(records, read_json(arguments.config)))


if __name__ == "__main__":
    run(main)
