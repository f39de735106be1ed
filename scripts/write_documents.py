"""Write the README's table and docs from the committed verdicts, so that no number is typed by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from awduality.claims.words import Verdicts
from awduality.commandline import parse, run
from awduality.documents import readme, rendered, settings_of, words_of_the_replication
from awduality.errors import InputError
from awduality.files import read_frame, write_text
from awduality.pages import pages
from awduality.study.discovery import module

STUDIES = ("digits-learners", "mnist-learners", "cifar10-jpeg-learners")


def main(argv: list[str] | None = None) -> None:
    """Write all, or check that they are up to date."""
    parser = argparse.ArgumentParser(prog="scripts/write_documents.py", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the folder that holds README.md, docs and figures")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    arguments = parse(parser, argv)
    root = arguments.root
    studies = {name: Verdicts.read(root / "figures" / name) for name in STUDIES}
    words = words_of_the_replication(root)
    documents = {"README.md": readme(root, words, studies)}
    documents |= {"docs/replication.md": rendered(root, "replication.md", words)}
    documents |= {"docs/learners.md": learners(root, studies)}
    documents |= pages(root)
    for path, text in ((root / name, text) for name, text in documents.items()):
        if not arguments.check:
            write_text(path, text)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise InputError(f"{path} is out of date: run python scripts/write_documents.py")


def learners(root: Path, studies: dict[str, Verdicts]) -> str:
    """docs/learners.md."""
    settings = settings_of(root, {name: name for name in STUDIES})
    runs = {name: read_frame(root / "figures" / name / "runs.csv") for name in STUDIES}
    return rendered(root, "learners.md", module("learners", "document").words(settings, runs, studies))


if __name__ == "__main__":
    run(main)
