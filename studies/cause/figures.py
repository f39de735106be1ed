"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.claims.rows import CONVERGED, asked_for
from awduality.claims.statistics import mean_interval
from awduality.figures import effects
from awduality.figures.style import (
    PAGE,
    draw_nothing,
    letter,
    plain_log_axes,
    plain_log_ticks,
    value_colours,
)

SHARPNESS, SIZE, GAP, ERROR = "top_eigenvalue_balanced", "size_balanced", "gap", "test_error"
LABELS = {
    SHARPNESS: r"Sharpness $\lambda_1$, balanced",
    SIZE: "Size, balanced",
    GAP: "Gap (nats)",
    ERROR: "Test error",
    "rho": r"Perturbation $\rho$",
    "norm": "Norm $c$ of the layers",
}
_TIGHT: Mapping[str, Any] = {"columnspacing": 0.8, "handlelength": 0.8, "handletextpad": 0.3}  # of a legend
_DODGE = 0.012  # of an axis
_NOTHING = "Nothing to show: no run of the plane reached the target loss."


def draw_plane(runs: pd.DataFrame) -> Figure:
    """What was moved, and what the gap did. (a) Sharpness and size, both in the balanced form, of every perturbation ρ (solid lines: one norm) and every norm c (dashed: one perturbation), with the gap as colour; bars are standard deviations over seeds. If each cause moved its determinant alone, lines were horizontal and vertical. (b) The gap against sharpness, along ρ at every norm, and (c) against size, along the norm at every ρ: geometric means over seeds with 95% intervals, from which each seed's own level is taken out. On these logarithmic axes a product of powers gives parallel lines."""  # noqa: E501
    found = _of(runs, "plane")
    if found.empty:
        return draw_nothing(_NOTHING)
    figure = Figure(figsize=(PAGE, 2.75), layout="constrained")
    plane, sharpness, size = figure.subplots(1, 3, width_ratios=(1.35, 1, 1))
    cells = _cells(found, ["norm", "rho"])
    for along, style in (("norm", "-"), ("rho", "--")):
        for _, line in cells.groupby(along):
            plane.plot(line[SHARPNESS], line[SIZE], style, color="0.6", linewidth=0.7, zorder=1)
    for _, cell in cells.iterrows():
        bars = [_bars(cell[[name]], cell[[f"{name}_deviation"]]) for name in (SHARPNESS, SIZE)]
        plane.errorbar(
            cell[SHARPNESS],
            cell[SIZE],
            xerr=bars[0],
            yerr=bars[1],
            fmt="none",
            ecolor="0.45",
            elinewidth=0.7,
            capsize=0,
        )
    shown = plane.scatter(
        cells[SHARPNESS],
        cells[SIZE],
        c=cells[GAP],
        s=34,
        cmap="viridis",
        norm=LogNorm(),
        edgecolor="white",
        linewidth=0.5,
        zorder=3,
    )
    plain_log_axes(plane)
    plane.set(xlabel=LABELS[SHARPNESS], ylabel=LABELS[SIZE])
    bar = figure.colorbar(shown, ax=plane, pad=0.02)
    plain_log_ticks(bar.ax.yaxis, *shown.get_clim())
    bar.ax.set_title(LABELS[GAP])
    for axes, measure, apart in ((sharpness, SHARPNESS, "norm"), (size, SIZE, "rho")):
        _against(axes, cells, measure, apart)
        axes.margins(y=0.2)
        axes.legend(title={"norm": "Norm $c$", "rho": r"$\rho$"}[apart], ncols=4, loc="upper left", **_TIGHT)
    for axes, text in zip((plane, sharpness, size), "abc", strict=True):
        letter(axes, text)
    return figure


def draw_alone(runs: pd.DataFrame) -> Figure:
    """Each cause alone, at one training loss: the gap and the test error along the perturbation ρ, a line per norm c of the layers (a, c; the dotted line: norms that are free), and along the norm, a line per ρ (b, d). Means over seeds with 95% intervals of Student's t, from which each seed's own level is taken out, since causes are compared within seeds; points of one value are set apart sideways."""  # noqa: E501
    found = _of(runs, "plane")
    if found.empty:
        return draw_nothing(_NOTHING)
    figure = Figure(figsize=(PAGE * 0.82, 4.4), layout="constrained")
    panels = figure.subplots(2, 2, sharey="row")
    free = _of(runs, "free")
    for table in (found, free):
        for measure in (GAP, ERROR):
            table[measure] = _levelled(table[measure], table)
    for row, measure in zip(panels, (GAP, ERROR), strict=True):
        for axes, along, apart in zip(row, ("rho", "norm"), ("norm", "rho"), strict=True):
            values = sorted(found[apart].unique())
            dodge = _DODGE * np.ptp(found[along])
            for place, (value, colour) in enumerate(zip(values, value_colours(len(values)), strict=True)):
                aside = (place - len(values) / 2) * dodge
                _line(axes, found[found[apart] == value], along, measure, aside, color=colour, label=f"{value:g}")
            if along == "rho" and len(free):
                aside = len(values) / 2 * dodge
                _line(axes, free, along, measure, aside, color="black", label="free", linestyle=":")
            axes.set_xlabel(LABELS[along])
            axes.set_xticks(sorted(found[along].unique()))
        row[0].set_ylabel(LABELS[measure])
    panels[0][0].legend(title="Norm $c$", ncols=2)
    panels[0][1].legend(title=r"Perturbation $\rho$", loc="upper left")
    for axes, text in zip(panels.flat, "abcd", strict=True):
        letter(axes, text)
    return figure


def draw_otherwise(runs: pd.DataFrame) -> Figure:
    """Sharpness moved in two ways, a colour per norm c of the layers: by the perturbation ρ (filled, solid) and, with plain SGD, by the batch size (open, dashed). (a) What either way does to sharpness and to size, both balanced. (b) The gap against sharpness. Geometric means over seeds with 95% intervals, from which each seed's own level is taken out."""  # noqa: E501
    ways = {"plane": ("rho", "o", "-", None), "batches": ("batch_size", "s", "--", "white")}
    if any(_of(runs, name).empty for name in ways):
        return draw_nothing("Nothing to show: this config moves sharpness in one way at most.")
    figure = Figure(figsize=(PAGE * 0.82, 2.8), layout="constrained")
    panels = figure.subplots(1, 2)
    norms = sorted(_of(runs, "plane")["norm"].unique())
    colours = value_colours(len(norms))
    for name, (along, marker, style, face) in ways.items():
        of_way = _cells(_of(runs, name), ["norm", along])
        for norm, colour in zip(norms, colours, strict=True):
            cells = of_way[of_way["norm"] == norm]
            for axes, measure in zip(panels, (SIZE, GAP), strict=True):
                axes.errorbar(
                    cells[SHARPNESS],
                    cells[measure],
                    yerr=_bars(cells[measure], cells[f"{measure}_half"]),
                    color=colour,
                    marker=marker,
                    linestyle=style,
                    markerfacecolor=face or colour,
                    elinewidth=0.8,
                )
    for axes, measure, text in zip(panels, (SIZE, GAP), "ab", strict=True):
        plain_log_axes(axes)
        axes.set(xlabel=LABELS[SHARPNESS], ylabel=LABELS[measure])
        letter(axes, text)
    handles = [
        Line2D([], [], color=colour, label=f"$c = {norm:g}$") for norm, colour in zip(norms, colours, strict=True)
    ]
    handles += [
        Line2D([], [], color="0.3", marker="o", label=r"moved by $\rho$"),
        Line2D([], [], color="0.3", marker="s", linestyle="--", markerfacecolor="white", label="moved by batch size"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)


def _of(runs: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """The runs of an experiment that reached the target loss and have a gap to be drawn on a logarithmic axis."""
    found = asked_for(runs, [experiment])
    return found[(found["ended"] == CONVERGED) & (found[GAP] > 0)].copy()


def _levelled(values: pd.Series, runs: pd.DataFrame) -> pd.Series:
    """Values without the level of their seed: its mean is put where the mean of all is."""
    return values - values.groupby(runs["seed"]).transform("mean") + values.mean()


def _cells(runs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """A row per cell: geometric means; of the logarithm half a 95% interval within seeds, and its deviation."""
    logs = {name: pd.Series(np.log(runs[name].to_numpy(float)), runs.index) for name in (SHARPNESS, SIZE, GAP)}
    rows = []
    for values, of in runs.groupby(names):
        cell: dict[str, Any] = dict(zip(names, values, strict=True))
        for measure, of_all in logs.items():
            mean, half = mean_interval(_levelled(of_all, runs)[of.index].to_numpy())
            cell[measure], cell[f"{measure}_half"] = float(np.exp(mean)), float(np.nan_to_num(half))
            cell[f"{measure}_deviation"] = float(np.std(of_all[of.index]))
        rows.append(cell)
    return pd.DataFrame(rows)


def _bars(middle: pd.Series, half: pd.Series) -> np.ndarray:
    """(2, points) what is below and above a middle, of half a width of its logarithm."""
    points, factors = middle.to_numpy(float), np.exp(half.to_numpy(float))
    return np.array([points * (1 - 1 / factors), points * (factors - 1)])


def _against(axes: Axes, cells: pd.DataFrame, measure: str, apart: str) -> None:
    """The gap against a determinant, a line along one cause for every value of the other."""
    lines = list(cells.groupby(apart))
    for (value, line), colour in zip(lines, value_colours(len(lines)), strict=True):
        bars = _bars(line[GAP], line[f"{GAP}_half"])
        axes.errorbar(line[measure], line[GAP], yerr=bars, color=colour, marker="o", elinewidth=0.8, label=f"{value:g}")
    plain_log_axes(axes)
    axes.set(xlabel=LABELS[measure], ylabel=LABELS[GAP])


def _line(axes: Axes, runs: pd.DataFrame, along: str, measure: str, aside: float, **look: Any) -> None:
    """Means and intervals of a measure that is levelled, along a cause, so much to the right."""
    values = sorted(runs[along].unique())
    found = [mean_interval(runs.loc[runs[along] == value, measure].to_numpy(float)) for value in values]
    means, halves = np.array(found).T
    axes.errorbar(np.array(values) + aside, means, yerr=np.nan_to_num(halves), marker="o", elinewidth=0.8, **look)
