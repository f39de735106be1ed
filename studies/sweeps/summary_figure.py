"""The test in one picture: what is equal by algebra, what the nulls give too, what ranks and predicts the gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle

from awduality.claims.report import first_layer
from awduality.figures.effects import legend_handles
from awduality.figures.style import PAGE, describe, letter, plain_log_axes, wrapped
from studies.sweeps.looks import factor_colours, factor_label, factor_markers
from studies.sweeps.null_figure import LOOKS, draw_curves
from studies.sweeps.overview import shown
from studies.sweeps.study import FACTORS
from studies.sweeps.verdicts import MEASURES, SYMBOLS, draw_cell, draw_estimate_at, draw_ranks

Claim = Mapping[str, Any]

_EXPONENTS = {"top_eigenvalue": 0.5, "sigma_w_norm": 1.75}
_PRODUCT = r"$\lambda_1^{1/2}\,(\Sigma\sigma_w^2)^{7/8}$"
_TABLE = ("top_eigenvalue", "sigma_w_total", "gap")
_TEST, _TRAIN = "#d55e00", "#0072b2"


def draw_summary(runs: pd.DataFrame, curves: pd.DataFrame, claims: Sequence[Claim]) -> Figure:
    """Six panels: the duality, concentration with its nulls, gap and product, ranks, prediction, factors.

    Args:
        runs: a row per run, layer and pairing.
        curves: as ``studies.sweeps.null_numbers.null_curve_rows`` makes them.
        claims: the rows of ``claims.json``.
    """
    cells = first_layer(claims)
    figure = Figure(figsize=(PAGE, 5.4), layout="constrained")
    panels = figure.subplots(2, 3, width_ratios=[1, 1, 1.15]).flat
    _schematic(panels[0])
    _concentration(panels[1], curves)
    _gaps(panels[2], shown(runs))
    _ranks(panels[3], cells)
    _prediction(panels[4], cells["codeterminants/held-out"])
    found = _factors(panels[5], cells)
    for axes, text in zip(panels, "abcdef", strict=True):
        letter(axes, text)
    figure.legend(
        handles=legend_handles(found),
        title=wrapped(f"{describe(claims[0])}. Means over seeds, bars: 95% $t$-intervals. f: verdicts as colours."),
        loc="outside lower center",
        ncols=5,
    )
    return figure


def _schematic(axes: Axes) -> None:
    """A layer with another input beside the layer with other weights: the same output."""
    axes.set(xlim=(0, 10), ylim=(0, 10))
    axes.axis("off")
    for top, given, weights, colour in (
        (8.3, "$a' = a + \\Delta a$", "$W$", _TEST),
        (4.6, "$a$", "$W + \\Delta W$", _TRAIN),
    ):
        axes.text(2.6, top, given, ha="right", va="center", fontsize=7.5, color=colour)
        axes.add_patch(Rectangle((4.2, top - 0.9), 3.6, 1.8, facecolor="0.95", edgecolor="0.3", linewidth=0.8))
        axes.text(6.0, top, weights, ha="center", va="center", fontsize=7.5)
        for start, end in ((2.8, 4.2), (7.8, 9.2)):
            axes.add_patch(FancyArrowPatch((start, top), (end, top), arrowstyle="-|>", mutation_scale=7, color="0.3"))
        axes.text(9.7, top, r"$z'$", ha="center", va="center", fontsize=8)
    axes.text(9.7, 6.45, "=", ha="center", va="center", fontsize=9, rotation=90)
    axes.text(5.0, 2.55, r"$\Delta W = (W\,\Delta a)\,a^{\mathsf{T}}/|a|^2$", ha="center", va="center", fontsize=8)
    axes.text(
        5.0,
        0.9,
        r"gap $\approx \Sigma_n\,(c_n\,\sigma_{g,n}\,\sigma_{w,n} + \mu_{g,n}\,\mu_{w,n})$",
        ha="center",
        va="center",
        fontsize=7,
    )


def _concentration(axes: Axes, curves: pd.DataFrame) -> None:
    names = ["real", "shuffled_scalars", "random_basis"]
    draw_curves(axes, curves, "share", names)
    axes.axvline(10, color="0.6", linewidth=0.5, linestyle=(0, (2, 2)), zorder=0)
    axes.set(
        xscale="log", ylim=(0, 1.2), xlabel=r"Direction $n$, by $\sigma_{g,n}$", ylabel="Cumulative share of the sum"
    )
    looks = [LOOKS[name] for name in names]
    handles = [Line2D([], [], color=colour, label=label) for label, colour, _ in looks]
    axes.legend(handles=handles, loc="upper left", fontsize=5.5, handlelength=1.2, borderpad=0)


def _gaps(axes: Axes, runs: pd.DataFrame) -> None:
    """The gap of every converged run against sharpness and size, with the exponents of the claims."""
    runs = runs[(runs["ended"] == "converged") & (runs["gap"] > 0)]
    product = np.prod([runs[name].to_numpy(float) ** power for name, power in _EXPONENTS.items()], axis=0)
    colours, markers = factor_colours(), factor_markers()
    for factor in runs["factor"].unique():
        chosen = (runs["factor"] == factor).to_numpy()
        axes.plot(
            product[chosen],
            runs["gap"][chosen],
            markers[factor],
            color=colours[factor],
            markeredgecolor="white",
            markeredgewidth=0.2,
            markersize=3,
            label=factor_label(factor),
        )
    axes.set(xlabel=_PRODUCT, ylabel="Generalization gap (nats)")
    plain_log_axes(axes)
    axes.legend(loc="upper left", fontsize=5.5, handletextpad=0.1, borderpad=0, labelspacing=0.25)


def _ranks(axes: Axes, cells: Mapping[str, Claim]) -> None:
    """How every predictor ranks the gaps; below, what each of the two determinants says beyond the other."""
    names = [entry["predictor"] for entry in cells["codeterminants"]["details"]]
    draw_ranks(axes, cells["codeterminants"], names)
    partial = {
        "codeterminants/sharpness": r"$\lambda_1$, given size",
        "codeterminants/size": r"size, given $\lambda_1$",
    }
    for place, name in enumerate(partial, len(names)):
        if cells[name]["estimate"] is not None:
            draw_estimate_at(axes, place, cells[name])
    axes.axhline(len(names) - 0.5, color="0.6", linewidth=0.5)
    axes.set_yticks(range(len(names) + 2), [*(SYMBOLS.get(name, name) for name in names), *partial.values()])
    axes.set(xlabel="Rank correlation with the gap")
    axes.invert_yaxis()


def _prediction(axes: Axes, claim: Claim) -> None:
    """How far every law is off where a factor is left out, its own first."""
    entries = [entry for entry in claim["details"] if "left_out" not in entry]
    for place, entry in enumerate(entries):
        draw_estimate_at(axes, place, entry)
    axes.set_yticks(range(len(entries)), [SYMBOLS.get(entry["predictor"], entry["predictor"]) for entry in entries])
    axes.set(xlabel="Error of log gap, factor left out", xlim=(0, None))
    axes.invert_yaxis()


def _factors(axes: Axes, cells: Mapping[str, Claim]) -> set[str]:
    """A row per factor: how sharpness, size and gap change along it; the verdicts that occur."""
    factors = [factor for factor in FACTORS if f"{factor}/gap" in cells and cells[f"{factor}/gap"]["n"] is not None]
    for row, factor in enumerate(factors):
        for column, measure in enumerate(_TABLE):
            draw_cell(axes, column, row, cells[f"{factor}/{measure}"], measure)
    axes.set_xticks(np.arange(len(_TABLE)) + 0.5, [MEASURES[name] for name in _TABLE])
    axes.set_yticks(np.arange(len(factors)) + 0.5, [FACTORS[factor].words for factor in factors])
    axes.set(xlim=(0, len(_TABLE)), ylim=(max(len(factors), 1), 0))
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    return {cells[f"{factor}/{measure}"]["verdict"] for factor in factors for measure in _TABLE}
