"""Level 3, plan: the runs present are exactly those that the config declares; no two purposes share a random stream."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from awduality.audit.contents import AGAIN
from awduality.audit.findings import Finding, Level, listed
from awduality.audit.tree import SEAL, Tree
from studies.sweeps.study import BASELINE, FACTORS
from awduality.figures.catalogue import LEARNER_FIGURES, overview
from awduality.files import read_table
from awduality.learners import LearnerShard, learner_shards, plan_of, shards_of
from awduality.plan import Shard, shards
from awduality.records import canonical

Config = Mapping[str, Any]


def check_plan(tree: Tree) -> Level:
    """Expand the recorded config again, and compare it with the plan, the jobs and the rows of every table."""
    level = Level("plan")
    config = tree.read_json(f"{tree.results}/config.json")
    try:
        expected, found = plan_of(config), shards_of(config)
        wanted = learner_parameters(config) if "learners" in config else expected_parameters(config, shards(config))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        level.findings.append(
            Finding("failed", f"{tree.results}/config.json", "a resolved config", f"unusable: {error!r}", AGAIN)
        )
        return level
    level.findings += [*_plan(tree, expected), *_parameters(tree, wanted)]
    level.findings += [*_tables(tree, config, found), *_streams(tree, config, found)]
    level.findings += compare_numbers(tree.root, tree.figures, config.get("seeds", 0), expected)
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
    """A plan without the order of runs and sweeps, which config.json does not keep."""
    if isinstance(value, dict):
        return {key: _unordered(entry) for key, entry in value.items()}
    return sorted(map(_unordered, value), key=canonical) if isinstance(value, list) else value


def expected_parameters(config: Config, found: list[Shard]) -> dict[str, dict[str, Any]]:
    """What the config asks of every job: job → parameters."""
    described = {s.name: {"factor": s.factor, "values": list(s.values), "seeds": list(s.seeds)} for s in found}
    seed = {"root_seed": config["root_seed"]}
    training = {
        "defaults": config["defaults"],
        "training": {**config["training"], **config["network"], **seed},
    }
    geometry, data = config["geometry"], config["data"]
    shared = {**seed, "layers": config["layers"], **{key: geometry[key] for key in ("sharp_directions", "shuffles")}}
    sizes = [*config["sweeps"].get("train_size", []), config["defaults"]["train_size"]]
    jobs: dict[str, dict[str, Any]] = {
        "plan": {"config": config},
        "prepare_data": {**data, "smallest_train_size": min(sizes)},
        "claims": seed,
        "figure_numbers": {"layer": config["layers"][0], "pairing": geometry["pairings"][0]},
        **{job: {} for job in ("origin", "provenance", SEAL)},
        **{f"draw-{figure}": {"figure": figure} for figure in (*config["sweeps"], *overview(config["layers"]))},
    }
    if config["train_together"]:
        jobs["train"] = {**training, "shards": list(described.values())}
    for shard in found:
        if not config["train_together"]:
            jobs[f"train-{shard.name}"] = {**training, "shards": [described[shard.name]]}
        jobs[f"geometry-{shard.name}"] = {**shared, "pairings": geometry["pairings"]}
        if shard.factor == BASELINE:
            nulls = {"pairing": geometry["pairings"][0], "rescalings": geometry["rescalings"]}
            jobs[f"nulls-{shard.name}"] = {**shared, **nulls}
    return jobs


def learner_parameters(config: Config) -> dict[str, dict[str, Any]]:
    """The same of a study of learners."""
    study, seed, layer = config["learners"], {"root_seed": config["root_seed"]}, {"layer": config["layers"][0]}
    shared = {key: study[key] for key in ("width", "train_size", "target_loss")}
    jobs: dict[str, dict[str, Any]] = {
        "plan": {"config": config},
        "prepare_data": {**config["data"], "smallest_train_size": study["analysed"]},
        "claims": seed,
        "learner_numbers": layer,
        "surface": {**seed, "train_size": study["train_size"]},
        **{job: {} for job in ("origin", "provenance", SEAL)},
        **{f"draw-{figure}": {"figure": figure} for figure in LEARNER_FIGURES},
    }
    geometry = {"layers": config["layers"], **{key: study[key] for key in ("analysed", "directions")}}
    for shard in learner_shards(config):
        training = {**config["network"], **shared, **seed}
        jobs[f"train_learners-{shard.name}"] = {
            "setting": shard.settings,
            "seeds": list(shard.seeds),
            "training": training,
        }
        jobs[f"learner_geometry-{shard.name}"] = geometry
    return jobs


def _parameters(tree: Tree, wanted: Mapping[str, dict[str, Any]]) -> Iterator[Finding]:
    for job, parameters in wanted.items():
        if job not in tree.records:
            expected = "the job, since the config asks for it"
            yield Finding(
                "failed", tree.record_file(job), expected, "no record of it", "run Snakemake for this config again"
            )
            continue
        recorded = tree.records[job]["parameters"]
        script = f"scripts/{job.partition('-')[0]}.py"
        if (ran := tree.records[job]["script"]) != script:
            yield Finding("failed", tree.record_file(job), f"a job of {script}", f"it ran {ran}", AGAIN)
        for name in sorted({*parameters, *recorded}):
            asked, given = parameters.get(name), recorded.get(name)
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


def _tables(tree: Tree, config: Config, found: Sequence[Shard | LearnerShard]) -> Iterator[Finding]:
    """The tables of runs, of the geometry and of the nulls hold every run of their shard once per layer and pairing."""
    names: tuple[str, ...] = ("run", "layer")
    per_run: list[tuple[str, ...]] = [(layer,) for layer in config["layers"]]
    if "learners" not in config:
        names, per_run = (*names, "pairing"), list(itertools.product(config["layers"], config["geometry"]["pairings"]))
    for shard in found:
        runs = {run.id: run for run in shard.runs(config.get("defaults", {}))}
        path = f"{tree.results}/runs/{shard.name}.csv"
        rows = _rows(tree.root, path)
        yield from _compare(path, Counter((run,) for run in runs), Counter((row.get("run"),) for row in rows), runs)
        for row in rows:
            run = runs.get(row.get("run", ""))
            declared = {**run.settings, "seed": run.seed} if run else {}
            wrong = {name for name, value in declared.items() if row.get(name) != str(value)}
            if run and wrong:
                expected = ", ".join(f"{name} {declared[name]}" for name in sorted(wrong)) + ", as the run's id says"
                said = ", ".join(f"{name} {row.get(name)}" for name in sorted(wrong))
                yield Finding("failed", path, f"run {run.id}: {expected}", said, AGAIN)
        ended = {row["run"]: row.get("stop_reason") for row in rows if row.get("run") in runs}
        alive = [run for run in runs if ended.get(run) != "diverged"]
        path = f"{tree.results}/geometry/{shard.name}.csv"
        wanted = Counter((run, *rest) for run in alive for rest in per_run)
        present_keys = (tuple(row.get(name) for name in names) for row in _rows(tree.root, path))
        yield from _compare(path, wanted, Counter(present_keys), runs)
        if isinstance(shard, Shard) and shard.factor == BASELINE:
            path = f"{tree.results}/nulls/{shard.name}.csv"
            present = {row.get("run") for row in _rows(tree.root, path)}
            converged = {run for run, reason in ended.items() if reason == "converged"}
            yield from _compare(path, Counter((r,) for r in converged), Counter((r,) for r in present), runs)


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


def compare_numbers(root: Path, figures: str, seeds: int, expected: Mapping[str, Any]) -> Iterator[Finding]:
    """The tables beside the figures hold every run and every value of a plan."""
    path = f"{figures}/runs.csv"
    declared = {run["id"] for run in expected["runs"]}
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
    for factor, values in expected["sweeps"].items():
        path = f"{figures}/{factor}-gap.csv"
        found = [(row.get("value"), row.get("runs")) for row in _rows(root, path)]
        wanted = [(str(value), str(seeds)) for value in values]
        if found != wanted:
            named, said = (", ".join(f"{value} ({runs} runs)" for value, runs in rows) for rows in (wanted, found))
            yield Finding("failed", path, f"{FACTORS[factor].plain}: {named}", said, AGAIN)


def _streams(tree: Tree, config: Config, found: Sequence[Shard | LearnerShard]) -> Iterator[Finding]:
    """One key, one purpose; all from the config's root seed; every seed of a shard drew its weights and orders."""
    users: dict[str, set[tuple[int, str, int]]] = {}
    for job, record in tree.records.items():
        for entry in record["streams"]:
            users.setdefault(entry["key"], set()).add((entry["root_seed"], entry["purpose"], entry["index"]))
            if entry["root_seed"] != config["root_seed"]:
                expected = f"root seed {config['root_seed']}"
                yield Finding("failed", tree.record_file(job), expected, f"a stream of {entry['root_seed']}", AGAIN)
    for key, addresses in users.items():
        if len(addresses) > 1:
            said = listed(f"{purpose} {index}" for _, purpose, index in addresses)
            yield Finding(
                "failed", f"random stream {key}", "one purpose", said, "this is a fault of the code: report it"
            )
    for shard in found:
        job = f"train_learners-{shard.name}" if isinstance(shard, LearnerShard) else f"train-{shard.name}"
        job = "train" if config.get("train_together") else job
        if job in tree.records:
            drawn = {(entry["purpose"], entry["index"]) for entry in tree.records[job]["streams"]}
            wanted = {(purpose, seed) for purpose in ("init", "order") for seed in shard.seeds}
            if missing := wanted - drawn:
                names = listed(f"{purpose} {seed}" for purpose, seed in missing)
                expected = f"random streams of every seed: {names}"
                yield Finding("failed", tree.record_file(job), expected, "not drawn", AGAIN)
