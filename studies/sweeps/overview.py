"""Figures over all runs: estimate and gap, size and norm, the two co-determinants, the duality's exactness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.figures.style import (
    COLUMN,
    PAGE,
    describe,
    letter,
    plain_log_axes,
    plain_log_ticks,
    wrapped,
)
from studies.sweeps.looks import factor_colours, factor_label, factor_markers

_EPSILON = float(np.finfo(np.float64).eps)

_WIDTH = 1.3 * COLUMN  # of a figure of one panel and a legend beside it


def shown(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have a geometry, for the layer and pairing that figures show: those of the first row."""
    first = (
        runs[(runs["layer"] == runs["layer"].iloc[0]) & (runs["pairing"] == runs["pairing"].iloc[0])]
        if len(runs)
        else runs
    )
    return first.dropna(subset=["gap"])


def draw_estimate(runs: pd.DataFrame) -> Figure:
    """The sum over directions against the measured gap, a point per run."""
    figure, axes = _single()
    _scatter(axes, runs, "gap", "estimate")
    axes.axline((1, 1), (2, 2), color="0.5", linewidth=0.6, zorder=0)
    axes.set_xlabel("Measured gap (nats)")
    axes.set_ylabel(r"Estimate $\Sigma_n (c_n\sigma_{g,n}\sigma_{w,n} + \mu_{g,n}\mu_{w,n})$ (nats)")
    return figure


def draw_size(runs: pd.DataFrame) -> Figure:
    """Size against the norm of the layer's weights, a point per run."""
    figure, axes = _single()
    _scatter(axes, runs, "layer_norm", "sigma_w_total")
    axes.set(xlabel=r"Weight norm $\|W\|$", ylabel=r"Size $\Sigma_n\,\sigma_{w,n}$")
    return figure


def draw_codeterminants(runs: pd.DataFrame) -> Figure:
    """The paper's message in one picture: sharpness against size, the gap as colour, a marker per factor."""
    figure = Figure(figsize=(PAGE * 0.75, 3.6), layout="constrained")
    axes = figure.subplots()
    runs = _drawable(axes, runs, ["gap", "sigma_w_total", "sigma_g_total"])
    norm = LogNorm(runs["gap"].min(), runs["gap"].max())
    markers = factor_markers()
    for factor, rows in _by_factor(runs):
        converged = rows["ended"] == "converged"
        for part, filled in ((rows[converged], True), (rows[~converged], False)):
            colours = colormaps["viridis"](norm(part["gap"].to_numpy(float)))
            axes.scatter(
                part["sigma_w_total"],
                part["sigma_g_total"],
                marker=markers[factor],
                s=18,
                linewidths=0.4 if filled else 1.0,
                facecolors=colours if filled else "none",
                edgecolors="black" if filled else colours,
            )
    axes.set(xlabel=r"Size $\Sigma_n\,\sigma_{w,n}$", ylabel=r"Sharpness $\Sigma_n\,\sigma_{g,n}$")
    plain_log_axes(axes)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, label="Generalization gap (nats)", pad=0.02)
    plain_log_ticks(bar.ax.yaxis, *bar.ax.get_ylim())
    handles = _handles(runs, dict.fromkeys(markers, "0.7"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.1)
    return figure


def draw_duality(runs: pd.DataFrame, pairs: pd.DataFrame) -> Figure:
    """Exactness: the loss of each test sample against that of its dual, and the largest error of every run."""
    figure = Figure(figsize=(PAGE * 0.75, 2.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axline((1, 1), (2, 2), color="0.5", linewidth=0.6, zorder=0)
    left.scatter(pairs["test_loss"], pairs["dual_loss"], s=5, color="#0072b2", linewidths=0, alpha=0.6)
    left.set(xscale="log", yscale="log", aspect="equal")
    left.set(
        xlabel=r"Loss of the test sample, $\ell(a';\,W)$ (nats)",
        ylabel=r"Loss of its dual, $\ell(a;\,W+\Delta W)$ (nats)",
    )
    largest = max(2.0**10, runs[["output_error", "loss_error"]].to_numpy(float).max() / _EPSILON)
    bins = np.geomspace(0.5, largest * 1.01, 24)
    for column, label, colour in (
        ("output_error", r"outputs, $|(W+\Delta W)\,a - W a'|\,/\,|W a'|$", "#0072b2"),
        ("loss_error", r"losses (nats), absolute", "#d55e00"),
    ):
        right.hist(np.maximum(runs[column] / _EPSILON, bins[0]), bins=bins, histtype="step", color=colour, label=label)
    right.set(xscale="log", xlabel=r"Largest error of a run, in units of $2^{-52}$", ylabel="Runs")
    right.set_ylim(top=right.get_ylim()[1] * 1.35)
    right.legend(loc="upper left")
    letter(left, "a")
    letter(right, "b")
    figure.supxlabel(f"{describe(runs.iloc[0])}; a: run {pairs['run'].iloc[0]}", fontsize=6, color="0.35")
    return figure


def _drawable(axes: Axes, runs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The runs whose values are positive, as a logarithmic axis needs; the picture says which and how many are not."""
    positive = runs[(runs[columns] > 0).all(axis=1) & (runs["ended"] != "dead")]
    note = describe(runs.iloc[0])
    if left_out := len(runs) - len(positive):
        note += f"; {left_out} not drawn (dead, or not positive)"
    axes.set_title(wrapped(note, _WIDTH), loc="left", fontsize=6, color="0.35")
    return positive


def _by_factor(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for factor in runs["factor"].unique():
        yield factor, runs[runs["factor"] == factor]


def _single() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 3.0), layout="constrained")
    return figure, figure.subplots()


def _scatter(axes: Axes, runs: pd.DataFrame, x: str, y: str) -> None:
    """Logarithmic axes; hollow where the run did not reach its target loss."""
    runs = _drawable(axes, runs, [x, y])
    markers, colours = factor_markers(), factor_colours()
    for factor, rows in _by_factor(runs):
        converged = rows["ended"] == "converged"
        for part, face in ((rows[converged], colours[factor]), (rows[~converged], "none")):
            edge = "black" if face != "none" else colours[factor]
            axes.plot(
                part[x],
                part[y],
                marker=markers[factor],
                markerfacecolor=face,
                markeredgecolor=edge,
                linestyle="",
                markeredgewidth=0.4,
            )
    plain_log_axes(axes)
    axes.figure.legend(handles=_handles(runs, colours), loc="outside right center", handletextpad=0.2)


def _handles(runs: pd.DataFrame, faces: Mapping[str, Any]) -> list[Line2D]:
    """The legend's marker of every factor that is drawn, and the hollow one where it occurs."""
    markers = factor_markers()
    edge: dict[str, Any] = {"linestyle": "", "markeredgecolor": "black", "markeredgewidth": 0.4}
    handles = [
        Line2D([], [], marker=markers[factor], markerfacecolor=faces[factor], label=factor_label(factor), **edge)
        for factor in runs["factor"].unique()
    ]
    if (runs["ended"] != "converged").any():
        hollow: dict[str, Any] = {"linestyle": "", "marker": "o", "color": "0.4", "markerfacecolor": "none"}
        handles.append(Line2D([], [], label="Target loss\nnot reached", **hollow))
    return handles
