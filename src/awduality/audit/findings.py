"""What an audit found, for people and for machines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["failed", "not checked", "warning"]

WIDTH = 110
NAMES = ("bytes", "chain", "plan", "code", "science", "re-execution")
"""The levels by number."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    status: Status
    file: str  # what it is about: a path within the project, a job or a package
    expected: str
    found: str
    advice: str  # what to do now

    def text(self) -> str:
        """The finding as a paragraph for the terminal."""
        lines = (("expected", self.expected), ("found", self.found), ("do", self.advice))
        paragraphs = [
            textwrap.fill(
                f"{name + ':':<10}{printable(value)}",
                WIDTH,
                initial_indent=" " * 6,
                subsequent_indent=" " * 16,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for name, value in lines
        ]
        return "\n".join([f"    {self.status}: {printable(self.file)}", *paragraphs])


def printable(text: str) -> str:
    """Text without the characters by which a file's name could forge a line of the audit or move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass
class Level:
    """One level of an audit: what it asked, and what it found."""

    name: str
    done: str = ""  # what was checked, in numbers; said where nothing failed
    findings: list[Finding] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)  # of re-execution: path -> outcome and detail

    @property
    def status(self) -> str:
        """The gravest of its findings, or ``ok``."""
        found = {finding.status for finding in self.findings}
        return next((status for status in ("failed", "not checked", "warning") if status in found), "ok")


def short(digest: str | None) -> str:
    """A digest as people compare it."""
    return f"sha256 {digest[:12]}…" if digest else "nothing"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names with commas, the first few of many."""
    everything = sorted(names)
    more = f" and {len(everything) - most} more" if len(everything) > most else ""
    return ", ".join(everything[:most]) + more


def exit_code(levels: Sequence[Level]) -> int:
    """0 all well, 1 something failed, 2 something could not be checked."""
    statuses = {finding.status for level in levels for finding in level.findings}
    return 1 if "failed" in statuses else 2 if "not checked" in statuses else 0


VERDICTS = {
    0: "All well.",
    1: "FAILED: something is not what it was when it was made. What follows each finding says what to do.",
    2: "Nothing failed, but something could not be checked.",
}


def as_text(title: str, levels: Sequence[Level], closing: Sequence[str] = ()) -> str:
    """The audit for the terminal: a line per level, every finding below its level, the verdict last."""
    lines = [title]
    for level in levels:
        detail = level.done if level.status in ("ok", "warning") else f"{len(level.findings)} findings"
        lines.append(f"  {NAMES.index(level.name) + 1}  {level.name:<13}{level.status:<13}{detail}")
        lines += [finding.text() for finding in level.findings]
        named = {finding.file for finding in level.findings}
        others = {
            path: outcome for path, outcome in level.outcomes.items() if path not in named and outcome != "IDENTICAL"
        }
        lines += [f"    {path}: {outcome}" for path, outcome in others.items()]
    return "\n".join([*lines, *closing, VERDICTS[exit_code(levels)]])


def as_data(title: str, levels: Sequence[Level]) -> dict[str, Any]:
    """The audit for machines."""
    return {
        "audit": title,
        "exit_code": exit_code(levels),
        "levels": [{"level": level.name, "status": level.status, **asdict(level)} for level in levels],
    }
