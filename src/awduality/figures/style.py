"""One look for all figures, and the one place that saves them."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL.PngImagePlugin import PngInfo

from awduality.files import write_atomically
from awduality.records import canonical, current_figure

COLUMN = 3.5  # inches: the width of a journal's column
PAGE = 7.2  # inches: the width of its page

_CHARACTERS = 20.8  # of a caption, per inch

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.title_fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.8,
    "ytick.minor.size": 1.8,
    "errorbar.capsize": 1.5,
    "mathtext.fontset": "dejavusans",
    "axes.formatter.use_mathtext": True,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "svg.fonttype": "none",
    "svg.hashsalt": "awduality",
}


def apply_style() -> None:
    """Set matplotlib's defaults for all figures of the project."""
    sns.set_theme(style="ticks", palette="colorblind")
    mpl.use("Agg")
    mpl.rcParams.update(_SETTINGS)


def value_colours(count: int) -> list[tuple[float, float, float]]:
    """Colours for the values of a factor, dark for small, bright for large; readable in grey and when colour-blind."""
    return list(sns.color_palette("viridis", as_cmap=True)([0.85 * i / max(count - 1, 1) for i in range(count)])[:, :3])


def format_value(value: float) -> str:
    """A number as text: 0.1, 4,000."""
    return f"{value:,g}" if value < 1e6 else f"{value:g}"


def draw_nothing(reason: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = Figure(figsize=(COLUMN, 1.0))
    figure.text(0.5, 0.5, reason, ha="center", va="center")
    return figure


def describe(row: Mapping[str, Any] | pd.Series) -> str:
    """Which results a row belongs to, as far as it says: ``mine: digits, layer fc2, pairs test → train``."""
    words = str(row["config"])
    if "dataset" in row and row["dataset"] != row["config"]:
        words += f": {row['dataset']}"
    words += f", layer {row['layer']}" if "layer" in row else ""
    return words + (f", pairs {row['pairing'].replace('_to_', ' → ')}" if "pairing" in row else "")


def wrapped(text: str, width: float = PAGE) -> str:
    """A caption in lines that are no longer than a figure of this width, in inches."""
    return textwrap.fill(text, int(_CHARACTERS * width), break_long_words=False)


def letter(axes: Axes, text: str) -> None:
    """The letter of a panel, in its upper left corner outside the axes."""
    axes.set_title(text, loc="left", fontweight="bold", fontsize=8)


def plain_log_axes(axes: Axes) -> None:
    """Logarithmic axes with ticks written as plain numbers, for data that span less than two decades."""
    axes.set(xscale="log", yscale="log")
    plain_log_ticks(axes.xaxis, *axes.get_xlim())
    plain_log_ticks(axes.yaxis, *axes.get_ylim())


def plain_log_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks as plain numbers on one logarithmic axis from ``low`` to ``high``."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low > 6 else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value)))
    axis.set_minor_formatter(NullFormatter())


def savefig(figure: Figure, paths: Sequence[Path]) -> None:
    """Save a figure, the same bytes for the same numbers: no date, a fixed salt for the ids within an SVG.

    A figure drawn by a step carries its origin: its id and the digests of the numbers drawn, in an iTXt chunk of a PNG
    and in the Dublin Core metadata of an SVG.
    """
    origin = current_figure()
    for path in paths:
        options = _png_options(origin) if path.suffix == ".png" else {"metadata": _svg_metadata(origin)}
        write_atomically(path, functools.partial(figure.savefig, **options))


def _png_options(origin: tuple[str, dict[str, str]] | None) -> dict[str, Any]:
    chunks = PngInfo()
    if origin is not None:
        identifier, numbers = origin
        chunks.add_itxt("awduality", canonical({"figure_id": identifier, "numbers": numbers}))
    return {"pil_kwargs": {"pnginfo": chunks}}


def _svg_metadata(origin: tuple[str, dict[str, str]] | None) -> dict[str, Any]:
    if origin is None:
        return {"Date": None}
    identifier, numbers = origin
    return {
        "Date": None,
        "Identifier": f"awduality:{identifier}",
        "Source": " ".join(f"{name}=sha256:{digest}" for name, digest in sorted(numbers.items())),
        "Description": "Activity-weight duality. Where this figure comes from: python scripts/audit.py identify FILE",
    }
