"""Figures: the gap against the product of both determinants, and every predictor beside the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.claims.statistics import mean_interval
from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, format_value, letter, plain_log_ticks, value_colours
from studies.random_design.study import FIXED, STUDY

_FACTORS = ("label_noise", "train_size", "weight_decay", "learning_rate")  # a panel each
_NOTHING = "Nothing to show: no run has come to the target loss."

_GROUPS = {
    "duality": "of the duality",
    "balanced": "the same, network balanced",
    "literature": "of the literature",
    "circular": "circular: holds the test loss",
    "none": "the mean of the other runs",
}
_SYMBOLS = {
    "λ₁, size": r"$\lambda_1$, size",
    "λ₁^½ size^1.75": r"$\lambda_1^{1/2}\,$size$^{7/4}$, fixed",
    "λ₁": r"$\lambda_1$",
    "trace": r"$\mathrm{tr}\,H$",
    "½ Σ λ ⟨ΔW²⟩": r"$\frac{1}{2}\Sigma\lambda\langle\Delta W^2\rangle$",
    "1 / margin²": r"1 / margin$^2$",
    "spectral product / margin²": r"spectral product / margin$^2$",
    "1 / N": "$1/N$",
    "|W|": r"$\|W\|$",
    "σ_g σ_w": r"$\sigma_g\,\sigma_w$ (circular)",
}


def draw_product(runs: pd.DataFrame) -> Figure:
    """The gap of every run against the product of λ₁ and size, with exponents that were fixed before any run.

    A point is a run of the random design that has come to the target loss; the panels show the same runs, coloured by
    one factor each. Dashed: gap proportional to the product, the constant fitted.
    """
    found = runs[(runs["ended"] == "converged") & (runs["gap"] > 0)] if len(runs) else runs
    if found.empty:
        return draw_nothing(_NOTHING)
    product = np.prod([found[name].to_numpy(float) ** power for name, power in FIXED.items()], axis=0)
    figure = Figure(figsize=(PAGE, 2.35), layout="constrained")
    panels = figure.subplots(1, len(_FACTORS), sharex=True, sharey=True)
    ends = np.array([product.min(), product.max()])
    constant = float(np.exp(np.mean(np.log(found["gap"] / product))))
    for axes, factor, text in zip(panels, _FACTORS, "abcd", strict=True):
        axes.set(xscale="log", yscale="log")
        _coloured(figure, axes, product, found["gap"].to_numpy(float), found[factor], factor)
        axes.plot(ends, constant * ends, color="0.3", linewidth=0.7, linestyle="--", zorder=1)
        letter(axes, text)
    plain_log_ticks(panels[0].xaxis, *panels[0].get_xlim())
    plain_log_ticks(panels[0].yaxis, *panels[0].get_ylim())
    panels[0].set_ylabel("Gap (nats)")
    figure.supxlabel(r"$\lambda_1^{1/2}\,$size$^{7/4}$", fontsize=7)
    return figure


def _coloured(figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray, values: pd.Series, factor: str) -> None:
    """Points coloured by a factor, and the bar that says how: one box per value where there are few."""
    levels = sorted(values.unique())
    few = len(levels) <= 4
    norm: Normalize
    if few:
        colours = ListedColormap(value_colours(len(levels)))
        norm = BoundaryNorm(np.arange(len(levels) + 1) - 0.5, len(levels))
        numbers = np.searchsorted(levels, values)
    else:
        colours = ListedColormap(value_colours(64))
        norm, numbers = LogNorm(values.min(), values.max()), values.to_numpy(float)
    axes.scatter(x, y, c=numbers, cmap=colours, norm=norm, s=6, linewidths=0, alpha=0.9, zorder=2)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, location="top", aspect=18, pad=0.02, shrink=0.9)
    bar.set_label(STUDY.settings[factor].axis_label, labelpad=2)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, pad=1)
    if few:
        bar.set_ticks(list(range(len(levels))), labels=[format_value(level) for level in levels])
        bar.ax.tick_params(which="both", length=0)
    else:
        plain_log_ticks(bar.ax.xaxis, float(values.min()), float(values.max()))


def draw_predictors(predictors: pd.DataFrame) -> Figure:
    """Every predictor alike: how it ranks the gaps of a block, and what it misses of runs that it was not fitted to.

    (a) Spearman's correlation with the gap. (b) Root mean square error of the predicted logarithm of the gap, for a
    fifth of a block at a time, fitted to the rest of it; without error it would be zero. Points are means over blocks,
    bars 95% intervals of Student's t. The dotted line is the law with fixed exponents. σ_g σ_w is circular: its σ_g is
    made of the test loss.
    """
    if predictors.empty:
        return draw_nothing("Nothing to show: no block has ten runs that have come to the target loss.")
    by_group = [predictors[predictors["group"] == group] for group in _GROUPS]
    order = [name for rows in by_group for name in rows.groupby("predictor")["missed"].mean().sort_values().index]
    figure = Figure(figsize=(PAGE, 0.7 + 0.165 * len(order)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    looks = _looks()
    for axes, column, text in zip(panels, ("rank", "missed"), "ab", strict=True):
        for place, name in enumerate(order):
            rows = predictors[predictors["predictor"] == name]
            mean, half = mean_interval(rows[column].to_numpy(float))
            style = looks[rows["group"].iloc[0]]
            axes.errorbar(mean, place, xerr=None if np.isnan(half) else half, elinewidth=0.9, **style)
        fixed = predictors.loc[predictors["predictor"] == "λ₁^½ size^1.75", column].mean()
        axes.axvline(fixed, color=looks["duality"]["color"], linewidth=0.6, linestyle=":", zorder=0)
        axes.grid(axis="y", color="0.93", linewidth=0.5)
        axes.set_axisbelow(True)
        letter(axes, text)
    panels[0].axvline(0, color="0.6", linewidth=0.5, zorder=0)
    panels[0].set(xlabel="Rank correlation with the gap", xlim=(-1.02, 1.02), xticks=[-1, -0.5, 0, 0.5, 1])
    panels[1].set(xlabel="Error of the log gap, held out (nats)")
    panels[1].set_xlim(left=0)
    panels[0].set_yticks(range(len(order)), [_symbol(name) for name in order])
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    figure.legend(handles=_handles(looks), loc="outside lower center", ncols=len(_GROUPS), columnspacing=1.2)
    return figure


def _symbol(name: str) -> str:
    plain = name.removesuffix(", balanced")
    return _SYMBOLS.get(plain, plain) + name.removeprefix(plain)


def _looks() -> dict[str, dict[str, Any]]:
    """Group → how its points look: told apart by shape as well as by colour."""
    blue, orange = sns.color_palette("colorblind", 4)[0], sns.color_palette("colorblind", 4)[3]
    return {
        "duality": {"fmt": "o", "color": blue},
        "balanced": {"fmt": "o", "color": blue, "markerfacecolor": "white"},
        "literature": {"fmt": "s", "color": orange, "markersize": 3},
        "circular": {"fmt": "X", "color": "0.55", "markersize": 4.5},
        "none": {"fmt": "|", "color": "0.2", "markersize": 6},
    }


def _handles(looks: Mapping[str, Mapping[str, Any]]) -> list[Line2D]:
    found = []
    for group, words in _GROUPS.items():
        style = {name: value for name, value in looks[group].items() if name != "fmt"}
        found.append(Line2D([], [], linestyle="none", marker=looks[group]["fmt"], label=words, **style))
    return found


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over blocks, and the verdict as colour."""
    return effects.draw_effects(claims)
