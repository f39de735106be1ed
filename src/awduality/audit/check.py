"""All levels of an audit, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from awduality.audit.chain import check_chain
from awduality.audit.committed import check_committed
from awduality.audit.contents import check_bytes
from awduality.audit.findings import Finding, Level, short
from awduality.audit.planned import check_plan
from awduality.audit.rerun import rerun
from awduality.audit.science import check_science
from awduality.audit.sources import check_sources
from awduality.audit.tree import SEAL, Tree

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
        again: which jobs to execute again: ``figures``, ``sample:K`` or ``all``.
        seal: SHA-256 of the record that closed the run, as noted down when it was made.

    Returns:
        A title, the levels with what they found, and closing lines.
    """
    if committed:
        return f"Audit of what is committed in figures/{config}", check_committed(root, config, tuple(levels)), []
    tree = Tree(root, config)
    found = [LEVELS[name](tree) for name in levels]
    digest = tree.digest(tree.record_file(SEAL))
    if seal is not None and found and seal.lower() != digest:
        advice = "the run was made again since the seal was noted down, or somebody replaced it as a whole"
        found[0].findings.append(Finding("failed", tree.record_file(SEAL), short(seal), short(digest), advice))
    if again is not None:
        found.append(rerun(tree, again))
    noted = "  (note it down with your results: who changes anything cannot keep it)"
    return f"Audit of results/{config} and figures/{config}", found, [f"seal {digest}{noted}"] if digest else []
