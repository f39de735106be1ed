"""Level 5, science: streams, config, data and verdicts derived again from what lies there. Imports the project."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from awduality.audit.contents import AGAIN
from awduality.audit.findings import Finding, Level, listed, short
from awduality.audit.tree import Tree, digest_if_file
from awduality.records import OUTSIDE, is_within

TOLERANCE = 1e-9
"""Relative; for effects and p-values computed again with other versions or on another processor."""


def check_science(tree: Tree) -> Level:
    """Derive again what can be derived without training."""
    level = Level("science")
    try:
        streams = list(_streams(tree))
        path = f"{tree.results}/config.json"
        resolved = tree.read_json(path)
        claims, judged = judge(tree.root, tree.figures, resolved)
        config = list(check_config(tree.root, path, resolved, tree.sources))
        level.findings += [*streams, *config, *claims, *_copies(tree), *_data(tree)]
    except ImportError as error:
        advice = "audit with the project's environment (make reproduce installs it): .venv/bin/python scripts/audit.py"
        level.findings.append(
            Finding("not checked", "streams, config, data, verdicts", "derived again", f"{error}", advice)
        )
        return level
    keys = {entry["key"] for record in tree.records.values() for entry in record["streams"]}
    level.done = f"{judged} verdicts, {len(keys)} stream keys, the config and the data derived again: the same"
    return level


def _streams(tree: Tree) -> Iterator[Finding]:
    from awduality.errors import InputError
    from awduality.streams import stream_key

    for job, record in tree.records.items():
        for entry in record["streams"]:
            name = f"{entry['purpose']} {entry['index']}"
            try:
                key = f"{stream_key(entry['root_seed'], entry['purpose'], entry['index']):032x}"
            except InputError as error:
                key = str(error)
            if key != entry["key"]:
                yield Finding("failed", tree.record_file(job), f"stream {name}: key {key}", entry["key"], AGAIN)


def check_config(root: Path, recorded: str, wanted: Any, sources: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """The config files give the recorded config; what else it holds was given by ``--config`` on the command line.

    Args:
        root: the project.
        recorded: the file that holds the config.
        wanted: the config; anything but a dict is damaged, which the first level reports.
        sources: path → SHA-256 of what the run was made from.
    """
    import yaml
    from snakemake.utils import update_config  # as Snakemake lays several files over one another

    from awduality.config import resolve_files
    from awduality.errors import InputError
    from awduality.study.discovery import claims_file, study_of

    if not isinstance(wanted, dict):
        return
    if any(path.startswith(OUTSIDE) for path in sources):  # level 4 says that it cannot be checked
        return
    known = ("config/config.yaml", claims_file(study_of(wanted)))
    files = [path for path in sources if path.endswith((".yaml", ".yml")) and path not in known and is_within(path)]
    files = [path for path in files if not path.startswith("workflow/schemas/")]
    try:
        contents = {path: yaml.safe_load((root / path).read_text(encoding="utf-8")) for path in files}
        extended = {str(content["extends"]) for content in contents.values() if "extends" in content}
        overlay: dict[str, Any] = {}
        for path in files:
            if Path(path).name not in extended:  # it is read with what extends it
                update_config(overlay, contents[path])
        found, _ = resolve_files(root, overlay, files)
    except (OSError, TypeError, yaml.YAMLError, InputError) as error:
        yield Finding("failed", listed(sources), "a config that can be used", str(error), "take the change back")
        return
    other = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if other:
        expected = "; ".join(f"{key}: {json.dumps(wanted.get(key))}, as {recorded} says" for key in other)
        said = "; ".join(f"{key}: {json.dumps(found.get(key))}" for key in other)
        names = ["config/config.yaml", *files]
        edited = [name for name in names if digest_if_file(root / name) not in sources.get(name, ())]
        advice = "take the change back, or run again with it"
        if not edited:
            advice = "these must have been given by --config on the command line: ask for it, and repeat it"
        yield Finding("failed" if edited else "warning", listed(edited or names), expected, said, advice)


def judge(root: Path, figures: str, config: Mapping[str, Any] | None) -> tuple[list[Finding], int]:
    """Judge every claim of the config's study again from the tables beside the figures.

    Returns:
        Findings, and the number of claims.
    """
    import yaml

    from awduality.claims.judge import judged
    from awduality.files import read_frame
    from awduality.study.discovery import claims_file, study, study_of
    from awduality.study.jobs import CLAIMS_SCHEMA

    folder = root / figures
    try:
        assert config is not None
        name = study_of(config)
        content, schema = (
            yaml.safe_load((root / path).read_text(encoding="utf-8")) for path in (claims_file(name), CLAIMS_SCHEMA)
        )
        tables = {table: read_frame(folder / f"{table}.csv") for table in study(name).judged}
        recorded = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
        again = json.loads(json.dumps(judged(content, schema, tables, config["root_seed"], name)))
        assert all(isinstance(row, dict) for row in recorded)
    except ImportError:
        raise
    except Exception as error:  # of YAML, of pandas, of the statistics
        found = Finding("failed", f"{figures}/claims.json", "verdicts from the tables beside it", f"{error!r}", AGAIN)
        return [found], 0
    return list(compare_claims(f"{figures}/claims.json", recorded, again)), len(again)


def compare_claims(path: str, recorded: list[dict[str, Any]], again: list[dict[str, Any]]) -> Iterator[Finding]:
    """Verdicts must be the same, numbers within ``TOLERANCE``."""
    before, now = ({claim_name(row): row for row in rows} for rows in (recorded, again))
    for name in [*now, *(name for name in before if name not in now)]:
        one, other = before.get(name), now.get(name)
        if one is None or other is None:
            expected, found = ("the claim", "missing") if one is None else ("no such claim", "a verdict")
            yield Finding("failed", f"{path}: {name}", expected, found, AGAIN)
        elif not same(one, other):
            keys = [key for key in {**one, **other} if not same(one.get(key), other.get(key))]
            expected, found = ("; ".join(f"{key} {row.get(key)!r}"[:90] for key in keys) for row in (other, one))
            yield Finding("failed", f"{path}: {name}", f"{expected}, from the tables", found, AGAIN)


def claim_name(row: Mapping[str, Any]) -> str:
    """What tells a verdict from all others: claim, and layer where there is one."""
    return " ".join(str(row[key]) for key in ("id", "layer") if row.get(key))


def same(one: Any, other: Any) -> bool:
    """Equal, numbers within ``TOLERANCE``."""
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE**2)
    return bool(one == other)


def _copies(tree: Tree) -> Iterator[Finding]:
    """The verdicts among the results are those beside the figures, which were judged again."""
    one, other = (f"{folder}/claims.json" for folder in (tree.figures, tree.results))
    if tree.written.get(one) != tree.written.get(other):
        expected = f"{short(tree.written.get(one))}, the verdicts of {one}"
        yield Finding("failed", other, expected, short(tree.written.get(other)), AGAIN)


def _data(tree: Tree) -> Iterator[Finding]:
    """The split is what its card says; what was embedded, generated or the user's own is what it is here and now."""
    import hashlib

    from awduality.files import read_arrays

    for job in tree.jobs_of("prepare_data"):
        paths = {Path(entry["path"]).suffix: entry["path"] for entry in tree.records[job]["outputs"]}
        card, split = tree.read_json(paths.get(".json", "")), tree.root / paths.get(".safetensors", "")
        try:
            found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in read_arrays(split).items()}
            said, raw = dict(card["arrays_sha256"]), dict(card["raw_files_sha256"])
        except Exception as error:  # safetensors raises its own
            yield Finding(
                "failed", paths.get(".safetensors", "the split"), "arrays that can be read", f"{error!r}", AGAIN
            )
            continue
        other = [name for name in {**said, **found} if said.get(name) != found.get(name)]
        if other:
            yield Finding("failed", paths[".safetensors"], "the arrays that its card describes", listed(other), AGAIN)
        recorded = {e["path"].rpartition("/")[2]: e["sha256"] for e in tree.records[job]["inputs"]}
        for name, digest in raw.items():
            if recorded.get(name) != digest:
                expected = f"{name}: {short(recorded.get(name))}, as {job} read it"
                yield Finding("failed", paths[".json"], expected, short(digest), AGAIN)
        yield from _embedded(recorded)
        yield from _generated(recorded)
        yield from _images(tree.root, str(tree.records[job]["parameters"].get("folder")), recorded)


def _embedded(recorded: Mapping[str, str]) -> Iterator[Finding]:
    """The digits that were read are those that scikit-learn holds here."""
    from awduality.data.sources import load
    from awduality.errors import InputError

    advice = "install the pinned scikit-learn (constraints.txt), or run again"
    if any(name.startswith("sklearn.") for name in recorded):
        try:
            held = load("digits", Path()).files
        except InputError as error:
            yield Finding("failed", "sklearn.datasets.load_digits", "the known digits", str(error), advice)
            return
        for name, digest in held.items():
            if recorded.get(name) != digest:
                yield Finding("failed", name, short(recorded.get(name)), short(digest), advice)


def _generated(recorded: Mapping[str, str]) -> Iterator[Finding]:
    """The signals that were read are those that the generator makes here; on another processor digits may differ."""
    from awduality.data.mnist1d import GENERATOR
    from awduality.data.sources import load
    from awduality.errors import InputError

    if not any(name.startswith(GENERATOR) for name in recorded):
        return
    try:
        made = load("mnist1d", Path()).files
    except InputError as error:
        yield Finding("not checked", GENERATOR, "the signals made again", str(error), "install the package mnist1d")
        return
    for name, digest in made.items():
        if recorded.get(name) != digest:
            advice = "made on another processor or by other versions: see the record of prepare_data, or run again"
            yield Finding("warning", name, short(recorded.get(name)), short(digest), advice)


def _images(root: Path, folder: str, recorded: Mapping[str, str]) -> Iterator[Finding]:
    """The images in a user's folder are those that were read: one digest stands for all of them."""
    from awduality.data.image_folder import LISTING, image_place, images_in_folder, listing
    from awduality.errors import InputError

    if LISTING not in recorded:
        return
    expected = f"{short(recorded[LISTING])}, as the images in {folder} were"
    try:
        place = image_place(root / os.environ.get("AWDUALITY_DATA", "data"), folder)
    except InputError:
        advice = "name the folder that holds it in the environment variable AWDUALITY_DATA"
        yield Finding("not checked", LISTING, expected, f"no {folder} in the data root", advice)
        return
    try:
        digest = listing(images_in_folder(place)).sha256
        found = short(digest)
    except (InputError, OSError) as error:
        digest, found = "", str(error)
    if digest != recorded[LISTING]:
        yield Finding("failed", LISTING, expected, found, "put the images back that the run was made with")
