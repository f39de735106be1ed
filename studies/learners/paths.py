"""What synchronous and decentralised SGD do along training, and where in the loss surface they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from awduality.figures.style import PAGE, draw_nothing, letter, plain_log_ticks, wrapped
from awduality.learners import ALGORITHMS
from studies.learners.looks import ALGORITHM_COLOURS, Line, counted, legend_columns, lines, setting_in_words
from studies.learners.matched import first_layer, in_experiment

_POINTS = {"ssgd": "o", "dpsgd": "s", "initial": "D"}
_LEVELS = 24  # of filled contours
_RATES = (-1.0, 3.0)  # of effective rates; late ones, of small gradients, go far beyond
_LOWEST = 1e-9  # of the largest spread: less is not drawn, since dead networks are all the same but for rounding


def draw_course(runs: pd.DataFrame, course: pd.DataFrame) -> Figure:
    """Effective rate, spread of the learners and training loss over the steps, of ``extreme`` if it was run.

    Else of the setting of ``large`` with the largest rate × total batch that let a DPSGD run converge.

    Args:
        runs: as ``studies.learners.numbers.run_rows`` makes them.
        course: as ``course_rows`` there makes them.
    """
    chosen = _followed(first_layer(runs))
    course = course[course["run"].isin(chosen["run"])]
    drawn = [line for line in lines(chosen) if course["run"].isin(line.runs["run"]).any()] if len(course) else []
    if not drawn:
        return draw_nothing("Nothing to show: no run of experiment extreme or large was followed.")
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    rate, spread, loss = figure.subplots(1, 3)
    for line in drawn:
        rows = course[course["run"].isin(line.runs["run"])]
        _band(rate, rows, "effective_rate", line)
        if line.algorithm == "dpsgd":
            _band(spread, rows[rows["step"] > 1], "spread", line)
        _band(loss, rows, "train_loss", line)
    rate.axhline(1, color="0.6", linewidth=0.5, zorder=0)
    rate.set(ylabel=r"Effective rate $\alpha_e/\alpha$", ylim=_RATES)
    if any((line.get_ydata() > 0).any() for line in spread.lines):
        spread.set_yscale("log")
        low, high = spread.get_ylim()
        spread.set_ylim(max(low, _LOWEST * high), high)
    spread.set_ylabel(r"Spread $\sigma_w^2 = \langle|w_j - \bar{w}|^2\rangle_j$")
    loss.set(yscale="log", ylabel=r"Training loss of $\bar{w}$ (nats)")
    _log_ticks(loss.yaxis, *loss.get_ylim())
    for axes, text in zip((rate, spread, loss), "abc", strict=True):
        axes.set(xscale="log", xlabel="Step", xlim=(0.8, 1.25 * course["step"].max()))
        axes.xaxis.set_minor_formatter(NullFormatter())
        letter(axes, text)
    decentralised = chosen[chosen["algorithm"] == "dpsgd"]
    alike = len(decentralised[["learners", "mixing"]].drop_duplicates()) == 1
    setting = setting_in_words((decentralised if alike else chosen).iloc[0], learners=alike)
    still = [ALGORITHMS[name] for name in ("ssgd", "ssgd_star") if (chosen["algorithm"] == name).any()]
    figure.legend(
        handles=[Line2D([], [], color=line.colour, linestyle=line.style, label=line.label) for line in drawn],
        title=wrapped(
            f"{chosen['config'].iloc[0]}: {chosen['dataset'].iloc[0]}, all layers. {setting}; "
            f"{counted(chosen['seed'].nunique(), 'seed')}. Lines: medians, bands: the middle half of the seeds, in a "
            "cut at the axes."
            + (f" The learners of {' and '.join(still)} are always the same: their spread is 0." if still else "")
        ),
        loc="outside lower center",
        ncols=legend_columns(figure, len(drawn)),
    )
    return figure


def _followed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose course is shown."""
    recorded, large = in_experiment(runs, "extreme"), in_experiment(runs, "large")
    if len(recorded) or large.empty:
        return recorded
    trained = large[(large["algorithm"] == "dpsgd") & (large["ended"] == "converged")]
    trained = trained if len(trained) else large
    strength = (trained["learning_rate"] * trained["total_batch"]).to_numpy()
    setting = trained[["learning_rate", "total_batch", "steps"]].iloc[[int(strength.argmax())]]
    return large.merge(setting)


def _band(axes: Axes, rows: pd.DataFrame, name: str, line: Line) -> None:
    """The median over the seeds with their middle half, where numbers are finite."""
    if rows.empty:
        return
    by_step = rows[np.isfinite(rows[name])].groupby("step")[name]
    low, middle, high = (by_step.quantile(share) for share in (0.25, 0.5, 0.75))
    axes.fill_between(middle.index, low, high, color=line.colour, alpha=0.18, linewidth=0)
    axes.plot(middle.index, middle, color=line.colour, linestyle=line.style)


def draw_surface(surface: pd.DataFrame) -> Figure:
    """Training loss and test error in the plane of two solutions and what they started from.

    Args:
        surface: as ``scripts/surface.py`` writes it.
    """
    if surface.empty:
        return draw_nothing("Nothing to show: at no setting of experiment large have SSGD and DPSGD both converged.")
    figure = Figure(figsize=(PAGE, 3.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    points = {str(row["point"]): row for row in surface[surface["point"].notna()].to_dict("records")}
    grid = surface[surface["point"].isna()]
    _contours(panels[0], grid.assign(value=grid["train_loss"]), "Training loss (nats)")
    _contours(panels[1], grid.assign(value=100 * grid["test_error"]), "Test error (%)")
    for axes, text in zip(panels, "ab", strict=True):
        _mark(axes, points)
        axes.set(aspect="equal", xlabel=r"$x$, along SSGD $\to$ DPSGD (unit of $|w|$)")
        letter(axes, text)
    panels[0].set_ylabel(r"$y$ (unit of $|w|$)")
    run = surface.iloc[0]
    values = [
        f"{words}: {points[name]['train_loss']:.2g} nats, {100 * points[name]['test_error']:.1f}%"
        for name, words in (("ssgd", "SSGD"), ("dpsgd", "DPSGD"))
    ]
    figure.supxlabel(
        wrapped(
            f"{run['config']}: {run['dataset']}, all layers. {setting_in_words(run)}; seed {run['seed']}, loss over "
            f"{run['samples']:,} training samples. {'; '.join(values)}."
        ),
        fontsize=6.5,
        color="0.35",
    )
    return figure


def _contours(axes: Axes, grid: pd.DataFrame, label: str) -> None:
    """Filled contours of the column ``value`` on a logarithmic scale; zeros are drawn as the smallest number above."""
    smallest = grid.loc[grid["value"] > 0, "value"].min()
    table = np.maximum(grid.pivot_table(index="y", columns="x", values="value"), smallest)
    low, high = float(smallest), float(grid["value"].max()) * 1.001
    levels = np.geomspace(low, high, _LEVELS)
    levels[0] = low
    looks: dict[str, Any] = {"norm": LogNorm(low, high), "cmap": colormaps["viridis_r"]}
    filled = axes.contourf(table.columns, table.index, table, levels, **looks)
    axes.contour(table.columns, table.index, table, levels[2::3], colors="white", linewidths=0.3, alpha=0.7)
    bar = axes.figure.colorbar(filled, ax=axes, label=label, location="top", shrink=0.85)
    _log_ticks(bar.ax.xaxis, low, high)
    bar.ax.xaxis.set_minor_locator(NullLocator())


def _log_ticks(axis: Axis, low: float, high: float) -> None:
    """Plain numbers over less than two decades, else powers of ten."""
    if high / low < 100:
        plain_log_ticks(axis, low, high)
    else:
        axis.set_major_locator(LogLocator())


def _mark(axes: Axes, points: Mapping[str, Any]) -> None:
    """The three networks by name."""
    halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
    for name, words in (("ssgd", "SSGD"), ("dpsgd", "DPSGD"), ("initial", "initial")):
        x, y = points[name]["x"], points[name]["y"]
        colour = ALGORITHM_COLOURS.get(name, "0.2")
        axes.plot(
            x, y, _POINTS[name], color=colour, markeredgecolor="white", markeredgewidth=0.6, markersize=5, zorder=5
        )
        below = name != "initial"
        axes.annotate(
            words,
            (x, y),
            (0, -6 if below else 6),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            color=colour,
            path_effects=halo,
        )
