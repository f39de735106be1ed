"""The JSON schema of a study's configs, from its declaration: one place says what a setting is and may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awduality.study.contract import Setting, Study

_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}


def study_schema(shared: Mapping[str, Any], name: str, declared: Study) -> dict[str, Any]:
    """The schema of a study's resolved config.

    Args:
        shared: the schema of what every config has, of what studies inherit, and of the default's study.
        name: of the study.
        declared: its declaration.
    """
    common = ("name", "root_seed", "seeds_per_shard", *declared.inherits, *declared.keys)
    properties = {key: shared["properties"][key] for key in common}
    if not declared.keys:
        properties[name] = section_schema(declared)
    return {**shared, "required": list(properties), "properties": properties}


def section_schema(declared: Study) -> dict[str, Any]:
    """The schema of the key that has the study's name, every setting of an experiment a list (see ``as_lists``)."""
    settings = {key: _list_schema(setting) for key, setting in declared.settings.items()}
    experiment = {
        "type": "object",
        "additionalProperties": False,
        "required": [*(key for key, setting in declared.settings.items() if setting.neutral is None), "seeds"],
        "properties": {**settings, "seeds": {"type": "integer", "minimum": 1, "description": _SEEDS}},
        "description": "Runs of one experiment: every list crossed with every other, and with the seeds.",
    }
    experiments: dict[str, Any] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": experiment,
        "description": _described(declared.experiments),
    }
    if declared.experiments:
        experiments["propertyNames"] = {
            "enum": list(declared.experiments),
            "description": "an experiment that claims know",
        }
    shared = {
        key: _list_schema(setting) if setting.many else value_schema(setting)
        for key, setting in declared.shared.items()
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [*shared, "experiments"],
        "properties": {**shared, "experiments": experiments},
        "description": f"{declared.about or declared.paper.title}. The key that makes a config one of this study.",
    }


def _described(experiments: Mapping[str, str]) -> str:
    known = "; ".join(f"{name}: {words}" for name, words in experiments.items())
    return (
        f"What is run. A run that several experiments ask for is made once.{f' Claims know {known}.' if known else ''}"
    )


_SEEDS = "repeats of every setting, with seed indices 0, 1, …"


def value_schema(setting: Setting) -> dict[str, Any]:
    """The schema of one value."""
    words = setting.plain + (f": {setting.source}" if setting.source else "")
    found: dict[str, Any] = {"type": _TYPES[setting.kind], "description": words}
    if setting.choices:
        found = {"enum": list(setting.choices), "description": words}
    limits = {"minimum": setting.least, "exclusiveMinimum": setting.above, "maximum": setting.most}
    return found | {key: limit for key, limit in limits.items() if limit is not None}


def _list_schema(setting: Setting) -> dict[str, Any]:
    value = value_schema(setting)
    least = 0 if setting.neutral is not None else 1
    return {
        "type": "array",
        "minItems": least,
        "uniqueItems": not setting.many,
        "items": value,
        "description": value["description"],
    }


def as_lists(config: Mapping[str, Any], name: str, declared: Study) -> dict[str, Any]:
    """A config in which every setting of an experiment is a list, as the schema has it; anything odd stays as it is."""
    found = dict(config)
    section = config.get(name)
    if declared.keys or not isinstance(section, Mapping) or not isinstance(section.get("experiments"), Mapping):
        return found
    experiments = {
        experiment: {
            key: [value] if key in declared.settings and not isinstance(value, list) else value
            for key, value in lists.items()
        }
        if isinstance(lists, Mapping)
        else lists
        for experiment, lists in section["experiments"].items()
    }
    return found | {name: {**section, "experiments": experiments}}
