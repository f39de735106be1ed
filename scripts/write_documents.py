"""Write the README's table and docs from the committed verdicts, so that no number is typed by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jinja2

from awduality.claims import report
from awduality.commandline import parse, run
from awduality.config import resolve_file
from awduality.errors import InputError
from awduality.files import read_frame, write_text
from awduality.pages import companions, pages
from awduality.study.discovery import module

CONFIGS = {"digits": "config", "mnist": "mnist", "mnist-final": "mnist-final", "cifar10-jpeg": "cifar10-jpeg"}
CONFIRMED = "mnist-final"
STUDIES = ("digits-learners", "mnist-learners", "cifar10-jpeg-learners")
OTHERS = ("mnist-confirm", "digits-layers", "digits-deep", "cifar10-jpeg", "cifar10-jpeg-cnn")


def main(argv: list[str] | None = None) -> None:
    """Write all, or check that they are up to date."""
    parser = argparse.ArgumentParser(prog="scripts/write_documents.py", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the folder that holds README.md, docs and figures")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    arguments = parse(parser, argv)
    root, read = arguments.root, report.Verdicts.read
    verdicts, studies = ({name: read(root / "figures" / name) for name in names} for names in (CONFIGS, STUDIES))
    words = words_of(root, verdicts)
    documents = {"README.md": readme(root, words, studies)}
    documents |= {"docs/replication.md": rendered(root, "replication.md", words)}
    documents |= {"docs/learners.md": learners(root, studies)}
    documents |= pages(root)
    for path, text in ((root / name, text) for name, text in documents.items()):
        if not arguments.check:
            write_text(path, text)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise InputError(f"{path} is out of date: run python scripts/write_documents.py")


def settings_of(root: Path, configs: dict[str, str]) -> dict[str, dict]:
    """The resolved configs, by name, from their files."""
    return {name: resolve_file(root, f"config/{file}.yaml")[0] for name, file in configs.items()}


def rendered(root: Path, document: str, words: dict[str, Any]) -> str:
    """A document from its template; a name that the template asks for in vain is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / "docs"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template(f"{document}.jinja").render(words)


def words_of(root: Path, verdicts: dict[str, report.Verdicts]) -> dict[str, Any]:
    """What the templates of the replication ask for."""
    layers = {name: dict(sorted(report.Verdicts.every_layer(root / "figures" / name).items())) for name in OTHERS}
    mlp, cnn, confirm = (report.Verdicts.read(root / "figures" / name) for name in (*OTHERS[-2:], OTHERS[0]))
    named: dict[str, Any] = {"digits": verdicts["digits"], "final": verdicts[CONFIRMED], "confirm": confirm}
    settings = settings_of(root, CONFIGS | dict(zip(OTHERS, OTHERS, strict=True)))
    return named | {
        "mlp": mlp,
        "cnn": cnn,
        "verdicts": verdicts,
        "layers": layers,
        "settings": settings,
        "report": report,
    }


def readme(root: Path, words: dict[str, Any], studies: dict[str, report.Verdicts]) -> str:
    """The README with its parts that are written: findings, the table of claims, the companions."""
    parts = {
        "findings": rendered(root, "findings.md", words),
        "results": report.paper_table(words["verdicts"], studies, CONFIRMED),
        "companions": companions(root),
    }
    text = (root / "README.md").read_text(encoding="utf-8")
    for part, found in parts.items():
        text = report.with_results(text, found, part)
    return text


def learners(root: Path, studies: dict[str, report.Verdicts]) -> str:
    """docs/learners.md."""
    settings = settings_of(root, {name: name for name in STUDIES})
    runs = {name: read_frame(root / "figures" / name / "runs.csv") for name in STUDIES}
    return rendered(root, "learners.md", module("learners", "document").words(settings, runs, studies))


if __name__ == "__main__":
    run(main)
