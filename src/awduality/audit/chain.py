"""Level 2, chain: every input is the output of the job that made it; everything goes back to data and config."""

from __future__ import annotations

import graphlib
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from awduality.audit.contents import AGAIN
from awduality.audit.findings import Finding, Level, listed, short
from awduality.audit.images import embedded_origin
from awduality.audit.tree import SEAL, Tree
from awduality.records import figure_digest

RERUN = "delete the record of the job that is out of step and run Snakemake for this config again, which repeats it"


def check_chain(tree: Tree) -> Level:
    """Follow every input to its maker, every record to the next, every figure and claim to where it begins."""
    level = Level("chain")
    level.findings += [*_records_named(tree), *_exports(tree), *_commands(tree), *_inputs(tree)]
    level.findings += [*_order(tree), *_ends(tree), *_figures(tree)]
    drawn, data = tree.jobs_of("draw"), tree.jobs_of("prepare_data")
    commits = {str(record["git"]["commit"])[:10] for record in tree.records.values()}
    level.done = (
        f"{len(drawn)} figures and the claims go back to {listed([*data, 'the config'])} and commit {listed(commits)}"
    )
    return level


def _records_named(tree: Tree) -> Iterator[Finding]:
    """Later records hold the digests of earlier ones; the seal holds all."""
    wrong: dict[str, tuple[str, list[str]]] = {}
    for job, record in tree.records.items():
        for entry in record["after"]:
            if tree.digest(entry["path"]) != entry["sha256"]:
                wrong.setdefault(entry["path"], (entry["sha256"], []))[1].append(job)
    for path, (digest, jobs) in wrong.items():
        found = tree.digest(path)
        expected = f"{short(digest)}, as the records of {listed(jobs)} say"
        yield Finding("failed", path, expected, f"{short(found)}: replaced since" if found else "missing", AGAIN)
    if SEAL in tree.records:
        sealed = {entry["path"] for entry in tree.records[SEAL]["after"]}
        for job in tree.records:
            if job != SEAL and tree.record_file(job) not in sealed:
                found = "the seal does not know it: a job of an earlier run with another plan, or put there by hand"
                made = [entry["path"] for entry in tree.records[job]["outputs"] if len(tree.makers[entry["path"]]) == 1]
                advice = f"delete {listed([tree.record_file(job), *made])}"
                yield Finding("failed", tree.record_file(job), "a record that the seal names", found, advice)


def _exports(tree: Tree) -> Iterator[Finding]:
    """An export is one of the run that lies there."""
    seal = {"path": tree.record_file(SEAL), "sha256": tree.digest(tree.record_file(SEAL))}
    for job, record in tree.exports.items():
        if record["after"] != [seal]:
            path, found = tree.record_file(job), "an export of an earlier run"
            advice = f"snakemake {job} makes it anew; or delete {path} and {tree.results}/{job}.zip"
            yield Finding("warning", path, "an export of this run", found, advice)


def _commands(tree: Tree) -> Iterator[Finding]:
    """The command that a record gives leaves this record, and names the records that it names."""
    for job, record in tree.records.items():
        path, known = tree.record_file(job), {entry["path"] for entry in record["after"]}
        options = _options(record["command"])
        if options.get("--record") != [path] or set(options.get("--after", [])) != known:
            differing = {*options.get("--record", []), *options.get("--after", [])} ^ {path, *known}
            expected = "a command that leaves this record and names the records that it names"
            yield Finding("failed", path, expected, f"another one: it differs in {listed(differing)}", AGAIN)
        for other in sorted(known):
            if other != tree.record_file(PurePosixPath(other).stem):
                yield Finding("failed", path, "records of this run before it", f"it names {other}", AGAIN)


def _options(command: str) -> dict[str, list[str]]:
    """The options of a command line with the words that follow each, paths in their plain form."""
    found: dict[str, list[str]] = {}
    name = ""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation without end
        words = []
    for word in words:
        if word.startswith("--"):
            name, _, word = word.partition("=")
            found[name] = []
        if word:
            found.setdefault(name, []).append(PurePosixPath(word).as_posix())
    return found


def _inputs(tree: Tree) -> Iterator[Finding]:
    sizes = {entry["path"]: entry["bytes"] for record in tree.records.values() for entry in record["outputs"]}
    for path, jobs in tree.makers.items():
        if len(jobs) > 1:
            yield Finding("failed", path, "one job that wrote it", f"{len(jobs)} jobs: {listed(jobs)}", RERUN)
    for job, record in tree.records.items():
        named = {entry["path"] for entry in record["after"]}
        for entry in record["inputs"]:
            path = entry["path"]
            if path not in tree.makers:
                if path.startswith((f"{tree.results}/", f"{tree.figures}/")):
                    found = f"no record of how it was made, but {job} read it"
                    yield Finding("failed", path, "the output of a job", found, RERUN)
                continue
            maker = tree.makers[path][0]
            if tree.written[path] != entry["sha256"]:
                expected = f"{short(tree.written[path])}, as {maker} wrote it"
                yield Finding("failed", path, expected, f"{job} read {short(entry['sha256'])}", RERUN)
            elif sizes[path] != entry["bytes"]:
                expected = f"{path}: {sizes[path]:,} bytes, as {maker} wrote it"
                yield Finding("failed", tree.record_file(job), expected, f"{entry['bytes']:,}", AGAIN)
            elif path.startswith(f"{tree.results}/") and tree.record_file(maker) not in named:
                expected = f"the record of {maker} among those that it names, since it read {path}"
                yield Finding("failed", tree.record_file(job), expected, "not named", AGAIN)


def _order(tree: Tree) -> Iterator[Finding]:
    try:
        graphlib.TopologicalSorter({job: tree.before(job) for job in tree.records}).prepare()
    except graphlib.CycleError as error:
        cycle = " → ".join(error.args[1])
        yield Finding(
            "failed", tree.record_file(error.args[1][0]), "jobs that follow one another", f"a cycle: {cycle}", RERUN
        )


def _ends(tree: Tree) -> Iterator[Finding]:
    """Every figure and the claims reach a config and, where the study has one, a dataset."""
    has_data = bool(tree.jobs_of("prepare_data"))
    for job in [*tree.jobs_of("draw"), *tree.jobs_of("claims")]:
        scripts = {tree.records[maker]["script"] for maker in tree.ancestors(job)}
        for step, what in (("prepare_data", "a dataset"), ("plan", "a config")):
            if f"scripts/{step}.py" not in scripts and (step == "plan" or has_data):
                yield Finding(
                    "failed", tree.record_file(job), f"a chain that goes back to {what}", "it ends before", RERUN
                )


def _figures(tree: Tree) -> Iterator[Finding]:
    """The id within an image is the digest of what its record says: code, parameters, numbers."""
    for job in tree.jobs_of("draw"):
        record = tree.records[job]
        numbers = {PurePosixPath(entry["path"]).name: entry["sha256"] for entry in record["inputs"]}
        identifier = figure_digest(record["code"], record["parameters"], numbers)
        for entry in record["outputs"]:
            if tree.digest(entry["path"]) != entry["sha256"]:
                continue  # said by level 1
            origin = embedded_origin(tree.root / entry["path"])
            if origin != (identifier, numbers):
                found = f"{origin[0][:12]}…" if origin else "none"
                expected = f"the figure id {identifier[:12]}…, from the code, parameters and numbers of its record"
                yield Finding("failed", entry["path"], expected, found, AGAIN)
