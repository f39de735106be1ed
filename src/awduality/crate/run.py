"""What goes into the ZIP, and whether it is still what was recorded.

The ZIP holds the records, every file of the project that they name, and the project's own code, so that the run can be
audited where it is unpacked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from awduality.audit.shape import read_record
from awduality.errors import InputError
from awduality.files import entry, write_atomically
from awduality.ledger import FileEntry
from awduality.provenance import check_whole
from awduality.records import file_name, is_within

Record = Mapping[str, Any]

METADATA = "ro-crate-metadata.json"
FOLDERS = ("workflow", "profiles", "scripts", "src/awduality", "studies")
SUFFIXES = (".py", ".rst", ".smk", ".yaml")
DOCUMENTS = (
    *("Snakefile", "constraints.txt", "pyproject.toml", "environment.yml", "LICENSE", "CITATION.cff"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/provenance.md", "docs/replication.md", "docs/learners.md"),
)


@dataclass(frozen=True)
class SealedRun:
    """A finished run and the files that go into its crate."""

    name: str  # of the config
    records: dict[str, Record]  # path -> record, in the order in which the jobs began; the seal is the last
    files: dict[str, FileEntry]  # path -> size and digest of everything that goes into the crate
    elsewhere: dict[str, FileEntry]  # the same of inputs that lie outside the project or are no files


def project_files(root: Path) -> list[str]:
    """The files of the project that every crate holds: code, rules, pins, licence."""
    code = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in SUFFIXES)
    return sorted([*DOCUMENTS, *(path.relative_to(root).as_posix() for path in code)])


def sealed_run(seal: Path, root: Path) -> SealedRun:
    """Read a finished run and its files.

    Args:
        seal: the record of the run's last job.
        root: the project's folder, which the paths in records start from.

    Raises:
        InputError: the run is not finished, or a file is missing or not the one that was recorded.
    """
    records = _sealed_records(seal, root)
    recorded: dict[str, tuple[str, str]] = {}  # name -> digest, job
    sizes: dict[str, int] = {}
    for record in records.values():
        sizes |= {file["path"]: file["bytes"] for direction in ("inputs", "outputs") for file in record[direction]}
        for name, digest in _named(record).items():
            known, job = recorded.setdefault(name, (digest, record["job"]))
            if known != digest:
                raise InputError(
                    f"{name} was not the same for all jobs: got {digest} in the record of {record['job']!r}, wanted "
                    f"{known} as in that of {job!r}. Run `snakemake` again, which repeats the jobs that are out of date"
                )
    within = [name for name in recorded if is_within(name)]
    files = {}
    for path in sorted({*within, *records, *project_files(root)}):
        files[path] = _present(path, root)
        wanted, job = recorded.get(path, (files[path].sha256, ""))
        if files[path].sha256 != wanted:
            raise _altered(path, files[path].sha256, wanted, job)
    elsewhere = {name: FileEntry(sizes[name], recorded[name][0]) for name in sorted({*recorded} - {*within})}
    return SealedRun(seal.resolve().parents[1].name, records, files, elsewhere)


def write_crate(path: Path, run: SealedRun, metadata: Mapping[str, Any], root: Path) -> None:
    """Write a run as a ZIP: the same run gives the same bytes, whatever the machine.

    Nothing is compressed, since compressors differ; files are streamed, and checked once more on the way.

    Raises:
        InputError: a file has changed since the run was read, or the ZIP cannot be written.
    """
    text = json.dumps(metadata, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def pack(temporary: Path) -> None:
        with ZipFile(temporary, "w") as archive:
            for name in sorted([*run.files, METADATA]):
                if name == METADATA:
                    archive.writestr(_member(name, 0), text)
                    continue
                found = _copy(root / name, archive, _member(name, run.files[name].size))
                if found != run.files[name].sha256:
                    raise _altered(name, found, run.files[name].sha256, "crate")

    write_atomically(path, pack)


def _sealed_records(seal: Path, root: Path) -> dict[str, Record]:
    """The records that the seal names, by path, in the order in which their jobs began, and the seal."""
    if not seal.exists():
        raise InputError(
            f"{seal} does not exist: only a finished run can be exported. Let `snakemake` finish, then export again"
        )
    last = _read(seal)
    if last["job"] != "seal":
        raise InputError(f"{seal} is the record of {last['job']!r}: name seal.json, the record of the run's last job")
    records: dict[str, Record] = {}
    for named in last["after"]:
        if (found := _present(named["path"], root).sha256) != named["sha256"]:
            raise _altered(named["path"], found, named["sha256"], "seal")
        records[named["path"]] = _read(root / named["path"])
    begun = sorted(records, key=lambda path: (records[path]["started"], path))
    return {**{path: records[path] for path in begun}, file_name(seal, root): last}


def _read(path: Path) -> Record:
    """Read a record; refuse what is none, or not whole."""
    try:
        record = read_record(path)
    except ValueError as error:
        raise InputError(f"{path} is no record: {error}. Delete it and run `snakemake` again") from None
    check_whole(record)
    return record


def _named(record: Record) -> dict[str, str]:
    """All files that a record names: path → SHA-256."""
    listed = [*record["inputs"], *record["outputs"], *record["after"]]
    return {**record["code"], **{file["path"]: file["sha256"] for file in listed}}


def _present(path: str, root: Path) -> FileEntry:
    try:
        return entry(root / path)
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist, but belongs into the crate: put it back, or run `snakemake` again, which makes "
            "what is missing, then export again"
        ) from None


def _altered(path: str, found: str, wanted: str, job: str) -> InputError:
    remedy = (
        "delete it and run `snakemake` again" if path.startswith(("results/", "figures/")) else "run `snakemake` again"
    )
    return InputError(
        f"{path} is not the file that the record of {job!r} names: got SHA-256 {found}, wanted {wanted}. Put the "
        f"recorded file back, or {remedy}, which repeats the jobs that depend on it; then export again"
    )


def _member(name: str, size: int) -> ZipInfo:
    """A file's entry in the ZIP, without time and owner."""
    member = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system, member.external_attr, member.file_size = 3, 0o100644 << 16, size
    return member


def _copy(path: Path, archive: ZipFile, member: ZipInfo) -> str:
    """Copy a file into the ZIP, piece by piece; its digest."""
    digest = hashlib.sha256()
    with path.open("rb") as source, archive.open(member, "w") as target:
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()
