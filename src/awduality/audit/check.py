"""All levels of an audit, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from awduality.audit.chain import check_chain
from awduality.audit.committed import COMMITTED_LEVELS, Committed
from awduality.audit.contents import check_bytes
from awduality.audit.findings import Finding, Level, short
from awduality.audit.planned import check_plan
from awduality.audit.rerun import choose, rerun
from awduality.audit.science import check_science
from awduality.audit.sources import check_sources
from awduality.audit.tree import SEAL, Tree
from awduality.errors import InputError

Subject = TypeVar("Subject", Tree, Committed)

LEVELS: Mapping[str, Callable[[Tree], Level]] = {
    "bytes": check_bytes,
    "chain": check_chain,
    "plan": check_plan,
    "code": check_sources,
    "science": check_science,
}


def audit(
    root: Path,
    config: str,
    levels: Sequence[str] = tuple(LEVELS),
    committed: bool = False,
    again: str | None = None,
    seal: str | None = None,
) -> tuple[str, list[Level], list[str]]:
    """Audit a config.

    Args:
        root: the project.
        config: its name.
        levels: which of ``LEVELS``.
        committed: only what lies in ``figures/<config>``, without the run.
        again: which jobs to execute again: ``figures``, ``sample:K``, ``all`` or the name of a job.
        seal: SHA-256 of the record that closed the run, as noted down when it was made.

    Returns:
        A title, the levels with what they found, and closing lines.
    """
    if committed:
        if again is not None or seal is not None:
            raise InputError("what is committed has no jobs to execute again and no seal: leave --rerun and --seal out")
        it = Committed(root, config)
        found = [_checked(name, COMMITTED_LEVELS[name], it, it.folder) for name in levels]
        return f"Audit of what is committed in figures/{config}", found, []
    tree = Tree(root, config)
    jobs = choose(tree, again) if again is not None else []
    found = [_checked(name, LEVELS[name], tree, tree.results) for name in levels]
    digest = tree.digest(tree.record_file(SEAL))
    if seal is not None and found and seal.lower() != digest:
        advice = "the run was made again since the seal was noted down, or somebody replaced it as a whole"
        found[0].findings.append(Finding("failed", tree.record_file(SEAL), short(seal), short(digest), advice))
    if again is not None:
        found.append(_checked("re-execution", lambda it: rerun(it, jobs), tree, tree.results))
    noted = [
        "Seal of this run; noted down, it lets a later audit (--seal) tell whether anything was changed:",
        f"  {digest}",
    ]
    return f"Audit of results/{config} and figures/{config}", found, noted if digest else []


def _checked(name: str, check: Callable[[Subject], Level], subject: Subject, place: str) -> Level:
    """What a level found. Whatever lies there, an audit ends with a finding and never with a traceback."""
    try:
        return check(subject)
    except Exception as error:
        advice = "restore what the other levels name; if they name nothing, this is a fault of the audit: report it"
        found = f"{type(error).__name__}: {error}"
        return Level(name, findings=[Finding("failed", place, "files that can be checked", found, advice)])
