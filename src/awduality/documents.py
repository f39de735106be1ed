"""The README and docs/replication.md, from templates and the committed verdicts, so that no number is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from awduality.claims import report
from awduality.claims.words import Verdicts
from awduality.config import resolve_file
from awduality.pages import companions, harder_tests

CONFIGS: Mapping[str, str] = {
    "digits": "config",
    "mnist": "mnist",
    "mnist-final": "mnist-final",
    "cifar10-jpeg": "cifar10-jpeg",
}
"""Config → its file: those that the README's table has columns of."""

CONFIRMED = "mnist-final"
"""The one whose effects are shown."""

TOLD: Mapping[str, str] = {
    "digits": "digits",
    "final": CONFIRMED,
    "confirm": "mnist-confirm",
    "mlp": "cifar10-jpeg",
    "cnn": "cifar10-jpeg-cnn",
    "cause": "cause",
    "cause_mnist": "cause-mnist",
    "drawn": "random_design",
    "drawn_mnist": "random_design-mnist",
    "noise": "landscape_noise",
    "confidence": "overconfidence",
    "measures": "generalization_measures",
    "measures_mnist": "generalization_measures-mnist",
}
"""What the templates call the verdicts of a config."""

OTHER_DATA = (CONFIRMED, "mnist1d", "mnist-subsets", "mnist-mse")
"""Those that docs/replication.md compares by data, loss and subset."""

OTHERS = ("mnist-confirm", "digits-layers", "digits-deep", "cifar10-jpeg", "cifar10-jpeg-cnn")
"""Those whose settings docs/replication.md tells besides."""


def settings_of(root: Path, configs: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The resolved configs, by name, from their files."""
    return {name: resolve_file(root, f"config/{file}.yaml")[0] for name, file in configs.items()}


def rendered(root: Path, document: str, words: Mapping[str, Any]) -> str:
    """A document from its template; a name that the template asks for in vain is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / "docs"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template(f"{document}.jinja").render(words)


def words_of_the_replication(root: Path) -> dict[str, Any]:
    """What the templates of the replication ask for."""

    @cache
    def read(config: str) -> Verdicts:
        return Verdicts.read(root / "figures" / config)

    verdicts, others = ({name: read(name) for name in names} for names in (CONFIGS, OTHER_DATA))
    found: dict[str, Any] = {name: read(config) for name, config in TOLD.items()}
    settings = settings_of(root, {**CONFIGS, **{name: name for name in OTHERS}})
    return {**found, "verdicts": verdicts, "other_data": others, "settings": settings, "report": report}


def readme(root: Path, words: Mapping[str, Any], studies: Mapping[str, Verdicts]) -> str:
    """The README with its parts that are written: findings, the table of claims, studies."""
    parts = {
        "findings": rendered(root, "findings.md", words),
        "results": report.paper_table(words["verdicts"], studies, CONFIRMED),
        "harder tests": harder_tests(root),
        "companions": companions(root),
    }
    text = (root / "README.md").read_text(encoding="utf-8")
    for part, found in parts.items():
        text = report.with_results(text, found, part)
    return text
