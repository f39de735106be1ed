"""Check a run, or what is committed, against its records: is everything still what it was when it was made?

Needs nothing but Python's standard library, except for the level "science" and for --rerun. Writes nothing.
Exit status: 0 all well, 1 something failed, 2 something could not be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # also where nothing is installed

from awduality.audit.check import LEVELS, audit
from awduality.audit.findings import as_data, as_text, exit_code
from awduality.audit.lookup import identify, trace
from awduality.commandline import run

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = """\
python scripts/audit.py digits                             results and figures of a config
python scripts/audit.py digits --committed                 figures/digits of a clone, without the run
python scripts/audit.py digits --rerun sample:5            and five jobs executed again, chosen at random
python scripts/audit.py trace size --config digits         where a figure or a claim (dropout/gap) comes from
python scripts/audit.py identify picture.png               which figure an image is
python scripts/audit.py digits --root ~/unpacked           somebody else's run, checked by code that you trust
"""


def parser() -> argparse.ArgumentParser:
    """Three commands; the first needs no name."""
    layout = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="scripts/audit.py", description=__doc__, epilog=EXAMPLES, formatter_class=layout)
    commands = top.add_subparsers(dest="command", required=True, metavar="CONFIG | trace | identify")
    check = commands.add_parser("check", help="the audit of a config (the word itself may be left out)")
    check.add_argument("config", help="the config's name: digits, mnist, …")
    check.add_argument("--committed", action="store_true", help="only what is committed: figures/<config>")
    check.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS), help="by default all")
    check.add_argument("--rerun", metavar="figures|sample:K|all|JOB", help="execute its jobs again, with your rights")
    check.add_argument("--seal", metavar="SHA256", help="the seal that was noted down when the run was made")
    check.add_argument("--json", action="store_true", help="for machines")
    follow = commands.add_parser("trace", help="where a figure or a claim comes from")
    follow.add_argument("name", help="a figure (size) or a claim (dropout/gap)")
    follow.add_argument("--config", default="digits", help="by default digits")
    find = commands.add_parser("identify", help="which figure an image is")
    find.add_argument("image", type=Path, help="a PNG or SVG file, from wherever")
    for command in (check, follow, find):
        command.add_argument("--root", type=Path, default=ROOT, help="another project or unpacked ZIP, not this one")
    return top


def main(argv: list[str] | None = None) -> None:
    """Audit, trace or identify; end with the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] not in ("check", "trace", "identify", "-h", "--help"):
        words = ["check", *words]
    arguments = parser().parse_args(words)
    status = 0
    if arguments.command == "trace":
        lines = list(trace(arguments.root, arguments.config, arguments.name))
    elif arguments.command == "identify":
        status, lines = identify(arguments.root, arguments.image)
    else:
        title, levels, closing = audit(
            arguments.root, arguments.config, arguments.levels, arguments.committed, arguments.rerun, arguments.seal
        )
        text = json.dumps(as_data(title, levels), indent=2) if arguments.json else as_text(title, levels, closing)
        status, lines = exit_code(levels), [text]
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))  # also where the terminal lacks “…”
    sys.exit(status)


if __name__ == "__main__":
    run(main)
