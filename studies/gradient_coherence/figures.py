"""Figures: coherence along training, what winsorising leaves of memorisation, and who drives the gradient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awduality.claims.statistics import mean_interval
from awduality.figures.style import PAGE, draw_nothing, letter
from studies.gradient_coherence.tasks import MEMORISATION

Colour = tuple[float, float, float]
_GRID = 60  # losses, or steps, at which runs are summarised
_NULL = "0.88"
_METHODS = {"normed": "plain steps of\nlength at {:g}%", "early": "stopped early", "m3": "median of 3"}
_METHODS |= {"rm3": "rolling median of 3", "mean3": "mean of 3"}


def draw_coherence(course: pd.DataFrame) -> Figure:
    """Coherence of the gradients, mα, of networks with real, half and all permuted labels: (a) against the training loss, which falls to the right; (b) against steps. Lines are medians over seeds, coloured bands the runs from smallest to largest; lines end where less than half of the runs go on. The grey band holds the middle 98% of the sign null, the same with every gradient multiplied by a random sign; the dashed line is the orthogonal limit, one."""  # noqa: E501
    figure = Figure(figsize=(PAGE, 2.7), layout="constrained")
    by_loss, by_step = figure.subplots(1, 2, sharey=True)
    for axes in (by_loss, by_step):
        axes.axhline(1, color="0.4", linewidth=0.6, linestyle="--", zorder=1)
        axes.set(xscale="log", yscale="log")
        if len(course):
            axes.axhspan(*course["sign_null"].quantile([0.01, 0.99]), color=_NULL, linewidth=0, zorder=0)
    shares = sorted(course["permuted"].unique())
    for share, colour in zip(shares, _colours(len(shares)), strict=True):
        runs = [rows for _, rows in course[course["permuted"] == share].groupby("run")]
        lowest = np.concatenate([rows["loss"].to_numpy() for rows in runs]).min()
        grid = np.geomspace(course["loss"].max(), lowest, _GRID)
        _band(by_loss, grid, [_at_losses(rows, grid, "coherence") for rows in runs], colour, _labels_named(share))
        steps = np.geomspace(1, course["step"].max() + 1, _GRID)
        _band(by_step, steps, [_at_steps(rows, steps, "coherence") for rows in runs], colour)
    by_loss.invert_xaxis()
    by_loss.set(xlabel="Training loss (nats)", ylabel=r"Coherence $m\alpha$")
    by_step.set(xlabel="Step + 1")
    if len(course):
        by_step.set_ylim(bottom=0.1)
        by_loss.legend(title="Labels", loc="lower left")
    letter(by_loss, "a")
    letter(by_step, "b")
    return figure


def draw_memorisation(runs: pd.DataFrame) -> Figure:
    """Networks trained on labels of which a share is permuted: accuracy at the end on the wrong labels, which is memorisation (a), on the right ones (b), and on the test set (c), for the plain minibatch gradient, the same winsorised at c per cent on either side, and other ways to step. Points are means over seeds, with 95% intervals of Student's t where there are three seeds or more, small dots single runs; the vertical line is the plain gradient. Open diamonds: what reads three minibatches per update, after as many gradients as the others."""  # noqa: E501
    found = runs[(runs["task"] == MEMORISATION) & (runs["permuted"] > 0)] if len(runs) else runs
    arms = _arms(found)
    if not arms:
        return draw_nothing("Nothing to show: this config has no experiment on memorisation.")
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    measures = ("corrupted_accuracy", "clean_accuracy", "test_accuracy")
    titles = ("Wrong training labels", "Right training labels", "Test set")
    for axes, measure, title, text in zip(panels, measures, titles, "abc", strict=True):
        for place, (_, rows, colour) in enumerate(arms):
            values = rows[measure].to_numpy(float)
            axes.plot(values, np.full(len(values), place + 0.28), ".", color=colour, alpha=0.5, markersize=2)
            axes.errorbar(values.mean(), place, xerr=_half(values), fmt="o", color=colour, elinewidth=0.9)
            equal = f"{measure}_equal"
            if rows["method"].iloc[0] in ("m3", "mean3") and equal in rows:
                axes.plot(rows[equal].mean(), place, "D", markerfacecolor="none", markeredgecolor=colour)
        axes.axvline(arms[0][1][measure].mean(), color="0.6", linewidth=0.6, zorder=0)
        axes.set(xlabel="Accuracy", title=title)
        axes.grid(axis="y", color="0.93", linewidth=0.5)
        axes.set_axisbelow(True)
        letter(axes, text)
    panels[0].set_yticks(range(len(arms)), [words for words, _, _ in arms])
    panels[0].invert_yaxis()
    return figure


def draw_pristine(course: pd.DataFrame) -> Figure:
    """Where a part of the labels is permuted, who drives the gradient?

    (a) The part of the mean gradient's length that examples with right labels are behind; dashed: their share among
    all examples, which is what it would be if examples counted alike. (b) Accuracy on right and on wrong labels of
    the training set. Lines are medians over seeds, bands the runs from smallest to largest.
    """
    figure = Figure(figsize=(PAGE, 2.4), layout="constrained")
    part, accuracy = figure.subplots(1, 2)
    mixed = course[(course["permuted"] > 0) & (course["permuted"] < 1)]
    runs = [rows for _, rows in mixed.groupby("run")]
    right, wrong = sns.color_palette("colorblind", 4)[0], sns.color_palette("colorblind", 4)[3]
    if runs:
        steps = np.geomspace(1, mixed["step"].max() + 1, _GRID)
        _band(part, steps, [_at_steps(rows, steps, "pristine_part") for rows in runs], right)
        part.axhline(mixed["pristine_share"].mean(), color="0.4", linewidth=0.6, linestyle="--", zorder=1)
        for name, colour, words in (("clean_accuracy", right, "right"), ("corrupted_accuracy", wrong, "wrong")):
            _band(accuracy, steps, [_at_steps(rows, steps, name) for rows in runs], colour, words)
        accuracy.legend(title="Labels", loc="center left")
    part.set(xscale="log", xlabel="Step + 1", ylabel="Part of the gradient\nfrom right labels")
    accuracy.set(xscale="log", xlabel="Step + 1", ylabel="Training accuracy", ylim=(0, 1.02))
    letter(part, "a")
    letter(accuracy, "b")
    return figure


def _colours(count: int) -> list[Colour]:
    palette = sns.color_palette("colorblind", 4)
    return [palette[0], palette[1], palette[3], palette[2]][:count]


def _labels_named(share: float) -> str:
    return "real" if share == 0 else f"{share:.0%} permuted"


def _at_losses(rows: pd.DataFrame, grid: np.ndarray, name: str) -> np.ndarray:
    """A run's numbers where its training loss is first as low as each of a falling grid; NaN beyond its ends."""
    losses, values = rows["loss"].to_numpy(), rows[name].to_numpy()
    lowest = np.minimum.accumulate(losses)
    first = np.flatnonzero(np.diff(lowest, prepend=np.inf) < 0)
    found = np.interp(-np.log(grid), -np.log(losses[first]), values[first], left=np.nan, right=np.nan)
    return np.asarray(found)


def _at_steps(rows: pd.DataFrame, steps: np.ndarray, name: str) -> np.ndarray:
    """A run's numbers at steps, counted from one, on a logarithmic scale; NaN beyond its end."""
    return np.asarray(np.interp(np.log(steps), np.log(rows["step"] + 1), rows[name], right=np.nan))


def _band(axes: Axes, x: np.ndarray, values: list[np.ndarray], colour: Colour, label: str | None = None) -> None:
    """The median of runs, and the range that they span, where at least half of them are."""
    table = pd.DataFrame(values)
    kept = (table.notna().sum() >= len(values) / 2).to_numpy()
    low, middle, high = (getattr(table, name)().to_numpy()[kept] for name in ("min", "median", "max"))
    axes.fill_between(x[kept], low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x[kept], middle, color=colour, label=label)


def _arms(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame, Colour]]:
    """Name, runs and colour of every method: plain and winsorised by c, then the others."""
    if runs.empty:
        return []
    colours = sns.color_palette("colorblind", 8)
    arms = []
    for level, rows in _by_level(runs, "mean"):
        words = f"winsorised {level:g}%" if level else "plain"
        arms.append((words, rows, colours[0] if level else (0.0, 0.0, 0.0)))
    for (method, words), colour in zip(_METHODS.items(), [colours[1], colours[2], *[colours[4]] * 3], strict=True):
        for level, rows in _by_level(runs, method):
            arms.append((words.format(level), rows, colour))
    return arms


def _by_level(runs: pd.DataFrame, method: str) -> list[tuple[float, pd.DataFrame]]:
    rows = runs[runs["method"] == method]
    return [(level, rows[rows["per_cent"] == level]) for level in sorted(rows["per_cent"].unique())]


def _half(values: np.ndarray) -> float:
    """Half a 95% interval of Student's t for the mean; nothing where there are too few values to speak of one."""
    kept = values[np.isfinite(values)]
    return float(mean_interval(kept)[1]) if len(kept) >= 3 else 0.0
