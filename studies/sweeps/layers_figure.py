"""The layers of one network side by side: the trends of every factor, and the claims that are not about a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awduality.figures.effects import legend_handles
from awduality.figures.style import PAGE, draw_nothing, letter
from studies.sweeps.study import FACTORS
from studies.sweeps.verdicts import MEASURES, draw_cell

Claim = Mapping[str, Any]

_TRENDS = ("sigma_g_total", "sigma_w_total", "top_eigenvalue", "trace", "sharp_part", "flat_part")
_CLAIMS = {
    "means": "Mean term / estimate",
    "constancy": "c, sharpest ÷ flattest",
    "correlation": "Median c",
    "concentration": "Sharp share",
    "sharpness": r"Rank corr. of $\sigma_g$ and $\lambda$",
    "spectra": r"Corr. of $\sigma_g$ and $\sigma_w$",
    "size-norm": r"Rank corr. of size and $\|W\|$",
    "codeterminants": r"Lead of $\lambda_1\,\Sigma\sigma_w^2$",
    "codeterminants/within": "… within factors",
}


def draw_layers(claims: Sequence[Claim]) -> Figure:
    """A panel per factor, and one of the other claims; a row per measure or claim, a column per layer.

    Args:
        claims: the rows of ``claims.json``.
    """
    cells = {(claim["layer"], claim["id"]): claim for claim in claims}
    layers = sorted({layer for layer, _ in cells}, key=lambda name: (len(name), name))
    factors = [factor for factor in FACTORS if any(cells[layer, f"{factor}/gap"]["n"] is not None for layer in layers)]
    if not factors:
        return draw_nothing("No trend could be tested: no sweep has two values with converged runs.")
    figure = Figure(figsize=(PAGE, 3.9), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(len(_TRENDS) + 2, len(_CLAIMS) + 2))
    trends, others = parts
    panels = trends.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    for axes, factor, text in zip(panels, factors, "abcdefghi", strict=False):
        names = [f"{factor}/{measure}" for measure in _TRENDS]
        _table(axes, [[cells[layer, name] for layer in layers] for name in names], layers)
        axes.set_xlabel(FACTORS[factor].axis_label)
        letter(axes, text)
    panels[0].set_yticks(np.arange(len(_TRENDS)) + 0.5, [MEASURES[name].replace("\n", " ") for name in _TRENDS])
    axes = others.subplots()
    _table(axes, [[cells[layer, name] for layer in layers] for name in _CLAIMS], layers)
    axes.set_yticks(np.arange(len(_CLAIMS)) + 0.5, _CLAIMS.values())
    letter(axes, "abcdefghij"[len(factors)])
    shown = [f"{factor}/{measure}" for factor in factors for measure in _TRENDS] + list(_CLAIMS)
    figure.legend(
        handles=legend_handles({cells[layer, name]["verdict"] for layer in layers for name in shown}),
        title=f"{claims[0]['config']}, every layer from the input (left) to the output. Above: trend from the smallest "
        "to the largest value of a factor,\nmean over seeds; below: claims over all runs. "
        "* expected to rise or fall, and does; † expected so, and does the opposite.",
        loc="outside lower center",
        ncols=5,
    )
    return figure


def _table(axes: Axes, rows: Sequence[Sequence[Claim]], layers: Sequence[str]) -> None:
    for row, claims in enumerate(rows):
        for column, claim in enumerate(claims):
            draw_cell(axes, column, row, claim, claim["id"].partition("/")[2])
    axes.set(xlim=(0, len(layers)), ylim=(len(rows), 0))
    axes.set_xticks(np.arange(len(layers)) + 0.5, layers)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
