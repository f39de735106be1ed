"""What stands behind the committed numbers and figures, gathered from the records of a run.

Two files lie beside the figures. ``origin.json`` says where the numbers come from: config, data, code, packages and the
digests of all results. ``provenance.json`` says it of the figures and verdicts, which a clone can make again from the
numbers without the run. Neither holds times, commits or machine names, so that the same run gives the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from awduality.errors import InputError
from awduality.records import digest_of, figure_digest, without_plumbing

Record = Mapping[str, Any]


def check_whole(record: Record) -> None:
    """Refuse a record that does not have the digest that it closes with.

    Raises:
        InputError: it was changed after it was written.
    """
    content = {key: value for key, value in record.items() if key != "digest"}
    if digest_of(content) != record.get("digest"):
        raise InputError(
            f"the record of {record.get('job')!r} was changed after it was written: delete it and run the same command "
            "again, which repeats its job"
        )


def origin(records: Sequence[Record], config: Mapping[str, Any]) -> dict[str, Any]:
    """Where the numbers beside the figures come from.

    Args:
        records: of every job up to the one that wrote the numbers.
        config: the resolved config.

    Returns:
        ``config``; ``sources`` (config files and raw data), ``results`` and ``tables``: path → SHA-256; and what
        ``background`` gives.
    """
    made = files_of(records, "outputs")
    used = files_of(records, "inputs")
    return {
        "format": "awduality-origin/1",
        "config": dict(config),
        "sources": {path: digest for path, digest in used.items() if path not in made},
        "results": {path: digest for path, digest in made.items() if path.startswith("results/")},
        "tables": {path: digest for path, digest in made.items() if path.startswith("figures/")},
        **background(records),
    }


def provenance(records: Sequence[Record], origin_file: tuple[str, str], tables: Mapping[str, str]) -> dict[str, Any]:
    """Where figures and verdicts come from.

    Args:
        records: of the jobs that drew figures and judged claims.
        origin_file: path and SHA-256 of the file that says where the numbers come from.
        tables: path → SHA-256 of the numbers, as that file gives them.

    Returns:
        ``sources`` (the claims under test) and ``files`` (everything that lies beside this file): path → SHA-256;
        ``figures``: name → id, and what it is made of: code, parameters and numbers; and what ``background`` gives.

    Raises:
        InputError: a figure or the verdicts were made from other numbers than those.
    """
    made = {path: digest for path, digest in files_of(records, "outputs").items() if path.startswith("figures/")}
    figures = {}
    for record in records:
        for entry in record["inputs"]:
            known = {**tables, **made}.get(entry["path"], entry["sha256"])
            if known != entry["sha256"]:
                raise InputError(
                    f"{entry['path']} has changed since {record['job']!r} read it: run the same command again to make "
                    "what depends on it anew"
                )
        if record["script"] == "scripts/draw.py":
            numbers = {PurePosixPath(entry["path"]).name: entry["sha256"] for entry in record["inputs"]}
            figures[record["parameters"]["figure"]] = {
                "id": figure_digest(record["code"], record["parameters"], numbers),
                "code": sorted(without_plumbing(record["code"])),
                "parameters": record["parameters"],
                "numbers": numbers,
            }
    used = files_of(records, "inputs")
    return {
        "format": "awduality-provenance/1",
        "sources": {path: digest for path, digest in used.items() if path not in {**tables, **made}},
        "figures": figures,
        "files": dict([origin_file, *tables.items(), *made.items()]),
        **background(records),
    }


def background(records: Sequence[Record]) -> dict[str, Any]:
    """What the jobs ran on.

    Returns:
        ``code`` (path → SHA-256, without the plumbing), ``packages`` and ``python`` (versions), ``numerics`` (classes):
        each value a list, of more than one entry only where the jobs differ.
    """
    environments = [record["environment"] for record in records]
    return {
        "code": _alternatives(without_plumbing(record["code"]) for record in records),
        "packages": _alternatives(environment["packages"] for environment in environments),
        "python": sorted({environment["python"] for environment in environments}),
        "numerics": sorted({name for record in records if (name := numerics_class(record))}),
    }


def numerics_class(record: Record) -> str | None:
    """Jobs of one class round alike: torch's build, instruction set and device, BLAS kernels, threads.

    None for jobs that do not load torch.
    """
    environment = record["environment"]
    if (torch := environment["torch"]) is None:
        return None
    device = torch["gpu"] or "CPU"
    kernels = " + ".join(sorted({library["kernels"] for library in environment["libraries"] if library["kernels"]}))
    return f"torch {torch['build']} on {device}, {torch['instruction_set']}, BLAS {kernels}, {torch['threads']} threads"


def files_of(records: Iterable[Record], direction: str) -> dict[str, str]:
    """Path → SHA-256 of all ``inputs`` or ``outputs``."""
    return {entry["path"]: entry["sha256"] for record in records for entry in record[direction]}


def _alternatives(mappings: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for mapping in mappings:
        for key, value in mapping.items():
            found[key].add(value)
    return {key: sorted(values) for key, values in sorted(found.items())}
