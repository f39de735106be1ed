"""What a person sees of a run: a line per finished job and the time left, why a job failed, what came out.

Snakemake tells its loggers of every event. ``attach`` puts a ``Terminal`` in the place of the one that writes to the
terminal. Snakemake's own log, in ``.snakemake/log``, gets everything, with the command of every job; with ``--verbose``
the terminal does too. Standard library only.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from awduality.study.progress import Course, Running, about, clock, duration

_LAST, _WIDTH = 12, 160  # lines of the log of a job that has failed, and characters of those before its message
_CLOSING = "says_what_came_out"  # attribute of such a record
_NOTHING = "Nothing to be done"
_DROPPED = ("Assuming unrestricted shared filesystem", "Exiting because a job execution failed")
_FAILED = "WorkflowError:\nAt least one job did not complete"


def job_name(said: Mapping[str, Any]) -> str:
    """What a job is called: the message of its rule, or the rule with its wildcards."""
    return str(said["rule_msg"] or " ".join([said["rule_name"], *map(str, dict(said["wildcards"]).values())]))


def reasons(text: str) -> str:
    """Why a job would run, without the files and values that Snakemake lists."""
    kinds = re.split(r"; (?=[A-Z])", text)
    return "; ".join(dict.fromkeys(kind.partition(":")[0].strip().lower() for kind in kinds)) or "asked for"


class Terminal(logging.Handler):
    """Writes a plain line per finished job, and of a failed one the end of its log; on a terminal and in CI alike."""

    def __init__(
        self,
        stream: TextIO,
        through: Callable[[logging.LogRecord], object] = lambda _: None,
        *,
        closing: Callable[[], str] = str,
        shown: Collection[str] = (),
        idle: Callable[[], Collection[str]] = tuple,
        quiet: bool = False,
        commands: bool = False,
        dry: bool = False,
        log: str = "",
    ) -> None:
        """Make one.

        Args:
            stream: where lines go.
            through: handles warnings, errors that are not a job's, and all that comes before the run.
            closing: gives what came out, in words.
            shown: rules whose result is what they log: it is written to the standard output when they end.
            idle: gives the rules that do nothing but ask for files, which are not counted.
            quiet: whether only failures, and what came out, are told.
            commands: whether every job's command is.
            dry: whether nothing is executed.
            log: where Snakemake's log is.
        """
        super().__init__()
        self.stream, self.through, self.closing, self.log = stream, through, closing, log
        self.shown, self.idle, self.quiet, self.commands, self.dry = shown, idle, quiet, commands, dry
        self.course, self.failed, self.started = Course(), list[str](), False

    def emit(self, record: logging.LogRecord) -> None:
        """Tell what a person wants to know of an event. Nothing that fails here ends a run."""
        try:
            self._tell(record, str(getattr(record, "event", None) or ""), str(record.msg or ""))
        except BrokenPipeError:  # whoever read has had enough: ends a dry run, but no work
            if self.dry:
                raise
        except Exception:  # as every handler does
            self.handleError(record)

    def _tell(self, record: logging.LogRecord, event: str, message: str) -> None:
        if event == "workflow_started":
            self.started, self.course = True, Course(record.created)
        elif hasattr(record, _CLOSING):
            self._close(message)
        elif message.startswith(_NOTHING):
            self.say(message)
            self._close("" if self.dry else self.closing())
        elif message.startswith(_FAILED) and self.failed:
            self._sum_up()
        elif known := getattr(self, f"_{event}", None) if self.started else None:
            known(record)
        elif message.startswith(_DROPPED) or _repeats_a_command(record, message):
            pass
        elif record.levelno >= logging.WARNING or not self.started:
            self.through(record)

    def say(self, text: str, stream: TextIO | None = None) -> None:
        """Write text and the end of a line, also where the terminal lacks some of its signs."""
        stream = stream or self.stream
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()

    def _run_info(self, record: logging.LogRecord) -> None:
        if self.course.stats:  # a dry run says it at its start and at its end
            return
        left_out = {"total", *self.idle()}
        self.course.stats = Counter({rule: n for rule, n in vars(record)["stats"].items() if rule not in left_out})
        if self.dry:
            self.say(str(record.msg))
        elif not self.quiet:
            jobs = f"{self.course.total} job{'s' * (self.course.total != 1)}"
            self.say(f"{jobs}; Snakemake's own log: {self.log}" if self.log else jobs)

    def _job_info(self, record: logging.LogRecord) -> None:
        said = vars(record)
        if said["rule_name"] in self.idle():
            return
        self.course.running[said["jobid"]] = Running(said["rule_name"], job_name(said), record.created, said["log"])
        if self.dry and not self.quiet:
            self.say(f"{job_name(said)} ({reasons(said['reason'])})")

    def _shellcmd(self, record: logging.LogRecord) -> None:
        if self.commands and (command := getattr(record, "shellcmd", None)):
            self.say(f"    {command}")

    def _job_finished(self, record: logging.LogRecord) -> None:
        job = vars(record)["job_id"]
        if job not in self.course.running:
            return
        one, seconds = self.course.finish(job, record.created)
        done, total, left = self.course.done, self.course.total, self.course.left(record.created)
        if not self.quiet:
            place = f"[{done:{len(str(total))}}/{total}] {clock(record.created - self.course.began)}"
            rest = "" if left is None or done == total else f", {about(left)}"
            self.say(f"{place}  {one.name} ({duration(seconds)}){rest}")
        if one.rule in self.shown:
            self.say("\n".join(_lines(one.logs)), sys.stdout)

    def _job_error(self, record: logging.LogRecord) -> None:
        self._failure(vars(record), record.created)

    def _group_error(self, record: logging.LogRecord) -> None:
        for said in vars(record)["job_error_info"]:
            self._failure(said, record.created)

    def _failure(self, said: Mapping[str, Any], now: float) -> None:
        one = self.course.running.pop(said["jobid"], Running(said["rule_name"], said["rule_name"], now))
        self.failed.append(one.name)
        lines = _lines(said["log"])
        if one.rule in self.shown:
            self.say("\n".join(lines), sys.stdout)
        self.say(f"failed: {one.name} ({duration(now - one.began)})")
        if one.rule not in self.shown:
            for line in _shown(lines[-_LAST:]):
                self.say(f"    {line}")
        for name in said["log"]:
            self.say(f"    {'see' if Path(name).is_file() else 'without a log:'} {name}")

    def _sum_up(self) -> None:
        names = ", ".join(dict.fromkeys(self.failed))
        self.say(f"{len(self.failed)} of {self.course.total} jobs failed: {names}; {self.course.done} have finished.")
        self.say(f"The same command goes on from here. Snakemake's own log: {self.log}" if self.log else "")

    def _close(self, text: str) -> None:
        told = set(self.course.stats) <= set(self.shown)
        if text and not (told and self.course.stats):
            self.say(f"\n{text}")


def _lines(logs: Collection[str]) -> list[str]:
    """The lines of logs, those that are there; of a line that a progress bar overwrote, the last state."""
    texts = [Path(name).read_bytes().decode(errors="replace") for name in logs if Path(name).is_file()]
    return [line.rstrip("\r").rpartition("\r")[2] for text in texts for line in text.rstrip("\n").split("\n")]


def _shown(lines: list[str]) -> Iterator[str]:
    """Lines cut to a width, but for the message that a script ends with: its end says what to do."""
    message = next((place for place, line in enumerate(lines) if line.startswith("error: ")), len(lines))
    for place, line in enumerate(lines):
        yield line if place >= message or len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _repeats_a_command(record: logging.LogRecord, message: str) -> bool:
    """Whether this is the command, arguments and all, of a job whose failure is told next."""
    return getattr(record, "exception", None) == "RuleException" and "CalledProcessError" in message


def attach(workflow: Any, closing: Callable[[], str], shown: Collection[str] = ()) -> Callable[[], None]:
    """Put a ``Terminal`` in the place of Snakemake's own; to be called in the Snakefile.

    ``--verbose``, ``--debug-dag``, ``--quiet all``, another logger's plugin and jobs on other machines keep Snakemake's
    handlers; ``--quiet`` in other words leaves out the jobs; ``--printshellcmds`` shows their commands.

    Args:
        workflow: Snakemake's object of that name.
        closing: gives what came out, in words; called at the end of a run.
        shown: rules whose result is what they log.

    Returns:
        What ``onsuccess`` calls.
    """
    manager, settings = workflow.logger_manager, workflow.output_settings
    logger = manager.logger

    def end() -> None:
        if text := closing():
            logger.info(text, extra={_CLOSING: True})

    if workflow.exec_mode.name != "DEFAULT":
        return end
    quiet = {choice.name for choice in settings.quiet or ()}
    (default,) = [one for one in logger.handlers if one.name == "DefaultStreamHandler"] or [None]
    for handler in manager.logfile_handlers:  # Snakemake's own log has everything, whatever the terminal shows
        if handler.name == "DefaultLogFileHandler":
            _open(handler)
    if default is None or settings.verbose or settings.debug_dag or "ALL" in quiet:
        if default is not None and settings.verbose and not quiet:
            _open(default)
        return end
    logger.removeHandler(default)
    logger.addHandler(
        Terminal(
            default.stream,
            default.handle,
            closing=closing,
            shown=shown,
            idle=lambda: {rule.name for rule in workflow.rules if rule.norun},
            quiet=bool({"RULES", "PROGRESS"} & quiet),
            commands=settings.printshellcmds,
            dry=settings.dryrun,
            log=next((os.path.relpath(path) for path in manager.get_logfile()), ""),
        )
    )
    return end


def _open(handler: logging.Handler) -> None:
    """Make one of Snakemake's handlers leave out nothing that it gets."""
    for sieve in handler.filters:
        vars(sieve).update(quiet=set(), printshellcmds=True)
    vars(handler.formatter).update(quiet=set(), show_failed_logs=True)
