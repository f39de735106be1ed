"""The two toy results that are on record for decentralised SGD, side by side with those of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from awduality.claims.report import markdown_table
from awduality.claims.rows import asked_for
from awduality.learners import ALGORITHMS
from studies.learners.selections import TEST_ERROR, one_row_per_run

CONVERGED = 0.05
"""A run counts as converged in this table if its last test error is no larger: the criterion of the claims, too."""


@dataclass(frozen=True)
class Recorded:
    """Test errors on record for one setting: single numbers, without intervals; σ₀ of SSGD* is not known."""

    setting: str
    percent: Mapping[str, float | None]  # algorithm -> test error; None where training is said to fail
    source: str = "arXiv 2112.01433 and 2002.01119"


RECORDED: Mapping[str, Recorded] = {
    "extreme": Recorded(
        "MNIST, fully connected 50–50, α = 1, 5 learners, total batch 2,000, full averaging",
        {"ssgd": None, "dpsgd": 2.1, "ssgd_star": 5.7},
    ),
    "mild": Recorded(
        "α = 0.2, 6 learners, two neighbours on each side",
        {"ssgd": 2.6, "dpsgd": 2.3, "ssgd_star": 3.9},
    ),
}
"""By the experiment of a study that repeats them."""


def recorded_table(runs: pd.DataFrame) -> str:
    """A row per setting, algorithm and σ₀, in Markdown: the number on record, and this study's.

    Args:
        runs: a row per run and layer, as beside the figures of a study on MNIST: elsewhere the settings are others.

    Ours are medians over seeds, with the least and the largest, of the median of the last ten evaluations: of w̄, and
    of single learners with their own weights. One seed that collapses drives a mean.
    """
    head = ["setting", "algorithm", "on record (%)", "w̄ (%)", "single learners (%)"]
    lines = [[*head, f"test error ≤ {100 * CONVERGED:g}%", "reached the target loss"]]
    every = one_row_per_run(runs)
    for experiment, known in RECORDED.items():
        for algorithm, percent in known.percent.items():
            said = "fails" if percent is None else f"{percent:g}"
            found = asked_for(every, [experiment])
            found = found[found["algorithm"] == algorithm]
            for noise, cells in _ours(found):
                lines.append([known.setting, f"{ALGORITHMS[algorithm]}{noise}", said, *cells])
    return markdown_table(lines)


def _ours(runs: pd.DataFrame) -> Iterator[tuple[str, Sequence[str]]]:
    """Per σ₀ its name and the cells of this study; one line of dashes where it has no runs."""
    if runs.empty:
        yield "", ["–"] * 4
    for _, rows in runs.groupby("noise"):
        cells = [_percent(rows[name].to_numpy(float)) for name in (TEST_ERROR, "learner_test_error")]
        for count in ((rows[TEST_ERROR] <= CONVERGED).sum(), (rows["ended"] == "converged").sum()):
            cells.append(f"{count} of {len(rows)}")
        strength = float(rows["noise"].iloc[0])
        yield (f", σ₀ = {strength:g}" if strength else ""), cells


def _percent(errors: np.ndarray) -> str:
    """The median of the known errors, the least and the largest; how many are not known."""
    known = 100 * errors[np.isfinite(errors)]
    if not len(known):
        return "–"
    left_out = f", without {len(errors) - len(known)}" if len(known) < len(errors) else ""
    return f"{np.median(known):.1f} ({known.min():.1f}–{known.max():.1f}){left_out}"
