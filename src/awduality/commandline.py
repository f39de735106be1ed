"""What every script does at its start and its end: log its command line, leave a record, turn errors into messages."""

from __future__ import annotations

import argparse
import functools
import logging
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from awduality.errors import InputError
from awduality.files import sha256
from awduality.ledger import Ledger, current, kept
from awduality.records import begin, invocation, write_record

_REPORT_EVERY = 10.0  # seconds between two progress lines where there is no terminal


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments and log the command line, so that a log says how to repeat the step by hand.

    A step (see ``recorded``) takes two more options: where its record goes, and the records of the steps before it.
    """
    step = current()
    if step is not None:
        parser.add_argument("--record", type=Path, help="where the record of this step goes (JSON); by default nowhere")
        parser.add_argument(
            "--after", nargs="*", type=Path, default=[], help="records of the steps that made the inputs"
        )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    given = sys.argv[1:] if argv is None else list(argv)
    logging.info("%s %s", invocation(parser.prog), shlex.join(given))
    if step is not None:
        _note(step, parser.prog, given, arguments)
    return arguments


def _note(step: Ledger, script: str, given: list[str], arguments: argparse.Namespace) -> None:
    """Note what a step was asked for: arguments that are no files are its parameters, those of ``asked`` one by one."""

    def is_file(value: Any) -> bool:
        return isinstance(value, Path) or (isinstance(value, list) and any(isinstance(item, Path) for item in value))

    step.script, step.arguments, step.record = script, given, arguments.record
    step.after = {path: sha256(path) for path in arguments.after}
    given_otherwise = ("record", "after", "before", "asked")
    step.parameters = {
        name: value for name, value in vars(arguments).items() if name not in given_otherwise and not is_file(value)
    } | getattr(arguments, "asked", {})
    if step.record is not None:
        begin(step, Path.cwd())


def recorded(main: Callable[..., None]) -> Callable[..., None]:
    """Make a script's ``main`` a step of the pipeline: if it succeeds, it leaves a record of what it read and wrote."""

    @functools.wraps(main)
    def step(argv: list[str] | None = None) -> None:
        with kept() as ledger:
            main(argv)
        write_record(ledger, Path.cwd())

    return step


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's ``main``; exit status 0, 2 with a message for input that cannot be used, 130 if interrupted."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FileNotFoundError as error:
        print(
            f"error: {error.filename} does not exist: name another file, or run the step that makes it", file=sys.stderr
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: nothing half-written is left behind; run the same command again", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


class Progress:
    """Progress of long work: a bar on a terminal, a log line now and then elsewhere."""

    def __init__(self, total: int, unit: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=unit, disable=not sys.stderr.isatty())
        self._total, self._unit, self._done, self._last = total, unit, 0, time.monotonic()

    def __call__(self, finished: int, message: str = "") -> None:
        """Note ``finished`` further units, and what is being done."""
        self._done += finished
        self._bar.update(finished)
        self._bar.set_postfix_str(message, refresh=False)
        now = time.monotonic()
        if self._bar.disable and (now - self._last > _REPORT_EVERY or (finished and self._done == self._total)):
            self._last = now
            logging.info("%d of %d %ss done%s", self._done, self._total, self._unit, f"; {message}" if message else "")
