"""Figures: a function ``draw_<figure>`` of the tables that its parameters name; its docstring is the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from awduality.claims.statistics import mean_interval
from awduality.figures import effects
from awduality.figures.style import PAGE, draw_nothing, format_value, letter, plain_log_ticks

STAR = "ssgd_star"
LOOKS = {
    "ssgd_averaged": ("SSGD, averaged weights", "#56b4e9"),
    STAR: (r"SSGD*, $\sigma_0$", "0.45"),
    "ssgd_spread": ("isotropic", "#009e73"),
    "ssgd_layers": ("permuted in layers", "#cc79a7"),
    "ssgd_signs": ("random signs", "#d55e00"),
    "dpsgd": ("DPSGD", "#0072b2"),
}
"""Algorithm → its name and colour, the same in every figure."""

MATCHED = ("ssgd_spread", "ssgd_layers", "ssgd_signs", "dpsgd")
"""Those whose noise has one strength."""

RATIOS = {
    "top_eigenvalue": r"$\lambda_1$ ÷ that of SSGD",
    "size": r"Size $(\Sigma\sigma_w^2)^{1/2}$ ÷ that of SSGD",
    "gap": "Gap ÷ that of SSGD",
}


def draw_arms(runs: pd.DataFrame) -> Figure:
    """Sharpness, size and gap of every arm against SSGD of the same seed, and which arms survive a larger rate.

    a–c: at the smaller rate, solutions at one training loss; geometric means over the seeds in which both reached it
    (their number at the right of c) with 95% t-intervals, dots single seeds; open symbols the same function in its
    balanced form, which no rescaling changes. Arms between the lines have noise of one strength, that of DPSGD. d: the
    share of the seeds that reach that loss at the larger rate; the vertical line is SSGD's.
    """
    rates = sorted(runs["learning_rate"].unique())
    arms = _arms(runs)
    ratios = {arm: _ratios(runs, arm, rates[0]) for arm in arms}
    if not any(len(table) for table in ratios.values()):
        return draw_nothing("Nothing to show: no two runs reached the compared loss.")
    figure = Figure(figsize=(PAGE, 0.95 + 0.2 * len(arms)), layout="constrained")
    panels = figure.subplots(1, 4, sharey=True, width_ratios=(1.25, 1, 1, 0.7))
    for axes, (column, label) in zip(panels, RATIOS.items(), strict=False):
        for place, arm in enumerate(arms):
            _row(axes, place, ratios[arm], column, LOOKS[arm[0]][1])
        axes.axvline(1, color="0.4", linewidth=0.6, zorder=0)
        axes.set_xlabel(label)
        low, high = axes.get_xlim()
        if high > 2 * low:
            axes.set_xscale("log")
            plain_log_ticks(axes.xaxis, *axes.get_xlim())
    for place, arm in enumerate(arms):
        panels[2].annotate(
            str(len(ratios[arm])), (1.01, place), xycoords=panels[2].get_yaxis_transform(), va="center", fontsize=6
        )
    panels[2].annotate(
        "seeds", (1.01, -0.75), xycoords=panels[2].get_yaxis_transform(), fontsize=6, ha="center", annotation_clip=False
    )
    _shares(panels[3], runs[runs["learning_rate"] == rates[-1]], arms)
    same = [place for place, arm in enumerate(arms) if arm[0] in MATCHED]
    for axes, text in zip(panels, "abcd", strict=True):
        letter(axes, text)
        for edge in (min(same) - 0.5, max(same) + 0.5) if same else ():
            axes.axhline(edge, color="0.75", linewidth=0.5, zorder=0)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(arms)), [_words(arm) for arm in arms])
    panels[0].set_ylim(len(arms) - 0.5, -0.5)
    handles = [
        Line2D([], [], color="black", marker="o", label="as trained"),
        Line2D([], [], color="black", marker="o", markerfacecolor="white", label="balanced"),
        Line2D([], [], color="black", marker=".", linestyle="", alpha=0.4, markersize=3, label="a seed"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


Arm = tuple[str, float]


def _arms(runs: pd.DataFrame) -> list[Arm]:
    """All arms but SSGD, from averages over noise of DPSGD's strength to stronger and stronger noise."""
    order = [name for name in LOOKS if name != STAR] + [STAR]
    known = {(str(row["algorithm"]), float(row["noise"])) for _, row in runs.iterrows()}
    return sorted((arm for arm in known if arm[0] in order), key=lambda arm: (order.index(arm[0]), arm[1]))


def _words(arm: Arm) -> str:
    name, noise = arm
    words = LOOKS[name][0]
    return f"{words} = {format_value(noise)}" if name == STAR else words


def _of(runs: pd.DataFrame, arm: Arm, rate: float) -> pd.DataFrame:
    """The runs of an arm at a rate, by seed."""
    chosen = (runs["algorithm"] == arm[0]) & (runs["noise"] == arm[1]) & (runs["learning_rate"] == rate)
    return runs[chosen].set_index("seed")


def _ratios(runs: pd.DataFrame, arm: Arm, rate: float) -> pd.DataFrame:
    """Measures over those of SSGD, logarithms, a row per seed in which both reached the compared loss."""
    names = [*RATIOS, *(name for column in RATIOS if (name := f"{column}_balanced") in runs)]
    one, other = (
        found[found["ended"] == "converged"][names].astype(float)
        for found in (_of(runs, arm, rate), _of(runs, ("ssgd", 0.0), rate))
    )
    return (one / other).dropna().map(np.log)


def _row(axes: Axes, place: float, ratios: pd.DataFrame, column: str, colour: str) -> None:
    """An arm in one panel: as trained above, in balanced form below."""
    balanced = f"{column}_balanced" in ratios
    for name, y, fill in ((column, place - 0.16 * balanced, colour), (f"{column}_balanced", place + 0.2, "white")):
        if name not in ratios or not len(ratios):
            continue
        values = ratios[name].to_numpy(float)
        mean, half = mean_interval(values)
        if name == column:
            axes.plot(np.exp(values), np.full(len(values), y), ".", color=colour, alpha=0.3, markersize=3, zorder=1)
        if np.isfinite(half):
            axes.plot(np.exp([mean - half, mean + half]), [y, y], color=colour, linewidth=1.0, zorder=2)
        axes.plot(np.exp(mean), y, "o", color=colour, markerfacecolor=fill, zorder=3)


def _shares(axes: Axes, runs: pd.DataFrame, arms: Sequence[Arm]) -> None:
    """The share of the seeds of every arm that reached the compared loss."""
    rate = float(runs["learning_rate"].iloc[0])
    ssgd = _of(runs, ("ssgd", 0.0), rate)
    base = float((ssgd["ended"] == "converged").mean()) if len(ssgd) else np.nan
    axes.axvline(base, color="0.4", linewidth=0.6, zorder=0)
    for place, arm in enumerate(arms):
        of = _of(runs, arm, rate)
        if len(of):
            share = float((of["ended"] == "converged").mean())
            axes.plot([base, share], [place, place], color=LOOKS[arm[0]][1], linewidth=1.0)
            axes.plot(share, place, "o", color=LOOKS[arm[0]][1], clip_on=False)
    axes.set(xlim=(0, 1), xlabel=rf"Share at $\alpha = {format_value(rate)}$")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def draw_noise(runs: pd.DataFrame, course: pd.DataFrame, diversity: pd.DataFrame) -> Figure:
    """How strong the noise is, what it flattens, and by what force, at the smaller rate.

    a: strength of the noise along training, the mean squared deviation of the learners from their mean; medians over
    seeds with their range. b: λ₁ against SSGD of the same seed over the strength (geometric mean along the run);
    points are geometric means over seeds with 95% t-intervals, those of DPSGD's strength side by side. c: the
    gradient-diversity term D, all learners with the same samples, over the gradient at the mean; medians over seeds,
    bars their range. d: the cosine between D and the gradient of ½ tr(HΣ), Σ the covariance of the learners.
    """
    rate = runs["learning_rate"].min()
    course, diversity = (
        table[table["run"].isin(runs.loc[(runs["learning_rate"] == rate), "run"])] for table in (course, diversity)
    )
    if course.empty or diversity.empty:
        return draw_nothing("Nothing to show: no arm was followed.")
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    (strength, flat), (term, angle) = figure.subplots(2, 2)
    _strengths(strength, course)
    _flattening(flat, runs, course, rate)
    names = [name for name in MATCHED if (diversity["algorithm"] == name).any()]
    for place, name in enumerate(names):
        rows = diversity[diversity["algorithm"] == name]
        shift = 1.05 ** (place - (len(names) - 1) / 2)
        _looks(term, rows["step"] * shift, rows["common"] / rows["gradient"], LOOKS[name])
        _looks(angle, rows["step"] * shift, rows["common_cosine"], LOOKS[name])
    for axes in (term, angle):
        axes.set(xscale="log", xlabel="Step")
        plain_log_ticks(axes.xaxis, *axes.get_xlim())
    angle.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    term.set(yscale="log", ylabel=r"$|D|\,/\,|\nabla\ell(\bar w)|$")
    angle.set_ylabel(r"cosine of $D$ and $\nabla\frac{1}{2}\mathrm{tr}(H\Sigma)$")
    handles = [Line2D([], [], color=LOOKS[name][1], marker="o", label=LOOKS[name][0]) for name in (*names, STAR)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    for axes, text in zip((strength, flat, term, angle), "abcd", strict=True):
        letter(axes, text)
    return figure


def _strengths(axes: Axes, course: pd.DataFrame) -> None:
    for name in (STAR, "dpsgd"):
        of = course[course["algorithm"] == name]
        for noise in sorted(of["noise"].unique()):
            rows = of[of["noise"] == noise]
            by_step = rows.groupby("step")["spread"]
            kept = by_step.count() >= rows["run"].nunique() / 2
            low, middle, high = (found[kept] for found in (by_step.min(), by_step.median(), by_step.max()))
            axes.fill_between(middle.index, low, high, color=LOOKS[name][1], alpha=0.2, linewidth=0)
            axes.plot(middle.index, middle, color=LOOKS[name][1])
            if name == STAR and len(middle):
                words = rf"$\sigma_0 = {format_value(noise)}$"
                axes.annotate(
                    words,
                    (middle.index[-1], middle.iloc[-1]),
                    (2, 0),
                    textcoords="offset points",
                    fontsize=6,
                    va="center",
                )
    axes.set(xscale="log", yscale="log", xlabel="Step", ylabel=r"Strength $\langle|\delta_j|^2\rangle$")


def _flattening(axes: Axes, runs: pd.DataFrame, course: pd.DataFrame, rate: float) -> None:
    """λ₁ of every arm with noise over the strength of its noise."""
    noisy = course[course["spread"] > 0]
    strength = np.exp(np.log(noisy["spread"]).groupby(noisy["run"]).mean())
    grid = []
    for arm in _arms(runs):
        ratios = _ratios(runs, arm, rate)
        known = _of(runs, arm, rate)["run"].map(strength).dropna()
        if not len(ratios) or not len(known):
            continue
        dodged = (
            1.15 ** (MATCHED.index(arm[0]) - 1.0) if arm[0] in MATCHED[:3] else 1.0
        )  # of one strength, side by side
        x = dodged * float(np.exp(np.log(known).mean()))
        mean, half = mean_interval(ratios["top_eigenvalue"].to_numpy(float))
        axes.plot([x, x], np.exp([mean - half, mean + half]), color=LOOKS[arm[0]][1])
        axes.plot(x, np.exp(mean), "o", color=LOOKS[arm[0]][1])
        grid += [(x, float(np.exp(mean)))] if arm[0] == STAR else []
    if grid:
        axes.plot(*zip(*grid, strict=True), color=LOOKS[STAR][1], linewidth=0.7, zorder=0)
    axes.axhline(1, color="0.4", linewidth=0.6, zorder=0)
    axes.set(
        xscale="log", yscale="log", xlabel=r"Strength $\langle|\delta_j|^2\rangle$", ylabel=RATIOS["top_eigenvalue"]
    )
    plain_log_ticks(axes.yaxis, *axes.get_ylim())


def _looks(axes: Axes, steps: pd.Series, values: pd.Series, look: tuple[str, str]) -> None:
    """Median and range over seeds at every step that was looked at."""
    by_step = values.groupby(steps)
    low, middle, high = by_step.min(), by_step.median(), by_step.max()
    axes.vlines(middle.index, low, high, color=look[1], alpha=0.35)
    axes.plot(middle.index, middle, "o-", color=look[1], linewidth=0.8)


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect with the 95% t-interval over seeds, and the verdict as colour."""
    return effects.draw_effects(claims)
