"""Figures: error against flatness, the worst interpolators near the flattest, and what noise makes of the flattest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, format_value, letter, plain_log_ticks, value_colours
from awduality.study.tables import by_setting
from studies.flattest_interpolators.study import ARMS, TRAINED

_MARKS = {"random": "s", "plain": "o", "flat": "*", "poisoned": "X", "adversary": "D"}
_NOTHING = "Nothing to show: no interpolator was found."
_FREE = r"Flatness $S^*$ ÷ smallest known"
_ERROR = "Test error / variance"
_LEAST_ERROR = 1e-8  # smaller ones are drawn there


def draw_far(runs: pd.DataFrame) -> Figure:
    """Test error of trained interpolators against their flatness over the smallest known, of the same samples.

    Flatness is the trace of the Hessian. Filled: S*, the smallest trace over all rescalings of units; hollow: the trace
    as trained, the grey line its range over random rescalings, the function unchanged. (a) Isotropic inputs, (b)
    variances of the inputs from 1 to 0.01. Every mark is a run: all seeds, initial scales and weights of wrong labels.
    Dashed: the smallest known, that of the teacher or of the penalty. Dotted: the error from which an interpolator
    counts as not generalising, and twice the smallest flatness.
    """
    found = runs[runs["arm"].isin([*TRAINED, "random"]) & (runs["ended"] == "converged") & (runs["dimensions"] > 3)]
    if found.empty:
        return draw_nothing(_NOTHING)
    figure = Figure(figsize=(PAGE, 3.3), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = _colours()
    for axes, kind, text in zip(panels, ("isotropic", "anisotropic"), "ab", strict=True):
        for arm in _MARKS:
            rows = found[(found["inputs"] == kind) & (found["arm"] == arm)]
            error, reference = rows["test_error"], rows["reference"]
            look: dict[str, Any] = {"color": colours[arm], "linestyle": "none", "marker": _MARKS[arm]}
            axes.hlines(error, rows["raw_low"] / reference, rows["raw_high"] / reference, color="0.85", lw=0.5)
            axes.plot(rows["raw"] / reference, error, **look, markerfacecolor="none", mew=0.5, ms=3, alpha=0.6)
            axes.plot(rows["free"] / reference, error, **look, mew=0, ms=6 if arm == "flat" else 4, zorder=3)
        axes.axvline(1, color="0.3", linewidth=0.7, linestyle="--", zorder=0)
        axes.axvline(2, color="0.5", linewidth=0.6, linestyle=":", zorder=0)
        axes.axhline(0.1, color="0.5", linewidth=0.6, linestyle=":", zorder=0)
        axes.set(xscale="log", yscale="log", xlabel="Flatness ÷ smallest known", title=f"Inputs {kind}")
        letter(axes, text)
    panels[0].set_ylabel(_ERROR)
    handles = [
        Line2D([], [], color=colours[arm], marker=mark, linestyle="none", label=ARMS[arm])
        for arm, mark in _MARKS.items()
    ]
    handles += [
        Line2D([], [], color="0.3", marker="o", linestyle="none", label="filled: $S^*$"),
        Line2D([], [], color="0.3", marker="o", markerfacecolor="none", linestyle="none", label="hollow: as trained"),
        Line2D([], [], color="0.8", linewidth=1, label="trace over rescalings"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _colours() -> dict[str, Any]:
    palette = sns.color_palette("colorblind", 10)
    return dict(zip(_MARKS, (palette[7], palette[0], palette[2], palette[3], palette[4]), strict=True))


def draw_near(runs: pd.DataFrame) -> Figure:
    """The worst interpolator that linear programming finds within a factor of the smallest flatness, by that factor.

    Test error over variance, without noise; at factor one the flattest itself. Lines are medians over seeds, small
    marks single seeds; n is the number of samples, d that of dimensions. Squares: random features of least norm on the
    same samples in two dimensions, where their own flatness is. Dotted: a tenth of the variance. Errors below 10⁻⁸ are
    drawn there. What is found is a lower bound of the worst.
    """
    clean = runs[(runs["noise"] == 0) & (runs["product"] == 0) & (runs["ended"] == "converged")]
    some = clean[clean["arm"].isin(["flattest", "worst"])]
    if some.empty:
        return draw_nothing(_NOTHING)
    figure = Figure(figsize=(0.68 * PAGE, 2.9), layout="constrained")
    axes = figure.subplots()
    sizes = sorted(some.loc[some["dimensions"] == 2, "samples"].unique())
    colours = dict(zip(sizes, value_colours(len(sizes)), strict=True))
    for of, rows in by_setting(some, ("dimensions", "samples")):
        d, n = of["dimensions"], of["samples"]
        colour, line = (colours[n], "-") if d == 2 else ("black", "--")
        errors = rows["test_error"].clip(lower=_LEAST_ERROR)
        median = errors.groupby(rows["factor"]).median()
        axes.plot(median.index, median, linestyle=line, marker="o", color=colour, label=f"$d$ = {d}, $n$ = {n}")
        axes.plot(rows["factor"], errors, ".", color=colour, markersize=2, alpha=0.6)
        random = clean[(clean["arm"] == "random") & (clean["dimensions"] == d) & (clean["samples"] == n)]
        axes.plot(random["over_reference"], random["test_error"], "s", color=colour, ms=3, mfc="none", mew=0.7)
    axes.axhline(0.1, color="0.5", linewidth=0.6, linestyle=":", zorder=0)
    axes.set(xscale="log", yscale="log", xlabel=_FREE, ylabel=_ERROR)
    plain_log_ticks(axes.xaxis, 1, 10)
    handles = [*axes.get_legend_handles_labels()[0]]
    handles.append(Line2D([], [], color="0.3", marker="s", mfc="none", linestyle="none", label="random features"))
    figure.legend(handles=handles, loc="outside right center")
    return figure


def draw_noise(circle: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """What label noise makes of the flattest interpolator, in two dimensions.

    (a) The flattest interpolator of one seed as a function of the angle of its input, of length one; circles: the
    training samples with the least and the most noise drawn, the label over the input's length. Grey: the teacher,
    whose two units make four kinks. (b) Test error over variance against the standard deviation of the noise, and (c)
    its flatness over that of the teacher on the same samples; lines are medians over seeds, small marks single seeds.
    Open squares: medians of random features of least norm. Noise of zero is drawn apart, at the left.
    """
    some = runs[(runs["dimensions"] == 2) & (runs["product"] == 0) & (runs["ended"] == "converged")]
    if some.empty or circle.empty:
        return draw_nothing(_NOTHING)
    figure = Figure(figsize=(PAGE, 2.7), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
    _on_circle(panels[0], circle)
    sizes = sorted(some["samples"].unique())
    colours = dict(zip(sizes, value_colours(len(sizes)), strict=True))
    positive = sorted(level for level in some["noise"].unique() if level > 0)
    zero = positive[0] / 5 if positive else 1.0
    for axes, over, label, text in zip(
        panels[1:], (None, "teacher_free"), (_ERROR, r"Flatness $S^*$ ÷ teacher's"), "bc", strict=True
    ):
        for of, rows in by_setting(some[some["arm"].isin(["flattest", "random"])], ("arm", "samples")):
            arm, n = of["arm"], of["samples"]
            values = rows["test_error"].clip(lower=_LEAST_ERROR) if over is None else rows["free"] / rows[over]
            places = rows["noise"].replace(0.0, zero)
            median = values.groupby(places).median()
            if arm == "flattest":
                axes.plot(median.index, median, "o-", color=colours[n], label=f"$n$ = {n}")
                axes.plot(places, values, ".", color=colours[n], markersize=2, alpha=0.6)
            else:
                axes.plot(median.index, median, "s", color=colours[n], mfc="none", mew=0.7, ms=4)
        axes.set(xscale="log", yscale="log", xlabel=r"Label noise $\sigma$", ylabel=label)
        axes.set_xticks([zero, *positive], ["0", *map(format_value, positive)], minor=False)
        axes.minorticks_off()
        letter(axes, text)
    handles, _ = panels[1].get_legend_handles_labels()
    handles.append(Line2D([], [], color="0.3", marker="s", mfc="none", linestyle="none", label="random features"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6)
    return figure


def _on_circle(axes: Axes, circle: pd.DataFrame) -> None:
    levels = [level for level in sorted(circle["noise"].unique()) if level <= 0.1]
    function = circle[circle["what"] == "function"]
    first = function[function["noise"] == levels[0]]
    axes.plot(np.degrees(first["angle"]), first["target"], color="0.8", linewidth=3, label="teacher", zorder=0)
    styles = (("black", "-"), *zip(sns.color_palette("colorblind", 4)[1::2], ("-", "-"), strict=True))
    for level, (colour, style) in zip(levels, styles, strict=False):
        rows = function[function["noise"] == level]
        axes.plot(
            np.degrees(rows["angle"]), rows["output"], style, color=colour, linewidth=0.8, label=format_value(level)
        )
        samples = circle[(circle["what"] == "sample") & (circle["noise"] == level)]
        if level in (levels[0], levels[-1]):
            axes.plot(np.degrees(samples["angle"]), samples["output"], "o", color=colour, mfc="none", ms=3, mew=0.6)
    axes.set(xlabel="Angle of the input (degrees)", ylabel="Output", xlim=(0, 360), xticks=[0, 90, 180, 270, 360])
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles=handles, title=r"noise $\sigma$", loc="upper right", handlelength=1.2)
    letter(axes, "a")


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
