"""One decomposition as a figure: the directions of one layer of one network, and the pairs behind them."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from awduality.arguments import shown, whole_number
from awduality.duality.result import Decomposition
from awduality.errors import InputError
from awduality.figures.style import _SETTINGS, PAGE, letter

_SHARPNESS, _SIZE, _SUM = "#d55e00", "#0072b2", "black"  # Okabe and Ito's, told apart by everyone, as the next
_MEANS, _REMAINDER = "#cc79a7", "#009e73"
_DIRECTION = r"Direction $n$, by $\sigma_{g,n}$"
_DECADES, _APART = 2.0, 0.8  # the least that sharpness or size span; between the two, so that neither hides the other
_MOST_POINTS = 2_000  # pairs and directions drawn as points, so that an SVG stays small


def plot_decomposition(
    result: Decomposition, *, sharp_directions: int = 10, loss_unit: str = "nats", title: str | None = None
) -> Figure:
    """Four panels of a page's width: sharpness and size, correlation, the sum that reaches the gap, the pairs.

    Directions are ranked by descending σ_g. Those of the Hessian's null space, whose basis is arbitrary, are not drawn;
    what they add to the sum is.

    Args:
        result: one layer of one network, from ``awduality.decompose``.
        sharp_directions: how many directions make up the sharp part, which is shaded.
        loss_unit: unit of the loss: nats for the cross-entropy; an empty string for a loss without a unit.
        title: a line above the panels; by default the layer, its directions and its pairs.

    Returns:
        A figure of its own, outside pyplot: matplotlib's settings and the user's open figures stay as they are. Save it
        with ``figure.savefig(path)``. In a notebook it is shown after ``%matplotlib inline``.

    Raises:
        InputError: the result is no decomposition, or the number of directions is none.
    """
    if not isinstance(result, Decomposition):
        raise InputError(f"result must be what awduality.decompose returns: got {shown(result)}")
    sharp_directions = whole_number("sharp_directions", sharp_directions, 0)
    with mpl.rc_context({**sns.axes_style("ticks"), **_SETTINGS}):
        figure = Figure(figsize=(PAGE, 4.9), layout="constrained")
        (spectra, correlation), (total, pairs) = figure.subplots(2, 2)
        order = result.by_sharpness[: result.above.sum()]
        _spectra(spectra, result, order, loss_unit)
        _correlation(correlation, result, order)
        _total(total, result, order, sharp_directions, loss_unit)
        _pairs(pairs, result, loss_unit)
        for axes in (spectra, correlation, total):
            axes.set(xscale="log", xlabel=_DIRECTION, xlim=(0.8, max(len(order), sharp_directions, 2) * 1.25))
            _shade(axes, min(sharp_directions, len(order)))
        for axes, text in zip((spectra, correlation, total, pairs), "abcd", strict=True):
            letter(axes, text)
        figure.suptitle(_describe(result, len(order)) if title is None else title, fontsize=7, color="0.35")
        for axes in figure.axes:  # what is made when it is drawn takes the settings of that moment
            axes.tick_params(labelsize=_SETTINGS["xtick.labelsize"])
        figure.draw_without_rendering()
    return figure


def _describe(result: Decomposition, drawn: int) -> str:
    words = f"Layer {result.layer}: "
    if result.remainder:
        words += f"{drawn} directions of largest eigenvalue; "
    else:
        words += f"{drawn} of {len(result.sigma_g)} directions have curvature; "
    words += f"{len(result.test_loss)} pairs"
    return words + (f", {result.dropped} more without a dual" if result.dropped else "")


def _spectra(axes: Axes, result: Decomposition, order: np.ndarray, unit: str) -> None:
    """σ_g on the left axis, σ_w on the right, which spans as many decades, so that their slopes can be compared."""
    right = axes.twinx()
    looks: dict[str, Any] = {"linestyle": "", "markersize": 2.0, "markeredgewidth": 0.0}
    sharpness, size = _positive(result.sigma_g[order]), _positive(result.sigma_w[order])
    ranks = _ranks(order)
    axes.plot(ranks, sharpness, "o", color=_SHARPNESS, label=r"Sharpness $\sigma_{g,n}$", **looks)
    right.plot(ranks, size, "s", color=_SIZE, label=r"Size $\sigma_{w,n}$", **looks)
    spans = [_decades(values) for values in (sharpness, size)]
    decades = max([_DECADES, *(high - low for low, high in spans)]) + _APART + 0.3
    for one, (low, high), shift, colour, label in (
        (axes, spans[0], -_APART / 2, _SHARPNESS, rf"Sharpness $\sigma_{{g,n}}${_per_weight(unit)}"),
        (right, spans[1], _APART / 2, _SIZE, r"Size $\sigma_{w,n}$ (unit of weight)"),
    ):
        middle = (low + high) / 2 + shift
        one.set(yscale="log", ylim=(10 ** (middle - decades / 2), 10 ** (middle + decades / 2)))
        one.set_ylabel(label, color=colour)
        _log_ticks(one.yaxis)
    right.spines["right"].set_visible(True)
    axes.legend(handles=[axes.lines[0], right.lines[0]], loc="lower left", handletextpad=0.1)


def _correlation(axes: Axes, result: Decomposition, order: np.ndarray) -> None:
    values = result.c[order]
    axes.plot(_ranks(order), values, "o", color=_SUM, markersize=2.0, markeredgewidth=0.0, alpha=0.6)
    axes.axhline(0, color="0.6", linewidth=0.5, zorder=0)
    if len(values):
        median = float(np.median(values))
        axes.axhline(median, color=_SUM, linewidth=0.8, linestyle=(0, (3, 2)), label=f"Median {_signed(median)}")
        axes.legend(loc="best")
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    axes.set(ylabel=r"Correlation $c_n$", ylim=(min(low, 0.0) - 0.1, max(high, 0.0) + 0.1))


def _total(axes: Axes, result: Decomposition, order: np.ndarray, sharp: int, unit: str) -> None:
    """The cumulative sum of c σ_g σ_w over the directions; at its end what else the estimate consists of."""
    contribution = result.contribution
    running = np.cumsum(contribution[order])
    reached = float(running[-1]) if len(running) else 0.0
    axes.axhline(result.gap, color="0.35", linestyle=(0, (3, 2)), label=f"Gap {_signed(result.gap)}")
    axes.plot(_ranks(order), running, color=_SUM, label=r"$\Sigma_{i\leq n}\,c_i\,\sigma_{g,i}\,\sigma_{w,i}$")
    place = max(len(order), 1)
    means = r"$\Sigma_i\,\mu_{g,i}\,\mu_{w,i}$" + ("" if len(order) == len(contribution) else ", null space")
    rest = float(result.mean_term.sum() + contribution.sum() - contribution[order].sum())
    for name, amount, colour in ((means, rest, _MEANS), ("Remainder", result.remainder, _REMAINDER)):
        if name != "Remainder" or amount:
            step: dict[str, Any] = {"color": colour, "linewidth": 3.0, "solid_capstyle": "butt"}
            axes.plot([place, place], [reached, reached + amount], label=f"{name} {_signed(amount)}", **step)
            reached += amount
    axes.plot(place, result.estimate, "D", color=_SIZE, markersize=4, label=f"Estimate {_signed(result.estimate)}")
    axes.set_ylabel(f"Sum over directions{_in_brackets(unit)}")
    rising = reached >= 0
    axes.annotate(
        f"sharp part {_signed(result.sharp_part(sharp))}",
        (0.02, 0.97 if rising else 0.03),
        xycoords="axes fraction",
        va="top" if rising else "bottom",
        color="0.35",
        fontsize=6.5,
    )
    axes.update_datalim([(1, 0)])  # where the sum begins
    axes.margins(y=0.12)
    axes.legend(loc="lower right" if rising else "upper right", handlelength=1.4, labelspacing=0.3)


def _pairs(axes: Axes, result: Decomposition, unit: str) -> None:
    """Every pair at the loss of its test sample: the training sample's loss, and what the dual weights make of it."""
    shown = np.unique(np.linspace(0, len(result.test_loss) - 1, _MOST_POINTS).astype(int))
    test, train, dual = result.test_loss[shown], result.train_loss[shown], result.dual_loss[shown]
    error = float(np.abs(result.dual_loss - result.test_loss).max())
    axes.axline((1, 1), slope=1, color="0.6", linewidth=0.5, zorder=0)
    looks: dict[str, Any] = {"linestyle": "", "markersize": 2.4}
    label = r"Training sample, $\ell(a;\,W)$"
    axes.plot(test, train, "o", color="0.55", markerfacecolor="none", markeredgewidth=0.4, label=label, **looks)
    label = rf"Its dual, $\ell(a;\,W+\Delta W)$: error $\leq$ {_power(error)}"
    axes.plot(test, dual, "o", color=_SIZE, markeredgewidth=0.0, label=label, **looks)
    every = np.concatenate([result.test_loss, result.train_loss, result.dual_loss])
    if (every > 0).all():
        axes.set(xscale="log", yscale="log")
    elif every.any():  # zeros and negative losses: linear about zero, as far as a twentieth of the losses go
        threshold = float(np.percentile(np.abs(every[every != 0]), 5))
        axes.set_xscale("symlog", linthresh=threshold)
        axes.set_yscale("symlog", linthresh=threshold)
        first, last = (int(np.ceil(np.log10(number))) for number in (threshold, np.abs(every).max()))
        powers = 10.0 ** np.arange(first + 1, last + 1, 2)
        ticks = [*(-power for power in powers if power <= -every.min()), 0.0, *powers]
        axes.set(xticks=ticks, yticks=ticks)
    axes.set(
        xlabel=rf"Loss of the test sample, $\ell(a';\,W)${_in_brackets(unit)}",
        ylabel=f"Loss of its partner{_in_brackets(unit)}",
    )
    limits = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
    axes.set(xlim=limits, ylim=limits)
    axes.legend(loc="upper left", handletextpad=0.1, borderaxespad=0.2)


def _shade(axes: Axes, sharp: int) -> None:
    if sharp:
        axes.axvspan(axes.get_xlim()[0], sharp + 0.5, color="0.93", zorder=-1, linewidth=0)


def _ranks(order: np.ndarray) -> np.ndarray:
    return np.arange(1, len(order) + 1)


def _positive(values: np.ndarray) -> np.ndarray:
    """The values, NaN where a logarithmic axis has no place for them."""
    return np.where(values > 0, values, np.nan)


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Where positive values begin and end, as powers of ten."""
    known = values[np.isfinite(values)]
    return (float(np.log10(known.min())), float(np.log10(known.max()))) if len(known) else (-1.0, 1.0)


def _log_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_formatter(NullFormatter())


def _signed(value: float) -> str:
    if 0 < abs(value) < 1e-3:
        digits, power = f"{value:+.1e}".split("e")
        return rf"{digits.replace('-', '−')}$\times 10^{{{int(power)}}}$"
    return f"{value:+#.3g}".replace("-", "−")


def _power(value: float) -> str:
    """A small number as a power of ten, rounded up."""
    return f"$10^{{{int(np.ceil(np.log10(value)))}}}$" if value > 0 else "0"


def _in_brackets(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _per_weight(unit: str) -> str:
    return f" ({unit} per unit of weight)" if unit else " (per unit of weight)"
