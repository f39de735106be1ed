"""Verdicts as pictures: the grid of factors and measures, and how well each predictor ranks the gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from awduality.claims.words import first_layer
from awduality.figures.effects import COLOURS, legend_handles
from awduality.figures.style import PAGE, describe, draw_nothing, letter, wrapped
from studies.sweeps.study import FACTORS

Claim = Mapping[str, Any]

MEASURES = {
    "sigma_g_total": r"$\Sigma\sigma_g$",
    "sigma_w_total": r"$\Sigma\sigma_w$",
    "top_eigenvalue": r"$\lambda_1$",
    "trace": r"$\mathrm{tr}\,H$",
    "sharp_part": "Sharp part\n(nats)",
    "flat_part": "Flat part\n(nats)",
    "gap": "Gap\n(nats)",
    "test_error": "Test error\n(points)",
    "train_loss": "Training\nloss",
}

_OWN = "#d55e00"  # of the predictor that a claim is about

_PANELS = {
    "codeterminants": "Over all runs of a seed",
    "codeterminants/within": "Within each factor's sweep",
    "codeterminants/balanced": "All runs, networks balanced",
}
SYMBOLS = {
    "λ₁ Σσ_w²": r"$\lambda_1\,\Sigma\sigma_w^2$",
    "λ₁ and size": r"$\lambda_1$ and size",
    "λ₁": r"$\lambda_1$",
    "trace": r"$\mathrm{tr}\,H$",
    "Σσ_w²": r"$\Sigma\sigma_w^2$",
    "|W|": r"$\|W\|$",
    "all weights' norm": "norm of all weights",
    "½ Σ λ ⟨ΔW²⟩": r"$\frac{1}{2}\Sigma\lambda\langle\Delta W^2\rangle$",
}


def draw_verdicts(claims: Sequence[Claim]) -> Figure:
    """A cell per factor and measure: the change along the sweep, and the verdict as colour.

    Args:
        claims: the rows of ``claims.json``.
    """
    cells = first_layer(claims)
    factors = [factor for factor in FACTORS if f"{factor}/gap" in cells and cells[f"{factor}/gap"]["n"] is not None]
    if not factors:
        return draw_nothing("No trend could be tested: no sweep has two values with converged runs.")
    figure = Figure(figsize=(PAGE, 0.75 + 0.31 * len(factors)), layout="constrained")
    axes = figure.subplots()
    for row, factor in enumerate(factors):
        for column, measure in enumerate(MEASURES):
            draw_cell(axes, column, row, cells[f"{factor}/{measure}"], measure)
    axes.set_xticks(np.arange(len(MEASURES)) + 0.5, MEASURES.values())
    axes.set_yticks(np.arange(len(factors)) + 0.5, [FACTORS[factor].axis_label for factor in factors])
    axes.set(xlim=(0, len(MEASURES)), ylim=(len(factors), 0))
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    found = {cells[f"{factor}/{measure}"]["verdict"] for factor in factors for measure in MEASURES}
    handles = legend_handles(found)
    figure.legend(
        handles=handles,
        title=wrapped(
            f"{describe(claims[0])}. Trend over the values of a factor at which every seed converged, mean over seeds."
        )
        + "\n* expected to rise or fall, and does; † expected so, and does the opposite.",
        loc="outside lower center",
        ncols=len(handles),
    )
    return figure


def draw_cell(axes: Axes, column: int, row: int, claim: Claim, measure: str) -> None:
    """One claim as a coloured cell with its effect; ``measure`` is what comes after the factor in its id."""
    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=COLOURS[claim["verdict"]], edgecolor="white"))
    if claim["verdict"] == "not tested":
        words = "–"
    elif claim["scale"] == "log":
        words = f"×{np.exp(claim['estimate']):.2f}"
    elif measure == "test_error":
        words = f"{100 * claim['estimate']:+.1f}"
    else:
        words = f"{claim['estimate']:+.3f}"
    marks = {"supported": "*", "contradicted": "†"} if claim["expected"] in ("+", "-") else {}
    axes.text(
        column + 0.5, row + 0.52, words.replace("-", "−") + marks.get(claim["verdict"], ""), ha="center", va="center"
    )


def draw_predictors(claims: Sequence[Claim]) -> Figure:
    """How well each predictor ranks the gaps: Spearman's correlation with its interval, three ways.

    Args:
        claims: the rows of ``claims.json``.
    """
    cells = first_layer(claims)
    names = [entry["predictor"] for entry in cells["codeterminants"]["details"]]
    if not names:
        return draw_nothing("Nothing could be ranked: fewer than three converged runs per seed.")
    figure = Figure(figsize=(PAGE, 2.2), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharex=True, sharey=True)
    for axes, (name, title), text in zip(panels, _PANELS.items(), "abc", strict=True):
        draw_ranks(axes, cells[name], names)
        axes.set_title(title, fontsize=6.5)
        letter(axes, text)
    panels[0].invert_yaxis()
    figure.supxlabel(f"{describe(claims[0])}. Means over seeds; bars: 95% $t$-intervals.", fontsize=6, color="0.35")
    return figure


def draw_ranks(axes: Axes, claim: Claim, names: Sequence[str]) -> None:
    """A row per predictor in the details of a claim, its own first: the number of each with its interval."""
    found = {
        entry["predictor"].removesuffix(", balanced"): entry
        for entry in claim["details"]
        if not {"factor", "left_out"} & set(entry)
    }
    for place, name in enumerate(names):
        if name in found:
            draw_estimate_at(axes, place, found[name])
        else:
            axes.text(0.05, place, "not measured", va="center", color="0.5", fontsize=6)
    axes.axvline(0, color="0.6", linewidth=0.5, zorder=0)
    axes.set(xlabel="Spearman's correlation with the gap", xlim=(-1, 1))
    axes.set_yticks(range(len(names)), [SYMBOLS.get(name, name) for name in names])


def draw_estimate_at(axes: Axes, place: int, found: Mapping[str, Any]) -> None:
    """An estimate with its interval in a row of its own; the first row is that of what the claim is about."""
    low, high = (found["estimate"] if end is None else end for end in found["interval"])
    axes.plot([low, high], [place, place], color="0.35" if place else _OWN, linewidth=1.0)
    axes.plot(found["estimate"], place, "o" if place else "D", color="black" if place else _OWN)
