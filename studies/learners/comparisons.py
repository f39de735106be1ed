"""Synchronous against decentralised SGD over learning rates and batches: who reaches the target, and how flat it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from awduality.claims.kind import LEAST_SEEDS
from awduality.claims.statistics import mean_interval
from awduality.figures.style import (
    PAGE,
    describe,
    draw_nothing,
    format_value,
    letter,
    plain_log_axes,
    plain_log_ticks,
    wrapped,
)
from studies.learners.looks import Line, counted, legend_columns, lines
from studies.learners.matched import compared, first_layer, matched_pairs

_DODGE = 1.035  # between the lines of a panel, on a logarithmic axis
_PLANES = (
    (
        "sigma_w_norm",
        "sigma_g_norm",
        r"Size $(\Sigma_n\sigma_{w,n}^2)^{1/2}$",
        r"Sharpness $(\Sigma_n\sigma_{g,n}^2)^{1/2}$",
    ),
    ("sigma_w_norm", "top_eigenvalue", r"Size $(\Sigma_n\sigma_{w,n}^2)^{1/2}$", r"Top eigenvalue $\lambda_1$"),
    ("sigma_w_norm_balanced", "top_eigenvalue_balanced", "Size, networks balanced", r"$\lambda_1$, networks balanced"),
)

_ARROW: Mapping[str, Any] = {"arrowstyle": "-|>", "linewidth": 1.0, "shrinkA": 2.5, "shrinkB": 2.5, "mutation_scale": 7}


def draw_grid(runs: pd.DataFrame) -> Figure:
    """A column per total batch: which share of the seeds reached the target loss, test error and gap, over the rate.

    Args:
        runs: as ``studies.learners.numbers.run_rows`` makes them.
    """
    runs = compared(first_layer(runs))
    if runs.empty:
        return draw_nothing("Nothing to show: no run of SSGD or DPSGD.")
    several = runs.groupby("total_batch")["steps"].nunique().gt(1).any()
    columns = [rows for _, rows in runs.groupby(["total_batch", "steps"] if several else ["total_batch"])]
    figure = Figure(figsize=(PAGE * min(1.0, 0.25 + 0.25 * len(columns)), 4.4), layout="constrained")
    widths = [1.5 + rows["learning_rate"].nunique() for rows in columns]
    panels = figure.subplots(
        3, len(columns), sharey="row", squeeze=False, height_ratios=(0.55, 1, 1), width_ratios=widths
    )
    drawn = lines(runs)
    for column, rows in enumerate(columns):
        reached, error, gap = panels[:, column]
        dodges = _DODGE ** (np.arange(len(drawn)) - (len(drawn) - 1) / 2)
        for line, dodge in zip(drawn, dodges, strict=True):
            of_line = rows[rows.index.isin(line.runs.index)]
            if len(of_line):
                _grid_line(reached, error, gap, line, of_line, dodge)
        rates = np.sort(rows["learning_rate"].unique())
        for axes in panels[:, column]:
            axes.set(xscale="log", xlim=(rates[0] / 1.35, rates[-1] * 1.35))
            axes.xaxis.set_major_locator(FixedLocator(list(rates)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticklabels([format_value(rate) for rate in rates] if axes is gap else [])
        gap.set_xlabel(r"Learning rate $\alpha$")
        title = f"$nb = {format_value(rows['total_batch'].iloc[0])}$"
        reached.set_title(title + (f", {rows['steps'].iloc[0]:,} steps" if several else ""), fontsize=7)
    _grid_axes(panels, runs)
    seeds = runs.groupby(["total_batch", "steps", "learning_rate", "algorithm", "learners", "mixing"])["seed"].nunique()
    count = counted(seeds.max(), "seed") if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()} seeds"
    figure.legend(
        handles=_grid_handles(drawn),
        title=wrapped(
            f"{describe(runs.iloc[0])}. {count} per point. Test error: of "
            r"$\bar{w}$, median of the last ten evaluations; gap: of the solution; $nb$: total batch.",
            figure.get_figwidth(),
        ),
        loc="outside lower center",
        ncols=legend_columns(figure, len(drawn) + 1),
    )
    return figure


def _grid_line(reached: Axes, error: Axes, gap: Axes, line: Line, rows: pd.DataFrame, dodge: float) -> None:
    """One line in the three panels of a column."""
    looks = {"color": line.colour, "marker": line.marker, "linestyle": line.style}
    done = rows["ended"] == "converged"
    share = done.groupby(rows["learning_rate"]).mean()
    reached.plot(share.index * dodge, share, clip_on=False, **looks)
    by_rate = rows[done].groupby("learning_rate")
    errors = rows[done].dropna(subset=["last_test_error"])
    error.plot(errors["learning_rate"] * dodge, 100 * errors["last_test_error"], ".", color=line.colour, markersize=2)
    middle = by_rate["last_test_error"].median().dropna()
    error.plot(middle.index * dodge, 100 * middle, linewidth=1.0, **looks)
    gaps = [(rate, group["gap"].dropna().to_numpy(float)) for rate, group in by_rate]
    known = [(rate, *mean_interval(values), len(values)) for rate, values in gaps if len(values)]
    if known:
        rates, means, halves, counts = np.array(known, dtype=float).T
        gap.errorbar(rates * dodge, means, np.where(counts >= LEAST_SEEDS, halves, 0), linewidth=1.0, **looks)
    failed = rows[~done].dropna(subset=["last_test_error"])
    error.plot(
        failed["learning_rate"] * dodge, 100 * failed["last_test_error"], "x", color=line.colour, markersize=4, zorder=5
    )


def _grid_axes(panels: np.ndarray, runs: pd.DataFrame) -> None:
    """Letters, labels, and limits that the points set: an interval of two seeds would hide them."""
    for axes, text in zip(panels[:, 0], "abc", strict=True):
        letter(axes, text)
    for reached, error, gap in panels.T:
        reached.axhline(1, color="0.85", linewidth=0.5, zorder=0)
        gap.axhline(0, color="0.6", linewidth=0.5, zorder=0)
        error.set_yscale("log")
    reached, error, gap = panels[:, 0]
    reached.set(ylabel="Share that\nreached target", ylim=(-0.08, 1.12), yticks=[0, 0.5, 1])
    errors = 100 * runs["last_test_error"][runs["last_test_error"] > 0]
    low, high = (errors.min() / 1.3, errors.max() * 1.3) if len(errors) else (1.0, 100.0)
    error.set(ylabel="Test error (%)", ylim=(low, high))
    plain_log_ticks(error.yaxis, low, high)
    gaps = runs.loc[runs["ended"] == "converged", "gap"].dropna()
    if len(gaps):
        margin = 0.15 * (max(gaps.max(), 0) - min(gaps.min(), 0)) or 1.0
        gap.set_ylim(min(gaps.min() - margin, 0), gaps.max() + margin)
    gap.set_ylabel("Gap (nats)")


def _grid_handles(drawn: Sequence[Line]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=line.colour, marker=line.marker, linestyle=line.style, label=line.label) for line in drawn
    ]
    return [*handles, Line2D([], [], color="0.4", marker="x", linestyle="", label="Target loss not reached")]


def draw_plane(runs: pd.DataFrame) -> Figure:
    """Sharpness over size, an arrow per setting from SSGD to DPSGD, for the pairs of a seed that both converged.

    Args:
        runs: as ``studies.learners.numbers.run_rows`` makes them.
    """
    chosen = compared(first_layer(runs))
    pairs = matched_pairs(chosen)
    shown = [names for names in _PLANES if len(_known(pairs, names[:2]))]
    if not shown:
        return draw_nothing("Nothing to show: nowhere have SSGD and DPSGD of one seed both converged.")
    figure = Figure(figsize=(PAGE * (0.1 + 0.3 * len(shown)), 3.1), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    products = pairs["learning_rate"] * pairs["total_batch"]
    norm = LogNorm(products.min() / 1.001, products.max() * 1.001)
    drawn = [line for line in lines(chosen) if line.runs["run"].isin(pairs["run"]).any()]
    for axes, (x, y, xlabel, ylabel), text in zip(panels, shown, "abc", strict=False):
        for line in drawn:
            _arrows(axes, _known(pairs[pairs["run"].isin(line.runs["run"])], (x, y)), x, y, line.marker, norm)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        plain_log_axes(axes)
        if np.ptp(np.log(axes.get_xlim())) < 1:  # too short for decades
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        letter(axes, text)
    bar = figure.colorbar(ScalarMappable(norm, _COLOURS), ax=panels[-1], label=r"Rate × total batch $\alpha nb$")
    bar.ax.yaxis.set_major_locator(FixedLocator(sorted(products.unique())))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.set_yticklabels([format_value(product) for product in sorted(products.unique())])
    settings = pairs.groupby(["learning_rate", "total_batch", "steps", "learners", "mixing"]).ngroups
    asked = len(chosen[chosen["algorithm"] == "dpsgd"])
    figure.legend(
        handles=_plane_handles(drawn),
        title=wrapped(
            f"{describe(chosen.iloc[0])}. {len(pairs)} of {asked} pairs of runs, in {counted(settings, 'setting')}: "
            "those of which both reached the target loss.",
            figure.get_figwidth(),
        ),
        loc="outside lower center",
        ncols=legend_columns(figure, len(drawn) + 1),
    )
    return figure


_COLOURS = ListedColormap(colormaps["viridis"](np.linspace(0, 0.85, 256)))  # the brightest do not show on white


def _known(pairs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The pairs that a logarithmic axis has a place for."""
    columns = [f"{name}{end}" for name in names for end in ("", "_ssgd")]
    return pairs[(pairs[columns] > 0).all(axis=1)]


def _arrows(axes: Axes, pairs: pd.DataFrame, x: str, y: str, marker: str, norm: LogNorm) -> None:
    for _, rows in pairs.groupby(["learning_rate", "total_batch", "steps"]):
        colour = _COLOURS(norm(rows["learning_rate"].iloc[0] * rows["total_batch"].iloc[0]))
        few = len(rows) < LEAST_SEEDS
        ends = []
        for end, form, face in (("_ssgd", "o", "white"), ("", marker, colour)):
            places = rows[[f"{x}{end}", f"{y}{end}"]].to_numpy(float)
            axes.plot(*places.T, form, color=colour, markersize=2, alpha=0.4, markeredgewidth=0)
            ends.append(np.exp(np.log(places).mean(axis=0)))
            axes.plot(*ends[-1], form, color=colour, markerfacecolor=face, markersize=2.5 if few else 4.5, zorder=4)
        arrow = {"color": colour, **_ARROW, "linewidth": 0.5 if few else _ARROW["linewidth"]}
        axes.annotate("", xy=ends[1], xytext=ends[0], arrowprops=arrow, zorder=3)


def _plane_handles(drawn: Sequence[Line]) -> list[Line2D]:
    handles = [Line2D([], [], color="0.3", marker="o", markerfacecolor="white", linestyle="", label="SSGD")]
    return handles + [Line2D([], [], color="0.3", marker=line.marker, linestyle="", label=line.label) for line in drawn]
