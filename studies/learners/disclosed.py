"""What docs/learners.md discloses of the studies beside their verdicts: every σ₀, failures, the estimate, power."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from awduality.claims.report import markdown_table
from awduality.claims.rows import CONVERGED, asked_for
from awduality.claims.sides import paired
from awduality.claims.statistics import mean_interval
from awduality.claims.words import Verdicts
from studies.learners.selections import TEST_ERROR, one_row_per_run

POWER = 0.8
_MEASURES = {
    "λ₁": "top_eigenvalue",
    "λ₁, balanced": "top_eigenvalue_balanced",
    "trace": "trace",
    "size": "sigma_w_norm",
}
_MOST_SEEDS = 1000


def every_noise(studies: Mapping[str, pd.DataFrame]) -> str:
    """DPSGD against SSGD* at every σ₀ that was run, in Markdown: nothing is picked.

    Args:
        studies: a row per run and layer of every study, by its name.
    """
    head = ["config", "experiment", "σ₀", "SSGD* reached the target loss", "its test error, median (%)", "pairs"]
    lines = [[*head, *(f"DPSGD ÷ SSGD*: {words}" for words in _MEASURES)]]
    for name, table in studies.items():
        runs = one_row_per_run(table)
        stars = runs[runs["algorithm"] == "ssgd_star"]
        for experiment in dict.fromkeys(word for words in stars["experiments"] for word in words.split()):
            here = asked_for(runs, [experiment])
            for noise, star in here[here["algorithm"] == "ssgd_star"].groupby("noise"):
                reached = f"{(star['ended'] == CONVERGED).sum()} of {len(star)}"
                error = f"{100 * star[TEST_ERROR].median():.2f}"
                pairs = _converged_pairs(here[here["algorithm"] == "dpsgd"], star)
                cells = [_ratio(*(side[column] for side in pairs)) for column in _MEASURES.values()]
                lines.append([f"`{name}`", experiment, f"{noise:g}", reached, error, str(len(pairs[0])), *cells])
    return markdown_table(lines)


def noise_against(runs: pd.DataFrame, experiment: str, noise: float, column: str) -> str:
    """DPSGD over SSGD* at one σ₀, a ratio with its interval over seeds in which both reached the target loss."""
    here = asked_for(one_row_per_run(runs), [experiment])
    star = here[(here["algorithm"] == "ssgd_star") & np.isclose(here["noise"], noise)]
    pairs = _converged_pairs(here[here["algorithm"] == "dpsgd"], star)
    return _ratio(*(side[column] for side in pairs))


def _converged_pairs(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    first, second = (side[side["ended"] == CONVERGED] for side in (one, other))
    return paired(first, second, ["learning_rate", "total_batch", "seed"])


def _ratio(one: pd.Series, other: pd.Series) -> str:
    """The geometric mean of the ratios, with its interval."""
    if len(one) < 2:
        return "–"
    mean, half = mean_interval(np.log(one.to_numpy(float) / other.to_numpy(float)))
    return f"×{math.exp(mean):.2f} [×{math.exp(mean - half):.2f}, ×{math.exp(mean + half):.2f}]"


def not_reached(runs: pd.DataFrame) -> str:
    """How many of the runs never reached the target loss."""
    every = one_row_per_run(runs)
    return f"{(every['ended'] != CONVERGED).sum()} of {len(every)}"


def estimate_over_gap(runs: pd.DataFrame) -> str:
    """The estimate of the gap over the gap, of runs that reached the target loss: median, least and largest."""
    every = one_row_per_run(runs)
    found = (every["estimate"] / every["gap"])[every["ended"] == CONVERGED]
    return f"{found.median():.1f} ({found.min():.1f} to {found.max():.1f})"


def rates_compared(runs: pd.DataFrame, experiment: str) -> str:
    """The rates at which both SSGD and DPSGD reached the target loss in some seed of an experiment."""
    return ", ".join(f"{rate:g}" for rate in sorted(_both(runs, experiment)["learning_rate"].unique())) or "none"


def baselines(runs: pd.DataFrame, experiment: str) -> str:
    """How many runs of SSGD, with how many of DPSGD, are compared in an experiment."""
    found = _both(runs, experiment)
    return f"{found['other'].nunique()} runs of SSGD with {len(found)} of DPSGD"


def _both(runs: pd.DataFrame, experiment: str) -> pd.DataFrame:
    here = asked_for(one_row_per_run(runs), [experiment])
    one, other = _converged_pairs(*(here[here["algorithm"] == name] for name in ("dpsgd", "ssgd")))
    return one.assign(other=other["run"])


def seeds_needed(verdicts: Verdicts, name: str) -> str:
    """How many seeds would find the effect of a claim as it came out, at its level in the family and the usual power.

    From the effect, the interval and the number of seeds: Student's t-test at the level over the number of claims that
    were tested, which is what Holm's method asks of the strictest of them.
    """
    row = verdicts.rows[name]
    tested = sum(one["p"] is not None for one in verdicts.rows.values())
    effect, (low, high) = row["estimate"], row["interval"]
    needed = next(_enough(abs(effect) / _deviation(high - low, row["seeds"]), row["threshold"] / tested), None)
    return f"more than {_MOST_SEEDS}" if needed is None else str(needed)


def _deviation(width: float, seeds: int) -> float:
    """Of the seeds, from the width of their 95% t-interval."""
    from scipy.stats import t

    return float(width / 2 * math.sqrt(seeds) / t.ppf(0.975, seeds - 1))


def _enough(effect: float, level: float) -> Iterator[int]:
    """Numbers of seeds at which an effect, in deviations between seeds, is found with the usual power, ascending."""
    return (seeds for seeds in range(3, _MOST_SEEDS + 1) if power(effect, seeds, level) >= POWER)


def power(effect: float, seeds: int, level: float) -> float:
    """Of the two-sided t-test of a mean that is ``effect`` deviations from zero."""
    from scipy.stats import nct, t

    critical, shift = t.ppf(1 - level / 2, seeds - 1), effect * math.sqrt(seeds)
    return float(nct.sf(critical, seeds - 1, shift) + nct.cdf(-critical, seeds - 1, shift))


def words(runs: Mapping[str, pd.DataFrame], noisy: Sequence[str]) -> dict[str, object]:
    """What the document's template asks for.

    Args:
        runs: a row per run and layer of every study.
        noisy: studies with SSGD*.
    """
    return {
        "every_noise": every_noise({name: runs[name] for name in noisy}),
        "noise_against": lambda name, *asked: noise_against(runs[name], *asked),
        "not_reached": {name: not_reached(table) for name, table in runs.items()},
        "estimate_over_gap": {name: estimate_over_gap(table) for name, table in runs.items()},
        "rates_compared": lambda name, experiment: rates_compared(runs[name], experiment),
        "baselines": lambda name, experiment: baselines(runs[name], experiment),
        "seeds_needed": seeds_needed,
        "power": f"{POWER:.0%}",
    }
