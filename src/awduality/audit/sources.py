"""Level 4, code and environment: the code, config and packages are those that ran, and stand in the recorded commit."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from awduality.audit.contents import AGAIN
from awduality.audit.findings import Finding, Level, listed, short
from awduality.audit.tree import Tree
from awduality.provenance import numerics_class
from awduality.records import LOADED, OUTSIDE, is_within


def check_sources(tree: Tree) -> Level:
    """Compare code, config files and packages with the working tree, the recorded commit and the pins."""
    level = Level("code")
    read = {path: digests for path, digests in tree.sources.items() if is_within(path)}
    files = {path: {**tree.code.get(path, {}), **read.get(path, {})} for path in (*tree.code, *read)}
    level.findings += [
        *_complete(tree),
        *_working_tree(tree, files),
        *_outside(tree),
        *_commits(tree),
        *pins(tree.root, _packages(tree)),
    ]
    classes = {name for record in tree.records.values() if (name := numerics_class(record))}
    if len(classes) > 1:
        advice = "compare runs within one class only, or run all again on one machine"
        level.findings.append(
            Finding("warning", tree.results, "one class of numerics for all runs", "; ".join(sorted(classes)), advice)
        )
    level.done = f"{len(files)} files of code and config as they ran; {listed(classes) or 'no numerics'}"
    return level


def _complete(tree: Tree) -> Iterator[Finding]:
    """Every record has the digests of its script and of the modules that every job loads."""
    for job, record in tree.records.items():
        if missing := {record["script"], *LOADED} - set(record["code"]):
            expected = "the digest of all code that ran"
            yield Finding("failed", tree.record_file(job), expected, f"none of {listed(missing)}", AGAIN)


def _working_tree(tree: Tree, files: Mapping[str, Mapping[str, list[str]]]) -> Iterator[Finding]:
    for path, digests in files.items():
        for digest, jobs in digests.items():
            if (found := tree.digest(path)) != digest:
                expected = f"{short(digest)}, as {listed(jobs)} used it"
                advice = "git shows the change: take it back, or run Snakemake for this config again with it"
                said = f"{short(found)}: edited since" if found else "missing"
                yield Finding("failed", path, expected, said, advice)


def _outside(tree: Tree) -> Iterator[Finding]:
    for path, digests in tree.sources.items():
        if path.startswith(OUTSIDE):
            expected = f"{short(next(iter(digests)))}, as {listed(next(iter(digests.values())))} read it"
            advice = "move it into the project, config/ say, and run again"
            yield Finding("not checked", path, expected, "a file outside the project", advice)


def _commits(tree: Tree) -> Iterator[Finding]:
    """What ran is what the recorded commit holds."""
    states: dict[tuple[str | None, bool], list[str]] = {}  # commit, with uncommitted changes -> jobs
    for job, record in tree.records.items():
        states.setdefault((record["git"]["commit"], bool(record["git"]["dirty"])), []).append(job)
    for (commit, dirty), jobs in states.items():
        name = f"commit {commit[:10]}" if commit else "commit"
        files = _used(tree, jobs)
        ran = f"{len(files)} files, as {listed(jobs)} ran them"
        if commit is None:
            advice = "run in a git repository, so that others can get back to the code"
            yield Finding("not checked", name, ran, "made outside git", advice)
        elif (held := digests_at(tree.root, commit, files)) is None:
            found = "no such commit here, or no git repository, as in an unpacked ZIP"
            advice = "check in a full clone; here, leave this level out: --levels bytes chain plan"
            yield Finding("not checked", name, ran, found, advice)
        else:
            yield from _against(name, dirty, files, held)


def _used(tree: Tree, jobs: Iterable[str]) -> dict[str, str]:
    """Path → SHA-256 of all code and config files that jobs used."""
    files: dict[str, str] = {}
    for record in (tree.records[job] for job in jobs):
        read = {entry["path"]: entry["sha256"] for entry in record["inputs"] if entry["path"] in tree.sources}
        files |= {path: digest for path, digest in {**record["code"], **read}.items() if is_within(path)}
    return files


def _against(name: str, dirty: bool, files: Mapping[str, str], held: Mapping[str, str]) -> Iterator[Finding]:
    """Compare files with those that a commit holds."""
    missing = [path for path in files if path not in held]
    other = [path for path, digest in files.items() if held.get(path, digest) != digest]
    advice = "commit, and run again, so that others can get back to the code"
    if missing:
        found = f"files that were never committed: {listed(missing)}"
        yield Finding("not checked", name, "all code and config that ran", found, advice)
    if other and dirty:
        found = f"uncommitted changes in {listed(other)}"
        yield Finding("not checked", name, "all code and config that ran", found, advice)
    elif other:
        advice = "the record names another commit than the code comes from: do not trust it"
        found = f"it differs in {listed(other)}"
        yield Finding("failed", name, "all code and config that ran, in a clean tree", found, advice)


def digests_at(root: Path, commit: str, paths: Iterable[str]) -> dict[str, str] | None:
    """SHA-256 of files as a commit holds them; a file that it lacks is left out.

    Returns:
        None where git, the repository or the commit is missing.
    """
    names = sorted(paths)
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}|HEAD", commit) or any("\n" in name for name in names):
        return None
    asked = "".join(f"{commit}:./{name}\n" for name in names)
    read = ["git", "--no-replace-objects", "cat-file"]  # the objects themselves, whatever `git replace` shows
    try:
        subprocess.run([*read, "-e", f"{commit}^{{commit}}"], cwd=root, check=True, capture_output=True)
        answer = subprocess.run(
            [*read, "--batch"], cwd=root, input=asked.encode(), check=True, capture_output=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = {}
    for name in names:  # "<id> blob <size>\n<content>\n", or "<what was asked> missing\n"
        head, _, rest = answer.partition(b"\n")
        if head.endswith(b" missing"):
            answer = rest
            continue
        size = int(head.rsplit(b" ", 1)[1])
        found[name] = hashlib.sha256(rest[:size]).hexdigest()
        answer = rest[size + 1 :]
    return found


def _packages(tree: Tree) -> dict[str, set[str]]:
    packages: dict[str, set[str]] = {}
    for record in tree.records.values():
        for name, version in record["environment"]["packages"].items():
            packages.setdefault(name, set()).add(version)
    return packages


def pins(root: Path, packages: Mapping[str, Iterable[str]]) -> Iterator[Finding]:
    """Versions other than those of ``constraints.txt``, whose local parts (+cpu) are left open."""
    try:
        lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}
    for name, versions in sorted(packages.items()):
        other = {version for version in versions if version.partition("+")[0] != pinned.get(name)}
        if other and name in pinned:
            advice = "results may differ in their last digits: make the environment anew for the pinned versions"
            found = f"{listed(other)}, recorded by the jobs"
            yield Finding("warning", f"package {name}", f"{pinned[name]}, as constraints.txt pins it", found, advice)
