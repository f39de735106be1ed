"""The same questions of what is committed: ``figures/<config>/`` against its ``provenance.json``, without the run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from awduality.audit.contents import origin_of
from awduality.audit.findings import Finding, Level, listed, short
from awduality.audit.images import embedded_origin
from awduality.audit.planned import UNUSABLE, compare_numbers
from awduality.audit.science import check_config, judge
from awduality.audit.shape import fits, is_digest, mapping, within_project
from awduality.audit.sources import digests_at, pins
from awduality.audit.tree import digest_if_file, files_below
from awduality.errors import InputError
from awduality.records import figure_digest, is_within
from awduality.study.jobs import Jobs

_BACKGROUND: dict[str, Any] = {"sources": mapping(str, is_digest), "code": mapping(within_project, [is_digest])}
_BACKGROUND |= {"packages": mapping(str, [str]), "python": [str], "numerics": [str], "format": str}
_FIGURE = {"id": is_digest, "code": [within_project], "parameters": dict, "numbers": mapping(str, is_digest)}
_SHAPES: Mapping[str, dict[str, Any]] = {
    "provenance.json": {**_BACKGROUND, "files": mapping(within_project, is_digest), "figures": mapping(str, _FIGURE)},
    "origin.json": {
        **_BACKGROUND,
        "config": dict,
        "tables": mapping(within_project, is_digest),
        "results": mapping(within_project, is_digest),
    },
}

HERE = "the code here"
RESTORE = "git restore it, or make it again with Snakemake and commit it with its provenance.json"


def described(path: Path) -> dict[str, Any] | None:
    """A ``provenance.json`` or ``origin.json``; None where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if fits(content, _SHAPES[path.name]) else None


class Committed:
    """A config's committed figures, numbers and verdicts, with what is said of them."""

    def __init__(self, root: Path, config: str) -> None:
        self.root, self.config, self.folder = root, config, f"figures/{config}"
        self.provenance, self.origin = self._read("provenance.json"), self._read("origin.json")

    def _read(self, name: str) -> dict[str, Any]:
        path, shape = f"{self.folder}/{name}", _SHAPES[name]
        try:
            content = json.loads((self.root / path).read_text(encoding="utf-8"))
        except OSError:
            raise InputError(f"{path} does not exist: restore it with git, or run Snakemake for this config") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged ({error}): restore it with git") from None
        if not fits(content, shape):
            wanted = f"wanted {', '.join(sorted(shape))}, each as the pipeline writes it"
            raise InputError(f"{path} is damaged: {wanted}; restore it with git")
        return dict(content)


def _bytes(it: Committed) -> Level:
    level = Level("bytes")
    files: dict[str, str] = it.provenance["files"]
    for path, digest in files.items():
        found = digest_if_file(it.root / path)
        if found is None:
            level.findings.append(Finding("failed", path, short(digest), "no file that can be read", RESTORE))
        elif found != digest:
            said = f"{short(found)}{origin_of(it.root, path, it.config)}"
            level.findings.append(Finding("failed", path, short(digest), said, RESTORE))
    for path in files_below(it.root, it.folder):
        if (it.root / path).is_symlink():
            level.findings.append(Finding("failed", path, "a file of its own", "a link", RESTORE))
        elif path not in files and path != f"{it.folder}/provenance.json":
            level.findings.append(
                Finding("failed", path, "nothing: provenance.json does not name it", "a file", "delete it")
            )
    level.findings += _against_commit(it, [*files, f"{it.folder}/provenance.json"])
    level.done = f"{len(files)} files are what provenance.json says, and what HEAD holds"
    return level


def _against_commit(it: Committed, paths: list[str]) -> Iterator[Finding]:
    held = digests_at(it.root, "HEAD", paths)
    if held is None:
        found = "no git repository here, so that provenance.json itself could not be compared"
        yield Finding("not checked", it.folder, "what HEAD holds", found, "audit in a clone")
        return
    for path in paths:
        digest = digest_if_file(it.root / path)
        if digest is not None and held.get(path) != digest:
            found = "not committed" if path not in held else "changed since the commit"
            yield Finding(
                "failed", path, "what HEAD holds", found, "git diff shows the change: commit it, or git restore it"
            )


def _chain(it: Committed) -> Level:
    level = Level("chain")
    code, tables = it.provenance["code"], {**it.provenance["files"]}
    for name, figure in it.provenance["figures"].items():
        drawing = {path: digest for path in figure["code"] for digest in code.get(path, ["unknown"])}
        identifier = figure_digest(drawing, figure["parameters"], figure["numbers"])
        if identifier != figure["id"]:
            expected = f"the id {identifier[:12]}…, from the code, parameters and numbers given"
            level.findings.append(
                Finding("failed", f"{it.folder}/provenance.json: {name}", expected, f"{figure['id'][:12]}…", RESTORE)
            )
        for number, digest in figure["numbers"].items():
            if tables.get(f"{it.folder}/{number}") != digest:
                expected = f"{number} with {short(digest)}, from which {name} was drawn"
                found = short(tables.get(f"{it.folder}/{number}"))
                level.findings.append(Finding("failed", f"{it.folder}/{number}", expected, found, RESTORE))
        for path in (f"{it.folder}/{name}.{suffix}" for suffix in ("png", "svg")):
            drawn = (figure["id"], figure["numbers"])
            if digest_if_file(it.root / path) == tables.get(path) and embedded_origin(it.root / path) != drawn:
                level.findings.append(
                    Finding("failed", path, f"the figure id {figure['id'][:12]}…", "another", RESTORE)
                )
    for path, digest in it.origin["tables"].items():
        if tables.get(path) != digest:
            expected = f"{short(digest)}, as origin.json says"
            level.findings.append(
                Finding("failed", path, expected, f"{short(tables.get(path))} in provenance.json", RESTORE)
            )
    data = [path for path in it.origin["sources"] if not is_within(path)]
    level.done = (
        f"{len(it.provenance['figures'])} figures go back to {len(it.origin['tables'])} tables and {listed(data)}"
    )
    return level


def _plan(it: Committed) -> Level:
    level = Level("plan")
    config = it.origin["config"]
    try:
        study = Jobs.of(config)
        level.findings += compare_numbers(it.root, it.folder, study)
    except UNUSABLE as error:
        found = f"unusable: {error!r}"
        level.findings.append(Finding("failed", f"{it.folder}/origin.json", "a resolved config", found, RESTORE))
        return level
    level.done = f"{sum(map(len, study.shards.values()))} runs, as the config in origin.json declares"
    return level


def _code(it: Committed) -> Level:
    level = Level("code")
    made = {"numbers": it.origin, "figures and verdicts": it.provenance}
    said = []
    for what, background in made.items():
        files = {**background["code"], **{path: [digest] for path, digest in background["sources"].items()}}
        files = {path: digests for path, digests in files.items() if is_within(path)}
        commit, finding = _commit_of(it, what, files)
        said.append(f"{what}: {commit}")
        level.findings += [finding] if finding else []
        if what != "numbers" and commit not in ("", HERE):
            advice = "snakemake figures draws and judges anew from the committed numbers; commit what it makes"
            level.findings.append(Finding("warning", it.folder, f"{what} made by the code here", commit, advice))
        level.findings += pins(it.root, background["packages"]) if commit == HERE else []
    level.done = "; ".join(said)
    return level


def _commit_of(it: Committed, what: str, files: Mapping[str, list[str]]) -> tuple[str, Finding | None]:
    """The newest commit that holds all the code, in words; a finding where there is none."""
    name = f"{it.folder}: code behind the {what}"
    mixed = [path for path, digests in files.items() if len(digests) != 1]
    if mixed:
        advice = "run Snakemake for this config again with one version of the code"
        return "", Finding("failed", name, "one version of every file", f"several of {listed(mixed)}", advice)
    wanted = {path: digests[0] for path, digests in files.items()}
    differing = [path for path, digest in wanted.items() if digest_if_file(it.root / path) != digest]
    if not differing:
        return HERE, None
    commits = _history(it.root, sorted(wanted))
    for commit in commits or []:
        if digests_at(it.root, commit, wanted) == wanted:
            return f"the code of commit {commit[:10]}, {_age(it.root, commit)}", None
    found = f"other code in {listed(differing)}"
    if not commits:
        advice = "audit in a full clone, whose history may hold that code"
        return "", Finding(
            "not checked", name, "the code that ran", f"{found}, and no history to look it up in", advice
        )
    advice = "run Snakemake for this config with committed code, and commit what it makes"
    return "", Finding("failed", name, "code that some commit holds", f"{found}, here and in every commit", advice)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _history(root: Path, paths: list[str]) -> list[str] | None:
    """Commits that changed any of the files, newest first; None without a full history."""
    if _git(root, "rev-parse", "--is-shallow-repository") != "false":
        return None
    return (_git(root, "rev-list", "--full-history", "HEAD", "--", *paths) or "").split()


def _age(root: Path, commit: str) -> str:
    count = _git(root, "rev-list", "--count", f"{commit}..HEAD")
    return "1 commit ago" if count == "1" else f"{count} commits ago"


def _science(it: Committed) -> Level:
    level = Level("science")
    try:
        claims, judged = judge(it.root, it.folder, it.origin["config"])
        sources = {path: [digest] for path, digest in it.origin["sources"].items()}
        config = list(check_config(it.root, f"{it.folder}/origin.json", it.origin["config"], sources))
        level.findings += [*claims, *config]
    except ImportError as error:
        advice = "audit with the project's environment: .venv/bin/python scripts/audit.py"
        level.findings.append(Finding("not checked", "verdicts, config", "derived again", f"{error}", advice))
        return level
    level.done = f"{judged} verdicts and the config derived again: the same"
    return level


COMMITTED_LEVELS: Mapping[str, Callable[[Committed], Level]] = {
    "bytes": _bytes,
    "chain": _chain,
    "plan": _plan,
    "code": _code,
    "science": _science,
}
