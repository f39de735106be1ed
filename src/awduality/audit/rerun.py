"""Level 6, re-execution: jobs run again in a copy of the tree that holds only what they read; outputs are compared."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath

from awduality.audit.compare import deviation
from awduality.audit.findings import Finding, Level, Status, listed
from awduality.audit.science import claim_name
from awduality.audit.shape import Record, read_record
from awduality.audit.tree import SEAL, Tree
from awduality.environment import VARIABLES
from awduality.errors import InputError
from awduality.records import OUTSIDE, is_within

PASSED_ON = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TMPDIR")
"""The environment variables that a job executed again gets beside those of its record: no tokens, no passwords."""
OUTCOMES = ("IDENTICAL", "WITHIN TOLERANCE", "CLAIMS HOLD", "DIFFERS", "NOT CHECKABLE")
_ELSEWHERE: tuple[tuple[str, Status, str], ...] = (
    ("CLAIMS HOLD", "warning", "no conclusion changes; audit trace says on what the run was made"),
    ("DIFFERS", "failed", "see whether these verdicts stood at their threshold; audit trace says on what it was made"),
)


def choose(tree: Tree, selection: str) -> list[str]:
    """The jobs that ``figures``, ``sample:K``, ``all`` or a job's name stands for.

    Raises:
        InputError: another word.
    """
    jobs = [job for job in tree.records if job != SEAL]  # which makes nothing but its record
    if selection == "all":
        return jobs
    if selection == "figures":
        return tree.jobs_of("draw")
    if selection in jobs:
        return [selection]
    if re.fullmatch(r"sample:[1-9][0-9]{0,5}", selection):
        count = int(selection.partition(":")[2])
        return random.SystemRandom().sample(jobs, min(count, len(jobs)))  # nobody can know the sample beforehand
    wanted = "wanted figures, sample:K with a number K, all, or the name of a job"
    raise InputError(f"cannot execute {selection!r} again: {wanted}")


def rerun(tree: Tree, jobs: Sequence[str]) -> Level:
    """Execute jobs again and compare every output; where one differs beyond tolerance, all that follows from it too."""
    level = Level("re-execution")
    with tempfile.TemporaryDirectory(prefix="awduality-audit-") as folder:
        again = Again(tree, Path(folder))
        _execute_all(again, jobs, "again")
        if excused := again.differing() - again.alike:
            others = [job for job in choose(tree, "all") if job not in jobs]
            following = [job for job in others if excused & tree.ancestors(job)]
            _execute_all(again, following, "to see whether the claims hold")
        changed = again.changed_verdicts()
        outcomes = again.outcomes(changed)
    elsewhere = [path for path in outcomes if again.jobs[path] not in again.alike]
    level.findings += [*_one_by_one(outcomes, elsewhere), *_together(tree, outcomes, elsewhere, changed)]
    counts = {name: sum(outcome == name for outcome, _ in outcomes.values()) for name in OUTCOMES}
    level.done = f"{len(jobs)} jobs: " + ", ".join(f"{count} outputs {name}" for name, count in counts.items() if count)
    level.outcomes = {path: f"{outcome} {detail}".strip() for path, (outcome, detail) in sorted(outcomes.items())}
    return level


def _one_by_one(outcomes: Mapping[str, tuple[str, str]], elsewhere: Sequence[str]) -> Iterator[Finding]:
    """What could not be executed again, and what differs although nothing excuses it."""
    for path, (outcome, detail) in outcomes.items():
        if outcome == "NOT CHECKABLE":
            advice = "bring back what is missing or was changed, or check on a machine like that of the record"
            yield Finding("not checked", path, "the recorded output", f"{outcome}: {detail}", advice)
        elif outcome == "DIFFERS" and path not in elsewhere:
            advice = "on the same processor with the same packages it was never made so: do not trust it"
            yield Finding("failed", path, "the recorded output", f"{outcome}: {detail}", advice)


def _together(
    tree: Tree, outcomes: Mapping[str, tuple[str, str]], elsewhere: Sequence[str], changed: list[str] | None
) -> Iterator[Finding]:
    """What differs where it was made on another processor or with other packages: what it means for the claims."""
    verdicts = "not judged again" if changed is None else "; ".join(changed) or "none"
    for outcome, status, advice in _ELSEWHERE:
        if paths := [path for path in elsewhere if outcomes[path][0] == outcome]:
            found = f"{outcome}: {len(paths)} outputs, made on another processor or with other packages or inputs"
            where = paths[0] if len(paths) == 1 else f"{tree.results}, {tree.figures}"
            verdicts_changed = f"{found}; verdicts that changed: {verdicts}"
            yield Finding(status, where, "the recorded outputs", verdicts_changed, advice)


def _execute_all(again: Again, jobs: Sequence[str], why: str) -> None:
    """Execute jobs, one per processor at a time (on a GPU in turn), each after those that it depends on."""
    sorter = TopologicalSorter({job: again.tree.ancestors(job) & {*jobs} for job in jobs})
    sorter.prepare()
    running: dict[Future[None], str] = {}
    environments = [again.tree.records[job]["environment"] for job in jobs]
    takes_turns = any(environment["torch"] and environment["torch"]["gpu"] for environment in environments)
    pool = ThreadPoolExecutor(1 if takes_turns else os.cpu_count())
    try:
        for number in range(1, len(jobs) + 1):
            running |= {pool.submit(again.execute, job): job for job in sorter.get_ready()}
            done = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
            done.result()
            job = running.pop(done)
            sorter.done(job)
            sys.stderr.write(f"  {why}, {number} of {len(jobs)}: {job}\n")
    finally:
        pool.shutdown(cancel_futures=True)


class Again:
    """Jobs executed again, each in a folder of its own that holds what its record says it read."""

    def __init__(self, tree: Tree, folder: Path) -> None:
        self.tree, self.folder = tree, folder
        self.made: dict[str, Path] = {}  # path -> the output made again
        self.found: dict[str, tuple[str, str]] = {}  # path -> outcome, detail
        self.jobs: dict[str, str] = {}  # path -> job
        self.alike: set[str] = set()  # jobs that had the same inputs on the same machine and packages: no excuse

    def execute(self, job: str) -> None:
        """Run one job on its recorded inputs, or on those made again that came out otherwise."""
        record = self.tree.records[job]
        place = self.folder / job
        reason = self._obstacle(record) or self._prepare(record, place) or self._run(record, place)
        for entry in record["outputs"]:
            path = entry["path"]
            self.jobs[path] = job
            if reason is None and not (place / path).is_file():
                self.found[path] = ("DIFFERS", "it was not made")
            elif reason is not None:
                self.found[path] = ("NOT CHECKABLE", reason)
            else:
                self.made[path] = place / path
                self.found[path] = deviation(self.tree.root / path, place / path, entry["sha256"])
        if reason is None and self._is_alike(record, place):
            self.alike.add(job)

    def _is_alike(self, record: Record, place: Path) -> bool:
        """Whether the job ran on what it ran on at first, and read what it read at first."""
        try:
            again = read_record(place / self.tree.record_file(record["job"]))
        except ValueError:
            return False
        here, there = (
            {**found["environment"], "variables": {**found["environment"]["variables"], "AWDUALITY_DEVICE": ""}}
            for found in (again, record)
        )
        return here == there and again["inputs"] == record["inputs"]

    def differing(self) -> set[str]:
        """The jobs of which an output came out otherwise, beyond tolerance."""
        return {self.jobs[path] for path, (outcome, _) in self.found.items() if outcome == "DIFFERS"}

    def changed_verdicts(self) -> list[str] | None:
        """Every claim whose verdict came out otherwise, with both; None where no claims were judged again."""
        claims = f"{self.tree.figures}/claims.json"
        if claims not in self.made:
            return None
        again = json.loads(self.made[claims].read_text(encoding="utf-8"))
        before, now = (
            {claim_name(row): row["verdict"] for row in rows} for rows in (self.tree.read_json(claims) or [], again)
        )
        names = sorted({*before, *now})
        return [f"{n}: {before.get(n)} → {now.get(n)}" for n in names if before.get(n) != now.get(n)]

    def outcomes(self, changed: list[str] | None) -> dict[str, tuple[str, str]]:
        """Path → outcome and detail, given the verdicts that changed.

        What differs on another machine or with other packages, while every verdict came out the same, is
        ``CLAIMS HOLD``. Where both are the same there is no such excuse.
        """
        if changed != []:
            return self.found
        return {
            path: ("CLAIMS HOLD", detail)
            if outcome == "DIFFERS" and self.jobs[path] not in self.alike
            else (outcome, detail)
            for path, (outcome, detail) in self.found.items()
        }

    def _obstacle(self, record: Record) -> str | None:
        try:
            words = [PurePosixPath(word) for word in shlex.split(record["command"])]
        except ValueError as error:
            return f"its command cannot be read: {error}"
        if led := [str(word) for word in words if word.is_absolute() or ".." in word.parts]:
            return f"its command leads out of the project: {listed(led)}"
        other = [path for path, digest in record["code"].items() if self.tree.digest(path) != digest]
        if other:
            return f"the code has changed since: {listed(other)}"
        if OUTSIDE in record["command"] or any(entry["path"].startswith(OUTSIDE) for entry in record["inputs"]):
            return "it used files outside the project"
        torch = record["environment"]["torch"]
        if torch and torch["gpu"] and not shutil.which("nvidia-smi"):
            return f"it ran on a GPU ({torch['gpu']}), and there is none here"
        return None

    def _prepare(self, record: Record, place: Path) -> str | None:
        """Copy code and inputs; a reason if one is not what was read."""
        for entry in [*record["inputs"], *record["after"]]:
            path = entry["path"]
            source = self.tree.root / path
            if not is_within(path):
                continue  # raw data stays where it is; a name that is no file is checked by level 5
            if path in self.made and self.found[path][0] != "IDENTICAL":
                source = self.made[path]
            elif self.tree.digest(path) != entry["sha256"]:
                return f"its input {path} is not what it read"
            _copy(source, place / path)
        for path in record["code"]:
            _copy(self.tree.root / path, place / path)
        return None

    def _run(self, record: Record, place: Path) -> str | None:
        words = shlex.split(record["command"])
        data = self.tree.root / os.environ.get("AWDUALITY_DATA", "data")
        recorded = {n: value for n, value in record["environment"]["variables"].items() if n in VARIABLES}
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment = {**kept, **recorded, "PYTHONPATH": str(place / "src")}
        torch = record["environment"]["torch"]
        if torch and not torch["gpu"]:
            environment["AWDUALITY_DEVICE"] = "cpu"
        environment["AWDUALITY_DATA"] = str(data.resolve())
        done = subprocess.run(
            [sys.executable, *words[1:]], cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            return f"exit status {done.returncode}: {lines[-1]}"
        return None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
