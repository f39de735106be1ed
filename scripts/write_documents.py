"""Write the README's table and docs/replication.md from the committed verdicts, so that no number is typed by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

import jinja2
import yaml

from awduality.claims import report
from awduality.commandline import parse, run
from awduality.config import resolve
from awduality.errors import InputError
from awduality.files import write_text

CONFIGS = {"digits": "config", "mnist": "mnist", "mnist-confirm": "mnist-confirm"}
OTHERS = ("digits-layers", "digits-deep", "cifar10-jpeg", "cifar10-jpeg-cnn")
START, END = "<!-- results: written by scripts/write_documents.py -->\n", "<!-- end of results -->\n"


def main(argv: list[str] | None = None) -> None:
    """Write both, or check that they are up to date."""
    parser = argparse.ArgumentParser(prog="scripts/write_documents.py", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the folder that holds README.md, docs and figures")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    arguments = parse(parser, argv)
    root = arguments.root
    verdicts = {name: report.Verdicts.read(root / "figures" / name) for name in CONFIGS}
    documents = {root / "README.md": readme(root / "README.md", verdicts)}
    documents[root / "docs/replication.md"] = replication(root, verdicts)
    for path, text in documents.items():
        if not arguments.check:
            write_text(path, text)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise InputError(f"{path} is out of date: run python scripts/write_documents.py")


def readme(path: Path, verdicts: dict[str, report.Verdicts]) -> str:
    """The README with a new table of results."""
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise InputError(f"{path} lacks the lines {START.strip()!r} and {END.strip()!r}: put them back")
    return f"{before}{START}{report.paper_table(verdicts)}{END}{after}"


def replication(root: Path, verdicts: dict[str, report.Verdicts]) -> str:
    """docs/replication.md from its template."""
    default, schema = (
        yaml.safe_load((root / path).read_text(encoding="utf-8"))
        for path in ("config/config.yaml", "workflow/schemas/config.schema.yaml")
    )
    overlays = {
        name: yaml.safe_load((root / f"config/{file}.yaml").read_text("utf-8"))
        for name, file in (CONFIGS | dict(zip(OTHERS, OTHERS, strict=True))).items()
    }
    settings = {name: resolve(default, overlay, schema) for name, overlay in overlays.items()}
    loader = jinja2.FileSystemLoader(root / "docs")
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    template = environment.get_template("replication.md.jinja")
    digits, mnist, confirm = verdicts.values()
    layers = {name: dict(sorted(report.Verdicts.every_layer(root / "figures" / name).items())) for name in OTHERS}
    found = {"digits": digits, "mnist": mnist, "confirm": confirm, "verdicts": verdicts, "layers": layers}
    return template.render(**found, settings=settings, report=report)


if __name__ == "__main__":
    run(main)
