"""Copies of the finished run, to be altered, and audits of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from awduality.audit.check import LEVELS, audit
from awduality.audit.findings import Finding, Level, exit_code
from tests.conftest import git

STANDARD = ("bytes", "chain", "plan", "code")
"""The levels that need the standard library alone."""
FIGURES, RESULTS, RECORDS = "figures/smoke", "results/smoke", "results/smoke/records"


def copy(tree: Path, target: Path) -> Path:
    """A copy of a tree without Snakemake's memory."""
    return Path(shutil.copytree(tree, target, symlinks=True, ignore=shutil.ignore_patterns(".snakemake", "logs")))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be altered."""
    return copy(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def origin_repository(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose figures are committed. Not to be altered."""
    tree = copy(finished, tmp_path_factory.mktemp("published") / "tree")
    git(tree, "add", "--force", "figures/smoke")
    git(tree, "commit", "--quiet", "--message", "The figures")
    return tree


@pytest.fixture
def clone(origin_repository: Path, tmp_path: Path) -> Path:
    """A fresh clone of a repository whose figures are committed."""
    git(tmp_path, "clone", "--quiet", f"file://{origin_repository}", str(tmp_path / "clone"))
    return tmp_path / "clone"


@dataclass(frozen=True)
class Outcome:
    """What an audit found."""

    levels: dict[str, Level]
    closing: list[str]

    @property
    def code(self) -> int:
        return exit_code(list(self.levels.values()))

    def findings(self, *levels: str) -> list[Finding]:
        return [finding for name in levels or self.levels for finding in self.levels[name].findings]

    def named(self, *levels: str) -> set[str]:
        """The files that findings name."""
        return {finding.file for finding in self.findings(*levels) if finding.status == "failed"}

    def text(self, *levels: str) -> str:
        return "\n".join(finding.text() for finding in self.findings(*levels))


def audited(tree: Path, levels: Iterable[str] = STANDARD, again: str | None = None, **options: object) -> Outcome:
    """Audit the smoke config of a tree."""
    names = tuple(levels)
    _, found, closing = audit(tree, "smoke", names, again=again, **options)
    return Outcome(dict(zip([*names, *(["rerun"] if again else [])], found, strict=True)), closing)


def audit_script(
    tree: Path, *arguments: str, python: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the tree's own ``scripts/audit.py``; whatever happens, without a traceback."""
    settings = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **environment}
    done = subprocess.run(
        [sys.executable, *python, "scripts/audit.py", *arguments],
        cwd=tree,
        env=settings,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


ALL = tuple(LEVELS)
