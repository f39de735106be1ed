"""Where a figure or a claim comes from, and which figure an image is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from awduality.audit.committed import described
from awduality.audit.findings import listed, short
from awduality.audit.images import embedded_origin
from awduality.audit.planned import UNUSABLE
from awduality.audit.shape import fits
from awduality.audit.tree import Tree
from awduality.errors import InputError
from awduality.files import sha256
from awduality.study.plan import plan

VERBS = {"draw": "drawn", "claims": "judged", "prepare_data": "data prepared", "plan": "planned"}
"""What the jobs of every study do; a study's own steps are called by their names."""
_OF_NUMBERS = ("null", "bootstrap", "density")
"""Random streams that belong to statistics, and not to a run's seed."""


def _is_claim(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str)


def trace(root: Path, config: str, name: str) -> Iterator[str]:
    """The chain from a figure or a claim back to the data, as lines of text.

    Raises:
        InputError: no such figure or claim.
    """
    judged = _json(root / f"figures/{config}/claims.json")
    claims = {row["id"]: row for row in judged} if fits(judged, [_is_claim]) else {}
    figure = name.removeprefix(f"figures/{config}/").removesuffix(".png").removesuffix(".svg")
    provenance = described(root / f"figures/{config}/provenance.json") or {"figures": {}}
    if name in claims:
        claim = claims[name]
        yield f"claim {name} of {config}: {claim.get('verdict')}"
        yield from _files(root, [f"figures/{config}/claims.json"])
        job = "claims"
    elif figure in provenance["figures"]:
        yield f"figure {figure} of {config}, id {provenance['figures'][figure]['id']}"
        yield from _files(root, [f"figures/{config}/{figure}.{suffix}" for suffix in ("png", "svg")])
        job = f"draw-{figure}"
    else:
        known = f"figures {listed(provenance['figures'], 99)}; claims {listed(claims, 99)}"
        raise InputError(f"{config} has no figure and no claim {name!r}. It has {known}")
    try:
        tree = Tree(root, config)
    except InputError:
        yield from _committed(root, config, figure, provenance)
        return
    if job not in tree.records:
        raise InputError(f"there is no {tree.record_file(job)}: run Snakemake for this config to its end")
    yield from _chain(tree, job)


def _files(root: Path, paths: list[str]) -> Iterator[str]:
    for path in paths:
        place = root / path
        yield f"  {path}  {short(sha256(place)) if place.is_file() else 'missing'}"


def _chain(tree: Tree, job: str) -> Iterator[str]:
    """The jobs behind a job, step by step, the last step first."""
    behind = {job, *tree.ancestors(job)}
    order = sorted(behind, key=lambda name: (len(tree.ancestors(name)), name), reverse=True)
    for script in dict.fromkeys(tree.records[name]["script"] for name in order):
        jobs = sorted(name for name in behind if tree.records[name]["script"] == script)
        step = Path(script).stem
        record = tree.records[jobs[0]]
        yield f"{VERBS.get(step, step)} by {listed(jobs, 3)}"
        yield f"  $ {_shortened(record['command'])}"
        for entry in record["inputs"]:
            if step in ("draw", "claims") or entry["path"] in tree.sources:
                yield f"  from {entry['path']}  {short(entry['sha256'])}"
        streams = [e for name in jobs for e in tree.records[name]["streams"] if e["purpose"] not in _OF_NUMBERS]
        if streams:
            seeds = sorted({entry["index"] for entry in streams})
            yield f"  seeds {', '.join(map(str, seeds))} of root seed {streams[0]['root_seed']}"
    records = [tree.records[name] for name in behind]
    environments = [record["environment"] for record in records]
    commits = {str(record["git"]["commit"]) for record in records}
    code = {path for record in records for path in record["code"]}
    dirty = ", with uncommitted changes" if any(record["git"]["dirty"] for record in records) else ""
    yield f"code: {len(code)} files of commit {listed(commits)}{dirty}"
    yield f"on: Python {listed({e['python'] for e in environments})}, {listed({e['cpu'] for e in environments})}"
    yield f"from {min(r['started'] for r in records)} to {max(r['ended'] for r in records)}"
    yield f"Whether all of this still holds: python scripts/audit.py {tree.config}"


def _shortened(command: str, most: int = 160) -> str:
    return command if len(command) <= most else f"{command[:most]}… (in full in its record)"


def _committed(root: Path, config: str, figure: str, provenance: dict[str, Any]) -> Iterator[str]:
    """The chain as far as a clone knows it."""
    origin = described(root / f"figures/{config}/origin.json") or {}
    numbers = provenance["figures"].get(figure, {}).get("numbers") or origin.get("tables", {})
    yield f"from the numbers {listed(Path(path).name for path in numbers)}"
    yield "which come from"
    for path, digest in origin.get("sources", {}).items():
        yield f"  {path}  {short(digest)}"
    config_of_it = origin.get("config", {})
    yield f"  {_seeds(config_of_it)} seeds of root seed {config_of_it.get('root_seed')}"
    results, code = (len(origin.get(part, {})) for part in ("results", "code"))
    yield f"  {results} files of results, {code} of code, all in figures/{config}/origin.json"
    yield f"  on {listed(origin.get('numerics', []))}; Python {listed(origin.get('python', []))}"
    yield "There are no records of the run here, as in a fresh clone: only what is committed."
    yield f"Whether it still holds: python scripts/audit.py {config} --committed"


def _seeds(config: dict[str, Any]) -> str:
    """How many seeds a config has, whatever its study calls them."""
    try:
        return str(len({entry["seed"] for entry in plan(config)["runs"]}))
    except UNUSABLE:
        return "an unknown number of"


def identify(root: Path, image: Path) -> tuple[int, list[str]]:
    """Which figure an image is, by its embedded id or its digest.

    Returns:
        0: a known figure, to the byte; 1: it carries a known id, but has other bytes; 2: not known. And lines of text.
    """
    if not image.is_file():
        raise InputError(f"{image} is no file: name a PNG or SVG")
    digest, origin = sha256(image), embedded_origin(image)
    lines = [f"{image}: {short(digest)}", f"  figure id {origin[0]}" if origin else "  carries no figure id"]
    known = [
        (path.parent.name, name, figure["id"], provenance["files"])
        for path in sorted(root.glob("figures/*/provenance.json"))
        if (provenance := described(path))
        for name, figure in provenance["figures"].items()
    ]
    for config, name, _, files in known:
        if exact := [file for file, other in files.items() if other == digest and Path(file).stem == name]:
            more = f"python scripts/audit.py trace {name} --config {config}"
            return 0, [*lines, f"  It is {exact[0]}, to the byte. More: {more}"]
    for config, name, identifier, _ in known:
        if origin and origin[0] == identifier:
            originals = ", ".join(f"figures/{config}/{name}.{suffix}" for suffix in ("png", "svg"))
            lines.append(f"  It carries the id of the figure {name} of {config}, but its bytes are not those recorded:")
            lines.append(
                "  it was repainted, saved again by another program, or drawn with other versions of the packages."
            )
            lines.append("  Compare it with the original:")
            return 1, [*lines, f"  {originals}"]
    if origin:
        lines.append("  No figure here has this id: it was drawn with other code, parameters or numbers, namely")
        lines += [f"  {name}  {short(known)}" for name, known in sorted(origin[1].items())]
    else:
        lines.append("  It is none of the figures here, and does not say where it comes from.")
    return 2, lines


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
