"""Judge every claim from the numbers that lie beside the figures, and write the verdicts."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from pathlib import Path

import yaml

from awduality.claims.judge import judged
from awduality.commandline import parse, recorded, run
from awduality.files import read_frame, read_text, write_json


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write one object per claim, to the results and, the same, beside the figures."""
    parser = argparse.ArgumentParser(prog="scripts/claims.py", description=__doc__)
    parser.add_argument("--claims", required=True, type=Path, help="the claims under test (YAML)")
    parser.add_argument("--schema", required=True, type=Path, help="what that file must look like (YAML)")
    parser.add_argument("--study", required=True, help="the study whose claims they are")
    parser.add_argument(
        "--tables", required=True, nargs="+", type=Path, help="what they are judged from: CSV files, by name"
    )
    parser.add_argument("--root-seed", required=True, type=int, help="of the random arrangements")
    parser.add_argument("--claims-out", required=True, nargs="+", type=Path, help="where the verdicts go (JSON)")
    arguments = parse(parser, argv)
    content, schema = (yaml.safe_load(read_text(path)) for path in (arguments.claims, arguments.schema))
    tables = {path.stem: read_frame(path) for path in arguments.tables}
    rows = judged(content, schema, tables, arguments.root_seed, arguments.study)
    for path in arguments.claims_out:
        write_json(path, rows)
    counts = Counter(row["verdict"] for row in rows)
    logging.info("%d claims: %s", len(rows), ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    run(main)
