"""The description of a run in the words of Provenance Run Crate 0.5 on RO-Crate 1.1, made from its records.

A job is a ``CreateAction``: its script is the ``instrument``, its parameters and what it read are the ``object``, what
it wrote and its record are the ``result``. The Snakefile is the workflow, each script a step of it and a tool. Who ran
it and where is not said, since no record says it. Source: https://w3id.org/ro/wfrun/provenance/0.5.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from awduality.crate.run import METADATA, Record, SealedRun
from awduality.records import canonical, digest_of, is_within

Reference = dict[str, str]

CONTEXTS = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
WORKFLOW = "Snakefile"
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
FORMATS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".png": "image/png",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".safetensors": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
DONE = "http://schema.org/CompletedActionStatus"  # a job that fails leaves no record


class Graph:
    """The entities of a crate by id; one that is added again stays as it was."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}

    def add(self, identifier: str, kind: str | list[str], **properties: Any) -> Reference:
        """Add an entity, without the properties that have no value, a list of one as that one; a reference to it."""
        entity: dict[str, Any] = {"@id": identifier, "@type": kind}
        for name, value in properties.items():
            if value is not None and value != []:
                entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
        self.entities.setdefault(identifier, entity)
        return {"@id": identifier}


def crate_metadata(run: SealedRun, root: Path) -> dict[str, Any]:
    """The content of ``ro-crate-metadata.json``."""
    graph = Graph()
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    records = list(run.records.values())
    graph.add(
        METADATA,
        "CreativeWork",
        about={"@id": "./"},
        conformsTo=[{"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": WORKFLOW_CRATE}],
    )
    actions = [_add_job(graph, record, path) for path, record in run.records.items()]
    whole = _add_run(graph, run, _snakemake_version(root))
    graph.add(
        "./",
        "Dataset",
        name=f"{project['name']}: run of the config {run.name!r}",
        description=f"{project['description']}. One run: {len(records)} jobs, their records, inputs, code and results.",
        datePublished=records[-1]["ended"],
        license=_add_license(graph, project["license"], root),
        conformsTo=[_add_profile(graph, address) for address in PROFILES],
        mainEntity={"@id": WORKFLOW},
        mentions=[*whole, *actions],
        hasPart=[_file(path) for path in run.files],
    )
    _add_files(graph, run, root)
    return {"@context": CONTEXTS, "@graph": [graph.entities[identifier] for identifier in sorted(graph.entities)]}


def _file(name: str) -> Reference:
    """A reference to a file: in the crate by its path, elsewhere by its name."""
    return {"@id": quote(name, safe="/+") if is_within(name) else f"#{quote(name)}"}


def _files(entries: Iterable[Record]) -> list[Reference]:
    return [_file(entry["path"]) for entry in entries]


def _add_profile(graph: Graph, address: str) -> Reference:
    return graph.add(address, "CreativeWork", name=PROFILES[address], version=address.rpartition("/")[2])


def _add_license(graph: Graph, identifier: str, root: Path) -> Reference:
    name = (root / "LICENSE").read_text(encoding="utf-8").splitlines()[0]
    return graph.add(f"https://spdx.org/licenses/{identifier}", "CreativeWork", name=name)


def _add_job(graph: Graph, record: Record, path: str) -> Reference:
    """What one job did; the engine's action that started it, and the step that it belongs to."""
    job, script = record["job"], record["script"]
    parameters = [_add_value(graph, script, name, value) for name, value in record["parameters"].items()]
    seeds = sorted({stream["root_seed"] for stream in record["streams"]})
    variables = record["environment"]["variables"]
    action = graph.add(
        f"#job/{job}",
        "CreateAction",
        name=job,
        description=record["command"],
        instrument=_file(script),
        object=[
            *_files([*record["inputs"], *record["after"]]),
            *parameters,
            *(_add_value(graph, WORKFLOW, "root_seed", seed) for seed in seeds),
        ],
        result=[*_files(record["outputs"]), _file(path)],
        environment=[_add_value(graph, "environment", name, value) for name, value in variables.items()],
        startTime=record["started"],
        endTime=record["ended"],
        actionStatus=DONE,
    )
    graph.add(f"#control/{job}", "ControlAction", name=f"start {job}", instrument=_step(script), object=action)
    return action


def _step(script: str) -> Reference:
    return {"@id": f"#step/{PurePosixPath(script).stem}"}


def _add_value(graph: Graph, owner: str, name: str, value: Any) -> Reference:
    """The value of a parameter of a script, of the workflow (its config), or of the environment."""
    kinds = {bool: "Boolean", int: "Integer", float: "Float"}
    parameter = graph.add(
        f"#parameter/{owner}/{quote(name)}",
        "FormalParameter",
        name=name,
        additionalType=kinds.get(type(value), "Text"),
        description=None if isinstance(value, (bool, int, float, str)) else "JSON",
    )
    return graph.add(
        f"#value/{owner}/{quote(name)}/{digest_of(value)[:12]}",
        "PropertyValue",
        name=name,
        value=value if isinstance(value, (bool, int, float, str)) else canonical(value),
        exampleOfWork=parameter,
    )


def _add_run(graph: Graph, run: SealedRun, version: str | None) -> list[Reference]:
    """The run as a whole, and what the engine did: it started the jobs."""
    records = list(run.records.values())
    made = {file["path"]: file for record in records for file in record["outputs"]}
    used = {file["path"]: file for record in records for file in record["inputs"] if file["path"] not in made}
    times = {"startTime": records[0]["started"], "endTime": max(record["ended"] for record in records)}
    action = graph.add(
        "#run",
        "CreateAction",
        name=f"run of the config {run.name!r}",
        description=f"{len(records)} jobs, from the plan to the seal that holds the digests of all other records",
        instrument={"@id": WORKFLOW},
        object=[*_files(used.values()), *(_add_value(graph, WORKFLOW, *item) for item in _config(run).items())],
        result=[*_files(made.values()), *map(_file, run.records)],
        actionStatus=DONE,
        **times,
    )
    engine = graph.add(
        "#snakemake",
        "SoftwareApplication",
        name="Snakemake",
        description="its version is the one in constraints.txt; records do not name it",
        softwareVersion=version,
    )
    graph.add(LANGUAGE, "ComputerLanguage", name="Snakemake", url="https://snakemake.readthedocs.io", version=version)
    organize = graph.add(
        "#engine-run",
        "OrganizeAction",
        name="run of Snakemake",
        instrument=engine,
        object=[{"@id": f"#control/{record['job']}"} for record in records],
        result=action,
        **times,
    )
    return [action, organize]


def _config(run: SealedRun) -> dict[str, Any]:
    """The resolved config, as the job that planned the run was given it."""
    planned = [record["parameters"]["config"] for record in run.records.values() if "config" in record["parameters"]]
    return dict(planned[0]) if planned else {}


def _snakemake_version(root: Path) -> str | None:
    pin = re.search(r"^snakemake==(\S+)", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return pin[1] if pin else None


def _add_files(graph: Graph, run: SealedRun, root: Path) -> None:
    """Every file, with what it is in the workflow."""
    scripts = list(dict.fromkeys(record["script"] for record in run.records.values()))
    special: dict[str, dict[str, Any]] = {
        WORKFLOW: _workflow(run, scripts, root),
        "README.md": {"about": {"@id": "./"}},
    }
    for position, script in enumerate(scripts, start=1):
        special[script] = _tool(graph, run, script, root)
        graph.add(
            _step(script)["@id"],
            "HowToStep",
            name=PurePosixPath(script).stem,
            description=special[script]["description"],
            position=str(position),
            workExample=_file(script),
        )
    for path, entry in run.files.items():
        properties = {
            "kind": "File",
            "name": path,
            "contentSize": str(entry.size),
            "sha256": entry.sha256,
            "encodingFormat": FORMATS.get(PurePosixPath(path).suffix, "text/plain"),
        }
        graph.add(_file(path)["@id"], **{**properties, **special.get(path, {})})
    for name, entry in run.elsewhere.items():
        graph.add(
            _file(name)["@id"],
            "CreativeWork",
            name=name,
            description="Read by the run, but no part of the crate; the digest tells whether a copy is the same.",
            contentSize=str(entry.size),
            sha256=entry.sha256,
        )


def _tool(graph: Graph, run: SealedRun, script: str, root: Path) -> dict[str, Any]:
    """What a script is in the workflow."""
    records = [record for record in run.records.values() if record["script"] == script]
    environments = [record["environment"] for record in records]
    software = {(made["implementation"], made["python"]) for made in environments}
    software |= {package for made in environments for package in made["packages"].items()}
    packages = [
        graph.add(f"#software/{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in sorted(software)
    ]
    return {
        "kind": ["File", "SoftwareApplication"],
        "description": _summary(root / script),
        "input": _parameters(script, (name for record in records for name in record["parameters"])),
        "hasPart": [_file(path) for path in sorted({path for record in records for path in record["code"]} - {script})],
        "softwareRequirements": [_file("constraints.txt"), *packages],
        "softwareVersion": _revision(records),
    }


def _workflow(run: SealedRun, scripts: list[str], root: Path) -> dict[str, Any]:
    """What the Snakefile is: the workflow."""
    return {
        "kind": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "description": _summary(root / WORKFLOW),
        "programmingLanguage": {"@id": LANGUAGE},
        "input": _parameters(WORKFLOW, _config(run)),
        "hasPart": [_file(script) for script in scripts],
        "step": [_step(script) for script in scripts],
        "softwareRequirements": _file("constraints.txt"),
        "version": _revision(run.records.values()),
    }


def _parameters(owner: str, names: Iterable[str]) -> list[Reference]:
    return [{"@id": f"#parameter/{owner}/{quote(name)}"} for name in sorted(set(names))]


def _summary(path: Path) -> str | None:
    """The first line of a file's docstring."""
    text = re.match(r'"""(.*?)("""|\n)', path.read_text(encoding="utf-8"))
    return text[1] if text else None


def _revision(records: Iterable[Record]) -> str | None:
    """The git commits that the jobs ran from, those with uncommitted changes with the digest of these."""
    found = {
        f"{git['commit']} with changes of SHA-256 {git['diff_sha256']}" if git["dirty"] else git["commit"]
        for record in records
        if (git := record["git"])["commit"]
    }
    return ", ".join(sorted(found)) or None
