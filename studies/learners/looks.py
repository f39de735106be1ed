"""How the algorithms of a study look and are called, the same in every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from awduality.figures.style import format_value
from awduality.learners import ALGORITHMS, MIXINGS

ALGORITHM_COLOURS: Mapping[str, str] = {"ssgd": "black", "dpsgd": "#d55e00", "ssgd_star": "#cc79a7"}

_KEYS = ("algorithm", "learners", "mixing", "noise")
_DECENTRALISED = (("#d55e00", "s"), ("#0072b2", "^"), ("#009e73", "D"), ("#e69f00", "v"), ("#56b4e9", "P"))
_DASHES: Sequence[Any] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
_ENTRY = 1.4  # inches that an entry of a legend takes


@dataclass(frozen=True)
class Line:
    """Runs that differ in rate, batch, steps and seed only: what they are called, and how they are drawn."""

    algorithm: str
    label: str
    colour: str
    marker: str
    style: Any
    runs: pd.DataFrame


def lines(runs: pd.DataFrame) -> list[Line]:
    """The runs by algorithm, number of learners, mixing and noise: synchronous ones first.

    DPSGD has a colour for each number of learners and mixing, SSGD* a line style for each noise. A label names what
    differs between the lines.
    """
    groups: list[tuple[dict[str, Any], pd.DataFrame]] = [
        ({name: rows[name].iloc[0] for name in _KEYS}, rows) for _, rows in runs.groupby(list(_KEYS), sort=False)
    ]
    groups.sort(key=lambda group: (list(ALGORITHM_COLOURS).index(group[0]["algorithm"]), group[0]["learners"]))
    decentralised = [key for key, _ in groups if key["algorithm"] == "dpsgd"]
    noises = sorted({key["noise"] for key, _ in groups if key["algorithm"] == "ssgd_star"})
    several = len({key["mixing"] for key in decentralised}) > 1
    found = []
    for key, rows in groups:
        colour, marker, style, words = ALGORITHM_COLOURS[key["algorithm"]], "o", _DASHES[0], ""
        if key["algorithm"] == "dpsgd":
            colour, marker = _DECENTRALISED[decentralised.index(key) % len(_DECENTRALISED)]
            words = f", $n = {key['learners']}$" + (f", {MIXINGS[key['mixing']]}" if several else "")
        elif key["algorithm"] == "ssgd_star":
            marker, style = "v", _DASHES[noises.index(key["noise"]) % len(_DASHES)]
            words = rf", $\sigma_0 = {format_value(key['noise'])}$"
        found.append(Line(key["algorithm"], ALGORITHMS[key["algorithm"]] + words, colour, marker, style, rows))
    return found


def setting_in_words(run: Mapping[str, Any] | pd.Series, *, learners: bool = True) -> str:
    """``α = 1, total batch 2,000, n = 5, ring``: rate, batch, learners and how they mix, with symbols as mathtext."""
    words = rf"$\alpha = {format_value(run['learning_rate'])}$, total batch {format_value(run['total_batch'])}"
    return words + (f", $n = {run['learners']}$, {MIXINGS[run['mixing']]}" if learners else "")


def legend_columns(figure: Figure, entries: int) -> int:
    """How many entries of a legend stand beside each other in a figure of this width."""
    return min(entries, max(1, int(figure.get_figwidth() / _ENTRY)))


def counted(number: int, thing: str) -> str:
    """A number and its noun: ``1 seed``, ``2 seeds``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
