"""The README's table: what each factor does to the gap, from the numbers that the figures show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from awduality.claims.statistics import mean_interval
from awduality.errors import InputError
from awduality.factors import BASELINE, FACTORS, format_value
from awduality.files import read_table

Rows = Sequence[dict[str, str]]

_COLUMNS = ("factor", "from → to", "gap (nats)", "change of the gap", "sharp share", "flat share")


def results_table(figures: Path) -> str:
    """A row per sweep, from its smallest to its largest value that converged, in Markdown.

    Args:
        figures: ``figures/<config>``, where the numbers lie.

    Raises:
        InputError: the folder holds no numbers of a converged sweep.
    """
    lines = [" | ".join(_COLUMNS), "|".join(["---"] * len(_COLUMNS))]
    for factor in FACTORS:
        path = figures / f"{factor}-gap.csv"
        rows = [row for row in read_table(path) if row["shown"] == "converged"] if path.exists() else []
        if rows:
            first, last = rows[0], rows[-1]
            ends = " → ".join(format_value(float(row["value"])) for row in (first, last))
            gap, sharp, flat = (
                " → ".join(f"{float(row[f'{name}_mean']):.3f}" for row in (first, last))
                for name in ("gap", "sharp_part", "flat_part")
            )
            change = _paired_change(read_table(figures / "runs.csv"), factor, first["value"], last["value"])
            name = f"[{FACTORS[factor].plain}]({figures.as_posix()}/{factor}.png)"
            lines.append(" | ".join([name, ends, gap, change, sharp, flat]))
    if len(lines) == 2:
        raise InputError(f"{figures} holds no numbers of a converged sweep: run the pipeline, or name another folder")
    return "".join(f"| {line} |\n" for line in lines)


def _paired_change(runs: Rows, factor: str, first: str, last: str) -> str:
    """The mean of gap(last) − gap(first) over the seeds that converged at both values, with its 95% t-interval."""
    gaps = {
        (entry["value"], entry["seed"]): float(entry["gap"])
        for entry in runs
        if entry["factor"] in (factor, BASELINE) and entry["ended"] == "converged"
    }
    swept = {value for value, _ in gaps}
    start, end = (value if value in swept else "" for value in (first, last))  # the default's runs carry no value
    seeds = sorted({seed for value, seed in gaps if value == start and (end, seed) in gaps})
    mean, half = mean_interval(np.array([gaps[end, seed] - gaps[start, seed] for seed in seeds]))
    text = f"{mean:+.3f}" + (f" ± {half:.3f}" if np.isfinite(half) else "")
    return text.replace("-", "−")
