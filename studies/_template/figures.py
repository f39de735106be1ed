"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, letter, value_colours
from awduality.study.tables import by_setting


def draw_spectra(spectrum: pd.DataFrame) -> Figure:
    """Variance along every direction against its curvature, a panel per kind of noise and a colour per learning rate.

    Points are means over seeds, lines the theory of the stationary state.
    """
    if spectrum.empty:
        return draw_nothing("Nothing to show: every run diverged.")
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    kinds = list(spectrum["noise"].unique())
    panels = figure.subplots(1, len(kinds), sharex=True, squeeze=False)[0]
    rates = sorted(spectrum["learning_rate"].unique())
    colours = dict(zip(rates, value_colours(len(rates)), strict=True))
    for axes, kind, text in zip(panels, kinds, "abc", strict=False):
        of_kind = spectrum[spectrum["noise"] == kind]
        for setting, rows in by_setting(of_kind, ("learning_rate", "batch_size")):
            mean = rows.groupby("curvature")[["variance", "theory"]].mean()
            colour = colours[setting["learning_rate"]]
            axes.plot(mean.index, mean["variance"], "o", color=colour, markersize=2)
            axes.plot(mean.index, mean["theory"], color=colour, linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel="Curvature $h$", title=f"Noise {kind}")
        letter(axes, text)
    panels[0].set_ylabel(r"Variance $\sigma_w^2$")
    return figure


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
