"""The config: an overlay on the default, validated against its study's schema, every problem reported at once."""

from __future__ import annotations

import difflib
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from awduality.data.parts import check_apart, of_training
from awduality.errors import InputError
from awduality.layers import layer_names
from awduality.study.contract import Study
from awduality.study.discovery import DEFAULT, FOLDER, named_studies, study
from awduality.study.schema import as_lists, study_schema

COMMON = ("name", "root_seed", "seeds_per_shard")
"""What every config has."""

_OPTIONS: Mapping[tuple[str, ...], Any] = {
    ("data", "folder"): None,
    ("data", "test", "of"): "test",
    ("data", "standardised"): False,
    ("data", "subset_per_seed"): False,
    ("network", "convolutions"): [],
    ("network", "first_width"): None,
    ("training", "check_every"): None,
    ("training", "loss"): "cross_entropy",
}
"""Keys that a config may leave out, and their value then; a config stays the same when such a key is invented."""


def resolve(default: Mapping[str, Any], overlay: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The complete config of one study: what it inherits of ``default``, with the keys of ``overlay`` laid over it.

    Mappings are merged key by key, except ``sweeps`` and ``experiments``, which an overlay replaces whole. An overlay
    that changes anything sets its own ``name``: results are filed under it, and those of another config must not be
    overwritten.

    Args:
        default: the content of ``config/config.yaml``.
        overlay: what is laid over it; the study is the one whose name is among its keys, else that of the default.
        schema: of what studies may inherit, and of the default's study.

    Raises:
        InputError: all problems found, one per line.
    """
    named = named_studies(overlay)
    if len(named) > 1:
        raise _refused(
            [f"{named[-1]}: the config names {len(named)} studies, {', '.join(named)}: make a config for each"]
        )
    name = named[0] if named else DEFAULT
    declared = study(name)
    base = {key: default[key] for key in default if key in (*COMMON, *declared.inherits, *declared.keys)}
    config = merged(base, overlay)
    wanted = study_schema(schema, name, declared)
    problems = list(schema_problems(as_lists(config, name, declared), wanted))
    if not problems:
        config = _canonical(config, name, declared)
        problems += [*_contradictions(config), *declared.problems(config)]
        if "subset_per_seed" in config.get("data", {}) and not declared.subsets:
            problems.append(f"data.subset_per_seed: got true, wanted false: in {name} all seeds train on one subset")
    standard = _canonical(default, DEFAULT, study(DEFAULT))
    changed = {key for key in config if config[key] != standard.get(key)}
    changed.discard("train_together")  # says how the work is divided, not what it is
    if changed and overlay.get("name", default["name"]) == default["name"]:
        problems.append(
            f"name: the config changes the default but keeps its name {default['name']!r}; give it a name of its own, "
            "since results and figures are filed under the name"
        )
    if problems:
        raise _refused(problems)
    return config


def resolve_files(root: Path, overlay: Mapping[str, Any], files: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The complete config of an overlay that was read from files, and all files behind it.

    An overlay with the key ``extends`` is laid over that file of its study's folder, which may extend another.

    Args:
        root: the project.
        overlay: the content of the files, and of ``--config``.
        files: the files that it was read from.
    """
    read = ["config/config.yaml", *files, "workflow/schemas/config.schema.yaml"]
    found = dict(overlay)
    named = next(iter(named_studies(overlay)), DEFAULT)
    bases: list[str] = []
    while isinstance(base := found.pop("extends", None), str):
        if (path := f"{FOLDER}/{named}/{base}") in bases:
            raise InputError(f"extends: {path} extends itself, directly or not: take one of the keys out")
        found = merged(_yaml(root / path), found)
        bases.insert(0, path)
    default, schema = _yaml(root / read[0]), _yaml(root / read[-1])
    read[1:1] = [path for path in bases if path not in read]
    return resolve(default, found, schema), read


def resolve_file(root: Path, path: str) -> tuple[dict[str, Any], list[str]]:
    """The complete config of one file, and all files behind it; the default's own is laid over nothing."""
    if path == "config/config.yaml":
        return resolve_files(root, {}, [])
    return resolve_files(root, _yaml(root / path), [path])


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the config {path.name} does not exist in {path.parent}: name another file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is no YAML: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path.name}: got {type(found).__name__}, wanted keys with values")
    return found


def _refused(problems: list[str]) -> InputError:
    return InputError("the config cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


def merged(default: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, key by key; ``sweeps`` and ``experiments`` are replaced whole."""
    found = dict(default)
    for key, value in overlay.items():
        nested = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if nested and key not in ("sweeps", "experiments") else value
    return found


def _canonical(config: Mapping[str, Any], name: str, declared: Study) -> dict[str, Any]:
    """A plain-data copy in which equal numbers are spelled equally, and options that are not used are left out."""
    plain: dict[str, Any] = json.loads(json.dumps(config))
    for (*sections, key), unused in _OPTIONS.items():
        section = functools.reduce(lambda found, name: found.get(name, {}), sections, plain)
        if section.get(key, unused) == unused:
            section.pop(key, None)
    if declared.tidy is not None:
        return declared.tidy(plain)
    real = {key for key, setting in declared.settings.items() if setting.kind is float}
    for experiment in plain[name]["experiments"].values():
        for key in real & experiment.keys():
            value = experiment[key]
            experiment[key] = [float(entry) for entry in value] if isinstance(value, list) else float(value)
    return plain


def schema_problems(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """What a JSON schema finds wrong, one line per problem: what was got, what was wanted, what to do."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    kinds = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_finite})
    errors = extend(Draft202012Validator, type_checker=kinds)(schema).iter_errors(config)
    for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path]):
        where = ".".join(str(part) for part in error.absolute_path) or "config"
        if error.validator == "additionalProperties":
            yield from _unknown_keys(where, error)
        elif error.validator == "required":
            yield f"{where}: {error.message}"
        else:
            wanted = error.schema.get("description") or error.message
            yield f"{where}: got {error.instance!r}, wanted {_constraint(error)} ({wanted.rstrip('.')}){_hint(error)}"


def _is_integer(_: Any, value: Any) -> bool:
    """JSON Schema calls 2.0 an integer; Python's ``range`` does not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(_: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _unknown_keys(where: str, error: Any) -> Iterator[str]:
    known = list(error.schema["properties"])
    for key in (key for key in error.instance if key not in known):
        close = difflib.get_close_matches(str(key), known, n=1)
        suggestion = f"; did you mean {close[0]!r}?" if close else "."
        yield f"{where}: unknown key {key!r}{suggestion} The known keys are {', '.join(known)}"


def _constraint(error: Any) -> str:
    value = error.validator_value
    words = {
        "type": f"a value of type {value}" if value != "number" else "a finite number",
        "minimum": f"at least {value}",
        "exclusiveMinimum": f"more than {value}",
        "maximum": f"at most {value}",
        "exclusiveMaximum": f"less than {value}",
        "enum": f"one of {value}",
        "minLength": "some text",
        "pattern": f"text of the form {value}",
        "minItems": f"at least {value} entries",
        "minProperties": f"at least {value} entries",
        "uniqueItems": "no value twice",
    }
    return str(words.get(error.validator, error.message))


def _hint(error: Any) -> str:
    if error.validator == "type" and isinstance(error.instance, str):
        try:
            number = float(error.instance)
            whole = error.validator_value == "integer" and number.is_integer()
            return f"; YAML reads this as text: write {int(number) if whole else number!r}"
        except ValueError:
            return ""
    return ""


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """What no schema can say of what studies inherit: keys that are each in range, but not together."""
    if "data" in config:
        source, folder = config["data"]["source"], config["data"].get("folder")
        if source == "image_folder" and folder is None:
            yield (
                "data.folder: got none, wanted the folder or .tar file of your images, since data.source is "
                "image_folder"
            )
        if source != "image_folder" and folder is not None:
            yield (
                f"data.folder: got {folder!r}, wanted none, since data.source is {source}: remove it, or set "
                "image_folder"
            )
        if of_training(config["data"]["test"]):
            try:
                check_apart(config["data"]["pool"], config["data"]["test"])
            except InputError as error:
                yield str(error)
    if "network" in config:
        known_layers = layer_names(config["network"]["hidden_layers"])
        for layer in config.get("layers", []):
            if layer not in known_layers:
                yield f"layers: got {layer!r}, wanted fully connected layers of the network: {', '.join(known_layers)}"
