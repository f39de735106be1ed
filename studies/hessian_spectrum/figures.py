"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from awduality.figures.style import PAGE, draw_nothing, letter, plain_log_ticks

_BLUE, _ORANGE, _GREEN, _PINK, _GREY = "#0173b2", "#de8f05", "#029e73", "#cc78bc", "0.55"
_STATES = {
    "init": ("at the start", _GREY, "s"),
    "trained": ("trained", _BLUE, "o"),
    "permuted": ("trained on permuted labels", _ORANGE, "^"),
}
_ARMS = {
    "large": ("full batch, rate 0.1", _BLUE, "o"),
    "fast": ("full batch, rate 0.5", _ORANGE, "s"),
    "small": ("batches of 10, rate 0.1", _GREEN, "^"),
}
_RATES = {0.1: _BLUE, 0.5: _ORANGE}
_PATHS = {
    "small": "full batch to small batches",
    "reordered": "small batches, another order",
    "other": "small batches, another start",
    "copy": "a solution and its permuted copy",
}
_LINEAR = 1e-6  # of the largest eigenvalue at the start, below which the axis is linear


def draw_spectra(spectra: pd.DataFrame) -> Figure:
    """All eigenvalues of the Hessian of the whole network, in order, of one run of each kind.

    Colours: the state at the start, trained, and for clusters also trained on permuted labels. The scale is logarithmic
    in both directions and linear around zero, between the dotted lines. Dashed: the largest rank that the Gauss–Newton
    part can have, where that is less than the number of parameters.
    """
    kinds = list(dict.fromkeys(spectra["arm"]))
    figure = Figure(figsize=(PAGE, 2.7), layout="constrained")
    panels = figure.subplots(1, max(len(kinds), 1), squeeze=False)[0]
    for axes, kind, text in zip(panels, kinds, "ab", strict=False):
        rows = spectra[spectra["arm"] == kind]
        size, bound = int(rows["parameters"].iloc[0]), int(rows["bound"].iloc[0])
        linear = _LINEAR * rows["eigenvalue"].max()
        for state, (label, colour, _) in _STATES.items():
            chosen = rows[rows["state"] == state]
            if len(chosen):
                axes.plot(chosen["rank"], chosen["eigenvalue"], color=colour, label=label, marker=".", markersize=1.5)
        for level in (-linear, linear):
            axes.axhline(level, color="0.75", linewidth=0.5, linestyle=":", zorder=0)
        if bound < size:
            axes.axvline(bound, color="0.4", linewidth=0.8, linestyle="--", label=f"rank bound, {bound}")
        axes.set_yscale("symlog", linthresh=linear, linscale=0.6)
        decades = 10.0 ** np.arange(np.ceil(np.log10(linear)), np.log10(rows["eigenvalue"].max()) + 1, 2)
        axes.set_yticks([*-decades[::-1], 0, *decades])
        axes.yaxis.set_minor_locator(NullLocator())
        low, high = rows["eigenvalue"].min(), rows["eigenvalue"].max()
        axes.set(ylim=(min(3 * low, -2 * linear), 3 * high), xlabel="Rank of the eigenvalue")
        first = rows.iloc[0]
        words = f"{first['classes']:.0f} clusters" if kind == "clusters" else str(first["dataset"])
        axes.set_title(f"{words}, {size:,} parameters")
        axes.legend(loc="lower left")
        letter(axes, text)
    panels[0].set_ylabel(r"Eigenvalue $\lambda$")
    return figure


def draw_classes(states: pd.DataFrame) -> Figure:
    """What the data and the size of the network do to the large eigenvalues.

    (a) The index of the largest gap behind the first eigenvalue against the number of clusters, for the smallest
    deviation: small points are runs, moved sideways to tell them apart, large points are medians, and the line is
    equality. (b) The number of eigenvalues above a tenth of the largest, and (c) the stable rank, trace over largest
    eigenvalue, against the width of networks trained on images, and at their start: small points are runs, and lines
    join means. Above some width, the counts at the start stop at four per class.
    """
    clusters, images = states[states["arm"] == "clusters"], states[states["arm"] == "images"]
    clusters = clusters[clusters["deviation"] == clusters["deviation"].min()]
    if clusters.empty and images.empty:
        return draw_nothing("Nothing to show: this config has neither clusters nor images.")
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    parts = [("a", _by_clusters, clusters), ("b", _outliers, images), ("c", _stable_ranks, images)]
    parts = [part for part in parts if len(part[2])]
    for axes, (text, draw, rows) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        draw(axes, rows)
        letter(axes, text)
    return figure


def _by_clusters(axes: Axes, clusters: pd.DataFrame) -> None:
    """The index of the largest gap against the number of clusters."""
    for shift, (state, (label, colour, marker)) in zip((-0.2, 0, 0.2), _STATES.items(), strict=True):
        rows = clusters[clusters["state"] == state]
        if rows.empty:
            continue
        aside = shift + 0.03 * (rows["seed"] - rows["seed"].mean())
        axes.plot(rows["classes"] + aside, rows["gap_index"], marker, color=colour, markersize=2, alpha=0.6)
        middle = rows.groupby("classes")["gap_index"].median()
        axes.plot(middle.index + shift, middle, marker, color=colour, markersize=5, label=label, mec="white", mew=0.5)
    ends = np.array([clusters["classes"].min() - 0.5, clusters["classes"].max() + 0.5])
    axes.plot(ends, ends, color="0.4", linewidth=0.8, zorder=0)
    axes.set_xticks(sorted(clusters["classes"].unique()))
    axes.set_ylim(1, 1.35 * clusters["gap_index"].max())
    axes.legend(loc="upper left")
    axes.set(xlabel="Clusters $k$", ylabel="Index of the largest gap")


def _outliers(axes: Axes, images: pd.DataFrame) -> None:
    _widths(axes, images, "outliers", r"Eigenvalues above $0.1\,\lambda_1$")
    axes.legend()


def _stable_ranks(axes: Axes, images: pd.DataFrame) -> None:
    _widths(axes, images, "stable_rank", r"Stable rank $\mathrm{tr}\,H/\lambda_1$")


def _widths(axes: Axes, images: pd.DataFrame, name: str, label: str) -> None:
    """A measure against the width, at the start and trained."""
    for state in ("init", "trained"):
        _over_width(axes, images[images["state"] == state], name, state)
    axes.set(xlabel="Units of each hidden layer $w$", ylim=(0, None), xscale="log", ylabel=label)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xticks(sorted(images["width"].unique()), [f"{w:.0f}" for w in sorted(images["width"].unique())])
    axes.xaxis.set_minor_locator(NullLocator())


def _over_width(axes: Axes, rows: pd.DataFrame, name: str, state: str) -> None:
    label, colour, marker = _STATES[state]
    axes.plot(rows["width"], rows[name], marker, color=colour, markersize=2.5, alpha=0.6)
    mean = rows.groupby("width")[name].mean()
    axes.plot(mean.index, mean, color=colour, marker=marker, label=label)


def draw_basins(levels: pd.DataFrame, segments: pd.DataFrame) -> Figure:
    """Sharpness and basins of what full and small batches find.

    (a) The largest eigenvalue where the training loss first falls below each level, against the loss: thin lines are
    runs, thick lines are geometric means. Dashed: two over the rate, in the colour of the full batches of that rate,
    the largest curvature at which their descent is stable. (b) The training loss along the straight segment between two
    solutions, and (c) along a path whose corner was trained to lower it: lines are means over seeds, bands reach from
    the smallest to the largest. A solution and its permuted copy are the same function, so that a barrier as high as
    theirs is no evidence of two basins.
    """
    if levels.empty and segments.empty:
        return draw_nothing("Nothing to show: this config does not compare batches.")
    figure = Figure(figsize=(PAGE, 2.9), layout="constrained")
    first, second, third = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
    for arm, (label, colour, marker) in _ARMS.items():
        rows = levels[levels["arm"] == arm]
        for _, run in rows.groupby("seed"):
            first.plot(run["loss"], run["top_eigenvalue"], color=colour, linewidth=0.4, alpha=0.5)
        mean = rows.groupby("level")[["loss", "top_eigenvalue"]].agg(_geometric)
        first.plot(mean["loss"], mean["top_eigenvalue"], color=colour, marker=marker, label=label)
    first.set(xlabel="Training loss", ylabel=r"Largest eigenvalue $\lambda_1$")
    if len(levels):
        first.set(xscale="log", yscale="log", ylim=(levels["top_eigenvalue"].min() / 1.3, 40))
        plain_log_ticks(first.xaxis, *first.get_xlim())
        plain_log_ticks(first.yaxis, *first.get_ylim())
        first.invert_xaxis()
        for rate, colour in _RATES.items():
            first.axhline(2 / rate, color=colour, linewidth=0.7, linestyle="--", zorder=0)
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    high = _paths(second, segments, "segment"), _paths(third, segments, "bent")
    for axes in (second, third):
        axes.set(xlabel="Place along the path", xlim=(0, 1), xticks=(0, 0.5, 1), ylabel="Training loss")
        if max(high) > 0:
            axes.set(yscale="log", ylim=(segments["loss"].min() / 1.5, 1.5 * max(high)))
            plain_log_ticks(axes.yaxis, *axes.get_ylim())
            axes.yaxis.set_minor_formatter(NullFormatter())
    second.set_title("straight")
    third.set_title("with a trained corner")
    figure.legend(*second.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    for axes, text in zip((first, second, third), "abc", strict=True):
        letter(axes, text)
    return figure


def _geometric(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


def _paths(axes: Axes, segments: pd.DataFrame, path: str) -> float:
    """Draw the loss along one kind of path; its largest value."""
    rows = segments[(segments["path"] == path) & segments["arm"].isin(_PATHS)]
    colours: Sequence[Any] = (_GREEN, _BLUE, _PINK, _GREY)
    for (arm, label), colour in zip(_PATHS.items(), colours, strict=True):
        along = rows[rows["arm"] == arm].groupby("place")["loss"].agg(["mean", "min", "max"])
        if len(along):
            axes.fill_between(along.index, along["min"], along["max"], color=colour, alpha=0.15, linewidth=0)
            axes.plot(along.index, along["mean"], color=colour, label=label)
    return float(rows["loss"].max()) if len(rows) else 0.0
