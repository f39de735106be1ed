"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, format_value, letter, plain_log_ticks, value_colours
from studies.sgd_landscape.langevin import predicted

LOOKS = {
    "none": ("none", "black"),
    "minibatch": ("minibatch", "#d55e00"),
    "gaussian": ("Gaussian, its covariance", "#e69f00"),
    "shift": ("through the Hessian", "#0072b2"),
    "isotropic": ("isotropic", "#009e73"),
}
"""Noise → its name and colour, the same in every figure."""


def draw_model(density: pd.DataFrame, runs: pd.DataFrame, bounds: pd.DataFrame) -> Figure:
    """The paper's model: Langevin dynamics on a ring, and a loss that is shifted at random.

    a: density along the valley, means over seeds as points, for several anisotropies κ of the noise; lines: flatness
    to the power κ. b: the time until the curvature has halved, times the square of rate and shift, over the learning
    rate; a point per seed, the line is the predicted drift. c: share of the walkers that are lost, over the shift in
    units of the predicted bound, a colour per learning rate; lines join means over seeds; ticks below: where half are
    lost.
    """
    if density.empty:
        return draw_nothing("Nothing to show: no walkers in this config.")
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    panels = figure.subplots(1, 3)
    _ring(panels[0], density[density["noise"] == "both"])
    _times(panels[1], runs[(runs["model"] == "shift") & (runs["noise"] == "time") & runs["time"].notna()])
    _lost(panels[2], runs[(runs["model"] == "shift") & (runs["noise"] == "lost")], bounds)
    for axes, text in zip(panels, "abc", strict=True):
        letter(axes, text)
    return figure


def _ring(axes: Axes, density: pd.DataFrame) -> None:
    kappas = sorted(density["kappa"].unique())
    fine = np.linspace(-np.pi, np.pi, 200)
    for kappa, colour in zip(kappas, value_colours(len(kappas)), strict=True):
        mean = density[density["kappa"] == kappa].groupby("x")["density"].mean()
        label = rf"$\kappa = {format_value(kappa)}$"
        axes.plot(mean.index, mean, "o", color=colour, markersize=1.8, label=label)
        axes.plot(fine, predicted(fine, kappa), color=colour, linewidth=0.8)
    axes.set(xlabel="Place $x$ in the valley", ylabel="Density", ylim=(0, None))
    axes.set_xticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    axes.legend()


def _times(axes: Axes, runs: pd.DataFrame) -> None:
    strengths = sorted(runs["strength"].unique())
    for strength, colour in zip(strengths, value_colours(len(strengths)), strict=True):
        of = runs[runs["strength"] == strength]
        scaled = of["time"] * (of["learning_rate"] * strength) ** 2
        axes.plot(
            of["learning_rate"], scaled, "o", color=colour, label=rf"$\sigma = {format_value(strength)}$", alpha=0.7
        )
    line = runs.assign(scaled=runs["predicted_time"] * (runs["learning_rate"] * runs["strength"]) ** 2)
    mean = line.groupby("learning_rate")["scaled"].mean()
    axes.plot(mean.index, mean, color="0.4", linewidth=0.8, label="predicted")
    axes.set(xlabel=r"Learning rate $\eta$", ylabel=r"$(\eta\sigma)^2\,T$", ylim=(0, None))
    axes.legend()


def _lost(axes: Axes, runs: pd.DataFrame, bounds: pd.DataFrame) -> None:
    rates = sorted(runs["learning_rate"].unique())
    for rate, colour in zip(rates, value_colours(len(rates)), strict=True):
        of = runs[runs["learning_rate"] == rate]
        mean = of.groupby("strength")["lost"].mean()
        axes.plot(of["strength"], of["lost"], "o", color=colour, alpha=0.4, markersize=2)
        axes.plot(mean.index, mean, color=colour, label=rf"$\eta = {format_value(rate)}$")
        half = bounds[bounds["learning_rate"] == rate]["half"]
        axes.plot(half, np.full(len(half), -0.04), "|", color=colour, markersize=6)
    axes.axvline(1, color="0.6", linewidth=0.5, zorder=0)
    axes.set(xlabel=r"Shift $\sigma/\sigma_c$", ylabel="Share lost", ylim=(-0.08, 1.05))
    axes.legend()


def draw_networks(course: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Networks under noise of one kind each, all at one learning rate.

    Noise of every kind is of the power that minibatches of five have at the same weights.

    a: trace of the second layer's Hessian along training, medians over seeds with their range, until the compared
    loss. b: trace at that loss, without noise in the end, a point per seed; bars are geometric means. c:
    generalization gap there.
    """
    chosen = runs[(runs["ends"] == "target") & (runs["ended"] == "converged")]
    chosen = chosen[chosen["batch_size"].isin([0, 5])] if len(chosen) else chosen
    if chosen.empty:
        return draw_nothing("Nothing to show: no network came to the compared loss.")
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    along, trace, gap = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    shown = [name for name in LOOKS if (chosen["noise"] == name).any()]
    for place, name in enumerate(shown):
        words, colour = LOOKS[name]
        of = chosen[chosen["noise"] == name]
        _along(along, course[course["run"].isin(of["run"])], colour, words)
        for axes, column, mean in ((trace, "trace", _geometric), (gap, "gap", np.mean)):
            values = of[column].to_numpy(float)
            axes.plot(
                place + np.linspace(-0.18, 0.18, len(values)), values, "o", color=colour, markersize=2.5, alpha=0.7
            )
            axes.plot([place - 0.3, place + 0.3], [mean(values)] * 2, color=colour, linewidth=1.4)
    for axes, label in ((trace, r"$\mathrm{tr}\,H$ of the layer, at equal loss"), (gap, "Gap (nats)")):
        axes.set_xticks(range(len(shown)), list(shown), rotation=40, ha="right")
        axes.set_ylabel(label)
    trace.set_yscale("log")
    plain_log_ticks(trace.yaxis, *trace.get_ylim())
    gap.set_ylim(bottom=0)
    along.set(yscale="log", xlabel="Step", ylabel=r"$\mathrm{tr}\,H$ of the layer")
    figure.legend(loc="outside lower center", ncols=len(shown), title="Noise")
    for axes, text in zip((along, trace, gap), "abc", strict=True):
        letter(axes, text)
    return figure


def _geometric(values: np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))


def _along(axes: Axes, course: pd.DataFrame, colour: str, words: str) -> None:
    """Median and range over the seeds that are still in training."""
    even = course[course["step"] % 100 == 0]
    by_step = even.groupby("step")["trace"]
    kept = by_step.count() >= even["run"].nunique() / 2
    low, middle, high = (found[kept] for found in (by_step.min(), by_step.median(), by_step.max()))
    axes.fill_between(middle.index, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(middle.index, middle, color=colour, label=words)


def draw_map(runs: pd.DataFrame) -> Figure:
    """Which trainings fail: learning rate against batch size, without and with noise.

    Each cell gives the share of the seeds whose training loss never came below the bound, and colour says the same;
    below it, the geometric mean of the trace of the second layer's Hessian where it did. A rate at which training
    without noise converges but training with noise does not shows a bound of the noise, not of the rate.
    """
    chosen = runs[runs["ends"] == "bound"]
    if chosen.empty:
        return draw_nothing("Nothing to show: this config does not look for the bound of networks.")
    rates = sorted(chosen["learning_rate"].unique())
    batches = sorted(chosen["batch_size"].unique(), key=lambda batch: (batch == 0, batch))
    figure = Figure(figsize=(PAGE * 0.6, 0.6 + 0.42 * len(rates)), layout="constrained")
    axes = figure.subplots()
    shares = np.array([[_cell(chosen, rate, batch)["failed"].mean() for batch in batches] for rate in rates])
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Oranges", aspect="auto", origin="lower")
    for row, rate in enumerate(rates):
        for column, batch in enumerate(batches):
            cell = _cell(chosen, rate, batch)
            flat = cell.loc[cell["failed"] == 0, "trace"].to_numpy(float)
            text = f"{cell['failed'].mean():.2f}" + (f"\ntr {_geometric(flat):.1f}" if len(flat) else "")
            dark = shares[row, column] > 0.6
            axes.text(column, row, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
    axes.set_xticks(range(len(batches)), ["no noise" if batch == 0 else str(int(batch)) for batch in batches])
    axes.set_yticks(range(len(rates)), [format_value(rate) for rate in rates])
    axes.set(xlabel="Batch size $B$", ylabel=r"Learning rate $\eta$")
    figure.colorbar(image, ax=axes, label="Share failed")
    return figure


def _cell(runs: pd.DataFrame, rate: float, batch: int) -> pd.DataFrame:
    return runs[(runs["learning_rate"] == rate) & (runs["batch_size"] == batch)]


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
