"""Everything that can be altered in a finished run, one thing at a time, and whether the audit finds and names it.

Every file is altered in every way, and every field of every record twice: plainly, and as a forger would, who refreshes
the digest with which the record closes. An alteration counts as found if the audit's exit status is not 0 and a finding
names the altered file, or the record's job.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from awduality.audit.check import audit
from awduality.audit.findings import Finding, exit_code
from awduality.audit.tree import SEAL, Tree
from awduality.records import canonical, is_within
from tests.audit.forging import write

STANDARD = ("bytes", "chain", "plan", "code")

PLAIN, FORGED, REMOVED = "field altered", "field altered, digest refreshed", "entry removed, digest refreshed"
UNWITNESSED = {
    FORGED: re.compile(r"started|ended|environment\.(cpu|implementation|platform|python|(packages|variables)\..+)"),
    REMOVED: re.compile(r"environment\.(packages|variables)\..+|code\.src/awduality/provenance\.py"),
}
"""What nothing but the seal itself tells: the fields of its own record that follow from no other record or file."""


@dataclass(frozen=True)
class Mutation:
    """One alteration."""

    kind: str
    file: str  # the file that is altered
    what: str  # what of it, for people
    alter: Callable[[Path], None]  # given the file's path

    @property
    def label(self) -> str:
        """How the report calls it."""
        return f"{Path(self.file).stem if '/records/' in self.file else self.file}: {self.what}"


def is_found(root: Path, config: str, mutation: Mutation, seal: str | None = None) -> bool:
    """Alter, audit, restore."""
    place = root / mutation.file
    before = place.read_bytes() if place.is_file() else None
    try:
        mutation.alter(place)
        _, levels, _ = audit(root, config, STANDARD, seal=seal)
    finally:
        if before is None:
            place.unlink(missing_ok=True)
        else:
            place.write_bytes(before)
    findings = [finding for level in levels for finding in level.findings]
    return exit_code(levels) != 0 and any(names(finding, mutation.file) for finding in findings)


def names(finding: Finding, file: str) -> bool:
    """Whether a finding names a file: as what it is about, or, for a record, its job in what it says."""
    if finding.file == file or file in finding.expected or file in finding.found:
        return True
    job = re.escape(Path(file).stem) if "/records/" in file else None
    return job is not None and re.search(rf"\b{job}\b", f"{finding.expected} {finding.found}") is not None


def mutations(root: Path, config: str, few: bool = False) -> Iterator[Mutation]:
    """All alterations of a finished run; or a few of every kind."""
    tree = Tree(root, config)
    yield from file_mutations(tree, few)
    yield from source_mutations(tree, few)
    typical = {record["script"]: job for job, record in tree.records.items()}.values()  # one record per script
    for job in typical if few else tree.records:
        yield from field_mutations(tree.record_file(job), tree.records[job], few, remove=not few and job in typical)


def file_mutations(tree: Tree, few: bool) -> Iterator[Mutation]:
    """Every file of results and figures, and a new one in every folder."""
    present = list(tree.present())
    if few:  # one of every kind in every folder
        present = list({(Path(path).parent, Path(path).suffix): path for path in present}.values())
    alterations: dict[str, Callable[[Path], Any]] = {
        "file with a byte flipped": lambda path: flip(path),
        "file cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "file emptied": lambda path: path.write_bytes(b""),
        "file deleted": lambda path: path.unlink(),
    }
    for path in present:
        for kind, alter in alterations.items():
            yield Mutation(kind, path, kind.removeprefix("file "), alter)
    for folder in sorted({str(Path(path).parent) for path in tree.present()}):
        for name in ("added.csv", ".added", "added.json"):
            yield Mutation("file added", f"{folder}/{name}", "added", lambda path: path.write_text("{}\n"))


def source_mutations(tree: Tree, few: bool) -> Iterator[Mutation]:
    """Every file of code and config that a record names."""
    paths = sorted(path for path in {**tree.code, **tree.sources} if is_within(path))
    for path in paths[::8] if few else paths:
        yield Mutation("code or config edited", path, "edited", append_line)


def append_line(path: Path) -> None:
    """Add an empty line to a file."""
    path.write_bytes(path.read_bytes() + b"\n")


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x80
    path.write_bytes(content)


def field_mutations(file: str, record: dict[str, Any], few: bool, remove: bool) -> Iterator[Mutation]:
    """Every field of a record altered in both ways; if asked for, every entry of its lists and mappings removed."""
    for keys in leaves(record, few):
        changed = put(record, keys, altered(get(record, keys)))
        what = ".".join(map(str, keys))
        if not few or keys[0] in ("command", "digest", "streams"):  # otherwise one way or the other is enough
            yield Mutation(PLAIN, file, what, lambda path, c=changed: path.write_text(canonical(c) + "\n"))
        if keys != ("digest",):
            yield Mutation(FORGED, file, what, lambda path, c=changed: write(path, c))
            if len(keys) > 1 and remove:
                less = put(record, keys, None, remove=True)
                yield Mutation(REMOVED, file, what, lambda path, c=less: write(path, c))


def leaves(value: Any, few: bool, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The keys to everything in a record that holds nothing else; of long lists and of digests the first few only."""
    if not isinstance(value, dict | list) or not value:
        yield keys
        return
    inner: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    listed = list(inner)
    short = few and keys and (isinstance(value, list) or keys[-1] in ("code", "packages") or len(keys) > 2)
    for key, content in listed[: 1 if short else None]:
        yield from leaves(content, few, (*keys, key))


def get(value: Any, keys: tuple[str | int, ...]) -> Any:
    """What stands at some keys."""
    for key in keys:
        value = value[key]
    return value


def put(record: dict[str, Any], keys: tuple[str | int, ...], content: Any, remove: bool = False) -> dict[str, Any]:
    """A copy of a record with other content at some keys, or without it."""
    copy: dict[str, Any] = json.loads(canonical(record))
    holder = get(copy, keys[:-1])
    if remove:
        del holder[keys[-1]]
    else:
        holder[keys[-1]] = content
    return copy


def altered(value: Any) -> Any:
    """Another value, as like the first as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        if re.fullmatch("[0-9a-f]{32,}", value):
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        try:
            return (datetime.fromisoformat(value) + timedelta(days=1)).isoformat(timespec="milliseconds")
        except ValueError:
            return value + "x"
    return {None: "x", list: ["x"], dict: {"x": "x"}}.get(type(value) if value is not None else None)


def of_the_seal(mutation: Mutation) -> bool:
    """Whether an alteration is one that only who noted the seal down can find."""
    pattern = UNWITNESSED.get(mutation.kind)
    return pattern is not None and Path(mutation.file).stem == SEAL and pattern.fullmatch(mutation.what) is not None
