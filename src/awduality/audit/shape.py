"""What a record looks like. Everything else is refused, so that no check stumbles or is led out of the project."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any

from awduality.records import canonical, invocation

Record = dict[str, Any]

LARGEST = 64 * 2**20
"""Bytes; far more than any record has."""
DEEPEST = 20
"""Levels of nesting; the resolved config, the deepest of all parameters, has five."""


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ValueError: it is no record as a job writes it; the message says why.
    """
    try:
        _check(path.is_file() and not path.is_symlink(), "not a file")
        _check(path.stat().st_size <= LARGEST, "larger than any record")
        record = json.loads(path.read_bytes().decode("utf-8"))
        canonical(record).encode()  # raises ValueError for NaN and for half a character
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    check_shape(record)
    return dict(record)


def within_project(path: Any) -> bool:
    """Whether a path stays within the project, and is written as records write it: one file has one name."""
    if not isinstance(path, str) or not path.isprintable():
        return False
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and pure.as_posix() == path


def is_digest(value: Any) -> bool:
    """Whether a value is a SHA-256 digest as records write it."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def check_shape(record: Any) -> None:
    """Refuse what is not a record.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    _check(isinstance(record, dict) and set(record) == set(_SHAPE), f"wanted the fields {', '.join(sorted(_SHAPE))}")
    for name, shape in _SHAPE.items():
        _check(fits(record[name], shape), f"the field {name!r} is not what a job writes there")
    _check(_depth(record) <= DEEPEST, "nested too deeply")
    git = record["git"]
    clean = {None: None, False: None, True: git["diff_sha256"] or ""}[git["dirty"]]
    _check(
        git["diff_sha256"] == clean and (git["commit"] is None) == (git["dirty"] is None), "'git' contradicts itself"
    )
    _check(record["command"].startswith(f"{invocation(record['script'])} "), "'command' does not run 'script'")


def _check(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape: a type, a test, one of several, that of all entries of a list, or exact fields."""
    if isinstance(shape, type):
        return type(value) is shape  # True is no number
    if isinstance(shape, tuple):
        return any(fits(value, alternative) for alternative in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(entry, shape[0]) for entry in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and set(value) == set(shape) and all(fits(value[k], shape[k]) for k in shape)
    return bool(shape(value))


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def mapping(key: Any, content: Any) -> Callable[[Any], bool]:
    """The test for a dict of any length whose keys and values have these shapes."""
    return lambda value: isinstance(value, dict) and all(fits(k, key) and fits(v, content) for k, v in value.items())


def _matching(pattern: str) -> Callable[[Any], bool]:
    """The test for text that matches a pattern."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_FILES = [{"path": within_project, "bytes": int, "sha256": is_digest}]
_SHAPE: dict[str, Any] = {
    "after": [{"path": within_project, "sha256": is_digest}],
    "code": mapping(within_project, is_digest),
    "command": str,
    "digest": is_digest,
    "ended": str,
    "environment": {
        "python": str,
        "implementation": str,
        "platform": str,
        "cpu": str,
        "libraries": [{"name": str, "version": str, "kernels": (str, NoneType), "threads": int}],
        "torch": (
            NoneType,
            {
                "build": str,
                "threads": int,
                "instruction_set": str,
                "gpu": (str, NoneType),
                "deterministic_algorithms": bool,
                "cudnn_deterministic": bool,
                "float32_matmul_precision": str,
            },
        ),
        "variables": mapping(str, str),
        "packages": mapping(str, str),
    },
    "exit_status": int,
    "format": str,
    "git": {
        "commit": (NoneType, _matching(r"[0-9a-f]{40}|[0-9a-f]{64}")),
        "dirty": (NoneType, bool),
        "diff_sha256": (NoneType, is_digest),
    },
    "inputs": _FILES,
    "job": str,
    "outputs": _FILES,
    "parameters": dict,
    "script": _matching(r"(scripts|studies/\w+)/\w+\.py"),
    "started": str,
    "streams": [
        {"root_seed": int, "purpose": str, "index": int, "key": _matching("[0-9a-f]{32}"), "opened": int, "words": int}
    ],
}
