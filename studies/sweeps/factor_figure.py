"""One figure per factor: what it does to the gap, to sharpness and size along the directions, and to training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from awduality.figures.style import PAGE, describe, format_value, letter, value_colours
from studies.sweeps.study import FACTORS

_PARTS = {
    "gap": ("Gap", "black", "o"),
    "sharp_part": ("Sharp", "#d55e00", "s"),
    "flat_part": ("Flat", "#0072b2", "^"),
}
_ESTIMATE: dict[str, Any] = {"color": "0.55", "linestyle": (0, (1, 1)), "linewidth": 1.6, "zorder": 1}
_DASHES = (0, (3, 2))

Looks = Mapping[Any, dict[str, Any]]
"""The colour of each value, and its line: dashed where no run converged."""


def draw_factor(factor: str, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Six panels: gap, σ_g, cumulative σ_w, c, Hessian spectrum, training curves.

    Args:
        factor: the factor of the sweep.
        tables: ``gap``, ``directions`` and ``training`` as ``studies.sweeps.numbers`` makes them.
    """
    figure = Figure(figsize=(PAGE, 4.5), layout="constrained")
    panels = figure.subplots(2, 3).flat
    values, shown = tables["gap"]["value"], tables["gap"]["shown"]
    looks = {
        value: {"color": colour, "linestyle": _DASHES if ended == "budget" else "-"}
        for value, ended, colour in zip(values, shown, value_colours(len(values)), strict=True)
    }
    directions = tables["directions"]

    _gap(panels[0], factor, tables["gap"])
    _curves(panels[1], directions, "sigma_g", looks, r"Sharpness $\sigma_{g,n}$", logarithmic=True)
    _curves(panels[2], directions, "sigma_w_cumulative", looks, r"Cumulative size $\Sigma_{i\leq n}\,\sigma_{w,i}$")
    _curves(panels[3], directions, "c", looks, r"Correlation $c_n$")
    panels[3].axhline(0, color="0.6", linewidth=0.5, zorder=0)
    _curves(
        panels[4],
        directions,
        "eigenvalue",
        looks,
        r"Hessian eigenvalue $\lambda_n$",
        r"Direction $n$, by $\lambda_n$",
        logarithmic=True,
    )
    _training(panels[5], tables["training"], looks)
    for axes, text in zip(panels, "abcdef", strict=False):
        letter(axes, text)
    _legend(figure, factor, tables["gap"], looks)
    return figure


def _gap(axes: Axes, factor: str, table: pd.DataFrame) -> None:
    """Means with intervals; hollow where no run converged in its budget, a cross where all died or diverged."""
    places = np.arange(len(table))
    for dodge, (name, (label, colour, marker)) in zip((-0.06, 0.0, 0.06), _PARTS.items(), strict=True):
        mean, half = table[f"{name}_mean"].to_numpy(float), table[f"{name}_half"].to_numpy(float)
        axes.errorbar(places + dodge, mean, half, color=colour, marker=marker, label=label, linewidth=1.0)
        hollow = (table["shown"] == "budget").to_numpy()
        axes.plot(places[hollow] + dodge, mean[hollow], marker, color=colour, markerfacecolor="white", zorder=5)
    axes.plot(places - 0.06, table["estimate_mean"], label="Estimate", **_ESTIMATE)
    lost = table["shown"].isna().to_numpy()
    axes.plot(places[lost], np.zeros(lost.sum()), "x", color="#cc3311", markersize=6, zorder=6)
    axes.axhline(0, color="0.6", linewidth=0.5, zorder=0)
    complete = bool((table["converged"] == table["runs"]).all())
    axes.set_xticks(places, [_tick(row, complete) for row in table.itertuples()])
    axes.set_xlim(-0.4, len(table) - 0.6)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    note = "" if complete else "\n(below: runs converged)"
    if lost.any():
        note = "\n(below: runs converged; ×: all dead or diverged)"
    axes.set(xlabel=f"{FACTORS[factor].axis_label}{note}", ylabel="Generalization gap (nats)")
    options = {"handlelength": 0.9, "columnspacing": 0.7, "handletextpad": 0.3, "borderpad": 0.0, "fontsize": 6}
    axes.legend(loc="lower right", bbox_to_anchor=(1.06, 1.02), ncols=4, **options)


def _tick(row: Any, complete: bool) -> str:
    """A value, and below it how many of its runs converged, unless all runs of the sweep did."""
    words = format_value(row.value)
    return words if complete else f"{words}\n{row.converged}/{row.runs}"


def _curves(
    axes: Axes,
    table: pd.DataFrame,
    name: str,
    looks: Looks,
    ylabel: str,
    xlabel: str = r"Direction $n$, by $\sigma_{g,n}$",
    logarithmic: bool = False,
) -> None:
    """A line per value; on a logarithmic axis a band that reaches zero is cut at a tenth of the mean."""
    for value, rows in table.groupby("value"):
        mean, half = rows[f"{name}_mean"].to_numpy(float), rows[f"{name}_half"].to_numpy(float)
        axes.plot(rows["n"], mean, **looks[value])
        low = np.maximum(mean - half, mean / 10) if logarithmic else mean - half
        axes.fill_between(rows["n"], low, mean + half, color=looks[value]["color"], alpha=0.2, linewidth=0)
    axes.set(yscale="log" if logarithmic else "linear")
    axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)


def _training(axes: Axes, table: pd.DataFrame, looks: Looks) -> None:
    """The median over seeds, and for the training loss their range as a band."""
    for value, rows in table[np.isfinite(table["train_loss"])].groupby("value"):
        colour = looks[value]["color"]
        train, test = (over_seeds(rows, name) for name in ("train_loss", "test_loss"))
        axes.fill_between(train.index, train.min(axis=1), train.max(axis=1), color=colour, alpha=0.15, linewidth=0)
        axes.plot(train.index, train.median(axis=1), color=colour, linewidth=0.9)
        axes.plot(test.index, test.median(axis=1), color=colour, linewidth=0.9, linestyle=_DASHES)
    axes.set(xscale="log", yscale="log", xlabel="Step of SGD", ylabel="Loss (nats)")
    lines = [Line2D([], [], color="0.3", linewidth=0.8, linestyle=style) for style in ("-", _DASHES)]
    axes.legend(lines, ["Training", "Test"], loc="lower left")
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_minor_formatter(NullFormatter())


def over_seeds(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """(steps, seeds) the curves of one value: straight between two looks, after its end a run's last number."""
    table = rows.pivot_table(index="steps", columns="seed", values=name)
    return table.interpolate(method="index", limit_area="inside").ffill()


def _legend(figure: Figure, factor: str, table: pd.DataFrame, looks: Looks) -> None:
    handles = [Line2D([], [], linewidth=1.6, **looks[value]) for value in table["value"]]
    words = [format_value(value) for value in table["value"]]
    legend = figure.legend(
        handles,
        words,
        title=f"{describe(table.iloc[0])}\n{FACTORS[factor].axis_label} (b–f):",
        loc="outside lower center",
        ncols=len(words),
    )
    legend.get_title().set_multialignment("center")
