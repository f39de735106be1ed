"""The claims of a study in one picture: effect with interval, what the null gives, verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from awduality.claims.words import Verdicts, first_layer
from awduality.figures.style import PAGE, describe, draw_nothing, letter, plain_log_ticks, wrapped

Claim = Mapping[str, Any]

COLOURS = {
    "supported": "#9ecae1",
    "contradicted": "#e6804d",
    "not distinguishable from the null": "#dcc7e6",
    "inconclusive": "#eeeeee",
    "not tested": "white",
}
"""Of every verdict, the same in every figure."""

_SMALL = 0.2  # differences within ± this have an axis of their own
_LINE, _ROOM = 0.125, 0.09  # inches: a line of a statement, and what is left free around it
_WRAP = 80  # characters of a statement in a line
_NULL = "0.3"
_CONTROLS = {"rescaling": "balanced", "rivals": "rival", "test_samples": "test samples"}
"""How a control that is no null is called beside its numbers."""

_BAR: Mapping[str, Any] = {"linewidth": 4.0, "alpha": 0.35, "solid_capstyle": "butt"}


def legend_handles(verdicts: Collection[str]) -> list[Patch]:
    """A patch of the colour of every verdict that occurs."""
    return [
        Patch(facecolor=colour, edgecolor="0.6", linewidth=0.4, label=verdict)
        for verdict, colour in COLOURS.items()
        if verdict in verdicts
    ]


def draw_effects(claims: Sequence[Claim]) -> Figure:
    """A row per claim that has a number; ratios, differences and small differences in blocks of their own.

    Args:
        claims: the rows of ``claims.json``.
    """
    cells = first_layer(claims) if claims else {}
    shown: dict[str, list[Claim]] = {}
    for label in ("Ratio", "Difference", "Small difference"):
        rows = [row for row in cells.values() if row["interval"] is not None and _block_of(row) == label]
        shown |= {label: rows} if rows else {}
    if not shown:
        return draw_nothing("Nothing to show: no claim could be tested.")
    words = {
        row["id"]: textwrap.wrap(f"{row['id']}: {row['statement']}", _WRAP) for rows in shown.values() for row in rows
    }
    heights = [sum(_height(words[row["id"]], row) for row in rows) for rows in shown.values()]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.5 * len(shown) + 0.6), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    verdicts = Verdicts(cells)
    for axes, (label, rows), text in zip(panels, shown.items(), "abc", strict=False):
        _block(axes, rows, words, verdicts, label == "Ratio")
        axes.set_xlabel(label)
        letter(axes, text)
    handles = [
        Line2D([], [], color="black", marker="o", label="effect, 95% interval"),
        Line2D([], [], color=_NULL, marker="|", linewidth=3, alpha=0.4, label="null or control, 95% interval"),
        *legend_handles({row["verdict"] for rows in shown.values() for row in rows}),
    ]
    figure.legend(
        handles=handles,
        title=wrapped(f"{describe(claims[0])}. Means over seeds with their 95% $t$-intervals."),
        loc="outside lower center",
        ncols=4,
    )
    return figure


def _block(
    axes: Axes, rows: Sequence[Claim], words: Mapping[str, Sequence[str]], verdicts: Verdicts, logarithmic: bool
) -> None:
    """Rows of one scale from top to bottom, each as high as its statement; the verdict as the colour of its band."""
    edges = np.cumsum([0.0, *(_height(words[row["id"]], row) for row in rows)])
    middles = (edges[:-1] + edges[1:]) / 2
    of = np.exp if logarithmic else np.asarray
    for row, top, bottom, middle in zip(rows, edges[:-1], edges[1:], middles, strict=True):
        axes.axhspan(top, bottom, facecolor=COLOURS[row["verdict"]], edgecolor="white", zorder=0)
        if row["null_interval"] is not None:
            axes.plot(of(_ends(row["null_interval"], row["null_value"])), [middle] * 2, color=_NULL, **_BAR)
        if row["null_value"] is not None:
            axes.plot(of(row["null_value"]), middle, "|", color=_NULL, markersize=8, markeredgewidth=1.2)
        axes.plot(of(_ends(row["interval"], row["estimate"])), [middle] * 2, color="black", linewidth=1.0)
        axes.plot(of(row["estimate"]), middle, "o", color="black")
        null = verdicts.null(row["id"])
        found = verdicts.found(row["id"]).replace("], ", "]\n")
        text = found + ("" if null == "–" else f"\n{_CONTROLS.get(row['null'], 'null')} {null}")
        axes.annotate(text, (1.015, middle), xycoords=axes.get_yaxis_transform(), va="center", fontsize=6)
    axes.axvline(1 if logarithmic else 0, color="0.4", linewidth=0.6, zorder=1)
    axes.set_ylim(edges[-1], 0)
    axes.set_yticks(middles, ["\n".join(words[row["id"]]) for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=6)
    axes.spines["left"].set_visible(False)
    if logarithmic:
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis, *axes.get_xlim())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))


def _block_of(row: Claim) -> str:
    if row["scale"] == "log":
        return "Ratio"
    ends = [*_ends(row["interval"], row["estimate"]), *_ends(row["null_interval"] or [], row["null_value"])]
    return "Small difference" if max(map(abs, ends)) <= _SMALL else "Difference"


def _height(lines: Sequence[str], row: Claim) -> float:
    """Inches; the numbers beside a statement take two lines, and three where p or a median is among them."""
    more = row["verdict"] == "inconclusive" or row.get("median") is not None
    return _LINE * max(len(lines), 3 if more else 2) + _ROOM


def _ends(interval: Sequence[float | None], value: float | None) -> list[float]:
    """The ends of an interval; where one seed gives none, the value itself."""
    return [float(value or 0.0) if end is None else end for end in interval]
