"""The files of one run and what the records say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from awduality.errors import InputError
from awduality.files import sha256

Record = dict[str, Any]

SEAL = "seal"
AFTER_SEAL = ("crate",)
"""Jobs that come after the seal: what they make is an export of a sealed run and no part of it."""


class Tree:
    """One config's results and figures within a project, with their records."""

    def __init__(self, root: Path, config: str) -> None:
        self.root, self.config = root, config
        self.results, self.figures = f"results/{config}", f"figures/{config}"
        self._digests: dict[str, str | None] = {}
        self.unreadable: dict[str, str] = {}  # record file -> why
        self.records: dict[str, Record] = {}  # job -> record
        for path in sorted((root / self.results / "records").glob("*.json")):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                check_shape(record)
            except (ValueError, UnicodeDecodeError) as error:
                self.unreadable[self.record_file(path.stem)] = str(error)
            else:
                self.records[path.stem] = record
        if not self.records and not self.unreadable:
            raise InputError(
                f"there are no records in {self.results}/records: run Snakemake for this config first, or add "
                f"--committed to check what is committed in {self.figures}"
            )

    def record_file(self, job: str) -> str:
        """The path of a job's record."""
        return f"{self.results}/records/{job}.json"

    def digest(self, path: str) -> str | None:
        """SHA-256 of a file within the project as it is now; None where there is none."""
        if path not in self._digests:
            place = self.root / path
            self._digests[path] = sha256(place) if place.is_file() else None
        return self._digests[path]

    @cached_property
    def makers(self) -> dict[str, list[str]]:
        """Path → the jobs that say that they wrote it."""
        makers: dict[str, list[str]] = {}
        for job, record in self.records.items():
            for entry in record["outputs"]:
                makers.setdefault(entry["path"], []).append(job)
        return makers

    @cached_property
    def written(self) -> dict[str, str]:
        """Path → SHA-256 of every file when it was written."""
        return {entry["path"]: entry["sha256"] for record in self.records.values() for entry in record["outputs"]}

    @cached_property
    def sources(self) -> dict[str, dict[str, list[str]]]:
        """What no job made: path → SHA-256 → the jobs that read it so."""
        found: dict[str, dict[str, list[str]]] = {}
        for job, record in self.records.items():
            for entry in record["inputs"]:
                if not entry["path"].startswith((f"{self.results}/", f"{self.figures}/")):
                    found.setdefault(entry["path"], {}).setdefault(entry["sha256"], []).append(job)
        return found

    @cached_property
    def code(self) -> dict[str, dict[str, list[str]]]:
        """Path of every code file that ran → SHA-256 → the jobs that ran it so."""
        found: dict[str, dict[str, list[str]]] = {}
        for job, record in self.records.items():
            for path, digest in record["code"].items():
                found.setdefault(path, {}).setdefault(digest, []).append(job)
        return found

    def before(self, job: str) -> set[str]:
        """The jobs that a job's inputs come from, directly."""
        record = self.records[job]
        makers = {maker for entry in record["inputs"] for maker in self.makers.get(entry["path"], [])}
        return makers | {Path(entry["path"]).stem for entry in record["after"]} & set(self.records)

    def ancestors(self, job: str) -> set[str]:
        """All jobs that a job's inputs come from."""
        found: set[str] = set()
        queue = [job]
        while queue:
            new = self.before(queue.pop()) - found
            found |= new
            queue += new
        return found

    def jobs_of(self, script: str) -> list[str]:
        """The jobs that ran a script, given without folder and suffix."""
        return [job for job, record in self.records.items() if record["script"] == f"scripts/{script}.py"]

    def present(self) -> Iterator[str]:
        """Every file that lies among the results and the figures."""
        for folder in (self.results, self.figures):
            for path in sorted((self.root / folder).rglob("*")):
                if not path.is_dir():
                    yield path.relative_to(self.root).as_posix()

    def read_json(self, path: str) -> Any:
        """A JSON file of the tree; None where it is missing or damaged, which the first level reports."""
        try:
            return json.loads((self.root / path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


_SHAPE: dict[str, type] = {
    "after": list, "code": dict, "command": str, "digest": str, "ended": str, "environment": dict, "exit_status": int,
    "format": str, "git": dict, "inputs": list, "job": str, "outputs": list, "parameters": dict, "script": str,
    "started": str, "streams": list,
}  # fmt: skip
_PARTS: dict[str, dict[str, type]] = {
    "inputs": {"path": str, "bytes": int, "sha256": str},
    "outputs": {"path": str, "bytes": int, "sha256": str},
    "after": {"path": str, "sha256": str},
    "streams": {"root_seed": int, "purpose": str, "index": int, "key": str, "opened": int, "words": int},
}


_ENVIRONMENT: dict[str, tuple[type, ...]] = {
    "python": (str,), "implementation": (str,), "platform": (str,), "cpu": (str,), "libraries": (list,),
    "torch": (dict, type(None)), "variables": (dict,), "packages": (dict,),
}  # fmt: skip


def check_shape(record: Any) -> None:
    """Refuse what is not a record, so that no check stumbles over it.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    _check(isinstance(record, dict) and set(record) == set(_SHAPE), f"wanted the fields {', '.join(sorted(_SHAPE))}")
    for name, kind in _SHAPE.items():
        _check(type(record[name]) is kind, f"the field {name!r} is of the wrong type")
    for name, parts in _PARTS.items():
        for entry in record[name]:
            alike = isinstance(entry, dict) and {key: type(value) for key, value in entry.items()} == parts
            _check(alike, f"an entry of {name!r} does not have the fields {', '.join(parts)}")
    _check(all(isinstance(digest, str) for digest in record["code"].values()), "a digest in 'code' is not text")
    _check(set(record["git"]) == {"commit", "dirty", "diff_sha256"}, "'git' wants commit, dirty and diff_sha256")
    environment = record["environment"]
    _check(set(environment) == set(_ENVIRONMENT), f"'environment' wants {', '.join(_ENVIRONMENT)}")
    _check(all(type(environment[name]) in kinds for name, kinds in _ENVIRONMENT.items()), "'environment' is damaged")


def _check(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)
