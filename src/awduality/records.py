"""Records: what a step read, ran and wrote, one JSON file per job, written by the job itself as its last act.

A record is canonical JSON (sorted keys, no insignificant space, floats by ``repr``), so that equal records are equal
bytes, and closes with the digest of its own content. It names the records of the jobs that made its inputs with their
digests, and the last job of a run (``seal``) names all: who changes a record has to change every later one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from awduality.environment import environment, git_state
from awduality.files import absolute, sha256, write_text
from awduality.ledger import FileEntry, Ledger, current

FORMAT = "awduality-record/1"
DATA_ROOT, OUTSIDE = "$AWDUALITY_DATA/", "(outside)/"  # how names of files outside the project begin

LOADED = tuple(
    f"src/awduality/{name}.py"
    for name in ("__init__", "commandline", "environment", "errors", "files", "ledger", "records")
)
"""Code that every job loads."""

PLUMBING = (
    *LOADED,
    "src/awduality/config.py",
    *(
        f"src/awduality/study/{name}.py"
        for name in ("__init__", "contract", "discovery", "jobs", "plan", "schema", "step")
    ),
)
"""Code that plans, carries numbers about and says where they come from: no part of a figure's id, nor of what is
committed, and its edit runs nothing again."""


def canonical(value: Any) -> str:
    """JSON in which equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_name(path: Path | str, root: Path) -> str:
    """How records call a file: its path within the project, ``$AWDUALITY_DATA/…`` in the data root, else its name.

    A string is the name of something that is not a file, and stays as it is.
    """
    if isinstance(path, str):
        return path
    file, project = absolute(path), absolute(root)
    data = absolute(project / (os.environ.get("AWDUALITY_DATA") or "data"))
    places = [(place, prefix) for place, prefix in ((project, ""), (data, DATA_ROOT)) if file.is_relative_to(place)]
    if not places:
        return f"{OUTSIDE}{path.name}"
    place, prefix = max(places, key=lambda found: len(found[0].parts))  # one may lie within the other
    return prefix + file.relative_to(place).as_posix()


def is_within(name: str) -> bool:
    """Whether a name in a record is a path within the project; else it is a file elsewhere, or no file (``… (…)``)."""
    path = PurePosixPath(name)
    no_file = re.fullmatch(r"[\w.]+ \(\w+\)", name)  # sklearn.datasets.load_digits (pixels)
    return not (no_file or name.startswith((DATA_ROOT, OUTSIDE)) or path.is_absolute() or ".." in path.parts)


def invocation(script: str) -> str:
    """How a script is run from the project's folder: a step of a study as a module, others by their path."""
    name = script.removesuffix(".py").replace("/", ".")
    return f"python -m {name}" if script.startswith("studies/") else f"python {script}"


def begin(step: Ledger, root: Path) -> None:
    """Note what runs, as it is when the step begins: somebody may edit code or commit while it works."""
    step.code, step.git = code_digests(step, root), git_state(root)


def code_digests(step: Ledger, root: Path) -> dict[str, str]:
    """SHA-256 of the step's script and of every module of the package and of the studies that is loaded, by path."""
    project = Path(__file__).resolve().parents[2]
    modules: dict[str, Path] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("awduality", "studies") and getattr(module, "__file__", None):
            file = Path(str(module.__file__)).resolve()
            modules[file.relative_to(project).as_posix()] = file
    return {name: sha256(path) for name, path in sorted({step.script: root / step.script, **modules}.items())}


def figure_digest(code: Mapping[str, str], parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The figure id of given code (path → digest), parameters and numbers (file name → digest)."""
    return digest_of({"code": without_plumbing(code), "inputs": dict(inputs), "parameters": dict(parameters)})


def without_plumbing(code: Mapping[str, str]) -> dict[str, str]:
    """Code files (path → digest) but those of ``PLUMBING``."""
    return {path: digest for path, digest in code.items() if path not in PLUMBING}


def current_figure() -> tuple[str, dict[str, str]] | None:
    """Id of the figure that the running step draws, and the digests of its numbers by file name; None outside a step.

    Neither times nor places enter the id, nor code that only carries numbers about (``PLUMBING``).
    """
    if (step := current()) is None:
        return None
    inputs = {path.name: entry.sha256 for path, entry in step.inputs.items() if isinstance(path, Path)}
    code = {**code_digests(step, Path.cwd()), **step.code}
    return figure_digest(code, step.parameters, inputs), inputs


def compose(step: Ledger, root: Path) -> dict[str, Any]:
    """The record of a step that has done its work."""
    assert step.record is not None

    def entries(files: Mapping[Path | str, FileEntry]) -> list[dict[str, Any]]:
        found = [{"path": file_name(p, root), "bytes": e.size, "sha256": e.sha256} for p, e in files.items()]
        return sorted(found, key=lambda entry: str(entry["path"]))

    makers = {absolute(path) for path in step.after}
    words = [file_name(Path(word), root) if _leads_out(word) else word for word in step.arguments]
    record = {
        "format": FORMAT,
        "job": step.record.stem,
        "command": f"{invocation(step.script)} {shlex.join(words)}",
        "script": step.script,
        "parameters": step.parameters,
        "inputs": entries({path: entry for path, entry in step.inputs.items() if path not in makers}),
        "outputs": entries(step.outputs),
        "after": [{"path": file_name(path, root), "sha256": digest} for path, digest in sorted(step.after.items())],
        "code": {**code_digests(step, root), **step.code},  # loaded later; loaded when the step began
        "streams": drawn_streams(step),
        "git": step.git,
        "environment": environment(),
        "started": step.started.isoformat(timespec="milliseconds"),
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "exit_status": 0,  # a job that fails leaves no record
    }
    return {**record, "digest": digest_of(record)}


def _leads_out(word: str) -> bool:
    """Whether a word of a command line may tell of folders that are no part of the project."""
    path = PurePosixPath(word)
    return path.is_absolute() or ".." in path.parts


def drawn_streams(step: Ledger) -> list[dict[str, Any]]:
    """Every random stream once: its key, how often it was opened and how many 64-bit words were drawn at most."""
    if not step.streams:
        return []
    from awduality.streams import words_drawn

    found: dict[tuple[int, str, int], dict[str, Any]] = {}
    for opened in step.streams:
        entry = found.setdefault(
            (opened.root_seed, opened.purpose, opened.index),
            {
                "root_seed": opened.root_seed,
                "purpose": opened.purpose,
                "index": opened.index,
                "key": f"{opened.key:032x}",
                "opened": 0,
                "words": 0,
            },
        )
        entry["opened"] += 1
        entry["words"] = max(entry["words"], words_drawn(opened.generator))
    return [found[address] for address in sorted(found)]


def write_record(step: Ledger, root: Path) -> None:
    """Write the record of a step that was asked for one."""
    if step.record is not None:
        write_text(step.record, canonical(compose(step, root)) + "\n")
