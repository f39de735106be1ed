"""The files of one run and what the records say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from awduality.audit.shape import Record, read_record
from awduality.errors import InputError
from awduality.files import sha256

SEAL = "seal"
AFTER_SEAL = ("crate",)
"""Jobs that come after the seal: what they make is an export of a sealed run and no part of it."""


class Tree:
    """One config's results and figures within a project, with their records."""

    def __init__(self, root: Path, config: str) -> None:
        if Path(config).name != config:
            raise InputError(f"{config!r} is not the name of a config: wanted digits, mnist or the like")
        self.root, self.config = root, config
        self.results, self.figures = f"results/{config}", f"figures/{config}"
        self._digests: dict[str, str | None] = {}
        self.unreadable: dict[str, str] = {}  # record file -> why
        self.records: dict[str, Record] = {}  # job -> record
        for path in sorted((root / self.results / "records").glob("*.json")):
            job = path.name.removesuffix(".json")
            try:
                self.records[job] = read_record(path)
            except ValueError as error:
                self.unreadable[self.record_file(job)] = str(error)
        if not self.records and not self.unreadable:
            raise InputError(
                f"there are no records in {self.results}/records: run Snakemake for this config first, or add "
                f"--committed to check what is committed in {self.figures}"
            )

        self.exports = {job: self.records.pop(job) for job in AFTER_SEAL if job in self.records}
        if not self.unreadable and "plan" not in self.records:
            raise InputError(
                f"the run is not here: {self.results} holds only what a clone makes again from committed numbers. Add "
                f"--committed to check {self.figures}, or run Snakemake for this config first"
            )

    def record_file(self, job: str) -> str:
        """The path of a job's record."""
        return f"{self.results}/records/{job}.json"

    def digest(self, path: str) -> str | None:
        """SHA-256 of a file within the project as it is now; None where there is none that can be read."""
        if path not in self._digests:
            self._digests[path] = digest_if_file(self.root / path)
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
        """Everything that lies among the results and the figures, but for folders."""
        yield from files_below(self.root, self.results)
        yield from files_below(self.root, self.figures)

    def read_json(self, path: str) -> Any:
        """A JSON file of the tree; None where it is missing or damaged, which the first level reports."""
        try:
            return json.loads((self.root / path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None


def digest_if_file(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none that can be read."""
    try:
        return sha256(path) if path.is_file() else None
    except OSError:
        return None


def files_below(root: Path, folder: str) -> Iterator[str]:
    """Everything in a folder and its subfolders that is not a folder; links to folders included."""
    for path in sorted((root / folder).rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(root).as_posix()
