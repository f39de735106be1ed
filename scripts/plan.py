"""Write down what a config asks for: the complete config, and every run once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.files import reading, write_json
from awduality.study.plan import plan


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write the resolved config and its plan."""
    parser = argparse.ArgumentParser(prog="scripts/plan.py", description=__doc__)
    parser.add_argument("--config", required=True, type=json.loads, metavar="JSON", help="the resolved config")
    parser.add_argument(
        "--sources", nargs="+", type=Path, default=[], help="the files that it was read from, to record"
    )
    parser.add_argument("--config-out", required=True, type=Path, help="the config as a file")
    parser.add_argument("--plan-out", required=True, type=Path, help="runs and sweeps")
    arguments = parse(parser, argv)
    for path in arguments.sources:
        reading(path)
    write_json(arguments.config_out, arguments.config)
    write_json(arguments.plan_out, plan(arguments.config))


if __name__ == "__main__":
    run(main)
