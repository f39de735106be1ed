"""What the running step reads, writes and draws at random, noted by the modules that do it.

A step is a script's ``main`` (``awduality.commandline.recorded``). Outside a step nothing is noted, so that the library
can be used without leaving traces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FileEntry:
    """A file as it was read or written: bytes and SHA-256 digest."""

    size: int
    sha256: str


@dataclass(frozen=True)
class OpenedStream:
    """A random stream that was opened, and its generator, which knows how far it was drawn from."""

    root_seed: int
    purpose: str
    index: int
    key: int
    generator: np.random.Generator


@dataclass
class Ledger:
    """The notes of one step."""

    started: datetime
    script: str = ""  # scripts/<step>.py
    arguments: list[str] = field(default_factory=list)  # as given on the command line
    parameters: dict[str, Any] = field(default_factory=dict)  # as parsed, by name
    record: Path | None = None  # where the record goes
    after: dict[Path, str] = field(default_factory=dict)  # records of the steps that made the inputs, with SHA-256
    code: dict[str, str] = field(default_factory=dict)  # path -> SHA-256 of the modules loaded when the step began
    git: dict[str, Any] = field(default_factory=dict)  # commit and state of the working tree then
    inputs: dict[Path | str, FileEntry] = field(default_factory=dict)  # a name instead of a path: not a file
    outputs: dict[Path | str, FileEntry] = field(default_factory=dict)
    streams: list[OpenedStream] = field(default_factory=list)


_current: Ledger | None = None


def current() -> Ledger | None:
    """The ledger of the running step, if there is one."""
    return _current


@contextmanager
def kept() -> Iterator[Ledger]:
    """A new ledger for as long as a step runs."""
    global _current
    before, _current = _current, Ledger(datetime.now(UTC))
    try:
        yield _current
    finally:
        _current = before
