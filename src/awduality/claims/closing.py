"""What a run tells at its end, in plain text for a terminal: verdicts of the headlines, where the figures are."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awduality.claims.report import HEADLINES
from awduality.claims.words import Verdicts, first_layer, short
from awduality.study.discovery import study, study_of

WIDTH = 100
_LEAST = 24  # characters for the words of a claim, however long the effects are
_PAPER = {test: words for tests in HEADLINES.values() for test, words in tests.items()}


@dataclass(frozen=True)
class Judged:
    """A config, and what was found."""

    name: str
    title: str  # of its study
    claims: Sequence[Mapping[str, Any]]  # objects of claims.json, as they are; none where nothing is judged
    figures: str  # the folder


def headlines(claims: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Words, verdict and effect of every headline, on the first layer.

    A claim with a text ``headline`` is one; where none has such a text, those that stand in the README for the paper.

    Args:
        claims: objects of ``claims.json``.
    """
    rows = first_layer(claims) if claims else {}
    words = {name: str(row["headline"]) for name, row in rows.items() if row.get("headline")}
    words = words or {name: text for name, text in _PAPER.items() if name in rows}
    verdicts = Verdicts(rows)
    return [(text, short(verdicts, name), verdicts.found(name)) for name, text in words.items()]


def judged_in(config: Mapping[str, Any]) -> Judged | None:
    """What lies beside the figures of a resolved config; None where nothing was judged."""
    folder = Path("figures") / config["name"]
    try:
        claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    declared = study(study_of(config))
    return Judged(config["name"], declared.about or declared.paper.title, claims, f"{folder.as_posix()}/")


def closing(judged: Sequence[Judged], following: Sequence[str] = ("snakemake --report report.html",)) -> str:
    """A short table, a block per config: its headlines with verdict and effect, and the folder of its figures.

    Args:
        judged: the configs that were run, in the order shown.
        following: commands that a person may want next.

    Returns:
        Lines of at most ``WIDTH`` characters, as far as names, folders and commands allow.
    """
    found = [headlines(one.claims) for one in judged]
    verdict, effect = (max([len(row[at]) for rows in found for row in rows], default=0) for at in (1, 2))
    words = max(_LEAST, WIDTH - verdict - effect - 6)
    words = min(words, max([len(row[0]) for rows in found for row in rows], default=words))
    lines: list[str] = []
    for one, rows in zip(judged, found, strict=True):
        lines.append(_cut(f"{one.name}: {one.title}"))
        for claim, said, size in rows:
            *before, last = textwrap.wrap(claim, words)
            lines += [f"  {line}" for line in before]
            lines.append(f"  {last:{words}}  {said:{verdict}}  {size}".rstrip())
        if not rows:
            lines.append("  no verdicts")
        lines += [f"  figures: {one.figures}", ""]
    lines += [f"{'next:' if place == 0 else '     '} {command}" for place, command in enumerate(following)]
    return "\n".join(lines).rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1].rstrip() + "…"
