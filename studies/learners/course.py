"""What happens along training: the effective rate α_e/α of the steps, and the spread σ_w² of the learners.

Runs that diverged are left out; those that ended by their budget are not, since no solution is compared. A minimum
over noisy steps is biased down and a maximum up, so neither is compared with zero:

========  ====================================================================  =====================================
part      per seed                                                              against the bias
========  ====================================================================  =====================================
dip       least α_e/α over the first half of the steps on a logarithmic axis,   the same of SSGD of the same setting
          the first step left out                                               and seed is subtracted
recovery  mean α_e/α over the last quarter of the recorded steps minus the dip  the same
rise      log spread at its peak minus that of the first positive spread        the peak is at one step for all
                                                                                seeds; p-values count its choice
decay     mean log spread over the last quarter of the recorded steps minus     the same
          that at the peak
========  ====================================================================  =====================================

The peak is where the mean over seeds is largest. Seeds' own peaks would exceed any other value by construction; a peak
that is taken from the other seeds would not, but makes the seeds dependent and the test too bold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim
from awduality.claims.kind import LEAST_SEEDS, RUNS, Kind, Measured, Registry, Shape, Tables
from awduality.claims.rows import asked_for, by_seed, interval_row, row_problems, too_few
from awduality.claims.sides import AGAINST, OF, Side, choices_of
from awduality.claims.statistics import mean_p
from studies.learners.selections import SETTING, SIDES, matched, selected, selection_in_words, setting_in_words

COURSE = "course"
"""The table with a row per run and recorded step."""

_NEEDS_BOTH = ("dip", "recovery")
_UNDIVERGED = "runs that did not diverge"

_WORDS: Mapping[str, str] = {
    "dip": "least α_e/α of the first half of the log steps",
    "recovery": "α_e/α of the last quarter minus the least of the first half of the log steps",
    "rise": "log spread at the peak minus the first",
    "decay": "log spread of the last quarter minus that at the peak",
}


class Course(Kind):
    """One part of the course; see the table of the module."""

    equivalence = False

    needs: Mapping[str, Shape] = {
        "experiments": SIDES["experiments"],
        OF: SIDES[OF],
        "part": {"enum": list(_WORDS), "description": "the part of the course"},
    }
    may: Mapping[str, Shape] = {AGAINST: SIDES[AGAINST]}

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """The first two parts are compared with another algorithm."""
        yield from row_problems(claim, registry)
        if claim.options["part"] in _NEEDS_BOTH and AGAINST not in claim.options:
            yield f"statistic: the part {claim.options['part']!r} of kind 'course' needs {AGAINST!r}"

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """The course of the runs."""
        del claim
        return {COURSE: ("run", "step", "spread", "effective_rate")}

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """Of runs that did not diverge."""
        options = claim.options
        runs = asked_for(tables.frames[RUNS], options["experiments"])
        course = tables.frames[COURSE].sort_values("step")
        first = Side(*selected(runs, options[OF]))
        if options["part"] not in _NEEDS_BOTH:
            return _spread(first, course, options["part"]) if len(first.rows) else None
        second = Side(*selected(runs, options[AGAINST]))
        one, other = matched(first.rows, second.rows)
        choices = choices_of((first, second))
        return _effective_rate(one, other, course, options["part"], choices) if len(one) else None

    def words(self, claim: Claim) -> str:
        """The part, the algorithms and the first experiment."""
        options = claim.options
        sides = " minus ".join(selection_in_words(options[side]) for side in (OF, AGAINST) if side in options)
        return f"mean over seeds of {_WORDS[options['part']]}, {sides}, {options['experiments'][0]}"


def _effective_rate(
    one: pd.DataFrame, other: pd.DataFrame, course: pd.DataFrame, part: str, choices: int
) -> Measured | str:
    curves = dict(iter(course.groupby("run")))
    own, null = (np.array([_dip(curves.get(run), part) for run in side["run"]]) for side in (one, other))
    good = np.isfinite(own - null) & ~((one["ended"] == "diverged") | (other["ended"] == "diverged")).to_numpy()
    values, under_null = (by_seed(one[good], found[good]).to_numpy(float) for found in (own - null, null))
    if len(values) < LEAST_SEEDS:
        return too_few(len(values), one, LEAST_SEEDS, _UNDIVERGED)
    details = []
    for _, rows in one[good].groupby(list(SETTING)):
        here = rows.index.to_numpy()
        for label, found in (("DPSGD", own), ("SSGD", null)):
            details.append({"setting": f"{label}: {setting_in_words(rows.iloc[0])}", **interval_row(found[here])})
            details[-1]["pairs"] = len(here)
    p = min(1.0, choices * mean_p(values))
    return Measured(values, p, int(good.sum()), int((~good).sum()), under_null, details=details, choices=choices)


def _dip(curve: pd.DataFrame | None, part: str) -> float:
    """The dip of one run, or its recovery; NaN where a step is missing."""
    if curve is None:
        return math.nan
    steps, rates = curve["step"].to_numpy(float), curve["effective_rate"].to_numpy(float)
    early = rates[(steps > 1) & (steps <= math.sqrt(steps[-1]))]
    if not len(early):
        return math.nan
    dip = float(early.min())
    return dip if part == "dip" else float(rates[-last_quarter(len(rates)) :].mean()) - dip


def last_quarter(count: int) -> int:
    """How many recorded steps are the last quarter."""
    return max(1, count // 4)


def _spread(side: Side, course: pd.DataFrame, part: str) -> Measured | str:
    """The rise or the decay of the spread, each seed's curve being the mean over its settings."""
    runs = side.rows
    spreads = dict(iter(course.groupby("run")))
    kept = runs[(runs["ended"] != "diverged") & runs["run"].isin(spreads)]
    curves = [_log_spread(spreads[run]) for run in kept["run"]]
    good = np.array([len(curve) > 1 and bool(np.isfinite(curve).all()) for curve in curves], dtype=bool)
    kept, curves = kept[good], [curve for curve, usable in zip(curves, good, strict=True) if usable]
    if kept["seed"].nunique() < LEAST_SEEDS:
        return too_few(kept["seed"].nunique(), runs, LEAST_SEEDS, _UNDIVERGED)
    shortest = min(map(len, curves))  # settings may differ in their number of recorded steps
    table = np.array([curve[:shortest] for curve in curves])
    by_seed = pd.DataFrame(table, index=kept["seed"].to_numpy()).groupby(level=0).mean().to_numpy(float)
    values, peak, choices = peak_change(by_seed, part)
    # Recorded steps are counted from the first at which learners differ.
    details = [{"setting": f"peak at recorded step {peak + 1} of {shortest} with a spread", "runs": len(kept)}]
    details += list(_settings(kept, table, part))
    choices *= side.choices
    p = min(1.0, choices * mean_p(values))
    return Measured(values, p, len(kept), len(runs) - len(kept), details=details, choices=choices)


def _settings(runs: pd.DataFrame, table: np.ndarray, part: str) -> Iterator[dict[str, object]]:
    """The same in every setting, each with a peak of its own, for the reader."""
    places = np.arange(len(runs))
    for _, here in pd.Series(places).groupby([runs[name].to_numpy() for name in SETTING]):
        values, _, _ = peak_change(table[here], part)
        yield {"setting": setting_in_words(runs.iloc[here.iloc[0]]), **interval_row(values), "runs": len(here)}


def _log_spread(curve: pd.DataFrame) -> np.ndarray:
    """Log σ_w² from the first positive one on after step 1, before which all learners are alike but for rounding."""
    spread = curve["spread"].to_numpy(float)
    begun = np.flatnonzero((spread > 0) & (curve["step"].to_numpy() > 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(spread[begun[0] :]) if len(begun) else np.empty(0)


def peak_change(curves: np.ndarray, part: str) -> tuple[np.ndarray, int, int]:
    """The rise to the peak of the mean curve, or the decay from it to the last quarter.

    Args:
        curves: (S, K) log spreads, a row per seed.
        part: rise or decay.

    Returns:
        (S,) one value per seed, the place of the peak, and the number of places among which it was chosen.
    """
    last = last_quarter(curves.shape[1])
    if part == "rise":
        peak = 1 + int(curves.mean(0)[1:].argmax())
        return curves[:, peak] - curves[:, 0], peak, curves.shape[1] - 1
    peak = int(curves.mean(0)[:-last].argmax())
    return curves[:, -last:].mean(1) - curves[:, peak], peak, curves.shape[1] - last
