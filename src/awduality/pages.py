"""Pages of studies, from their templates and the committed verdicts, so that no number is typed by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from awduality.claims.closing import headlines
from awduality.claims.report import markdown_table
from awduality.claims.words import Verdicts, short
from awduality.config import resolve_file
from awduality.errors import InputError
from awduality.files import read_json
from awduality.study.contract import MAIN_PAPER, Setting, Study
from awduality.study.discovery import FOLDER, captions, claims_file, figures, size_files, study, study_names

NOT_RUN = "not run yet"


def pages(root: Path) -> dict[str, str]:
    """Path → text of every generated page: that of each study with a template, and the table of all."""
    found = {
        f"{FOLDER}/{name}/README.md": study_page(root, name)
        for name in study_names()
        if (root / FOLDER / name / "README.md.jinja").is_file()
    }
    return found | {f"{FOLDER}/README.md": table_of_studies(root)}


def study_page(root: Path, name: str) -> str:
    """A study's page.

    The template is given ``paper``, ``table`` (all verdicts of the full size), ``claim(id)``, ``effect(id)`` and
    ``verdict(id)``, ``figure(name)`` (the picture with its caption), ``of(size)`` (the same of another config of its
    folder), ``settings`` (what runs differ in and share) and ``commands`` (how to run it); a name that is not there is
    an error.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / FOLDER / name),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    declared, config = study(name), full_config(root, name)
    found = _Judged(root, name, config)
    words: dict[str, Any] = {
        "paper": declared.paper,
        "table": found.table(),
        "claim": found.claim,
        "effect": found.effect,
        "verdict": found.verdict,
        "figure": found.figure,
        "of": lambda size: _Judged(root, name, resolve_file(root, f"{FOLDER}/{name}/{size}.yaml")[0]),
        "settings": settings_table(declared),
        "commands": _commands(root, name),
        "config": config,
    }
    head = f"<!-- Written by scripts/write_documents.py from README.md.jinja, {claims_file(name)} and the committed "
    head += f"verdicts of figures/{config['name']}. Do not edit. -->\n"
    return head + environment.get_template("README.md.jinja").render(words)


def full_config(root: Path, name: str) -> dict[str, Any]:
    """The resolved config of a study's full size, whose results are committed."""
    return resolve_file(root, size_files("full")[name])[0]


def _verdicts(root: Path, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The committed verdicts of a config; none where it has not been run."""
    path = root / "figures" / config["name"] / "claims.json"
    return list(read_json(path)) if path.is_file() else []


class _Judged:
    """What came out of a config of a study, in words."""

    def __init__(self, root: Path, name: str, config: Mapping[str, Any]) -> None:
        self.name, self.config, self.folder = name, config, root / "figures" / config["name"]
        self.drawn = figures(name, config)
        self.verdicts = Verdicts({row["id"]: row for row in _verdicts(root, config)})

    def claim(self, identifier: str) -> Mapping[str, Any]:
        """The object of a claim in ``claims.json``; of one without a run an empty one."""
        if self.verdicts.rows and identifier not in self.verdicts.rows:
            known = ", ".join(self.verdicts.rows)
            raise InputError(f"the page of {self.name} names a claim {identifier!r}: wanted one of {known}")
        return self.verdicts.rows.get(identifier, {})

    def effect(self, identifier: str) -> str:
        """Estimate and interval of a claim."""
        return self.verdicts.effect(identifier) if self.claim(identifier) else NOT_RUN

    def verdict(self, identifier: str) -> str:
        """Its verdict."""
        return short(self.verdicts, identifier) if self.claim(identifier) else NOT_RUN

    def table(self) -> str:
        """A row per claim: statement, where it is known from, what was expected, what came out."""
        if not self.verdicts.rows:
            return f"*{NOT_RUN.capitalize()}.*\n"
        lines = [["claim", "statement", "known from", "expected", "verdict", "effect", "adjusted p"]]
        for name, row in self.verdicts.rows.items():
            expected = "identity" if row["identity"] else row["expected"]
            found = [short(self.verdicts, name), self.verdicts.effect(name), self.verdicts.p(name)]
            mark = "**" if row.get("headline") else ""
            lines.append([f"{mark}`{name}`{mark}", row["statement"], row["known_from"], expected, *found])
        return markdown_table(lines)

    def figure(self, name: str) -> str:
        """A picture with its caption."""
        if name not in self.drawn:
            raise InputError(f"the page of {self.name} shows a figure {name!r}: wanted one of {', '.join(self.drawn)}")
        caption = captions(self.name)[self.drawn[name].function]
        if not (self.folder / f"{name}.png").is_file():
            return f"*{name}: {NOT_RUN}.* {caption}"
        return f"![{name}](../../figures/{self.config['name']}/{name}.png)\n\n*{caption}*"


def _commands(root: Path, name: str) -> str:
    """How to run a study, as a block of commands."""
    declared = study(name)
    lines = []
    for size in ("quick", "full"):
        path = size_files(size).get(name)
        if path and (root / path).is_file():
            time = f"    # {declared.cost[size]}" if size in declared.cost else ""
            lines.append(f"    snakemake --cores all --configfile {path}{time}")
    return "\n".join(lines)


def settings_table(declared: Study) -> str:
    """What runs differ in and what they share, in Markdown."""

    def row(name: str, setting: Setting, place: str) -> list[str]:
        values = ", ".join(f"`{value}` ({words})" for value, words in setting.choices.items())
        symbol = f" *{setting.symbol}*" if setting.symbol.isalpha() else ""
        return [f"`{name}`", f"{setting.plain}{symbol}", values or setting.kind.__name__, place, setting.source]

    lines = [["key", "meaning", "values", "", "note"]]
    lines += [row(name, setting, "differs") for name, setting in declared.settings.items()]
    lines += [row(name, setting, "shared") for name, setting in declared.shared.items()]
    return markdown_table(lines)


def table_of_studies(root: Path) -> str:
    """``studies/README.md``: every study, its paper, the verdicts of its headlines, how long its sizes take."""
    lines = [["study", "paper", "headline claims", "verdicts", "quick, full"]]
    for name in study_names():
        declared, config = study(name), full_config(root, name)
        found = headlines(_verdicts(root, config))
        has_template = (root / FOLDER / name / "README.md.jinja").is_file()
        place = f"../{declared.page}" if declared.page else f"{name}/README.md"
        page = f"[{name}]({place})" if declared.page or has_template else name
        paper = f"[{declared.paper.authors} {declared.paper.year}]({declared.paper.link}): {declared.about}"
        words, verdicts = ([f"{row[place]}" for row in found] or [NOT_RUN] for place in (0, 1))
        cost = ", ".join(declared.cost.get(size, "–") for size in ("quick", "full"))
        lines.append([page, paper, "<br>".join(words), "<br>".join(verdicts), cost])
    return _INTRODUCTION + markdown_table(lines)


def companions(root: Path) -> str:
    """A line per companion paper for the README, in Markdown: what it asks, and how its headline claims came out."""
    lines = [["study", "paper", "asks", "headline claims"]]
    for name in study_names():
        declared = study(name)
        if declared.paper != MAIN_PAPER:
            paper = f"[{declared.paper.authors} {declared.paper.year}]({declared.paper.link})"
            lines.append([_page_link(name), paper, declared.about, _outcome(root, name)])
    return markdown_table(lines)


def harder_tests(root: Path) -> str:
    """The same of the studies of the main paper that have a page of their own beside the replication."""
    lines = [["study", "asks", "headline claims"]]
    for name in study_names():
        if study(name).paper == MAIN_PAPER and not study(name).page:
            lines.append([_page_link(name), study(name).about, _outcome(root, name)])
    return markdown_table(lines)


def _page_link(name: str) -> str:
    return f"[{name}]({FOLDER}/{name}/README.md)"


def _outcome(root: Path, name: str) -> str:
    """How many headline claims of a study's full size came out how."""
    verdicts = Counter(verdict for _, verdict, _ in headlines(_verdicts(root, full_config(root, name))))
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or NOT_RUN


_INTRODUCTION = """\
<!-- Written by scripts/write_documents.py from studies/*/study.py and the committed verdicts. Do not edit. -->
# Studies

A study is a folder: what it declares (`study.py`), what runs (`experiment.py`), the tables, figures and claims that
come of it, its sizes (`quick.yaml`, `full.yaml`) and tests of its science. `cp -r studies/_template studies/mine`
begins another one; it is found by its folder, and nothing else in the repository changes. The sweeps and the
learners are the main paper's; their configs and claims lie in `config/`. Verdicts are those of the full size, which
is run with claims that were committed before it; times are of two cores.

"""
