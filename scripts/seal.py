"""Close a run: the record of this step, its only output, holds the digest of every other record."""

from __future__ import annotations

import argparse
import logging

from awduality.commandline import parse, recorded, run
from awduality.files import read_json
from awduality.provenance import check_whole


@recorded
def main(argv: list[str] | None = None) -> None:
    """Check that the records given by --after are whole. Their digests enter the record of this step."""
    arguments = parse(argparse.ArgumentParser(prog="scripts/seal.py", description=__doc__), argv)
    for path in arguments.after:
        check_whole(read_json(path))
    logging.info("%d records sealed", len(arguments.after))


if __name__ == "__main__":
    run(main)
