"""Export a finished run as one ZIP, a Provenance Run Crate, which can be audited wherever it is unpacked."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.crate.metadata import crate_metadata
from awduality.crate.run import sealed_run, write_crate


@recorded
def main(argv: list[str] | None = None) -> None:
    """Read the run that a seal closes, check it against its records, and pack it."""
    parser = argparse.ArgumentParser(prog="scripts/crate.py", description=__doc__)
    parser.add_argument("--seal", required=True, type=Path, help="the record of the run's last job, from seal.py")
    parser.add_argument("--crate-out", required=True, type=Path, help="the crate (ZIP)")
    arguments = parse(parser, argv)
    sealed = sealed_run(arguments.seal, Path.cwd())
    write_crate(arguments.crate_out, sealed, crate_metadata(sealed, Path.cwd()), Path.cwd())
    logging.info("%d records and %d other files packed", len(sealed.records), len(sealed.files) - len(sealed.records))


if __name__ == "__main__":
    run(main)
