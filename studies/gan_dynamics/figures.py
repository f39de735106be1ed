"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, format_value, letter, plain_log_ticks, value_colours
from studies.gan_dynamics.ring import CENTRES

_PARTICLES, _GENERATOR, _DATA = "#0072b2", "#d55e00", "0.6"


def draw_clouds(clouds: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """A generator network and particles of the same coupling φ, from the same start.

    a: where they end, in the plane of their outputs, of one seed: particles above, the generator below; crosses are the
    eight modes of the data. b: size of the cloud, its root mean square distance from the centre of mass, over the
    coupling; points are seeds, lines their means. c: spread of the coupling over pairs of independent latents, in units
    of the self-coupling, over their dimension, for fresh generators of two activations; the line falls as d^(−1/2).
    """
    pair = _widest(runs)
    if pair.empty:
        return draw_nothing("Nothing to show: no generator and its shadow have both been followed to the end.")
    couplings = sorted(pair["coupling"].unique())
    shown = [couplings[0], couplings[1], couplings[-1]] if len(couplings) > 2 else couplings
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    left, middle, right = np.asarray(figure.subfigures(1, 3, width_ratios=(1.6, 1, 1)), dtype=object)
    _ends(left, clouds[clouds["run"].isin(pair["run"])], shown)
    axes = middle.subplots()
    for model, colour, marker, dodge in (("shadow", _PARTICLES, "o", -0.008), ("generator", _GENERATOR, "s", 0.008)):
        of = pair[pair["model"] == model]
        words = {"shadow": "particles", "generator": "generator"}[model]
        axes.plot(of["coupling"] + dodge, of["size"], marker, color=colour, markersize=2.5, alpha=0.6)
        mean = of.groupby("coupling")["size"].mean()
        axes.plot(mean.index + dodge, mean, color=colour, label=words)
    axes.set(xlabel=r"Coupling $\varphi = g_2/g_1$", ylabel="Size of the cloud", ylim=(0, None))
    axes.legend()
    letter(axes, "b")
    axes = right.subplots()
    _spread(axes, runs[runs["model"] == "kernel"])
    letter(axes, "c")
    return figure


def _widest(runs: pd.DataFrame) -> pd.DataFrame:
    """Generators of the largest width, and their shadows."""
    found = runs[runs["model"].isin(["generator", "shadow"]) & (runs["ended"] == "converged")]
    widest: pd.DataFrame = found[found["width"] == found["width"].max()]
    return widest


def _ends(part: Any, clouds: pd.DataFrame, couplings: Sequence[float]) -> None:
    panels = part.subplots(2, len(couplings), sharex=True, sharey=True, squeeze=False)
    for axes_of, model, colour in ((panels[0], "shadow", _PARTICLES), (panels[1], "generator", _GENERATOR)):
        for axes, coupling in zip(axes_of, couplings, strict=True):
            of = clouds[(clouds["model"] == model) & np.isclose(clouds["coupling"], coupling)]
            axes.plot(*CENTRES.T, "x", color=_DATA, markersize=3.5, zorder=1)
            axes.plot(of["x"], of["y"], "o", color=colour, markersize=1.8, alpha=0.7)
            axes.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xticks=[], yticks=[])
            if model == "shadow":
                axes.set_title(rf"$\varphi = {format_value(coupling)}$", fontsize=6.5)
    panels[0, 0].set_ylabel("particles")
    panels[1, 0].set_ylabel("generator")
    panels[0, 0].text(-0.12, 1.18, "a", transform=panels[0, 0].transAxes, fontweight="bold", fontsize=8)


def _spread(axes: Axes, runs: pd.DataFrame) -> None:
    axes.set(
        xlabel="Dimension $d$ of the latents", ylabel=r"Spread of $\Gamma_{ij}\,/\,g_1$", xscale="log", yscale="log"
    )
    for name, words, colour in (("relu", "ReLU", _PARTICLES), ("tanh", "tanh", _GENERATOR)):
        of = runs[runs["activation"] == name]
        if len(of):
            mean = of.groupby("dimension")["spread"].mean()
            axes.plot(of["dimension"], of["spread"], "o", color=colour, markersize=2, alpha=0.4)
            axes.plot(mean.index, mean, "o", color=colour, label=words)
            line = mean.iloc[0] * (mean.index / mean.index[0]) ** -0.5
            axes.plot(mean.index, line, color=colour, linewidth=0.7)
    if len(runs):
        axes.set_xticks(
            sorted(runs["dimension"].unique()), [format_value(d) for d in sorted(runs["dimension"].unique())]
        )
        axes.minorticks_off()
        plain_log_ticks(axes.yaxis, *axes.get_ylim())
        axes.legend()


def draw_phase(runs: pd.DataFrame, boundaries: pd.DataFrame) -> Figure:
    """When particles collapse, over their coupling φ.

    a: how many of the eight modes of the data are covered, over the coupling and the rate of the discriminator, means
    over the seeds that were followed to the end; hatched: where some ran away. b: size of the cloud; points are seeds,
    lines means, dashed where the centre of mass keeps one rate at every coupling; ticks: where the size is half of that
    without coupling. c: the same over the type of the discriminator.
    """
    of_phase = runs[
        (runs["model"] == "particles") & runs["experiments"].astype(str).str.contains("phase|types|centred")
    ]
    if of_phase.empty:
        return draw_nothing("Nothing to show: no particles were followed over the coupling.")
    figure = Figure(figsize=(PAGE, 2.4), layout="constrained")
    grid, size, kind = figure.subplots(1, 3)
    phase = of_phase[of_phase["experiments"].str.contains("phase")]
    _coverage(figure, grid, phase[phase["rule"] == "plain"])
    for rate, colour in zip(sorted(phase["rate_d"].unique()), (_PARTICLES, _GENERATOR, "#009e73"), strict=False):
        of = phase[(phase["rate_d"] == rate) & (phase["rule"] == "plain")]
        _line(size, of, "size", colour, f"$r_D = {format_value(rate)}$")
        ticks = boundaries.loc[np.isclose(boundaries["rate_d"].astype(float), rate), "boundary"].to_numpy(float)
        size.plot(ticks, np.full(len(ticks), 0.02), "|", color=colour, markersize=6)
    centred = of_phase[of_phase["rule"] == "centre"]
    beside = of_phase[of_phase["experiments"].str.contains("types") & (of_phase["activation"] == "relu")]
    if len(beside):
        _line(size, beside, "size", "black", f"$r_D = {format_value(beside['rate_d'].iloc[0])}$")
    if len(centred):
        _line(size, centred, "size", "black", f"$r_D = {format_value(centred['rate_d'].iloc[0])}$, centre held", "--")
    size.set(xlabel=r"Coupling $\varphi$", ylabel="Size of the cloud", ylim=(0, None))
    size.legend()
    types = of_phase[of_phase["experiments"].str.contains("types")]
    for name, colour in (("relu", _PARTICLES), ("tanh", _GENERATOR)):
        of = types[types["activation"] == name]
        if len(of):
            _line(kind, of, "coverage", colour, {"relu": "ReLU", "tanh": "tanh"}[name])
    kind.set(xlabel=r"Coupling $\varphi$", ylabel="Modes covered, of 8", ylim=(-0.3, 8.4))
    kind.legend(title="Discriminator") if len(types) else kind.text(0.5, 4, "not run at this size", ha="center")
    for axes, text in zip((grid, size, kind), "abc", strict=True):
        letter(axes, text)
    return figure


def _coverage(figure: Figure, axes: Axes, runs: pd.DataFrame) -> None:
    couplings, rates = sorted(runs["coupling"].unique()), sorted(runs["rate_d"].unique())
    table = runs.pivot_table(index="rate_d", columns="coupling", values="coverage", dropna=False)
    means = table.reindex(index=rates, columns=couplings).to_numpy(float)
    shown = axes.imshow(means, cmap="viridis", vmin=0, vmax=8, aspect="auto", origin="lower")
    for row, rate in enumerate(rates):
        for column, coupling in enumerate(couplings):
            of = runs[(runs["rate_d"] == rate) & (runs["coupling"] == coupling)]
            number = float(means[row, column])
            if np.isfinite(number):
                axes.text(
                    column, row, f"{number:.1f}", ha="center", va="center", color="white" if number < 5 else "black"
                )
            if (of["ended"] == "diverged").any():
                place = (column - 0.5, row - 0.5)
                axes.add_patch(Rectangle(place, 1, 1, fill=False, hatch="////", edgecolor="0.5", linewidth=0))
    axes.set_xticks(range(len(couplings)), [format_value(one) for one in couplings])
    axes.set_yticks(range(len(rates)), [format_value(one) for one in rates])
    axes.set(xlabel=r"Coupling $\varphi$", ylabel="Rate $r_D$")
    figure.colorbar(shown, ax=axes, label="Modes covered", location="top", shrink=0.9)


def _line(axes: Axes, runs: pd.DataFrame, column: str, colour: str, label: str, style: str = "-") -> None:
    finished = runs[runs["ended"] == "converged"]
    axes.plot(finished["coupling"], finished[column], "o", color=colour, markersize=2, alpha=0.35)
    mean = finished.groupby("coupling")[column].mean()
    axes.plot(mean.index, mean, color=colour, linestyle=style, label=label)


def draw_damping(runs: pd.DataFrame, course: pd.DataFrame, optima: pd.DataFrame) -> Figure:
    """How much gradient penalty ρ is best, in units of the penalty (r_G/r_D)^(1/2) at which the linear limit is damped critically.

    a: mean energy distance between cloud and data over a whole run, a colour per ratio of the rates, at one product of
    them; points are seeds, lines means, ticks below the best penalty of every seed that has it inside the grid; open
    marks: half the rates, twice the steps. b, c: the distance over the steps, of one seed, for no penalty, for one of about half the critical one, and for
    the largest.
    """  # noqa: E501
    damped = runs[runs["experiments"].astype(str).str.contains("even|finer") & (runs["ended"] == "converged")]
    if damped.empty:
        return draw_nothing("Nothing to show: no particles were followed over the penalty.")
    damped = damped.assign(ratio=(damped["rate_g"] / damped["rate_d"]).round(3))
    ratios = sorted(damped["ratio"].unique())
    figure = Figure(figsize=(PAGE, 2.4), layout="constrained")
    panels = figure.subplots(1, 1 + len(ratios), squeeze=False)[0]
    lowest = damped["error"].min() * 0.8
    for ratio, colour in zip(ratios, (_PARTICLES, _GENERATOR), strict=False):
        of = damped[damped["ratio"] == ratio]
        _errors(panels[0], of, np.sqrt(ratio), colour, rf"$r_G/r_D = {format_value(ratio)}$")
        best = optima.loc[np.isclose(optima["ratio"].astype(float), ratio, 1e-3), "best"].to_numpy(float)
        panels[0].plot(best / np.sqrt(ratio), np.full(len(best), lowest), "|", color=colour, markersize=6)
    panels[0].axvline(1, color="0.6", linewidth=0.5, zorder=0)
    panels[0].set(
        xscale="symlog", yscale="log", xlabel=r"Penalty $\rho\,(r_D/r_G)^{1/2}$", ylabel="Mean energy distance"
    )
    panels[0].set_xscale("symlog", linthresh=0.03)
    panels[0].set_xticks([0, 0.1, 1], ["0", "0.1", "1"])
    panels[0].minorticks_off()
    panels[0].set_xlim(-0.012, 1.4 * damped["penalty"].max())
    panels[0].legend()
    plain_log_ticks(panels[0].yaxis, *panels[0].get_ylim())
    for axes, ratio in zip(panels[1:], ratios, strict=True):
        of = course[np.isclose(course["ratio"], ratio, 1e-3) & (course["pace"] == 1)]
        penalties = sorted(of["penalty"].unique())
        away = np.abs(np.log(np.maximum(penalties, 1e-3) / (0.5 * np.sqrt(ratio))))
        shown = sorted({penalties[0], penalties[int(away.argmin())], penalties[-1]})
        for penalty, line in zip(shown, value_colours(len(shown)), strict=True):
            rows = of[of["penalty"] == penalty]
            axes.plot(rows["step"], rows["error"], color=line, label=rf"$\rho = {format_value(penalty)}$")
        axes.set(yscale="log", xlabel="Step", ylabel="Energy distance")
        plain_log_ticks(axes.yaxis, *axes.get_ylim())
        axes.set_title(rf"$r_G/r_D = {format_value(ratio)}$", fontsize=6.5)
        axes.legend()
    for axes, text in zip(panels, "abc", strict=False):
        letter(axes, text)
    return figure


def _errors(axes: Axes, runs: pd.DataFrame, unit: float, colour: str, label: str) -> None:
    for pace, face in ((1, colour), (2, "white")):
        of = runs[runs["pace"] == pace]
        if len(of):
            axes.plot(
                of["penalty"] / unit, of["error"], "o", color=colour, markerfacecolor=face, markersize=2.2, alpha=0.6
            )
    mean = runs[runs["pace"] == 1].groupby("penalty")["error"].mean()
    axes.plot(mean.index / unit, mean, color=colour, label=label)


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
