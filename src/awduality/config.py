"""The config: an overlay on the default, validated against the schema, every problem reported at once."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from awduality.data.label_noise import noisy_count
from awduality.errors import InputError
from awduality.factors import FACTORS
from awduality.learners import experiment_runs
from awduality.plan import layer_names, settings_from

_OPTIONS: Mapping[tuple[str, str], Any] = {
    ("data", "folder"): None,
    ("data", "standardised"): False,
    ("network", "convolutions"): [],
    ("network", "first_width"): None,
}
"""Keys that a config may leave out, and their value then; a config stays the same when such a key is invented."""

_OF_SWEEPS = ("seeds", "train_together", "defaults", "sweeps", "training", "geometry")
"""Keys that say what sweeps of factors train and measure, which a study of learners says by its own."""


def resolve(default: Mapping[str, Any], overlay: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The complete config: ``default``, with the keys of ``overlay`` laid over it.

    Mappings are merged key by key, except ``sweeps``, which an overlay replaces whole, and what only sweeps use, which
    an overlay with ``learners`` does not get. An overlay that changes anything
    sets its own ``name``: results are filed under it, and those of another config must not be overwritten.

    Raises:
        InputError: all problems found, one per line.
    """
    study = overlay.get("learners") is not None
    config = _merged({key: default[key] for key in default if not (study and key in _OF_SWEEPS)}, overlay)
    problems = list(schema_problems(config, schema))
    if study and (mixed := [key for key in _OF_SWEEPS if key in overlay]):
        problems.append(f"learners: a study of learners has no {', '.join(mixed)}: make a config for either")
    if not problems:
        config = _canonical(config)
        problems = list(_contradictions(config))
    standard = _canonical(default)
    changed = {key for key in config if config[key] != standard.get(key)}
    changed.discard("train_together")  # says how the work is divided, not what it is
    if changed and overlay.get("name", default["name"]) == default["name"]:
        problems.append(
            f"name: the config changes the default but keeps its name {default['name']!r}; give it a name of its own, "
            "since results and figures are filed under the name"
        )
    if problems:
        raise InputError("the config cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return config


def _merged(default: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(default)
    for key, value in overlay.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key != "sweeps"
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """A plain-data copy in which equal numbers are spelled equally, and options that are not used are left out."""
    plain: dict[str, Any] = json.loads(json.dumps(config))
    for (section, key), unused in _OPTIONS.items():
        if plain[section].get(key, unused) == unused:
            plain[section].pop(key, None)
    if "learners" in plain:
        for experiment in plain["learners"]["experiments"].values():
            for key in ("learning_rate", "noise"):
                experiment[key] = [float(value) for value in experiment[key]]
        return plain
    plain["defaults"] = settings_from(plain["defaults"])
    plain["sweeps"] = {
        name: [FACTORS[name].kind(value) for value in values] for name, values in plain["sweeps"].items()
    }
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
    """What no schema can say: keys that are each in range, but not together."""
    pool, known_layers = config["data"]["pool"]["count"], layer_names(config["network"]["hidden_layers"])
    source, folder = config["data"]["source"], config["data"].get("folder")
    if source == "image_folder" and folder is None:
        yield "data.folder: got none, wanted the folder or .tar file of your images, since data.source is image_folder"
    if source != "image_folder" and folder is not None:
        yield f"data.folder: got {folder!r}, wanted none, since data.source is {source}: remove it, or set image_folder"
    for layer in config["layers"]:
        if layer not in known_layers:
            yield f"layers: got {layer!r}, wanted fully connected layers of the network: {', '.join(known_layers)}"
    yield from (
        _study_contradictions(config["learners"], pool) if "learners" in config else _sweep_contradictions(config, pool)
    )


def _study_contradictions(study: Mapping[str, Any], pool: int) -> Iterator[str]:
    samples = study["train_size"]
    if samples > pool:
        yield f"learners.train_size: got {samples}, but data.pool.count is {pool}: raise one or lower the other"
    if study["analysed"] > samples:
        yield f"learners.analysed: got {study['analysed']}, wanted at most learners.train_size, {samples}"
    for name, experiment in study["experiments"].items():
        where = f"learners.experiments.{name}"
        if ("ssgd_star" in experiment["algorithm"]) != bool(experiment["noise"]):
            yield f"{where}.noise: got {experiment['noise']}, wanted values where ssgd_star is trained, and only there"
            continue
        for batch, count in sorted(
            {(run.settings["total_batch"], run.settings["learners"]) for run in experiment_runs(experiment)}
        ):
            if batch > samples:
                yield f"{where}.total_batch: {batch} is larger than the {samples} training samples"
            if count > batch:
                yield f"{where}.learners: {count} learners cannot share a total batch of {batch}: each needs a sample"


def _sweep_contradictions(config: Mapping[str, Any], pool: int) -> Iterator[str]:
    settings_of = {"defaults": config["defaults"]}
    for factor in ("batch_size", "label_noise", "train_size"):
        for value in config["sweeps"].get(factor, []):
            settings_of[f"sweeps.{factor} = {value!r}"] = {**config["defaults"], factor: value}
    for where, settings in settings_of.items():
        clean, level = int(settings["train_size"]), float(settings["label_noise"])
        if (needed := clean + noisy_count(clean, level)) > pool:
            yield (
                f"{where}: needs {needed} training samples ({clean} clean, {needed - clean} mislabelled), "
                f"but data.pool.count is {pool}; make the pool larger or the value smaller"
            )
        if level > 0 and needed == clean:
            yield f"{where}: label noise {level} adds no sample to {clean}: they are added by tens; raise either"
        if settings["batch_size"] > clean:
            yield f"{where}: a batch of {settings['batch_size']} is larger than the {clean} training samples"
