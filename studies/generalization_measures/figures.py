"""Figures: errors of every measure on every axis, the two determinants and their product, and floors of estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, letter
from studies.generalization_measures.arms import AXES
from studies.generalization_measures.candidates import (
    CALIBRATION,
    CANDIDATE,
    CIRCULAR,
    MEASURES,
    PER_SAMPLE,
    PUBLISHED,
    TRAIN_ONLY,
    of_group,
)
from studies.generalization_measures.study import STUDY

_COLOURS = {
    PUBLISHED: "#0072b2",
    CANDIDATE: "#d55e00",
    TRAIN_ONLY: "#cc79a7",
    PER_SAMPLE: "#e69f00",
    CIRCULAR: "0.6",
    CALIBRATION: "black",
}
_ROWS = ("oracle", *of_group(PUBLISHED, CANDIDATE, PER_SAMPLE, TRAIN_ONLY, CIRCULAR))
_ROWS += ("one_over_n", "train_loss", "noise")
_AXIS_WORDS = {axis: STUDY.settings[axis].words for axis in AXES}
_NOTHING = "Nothing to show: in no environment the sign of the gap is certain enough."
_KINDS = {
    "": "Plain",
    "_balanced": "Balanced",
    "_own": "Training samples only",
}
_FACTORS = {
    "eigenvalue": (r"$\lambda_1$", "#0072b2", "o"),
    "size": (r"$\Sigma\sigma_w^2$", "#009e73", "s"),
    "eigenvalue_size": (r"$\lambda_1\,\Sigma\sigma_w^2$", "#d55e00", "D"),
}
_ESTIMATES = {
    "rmse_constant": ("a constant", "#009e73", "o"),
    "rmse_weight": ("share of coefficients", "#cc79a7", "s"),
    "rmse_left_out": ("leave one out", "#d55e00", "D"),
    "rmse_training": ("training error", "#0072b2", "^"),
}
_FAILURES = {"fails_rank": ("from the rank", "#009e73", "o"), "fails_training": ("training error", "#0072b2", "^")}


def draw_sign_errors(errors: pd.DataFrame) -> Figure:
    """Sign errors of every measure (rows) along every hyper-parameter (columns), by weights that know the test samples to be paired. A dot is an environment, that is two settings that differ in the column's hyper-parameter alone, all pairs of their seeds; only environments count in which the sign of the difference of gaps is certain in enough pairs, and below a column stands how many do. Bars are means, 0 is always right, 1 always wrong, the dotted line chance. The oracle is the test error on half of the test samples, judged on the other half. Blue: published measures; vermilion: candidates of the main paper, for one layer; orange: the same over n; purple: with training samples in place of test samples; grey: circular, since it is made of the test loss; black: calibration."""  # noqa: E501
    if errors.empty:
        return draw_nothing(_NOTHING)
    axes_here = [axis for axis in AXES if (errors["axis"] == axis).any()]
    figure = Figure(figsize=(PAGE, 1.0 + 0.155 * len(_ROWS)), layout="constrained")
    panels = figure.subplots(1, len(axes_here), sharey=True, squeeze=False)[0]
    for panel, axis, text in zip(panels, axes_here, "abcde", strict=False):
        on_axis = errors[errors["axis"] == axis]
        for place, name in enumerate(_ROWS):
            values = on_axis.loc[on_axis["measure"] == name, "error"].dropna()
            colour = _COLOURS[MEASURES[name].group]
            panel.plot(values, np.full(len(values), place), "o", color=colour, alpha=0.35, markersize=2.6, mew=0)
            panel.plot([values.mean()] * 2, [place - 0.38, place + 0.38], color=colour, linewidth=1.6)
        panel.axvline(0.5, color="0.4", linewidth=0.6, linestyle=":", zorder=0)
        count = on_axis.groupby("measure").size().max()
        panel.set(xlim=(-0.06, 1.06), xlabel=f"Sign error\n{count} environments", title=_AXIS_WORDS[axis])
        panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        panel.grid(axis="y", color="0.93", linewidth=0.5)
        panel.tick_params(axis="y", length=0)
        letter(panel, text)
    panels[0].set_yticks(range(len(_ROWS)), [MEASURES[name].words for name in _ROWS])
    panels[0].set_ylim(len(_ROWS) - 0.4, -0.6)
    return figure


def draw_co_determinants(measures: pd.DataFrame) -> Figure:
    """Mean sign error along every hyper-parameter of sharpness λ₁, size Σσ_w² and their product: of the network as it is, in its balanced form, which no rescaling of units changes, and with the size of pairs of training samples in place of test and training samples. Right of the line the mean over hyper-parameters, with its jackknife standard error over seeds as bar. Dotted: chance."""  # noqa: E501
    found = measures[measures["weights"] == "paired"]
    if found.empty:
        return draw_nothing(_NOTHING)
    axes_here = [axis for axis in AXES if found[f"on_{axis}"].notna().any()]
    figure = Figure(figsize=(PAGE, 2.75), layout="constrained")
    panels = figure.subplots(1, len(_KINDS), sharey=True)
    by_name = found.set_index("measure")
    for panel, (ending, title), text in zip(panels, _KINDS.items(), "abc", strict=True):
        for shift, (factor, (_, colour, marker)) in zip((-0.12, 0.0, 0.12), _FACTORS.items(), strict=True):
            name = f"{factor}{'' if ending == '_own' and factor == 'eigenvalue' else ending}"
            row = by_name.loc[name]
            places = np.arange(len(axes_here)) + shift
            values = row[[f"on_{axis}" for axis in axes_here]].to_numpy(float)
            panel.plot(places, values, marker, color=colour, markersize=4.2)
            panel.errorbar(
                len(axes_here) + 0.4 + shift,
                row["axis_mean"],
                row["axis_mean_se"],
                fmt=marker,
                color=colour,
                markersize=4.2,
            )
        panel.axhline(0.5, color="0.4", linewidth=0.6, linestyle=":", zorder=0)
        panel.axvline(len(axes_here) - 0.3, color="0.7", linewidth=0.6)
        words = [*(_AXIS_WORDS[axis] for axis in axes_here), "mean over axes"]
        panel.set_xticks([*range(len(axes_here)), len(axes_here) + 0.4], words, rotation=40, ha="right")
        panel.set(title=title, ylim=(-0.05, 1.05))
        letter(panel, text)
    panels[0].set_ylabel("Mean sign error")
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=label)
        for label, colour, marker in _FACTORS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def draw_floors(theory: pd.DataFrame) -> Figure:
    """Where no estimate of the error can be good. (a) Linear functions over F_q, a learner that prefers a subspace, and a truth from the subspace or from anywhere: root mean square error of estimates, given that one hypothesis of the subspace agrees with the samples. (b) Parities of d bits from m samples: how often an estimate misses the error by ¼ or more. Black lines are the closed forms of the least that any estimate can have, points concrete estimates in simulations."""  # noqa: E501
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    by_field, by_samples = figure.subplots(1, 2)
    _floor(by_field, theory[theory["game"] == "fields"], "field", _ESTIMATES)
    by_field.set(xlabel="Order of the field $q$", ylabel="Root mean square error", ylim=(0, None))
    by_field.set_xticks(sorted(theory["field"].dropna().unique()))
    _floor(by_samples, theory[theory["game"] == "parities"], "surplus", _FAILURES)
    by_samples.set(xlabel="Samples less dimension $m-d$", ylabel="Share of misses by ¼ or more", ylim=(-0.03, 1.03))
    for panel, text in zip((by_field, by_samples), "ab", strict=True):
        letter(panel, text)
        panel.legend(loc="lower right" if panel is by_field else "upper right")
    return figure


def _floor(panel: Any, rows: pd.DataFrame, column: str, estimates: Mapping[str, tuple[str, str, str]]) -> None:
    rows = rows.sort_values(column)
    for name, (label, colour, marker) in estimates.items():
        panel.plot(rows[column], rows[name], marker, color=colour, label=label, markersize=4)
    panel.plot(rows[column], rows["floor"], color="black", linewidth=1.0, label="least possible", zorder=1)


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
