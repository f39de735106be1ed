"""Level 1, bytes: every file is what its record says, none is missing, none is there that no job wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from awduality.audit.findings import Finding, Level, listed, short
from awduality.audit.images import embedded_origin
from awduality.audit.tree import SEAL, Tree
from awduality.files import sha256
from awduality.records import DATA_ROOT, FORMAT, canonical, digest_of

AGAIN = "restore it, or delete it and run Snakemake for this config again, which makes it anew"


def check_bytes(tree: Tree) -> Level:
    """Recompute every digest that a record gives."""
    level = Level("bytes")
    level.findings += [*_records(tree), *_outputs(tree), *_raw_data(tree), *_unlisted(tree)]
    level.done = (
        f"{len(tree.written)} files of {len(tree.records)} jobs are what their records say; no other file is there"
    )
    return level


def _records(tree: Tree) -> Iterator[Finding]:
    for path, reason in tree.unreadable.items():
        yield Finding("failed", path, "a record, as its job wrote it", f"damaged: {reason}", AGAIN)
    for job, record in {**tree.records, **tree.exports}.items():
        path = tree.record_file(job)
        content = {key: value for key, value in record.items() if key != "digest"}
        changed = "the record was changed after it was written"
        if (digest := digest_of(content)) != record["digest"]:
            yield Finding(
                "failed", path, f"its own digest, {short(record['digest'])}", f"{changed}: {short(digest)}", AGAIN
            )
        elif (tree.root / path).read_bytes() != f"{canonical(record)}\n".encode():
            yield Finding("failed", path, "canonical JSON", f"the same content, written otherwise: {changed}", AGAIN)
        if record["format"] != FORMAT or record["job"] != job or record["exit_status"] != 0:
            found = f"format {record['format']}, job {record['job']}, exit status {record['exit_status']}"
            yield Finding("failed", path, f"format {FORMAT}, job {job}, exit status 0", found, AGAIN)


def _outputs(tree: Tree) -> Iterator[Finding]:
    for job, record in {**tree.records, **tree.exports}.items():
        for entry in record["outputs"]:
            path, found = entry["path"], tree.digest(entry["path"])
            if not path.startswith((f"{tree.results}/", f"{tree.figures}/")):
                wanted = f"outputs in {tree.results} and {tree.figures}"
                yield Finding("failed", tree.record_file(job), wanted, f"it claims {path}", AGAIN)
            expected = f"{short(entry['sha256'])}, {entry['bytes']:,} bytes, as {job} wrote it"
            if found is None:
                yield Finding("failed", path, expected, "no file that can be read", AGAIN)
            elif found != entry["sha256"]:
                yield Finding(
                    "failed", path, expected, f"{short(found)}{origin_of(tree.root, path, tree.config)}", AGAIN
                )
            elif (size := (tree.root / path).stat().st_size) != entry["bytes"]:
                yield Finding("failed", tree.record_file(job), f"{path}: {size:,} bytes", f"{entry['bytes']:,}", AGAIN)


def origin_of(root: Path, path: str, config: str) -> str:
    """What an altered figure says of itself: repainted, or drawn by another run."""
    if not path.endswith((".png", ".svg")):
        return ""
    origin = embedded_origin(root / path)
    if origin is None:
        return ": an image without a figure id, so not as this pipeline draws it"
    for name, figure in known_figures(root):
        if figure == origin[0] and name == f"{config}/{Path(path).stem}":
            return ": it carries its own id, so it was repainted, saved again, or drawn with other versions of packages"
        if figure == origin[0]:
            return f": it carries the id of the figure {name}"
    return f": it carries the id {origin[0][:12]}…, of no figure known here"


def known_figures(root: Path) -> Iterator[tuple[str, str]]:
    """Name (``<config>/<figure>``) and id of every figure whose provenance lies in the project."""
    import json

    for path in sorted(root.glob("figures/*/provenance.json")):
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
            yield from ((f"{path.parent.name}/{name}", figure["id"]) for name, figure in figures.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue


def _raw_data(tree: Tree) -> Iterator[Finding]:
    """The files of the data root that jobs read."""
    folder = tree.root / os.environ.get("AWDUALITY_DATA", "data")
    for path, digests in tree.sources.items():
        if path.startswith(DATA_ROOT):
            place = folder / path.removeprefix(DATA_ROOT)
            for digest, jobs in digests.items():
                expected = f"{short(digest)}, as {listed(jobs)} read it"
                if not place.is_file():
                    advice = "name the folder that holds it in the environment variable AWDUALITY_DATA"
                    yield Finding(
                        "not checked", path, expected, f"no such file in the data root {folder.name}/", advice
                    )
                elif (found := sha256(place)) != digest:
                    yield Finding(
                        "failed", path, expected, short(found), "put the file back that the run was made with"
                    )


def _unlisted(tree: Tree) -> Iterator[Finding]:
    seal = tree.records.get(SEAL)
    known = {tree.record_file(job) for job in (*tree.records, *tree.exports)}  # whether the seal knows them: level 2
    known |= {*tree.makers, *tree.unreadable, *(f"{tree.results}/{job}.zip" for job in tree.exports)}
    if seal is None:
        found = "missing: the run is unfinished, or its seal was removed"
        advice = "run Snakemake for this config again, to its end"
        yield Finding("failed", tree.record_file(SEAL), "the record that closes a run", found, advice)
    for path in tree.present():
        if (tree.root / path).is_symlink():
            found = "a link, which may lead to another file tomorrow"
            yield Finding("failed", path, "a file of its own", found, "put what it leads to in its place")
        elif seal is not None and path not in known:  # in an unfinished run, of committed figures nothing is known
            found = "a file, put there by hand or left by an earlier run of another plan"
            yield Finding("failed", path, "nothing: no job wrote it", found, "delete it, or move it elsewhere")
    for job, record in {SEAL: seal or {"outputs": []}, **tree.exports}.items():
        for entry in record["outputs"]:
            if job == SEAL or entry["path"] != f"{tree.results}/{job}.zip":
                wanted = "nothing made but an export of the run"
                yield Finding("failed", tree.record_file(job), wanted, f"it claims {entry['path']}", AGAIN)
