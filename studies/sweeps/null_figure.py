"""The nulls in one picture: the baseline's spectra beside those of every control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.figures.style import PAGE, describe, letter, wrapped

LOOKS: Mapping[str, tuple[str, str, Any]] = {
    "real": ("Solutions as trained", "black", "-"),
    "shuffled_scalars": ("Shuffled scalars", "#d55e00", "-"),
    "random_basis": ("Random basis", "#0072b2", "-"),
    "layerwise": ("Layers rescaled", "#009e73", (0, (3, 2))),
    "neuronwise": ("Neurons rescaled", "#cc79a7", "-"),
}


def draw_nulls(curves: pd.DataFrame) -> Figure:
    """Four panels: σ_g against shuffled scalars and a random basis, c likewise, the cumulative gap, σ_g when rescaled.

    Args:
        curves: as ``studies.sweeps.null_numbers.null_curve_rows`` makes them.
    """
    figure = Figure(figsize=(PAGE * 0.85, 4.6), layout="constrained")
    panels = figure.subplots(2, 2).flat
    draw_curves(panels[0], curves, "sigma_g", ["real", "shuffled_scalars", "random_basis"])
    panels[0].set(yscale="log", ylabel=r"Sharpness $\sigma_{g,n}$")
    draw_curves(panels[1], curves, "c", ["real", "shuffled_scalars", "random_basis"])
    panels[1].axhline(0, color="0.6", linewidth=0.5, zorder=0)
    panels[1].set(ylabel=r"Correlation $c_n$")
    draw_curves(panels[2], curves, "share", ["real", "shuffled_scalars", "random_basis", "neuronwise", "layerwise"])
    panels[2].set(ylabel="Cumulative share of the estimate", ylim=(0, 1.05))
    draw_curves(panels[3], curves, "sigma_g", ["real", "layerwise", "neuronwise"])
    panels[3].set(yscale="log", ylabel=r"Sharpness $\sigma_{g,n}$")
    for axes, text in zip(panels, "abcd", strict=False):
        axes.set(xscale="log", xlabel=r"Direction $n$, by $\sigma_{g,n}$")
        letter(axes, text)
    handles = [Line2D([], [], color=colour, linestyle=style, label=label) for label, colour, style in LOOKS.values()]
    figure.legend(
        handles=handles,
        title=wrapped(
            f"{describe(curves.iloc[0])}; baseline. Lines: means, bands: central 95%, over seeds and draws.",
            figure.get_figwidth(),
        ),
        loc="outside lower center",
        ncols=len(handles),
    )
    return figure


def draw_curves(axes: Axes, table: pd.DataFrame, curve: str, nulls: Sequence[str]) -> None:
    """A line and a band per null; on logarithmic axes a band is cut at the smallest number above zero."""
    chosen = table[table["curve"] == curve]
    for null in nulls:
        rows = chosen[chosen["null"] == null]
        _, colour, style = LOOKS[null]
        low = np.maximum(rows["low"], chosen["mean"].min()) if curve == "sigma_g" else rows["low"]
        axes.fill_between(rows["n"], low, rows["high"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(rows["n"], rows["mean"], color=colour, linestyle=style)
