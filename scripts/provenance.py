"""Write down where figures and verdicts come from: figure ids, code, packages, the digest of every file beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.files import read_json, sha256, write_json
from awduality.provenance import check_whole, provenance
from awduality.records import file_name


@recorded
def main(argv: list[str] | None = None) -> None:
    """Gather the records given by --after: those of the jobs that drew figures and judged claims."""
    parser = argparse.ArgumentParser(prog="scripts/provenance.py", description=__doc__)
    parser.add_argument("--origin", required=True, type=Path, help="where the numbers come from, from origin.py")
    parser.add_argument("--provenance-out", required=True, type=Path, help="beside the figures, to be committed (JSON)")
    arguments = parse(parser, argv)
    records = [read_json(path) for path in arguments.after]
    for record in records:
        check_whole(record)
    origin, tables = arguments.origin, read_json(arguments.origin)["tables"]
    origin_file = (file_name(origin, Path.cwd()), sha256(origin))
    write_json(arguments.provenance_out, provenance(records, origin_file, tables))


if __name__ == "__main__":
    run(main)
