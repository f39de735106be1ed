"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, letter
from studies.overconfidence.study import STUDY

_GAPS = {"gap": "Gap (nats)", "gap_tempered": "Gap, tempered (nats)", "error_gap": "Gap in error"}
_MARKERS = ("o", "s", "^", "v", "D", "P", "X")  # of settings, in turn


def draw_gaps(runs: pd.DataFrame) -> Figure:
    """The gap against sharpness λ₁ (above; flatter is to the left) and against its product with size, λ₁ Σσ_w² (below): (a) of losses, (b) of the same functions with logits divided by the best temperature, fitted on one half of the test samples and used on the other, both ways, (c) of error rates, in which no confidence enters. (d) The temperature. A point is a run that has come to the target loss; colours and shapes are settings, of which one at a time, batch size B, learning rate α or weight decay β, differs from the default."""  # noqa: E501
    found = runs[runs["ended"] == "converged"] if len(runs) else runs
    if found.empty:
        return draw_nothing("Nothing to show: no run has come to the target loss.")
    names = [name for name in ("batch_size", "learning_rate", "weight_decay") if found[name].nunique() > 1]
    figure = Figure(figsize=(PAGE, 3.7), layout="constrained")
    panels = figure.subplots(2, 4, sharex="row", sharey="col")
    default = found[names].mode().iloc[0]
    away = (found[names] != default).dot(range(1, len(names) + 1))  # the default first, then factor by factor
    settings = list(found.assign(away=away).groupby(["away", *names])) if names else [((), found)]
    colours = sns.color_palette("colorblind", len(settings))
    for (values, rows), colour, marker in zip(settings, colours, itertools.cycle(_MARKERS), strict=False):
        across = (rows["top_eigenvalue"], rows["top_eigenvalue"] * rows["size"] ** 2)
        changed = [(name, value) for name, value in zip(names, values[1:], strict=True) if value != default[name]]
        words = ", ".join(f"${STUDY.settings[name].symbol} = {value:g}$" for name, value in changed) or "default"
        for line, x in zip(panels, across, strict=True):
            for axes, column in zip(line, (*_GAPS, "temperature"), strict=True):
                axes.scatter(x, rows[column], s=9, marker=marker, color=colour, linewidths=0, label=words)
    for upper, lower, words, text in zip(*panels, (*_GAPS.values(), "Temperature"), "abcd", strict=True):
        upper.set(ylabel=words, xlabel=r"Sharpness $\lambda_1$")
        lower.set(ylabel=words, xlabel=r"$\lambda_1\,\Sigma\sigma_w^2$")
        for axes in (upper, lower):
            axes.locator_params(nbins=4)
        letter(upper, text)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(settings))
    return figure


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
