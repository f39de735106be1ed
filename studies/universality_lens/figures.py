"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, format_value, letter, value_colours

_LOOKS = {"network": ("network's prior", "#0072b2", "-"), "shuffled": ("its weights shuffled", "#d55e00", "--")}
_LOOKS |= {"uniform": ("uniform prior", "black", ":")}
_MAIN = 32  # hidden units of the panels that show one width
_PARTS = {"fit": ("fit", "#999999"), "size": ("size", "#e69f00"), "sharpness": ("sharpness", "#0072b2")}


def _times(table: pd.DataFrame) -> list[int]:
    names = [str(name) for name in table]
    return sorted(int(name.removeprefix("regret_")) for name in names if name.startswith("regret_"))


def draw_regret(regret: pd.DataFrame) -> Figure:
    """Regret of Bayes mixtures over functions of five bits, in nats per stream of samples.

    a, b: after t samples, for the heavier and the lighter half of every seed's teachers, under the prior of networks of
    32 hidden units, under the same weights shuffled over the functions while the truth keeps its own, and under the
    uniform prior over all functions; means over seeds, bands the seeds from smallest to largest. Grey, means too: −log
    w of the truth, which bounds the first two, and the resolvability r_t, which bounds the expectation of the first. c:
    regret after twenty samples under the network's prior against −log w of the truth, a point per teacher and seed,
    coloured by the networks' hidden width H; on the grey line both are equal.
    """
    drawn = regret[regret["kind"] == "drawn"] if len(regret) else regret
    if drawn.empty:
        return draw_nothing("Nothing to show: no functions in this config.")
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    light, heavy, cloud = figure.subplots(1, 3)
    main = drawn[drawn["width"] == _MAIN]
    middle = main.groupby("seed")["neg_log_w"].transform("median")
    for axes, part, title in (
        (light, main[main["neg_log_w"] <= middle], "Heavier truths"),
        (heavy, main[main["neg_log_w"] > middle], "Lighter truths"),
    ):
        _courses(axes, part)
        axes.set(xlabel="Samples $t$", title=title, xscale="log", ylim=(0, 16))
        axes.set_xticks(_times(main), [str(t) for t in _times(main)])
        axes.minorticks_off()
    light.set_ylabel(r"Regret $\rho_t$ (nats)")
    figure.legend(*light.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    of_network = drawn[(drawn["prior"] == "network") & drawn["neg_log_w"].notna()]
    widths = sorted(of_network["width"].unique())
    for width, colour in zip(widths, value_colours(len(widths)), strict=True):
        of = of_network[of_network["width"] == width]
        cloud.plot(
            of["neg_log_w"], of["regret_20"], "o", color=colour, markersize=2, alpha=0.6, label=f"{width:g}", mew=0
        )
    low, high = of_network["neg_log_w"].min(), of_network["neg_log_w"].max()
    cloud.plot([low, high], [low, high], color="0.6", linewidth=0.6, zorder=0)
    cloud.set(xlabel=r"$-\log w$ of the truth (nats)", ylabel=r"Regret $\rho_{20}$ (nats)")
    cloud.legend(title="Width $H$", loc="upper left", markerscale=2)
    for axes, text in zip((light, heavy, cloud), "abc", strict=True):
        letter(axes, text)
    return figure


def _courses(axes: Axes, rows: pd.DataFrame) -> None:
    times = _times(rows)
    for prior, (words, colour, line) in _LOOKS.items():
        of = rows[rows["prior"] == prior].groupby("seed")[[f"regret_{t}" for t in times]].mean()
        axes.fill_between(times, of.min(), of.max(), color=colour, alpha=0.12, linewidth=0)
        axes.plot(times, of.mean(), line, color=colour, label=words)
    own = rows[rows["prior"] == "network"]
    axes.axhline(own["neg_log_w"].mean(), color="0.5", linewidth=0.8, zorder=0, label=r"$-\log w$")
    axes.plot(times, own[[f"r_{t}" for t in times]].mean(), "-.", color="0.5", linewidth=0.8, zorder=0, label="$r_t$")


def draw_volume(volume: pd.DataFrame) -> Figure:
    """What the prior mass of a function is made of, in networks of 32 hidden units; teachers of all seeds.

    a: fit, size and sharpness at the maximum of the posterior, stacked, a bar per teacher and seed in the order of its
    evidence −log Z, the black line; where bars end above it, Laplace's approximation has too little mass. b, c:
    sharpness ½ log det(I + G) and size ½|θ|² against −log Z, at the maximum of the posterior (open) and, from there
    without a prior, where the mean loss has come down to the matched value (filled); a point per teacher and seed,
    means over starts.
    """
    good = volume[volume["ended"] == "converged"] if len(volume) else volume
    if good.empty:
        return draw_nothing("Nothing to show: no teacher came to the matched loss.")
    means = good.groupby(["seed", "teacher"]).mean(numeric_only=True).sort_values("neg_log_z")
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    bars, flat, size = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
    bottom, places = np.zeros(len(means)), np.arange(len(means))
    for name, (words, colour) in _PARTS.items():
        bars.bar(places, means[name], 1.0, bottom, color=colour, label=words, linewidth=0)
        bottom += means[name].to_numpy()
    bars.plot(places, means["neg_log_z"], color="black", linewidth=1.2, label=r"$-\log Z$")
    bars.set(xlabel=r"Teachers, by $-\log Z$", ylabel="nats", xlim=(-0.5, len(means) - 0.5))
    bars.legend(loc="upper left")
    for axes, name, label in (
        (flat, "sharpness", r"$\frac{1}{2}\,\log\,\det(I + G)$ (nats)"),
        (size, "size", r"$\frac{1}{2}\,|\theta|^2$ (nats)"),
    ):
        colour = _PARTS[name][1]
        axes.plot(means["neg_log_z"], means[name], "o", color=colour, mfc="none", mew=0.6, label="posterior's maximum")
        axes.plot(
            means["neg_log_z"], means[f"{name}_matched"], "o", color=colour, mew=0, label="matched loss", alpha=0.8
        )
        axes.set(
            xlabel=r"$-\log Z$ (nats)",
            ylabel=label,
            ylim=(0, 1.3 * float(means[[name, f"{name}_matched"]].max().max())),
        )
        axes.legend(loc="upper left")
    for axes, text in zip((bars, flat, size), "abc", strict=True):
        letter(axes, text)
    return figure


def draw_sgld(ensembles: pd.DataFrame) -> Figure:
    """Ensembles of classifiers of the digits: mean test NLL over the number of members.

    a: samples of Langevin chains at every temperature T of the posterior. b: gradient descents from as many starts,
    each stopped at the mean training loss of the chain of that temperature, and, in black, late, at a mean training
    loss of 0.01 nats. Means over seeds, each with training samples of its own; bands the seeds from smallest to
    largest.
    """
    if ensembles.empty:
        return draw_nothing("Nothing to show: no ensembles in this config.")
    figure = Figure(figsize=(PAGE * 0.72, 2.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    temperatures = sorted(ensembles[ensembles["method"] == "sgld"]["temperature"].unique())
    colours = dict(zip(temperatures, value_colours(len(temperatures)), strict=True))
    for axes, method, title in zip(panels, ("sgld", "descent"), ("Langevin dynamics", "Gradient descent"), strict=True):
        for temperature, colour in colours.items():
            of = ensembles[(ensembles["method"] == method) & (ensembles["temperature"] == temperature)]
            _over_members(axes, of, colour, f"{format_value(temperature)}")
        axes.set(xlabel="Members", title=title, xscale="log")
        members = sorted(ensembles["members"].unique())
        axes.set_xticks(members, [str(each) for each in members])
        axes.minorticks_off()
    _over_members(panels[1], ensembles[ensembles["method"] == "late"], "black", "late")
    panels[0].set_ylabel("Test NLL (nats)")
    panels[0].set_ylim(bottom=0)
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, title="$T$", loc="outside right center")
    for axes, text in zip(panels, "ab", strict=True):
        letter(axes, text)
    return figure


def _over_members(axes: Axes, rows: pd.DataFrame, colour: Any, words: str) -> None:
    by = rows.groupby("members")["nll"]
    axes.fill_between(by.min().index, by.min(), by.max(), color=colour, alpha=0.12, linewidth=0)
    axes.plot(by.mean().index, by.mean(), "o-", color=colour, label=words, markersize=2)


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
