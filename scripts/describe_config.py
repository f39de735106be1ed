"""Write config/README.md from the schema, so that the description of the keys and their check are one text."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from awduality.commandline import parse, run
from awduality.errors import InputError
from awduality.files import write_text
from awduality.study.discovery import DEFAULT, study, study_names
from awduality.study.schema import section_schema


def keys(properties: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A table row for every key, parents before children."""
    for name, given in properties.items():
        entry = {**definitions.get(str(given.get("$ref", "")).rpartition("/")[2], {}), **given}
        kind = entry.get("type", "one of " + ", ".join(f"`{value}`" for value in entry.get("enum", [])))
        kind = kind if isinstance(kind, str) else " or ".join(kind)
        default = f"`{entry['default']}`" if entry.get("default") is not None else ""
        meaning = entry.get("description", f"the values of `defaults.{name}`")
        if prefix == "defaults.":
            meaning += f". Source: {study(DEFAULT).settings[name].source}"
        yield f"| `{prefix}{name}` | {kind} | {default} | {meaning} |"
        yield from keys(entry.get("properties", {}), definitions, f"{prefix}{name}.")
        if isinstance(each := entry.get("additionalProperties"), Mapping):
            yield from keys({"*": each}, definitions, f"{prefix}{name}.")


def main(argv: list[str] | None = None) -> None:
    """Write the description, or check that it is up to date."""
    parser = argparse.ArgumentParser(prog="scripts/describe_config.py", description=__doc__)
    parser.add_argument("--schema", type=Path, default=Path("workflow/schemas/config.schema.yaml"))
    parser.add_argument("--template", type=Path, default=Path("config/README.md.jinja"))
    parser.add_argument("--out", type=Path, default=Path("config/README.md"))
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the description is out of date")
    arguments = parse(parser, argv)
    schema = yaml.safe_load(arguments.schema.read_text(encoding="utf-8"))
    template = jinja2.Template(arguments.template.read_text(encoding="utf-8"), keep_trailing_newline=True)
    sections = {name: section_schema(study(name)) for name in study_names() if not study(name).keys}
    of_config = {name: part for name, part in sections.items() if study(name).sizes}  # whose configs lie in config/
    text = template.render(keys="\n".join(keys({**schema["properties"], **of_config}, schema["$defs"])))
    if not arguments.check:
        write_text(arguments.out, text)
    elif not arguments.out.exists() or arguments.out.read_text(encoding="utf-8") != text:
        raise InputError(
            f"{arguments.out} does not agree with {arguments.schema}: run python scripts/describe_config.py"
        )


if __name__ == "__main__":
    run(main)
