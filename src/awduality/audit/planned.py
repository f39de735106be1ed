"""Level 3, plan: the runs present are exactly those that the config declares; no two purposes share a random stream."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from awduality.audit.contents import AGAIN
from awduality.audit.findings import Finding, Level, listed
from awduality.audit.tree import SEAL, Tree
from awduality.files import read_table
from awduality.records import canonical
from awduality.runs import Run
from awduality.study.contract import Step
from awduality.study.jobs import Job, Jobs
from awduality.study.plan import plan

UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError, RecursionError)
"""What a config that nobody checked may raise when it is expanded."""


def check_plan(tree: Tree) -> Level:
    """Expand the recorded config again, and compare it with the plan, the jobs and the rows of every table."""
    level = Level("plan")
    config = tree.read_json(f"{tree.results}/config.json")
    try:
        expected, study = plan(config), Jobs.of(config)
        wanted = study.jobs
    except UNUSABLE as error:
        level.findings.append(
            Finding("failed", f"{tree.results}/config.json", "a resolved config", f"unusable: {error!r}", AGAIN)
        )
        return level
    level.findings += [*_plan(tree, expected), *_parameters(tree, wanted)]
    level.findings += [*_tables(tree, study), *_streams(tree, study)]
    level.findings += compare_numbers(tree.root, tree.figures, study)
    streams = {entry["key"] for record in tree.records.values() for entry in record["streams"]}
    level.done = (
        f"{len(expected['runs'])} runs, as the config declares; {len(streams)} random streams, each for one purpose"
    )
    return level


def _plan(tree: Tree, expected: Mapping[str, Any]) -> Iterator[Finding]:
    written = tree.read_json(f"{tree.results}/plan.json")
    if _unordered(written) != _unordered(expected):
        wanted = f"the {len(expected['runs'])} runs that config.json declares"
        yield Finding("failed", f"{tree.results}/plan.json", wanted, "another plan", AGAIN)


def _unordered(value: Any) -> Any:
    """A plan without the order of runs and experiments, which config.json does not keep."""
    if isinstance(value, dict):
        return {key: _unordered(entry) for key, entry in value.items()}
    return sorted(map(_unordered, value), key=canonical) if isinstance(value, list) else value


def _parameters(tree: Tree, wanted: Mapping[str, Job]) -> Iterator[Finding]:
    for job, declared in wanted.items():
        if job not in tree.records:
            expected = "the job, since the config asks for it"
            yield Finding(
                "failed", tree.record_file(job), expected, "no record of it", "run Snakemake for this config again"
            )
            continue
        recorded = tree.records[job]["parameters"]
        if (ran := tree.records[job]["script"]) != declared.script:
            yield Finding("failed", tree.record_file(job), f"a job of {declared.script}", f"it ran {ran}", AGAIN)
        for name in sorted({*declared.parameters, *recorded}):
            asked, given = declared.parameters.get(name), recorded.get(name)
            if asked != given and (name != "shards" or _unordered(asked) != _unordered(given)):
                expected = f"{name} = {asked!r}, as config.json declares"
                yield Finding("failed", tree.record_file(job), expected, f"{given!r}", AGAIN)
    sealed = {entry["path"] for entry in tree.records.get(SEAL, {"after": []})["after"]}
    for job in tree.records:
        if job not in wanted and tree.record_file(job) in sealed:  # of others level 2 speaks
            advice = "delete it with what it made, or put the config back that asked for it"
            yield Finding("failed", tree.record_file(job), "no such job in the config", "a job of another plan", advice)


def _rows(root: Path, path: str) -> list[dict[str, str]]:
    """A table; without rows where it is missing or damaged, which the first level reports."""
    try:
        return read_table(root / path)
    except (OSError, ValueError, csv.Error):
        return []


def _tables(tree: Tree, study: Jobs) -> Iterator[Finding]:
    """The tables of every step hold the runs of their shard, as often as the step declares, with their settings."""
    ended: dict[str, str | None] = {}
    for step in study.per_shard:
        names, values = _rows_per_run(study, step)
        for shard in study.shards_of(step):
            runs = {run.id: run for run in study.shards[shard]}
            path = f"{tree.results}/{step.place}/{shard}.csv"
            rows = _rows(tree.root, path)
            if not step.after:
                ended |= {row["run"]: row.get("ended") for row in rows if row.get("run") in runs}
            present = Counter((row.get("run"), *(row.get(name) for name in names)) for row in rows)
            chosen = [run for run in runs if _counts(step, ended.get(run))]
            if step.rows is None:  # as many as the step likes
                present = Counter(dict.fromkeys(present, 1))
            wanted = Counter((run, *rest) for run in chosen for rest in values)
            yield from _compare(path, wanted, present, runs)
            yield from _settings(path, rows, runs)


def _rows_per_run(study: Jobs, step: Step) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns that tell the rows of a run apart, and their values: the keys of the config in the singular."""
    keys = step.rows or ()
    asked = study.asked(replace(step, reads=keys))
    listed_values = [[str(value) for value in asked[key.rpartition(".")[2]]] for key in keys]
    return [key.rpartition(".")[2].removesuffix("s") for key in keys], list(itertools.product(*listed_values))


def _counts(step: Step, ended: str | None) -> bool:
    """Whether a run that ended so has rows."""
    return {"all": True, "undiverged": ended != "diverged", "converged": ended == "converged"}[step.of]


def _settings(path: str, rows: list[dict[str, str]], runs: Mapping[str, Run]) -> Iterator[Finding]:
    for row in rows:
        run = runs.get(row.get("run", ""))
        declared = {**run.settings, "seed": run.seed} if run else {}
        wrong = {name for name, value in declared.items() if row.get(name) != str(value)}
        if run and wrong:
            expected = ", ".join(f"{name} {declared[name]}" for name in sorted(wrong)) + ", as the run's id says"
            said = ", ".join(f"{name} {row.get(name)}" for name in sorted(wrong))
            yield Finding("failed", path, f"run {run.id}: {expected}", said, AGAIN)


def _compare(path: str, wanted: Counter, found: Counter, runs: Mapping[str, Any]) -> Iterator[Finding]:
    """Rows that are missing, and rows that are too many."""

    def describe(key: tuple[Any, ...]) -> str:
        run = runs.get(key[0])
        return " ".join([str(part) for part in key] + ([f"(seed {run.seed})"] if run else []))

    if missing := wanted - found:
        names = listed(map(describe, missing), 3)
        yield Finding("failed", path, f"a row for every run that the config declares: {names}", "no such rows", AGAIN)
    if extra := found - wanted:
        names = listed(map(describe, extra), 3)
        yield Finding("failed", path, "no row but those of the runs that the config declares", f"also {names}", AGAIN)


def compare_numbers(root: Path, figures: str, study: Jobs) -> Iterator[Finding]:
    """The tables beside the figures hold every run of the plan, and the rows that the study says they have."""
    path = f"{figures}/runs.csv"
    declared = {run.id for runs in study.shards.values() for run in runs}
    rows = Counter((row.get("run"), row.get("layer"), row.get("pairing")) for row in _rows(root, path))
    present = {run for run, _, _ in rows}
    if twice := [f"{run} {layer} {pairing}" for (run, layer, pairing), count in rows.items() if count > 1]:
        yield Finding("failed", path, "every run once per layer and pairing", f"twice: {listed(twice, 3)}", AGAIN)
    if missing := declared - present:
        yield Finding(
            "failed", path, f"every run that the config declares: {listed(missing, 3)}", "no such rows", AGAIN
        )
    if extra := present - declared:
        yield Finding(
            "failed", path, "no other run than the config declares", f"also {listed(map(str, extra), 3)}", AGAIN
        )
    for table, rows_wanted in study.study.rows(study.config).items():
        path = f"{figures}/{table}.csv"
        names = list(rows_wanted[0])
        found = [tuple(row.get(name) for name in names) for row in _rows(root, path)]
        wanted = [tuple(str(row[name]) for name in names) for row in rows_wanted]
        if found != wanted:
            named, said = ("; ".join(" ".join(map(str, row)) for row in some) for some in (wanted, found))
            yield Finding("failed", path, f"{', '.join(names)}: {named}", said, AGAIN)


def _streams(tree: Tree, study: Jobs) -> Iterator[Finding]:
    """One key, one purpose; all from the config's root seed; every run drew from the streams that its step declares."""
    users: dict[str, set[tuple[int, str, int]]] = {}
    root_seed = study.config["root_seed"]
    for job, record in tree.records.items():
        for entry in record["streams"]:
            users.setdefault(entry["key"], set()).add((entry["root_seed"], entry["purpose"], entry["index"]))
            if entry["root_seed"] != root_seed:
                expected = f"root seed {root_seed}"
                yield Finding("failed", tree.record_file(job), expected, f"a stream of {entry['root_seed']}", AGAIN)
    for key, addresses in users.items():
        if len(addresses) > 1:
            said = listed(f"{purpose} {index}" for _, purpose, index in addresses)
            yield Finding(
                "failed", f"random stream {key}", "one purpose", said, "this is a fault of the code: report it"
            )
    for step in (step for step in study.per_shard if step.purposes):
        for shard in study.shards_of(step):
            job = study.job_of(step, shard)
            if job in tree.records:
                drawn = {(entry["purpose"], entry["index"]) for entry in tree.records[job]["streams"]}
                wanted = {(purpose, run.seed) for purpose in study.purposes(step) for run in study.shards[shard]}
                if missing := wanted - drawn:
                    names = listed(f"{purpose} {seed}" for purpose, seed in missing)
                    expected = f"random streams of every seed: {names}"
                    yield Finding("failed", tree.record_file(job), expected, "not drawn", AGAIN)
