"""Runs of two algorithms, paired by what they share; how large a quantity is in one against the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity
from awduality.claims.measure import Measured, claim_stream
from awduality.claims.statistics import bootstrap_interval, equivalence_p, mean_interval, mean_p
from awduality.errors import InputError
from awduality.learners import ALGORITHMS, MIXINGS

LEAST_SEEDS = 3
"""Fewer seeds give no verdict: an interval over two says nothing."""

TEST_ERROR = "last_test_error"
"""What the best σ₀ is chosen by."""

SETTING = ["learning_rate", "total_batch", "steps", "learners", "mixing"]

PROPORTIONAL = ("trace", "top_eigenvalue")  # what is about in proportion to the training loss near a minimum

Selection = Mapping[str, str]  # algorithm; mixing, noise: "best"


@dataclass(frozen=True)
class Study:
    """The numbers that claims read, of one layer."""

    runs: pd.DataFrame  # a row per run: settings, experiments, how it ended, measures
    course: pd.DataFrame  # a row per run and recorded step
    samples: pd.DataFrame  # a row per test sample: per experiment the mean difference of its loss
    root_seed: int

    def experiments(self, names: Sequence[str]) -> pd.DataFrame:
        """The runs that any of the experiments asks for."""
        return asked_for(self.runs, names)


def asked_for(runs: pd.DataFrame, experiments: Sequence[str]) -> pd.DataFrame:
    """The runs that any of the experiments asks for."""
    asked = runs["experiments"].fillna("").str.split()
    return runs[np.array([not set(experiments).isdisjoint(of_run) for of_run in asked], dtype=bool)]


def selected(runs: pd.DataFrame, selection: Selection) -> tuple[pd.DataFrame, int]:
    """The runs of an algorithm, and the number of σ₀ among which the best was chosen (1 where there is no choice).

    The best σ₀ has the lowest mean test error over all its runs; one whose test error is unknown in some run is not it.
    """
    chosen = runs[runs["algorithm"] == selection["algorithm"]]
    if "mixing" in selection:
        chosen = chosen[chosen["mixing"] == selection["mixing"]]
    if "noise" not in selection or chosen.empty:
        return chosen, 1
    errors = chosen.groupby("noise")[TEST_ERROR].agg(lambda found: found.mean(skipna=False))
    if errors.isna().all():
        return chosen[:0], len(errors)
    return chosen[chosen["noise"] == errors.idxmin()], len(errors)


def matched(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of the same length: row by row, runs of the same rate, total batch, steps and seed.

    Learners are of the same number, too, except that SSGD, which is the same for every number, goes with all.
    """
    shared = ["learning_rate", "total_batch", "steps", "seed"]
    if not any((runs["algorithm"] == "ssgd").any() for runs in (first, second)):
        shared.append("learners")
    places = [runs[shared].assign(**{name: np.arange(len(runs))}) for name, runs in (("_1", first), ("_2", second))]
    found = places[0].merge(places[1], on=shared)
    return first.iloc[found["_1"]].reset_index(drop=True), second.iloc[found["_2"]].reset_index(drop=True)


def compared(claim: Claim, study: Study) -> Measured | str | None:
    """Per seed, the mean over settings of a quantity in one algorithm minus that in the other.

    Where the second was chosen among several σ₀ and is the lower, the p-value counts the choice.
    """
    assert claim.quantity is not None
    options = claim.options
    runs = study.experiments(options["experiments"])
    (first, _), (second, choices) = (selected(runs, options[side]) for side in ("of", "against"))
    one, other = matched(first, second)
    if one.empty:
        return None
    under_null = claim.null.quantity if claim.null else None
    values = claim.quantity.of(one) - claim.quantity.of(other)
    null = under_null.of(one) - under_null.of(other) if under_null else values
    good = np.isfinite(values) & np.isfinite(null)
    if options["runs"] == "converged":
        good &= ((one["ended"] == "converged") & (other["ended"] == "converged")).to_numpy()
    details = [*_choice(runs, options["against"]), *_settings(one, other, values, good)]
    if options["runs"] == "converged" and set(PROPORTIONAL) & set(claim.quantity.columns):
        loss = Quantity({"train_loss": 1}, True, "")
        relative = _by_seed(one[good], (values - loss.of(one) + loss.of(other))[good])
        details.append(
            {"setting": "all, per unit of training loss", **interval_row(relative), "pairs": int(good.sum())}
        )
    by_seed = _by_seed(one[good], values[good])
    if len(by_seed) < LEAST_SEEDS:
        ended = " in which both converged" if options["runs"] == "converged" else ""
        return f"{len(by_seed)} of {one['seed'].nunique()} seeds have pairs{ended}; {LEAST_SEEDS} are needed"
    p = equivalence_p(by_seed, claim.margin) if claim.expected == "equivalent" else mean_p(by_seed)
    if by_seed.mean() > 0:
        p = min(1.0, choices * p)
    return Measured(
        by_seed,
        p,
        n=int(good.sum()),
        excluded=int((~good).sum()),
        null_values=_by_seed(one[good], null[good]) if under_null else None,
        null_interval=_over_samples(claim, study) if claim.null and claim.null.name == "test_samples" else None,
        details=details,
    )


def _over_samples(claim: Claim, study: Study) -> tuple[float, float]:
    experiment = claim.options["experiments"][0]
    values = study.samples[experiment].to_numpy(float) if experiment in study.samples else np.empty(0)
    if not len(values) or not np.isfinite(values).all():
        raise InputError(
            f"claim {claim.id}: the table of test samples has no number per sample in a column {experiment!r}, "
            "although there are pairs of converged runs: make the tables again with learner_numbers.py"
        )
    return bootstrap_interval(values, claim_stream(claim, study.root_seed, "bootstrap"))


def _by_seed(runs: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    return pd.Series(values, index=runs.index).groupby(runs["seed"]).mean().to_numpy(float)


def interval_row(values: np.ndarray) -> dict[str, Any]:
    """The mean of some values with its 95% interval, for the details of a claim."""
    mean, half = mean_interval(values) if len(values) else (np.nan, np.nan)
    return {"estimate": float(mean), "interval": [float(mean - half), float(mean + half)]}


def _settings(one: pd.DataFrame, other: pd.DataFrame, values: np.ndarray, good: np.ndarray) -> Iterator[dict[str, Any]]:
    """The comparison in every setting, for the reader: with how many pairs entered, and how many runs converged."""
    for _, rows in one.groupby(SETTING):
        here = rows.index.to_numpy()
        kept = here[good[here]]
        yield {
            "setting": setting_in_words(rows.iloc[0]),
            **interval_row(values[kept]),
            "pairs": len(kept),
            "of_pairs": len(here),
            "converged": [int((side["ended"].iloc[here] == "converged").sum()) for side in (one, other)],
        }


def setting_in_words(run: Mapping[str, Any] | pd.Series) -> str:
    """The setting of a run of several learners."""
    mixing = MIXINGS[run["mixing"]]
    return f"α = {run['learning_rate']:g}, batch {run['total_batch']}, {run['learners']} learners, {mixing}"


def _choice(runs: pd.DataFrame, selection: Selection) -> list[dict[str, Any]]:
    """The mean test error at every σ₀ among which the best was chosen."""
    return strengths(runs[runs["algorithm"] == selection["algorithm"]]) if "noise" in selection else []


def strengths(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """The mean test error of SSGD* at every σ₀, and how many of its runs reached the target loss."""
    return [
        {
            "setting": f"{ALGORITHMS[str(rows['algorithm'].iloc[0])]}, σ₀ = {noise:g}: test error",
            **interval_row(rows[TEST_ERROR].to_numpy(float)),
            "runs": len(rows),
            "converged": int((rows["ended"] == "converged").sum()),
        }
        for noise, rows in runs.groupby("noise")
    ]


def share(claim: Claim, study: Study) -> Measured | str | None:
    """How many more runs of one algorithm than of the other stay below a bound: Fisher's exact test, two-sided.

    The interval of the difference is Newcombe's. Where the first was chosen among several σ₀ and has the larger share,
    the p-value counts the choice.
    """
    from scipy.stats import fisher_exact
    from statsmodels.stats.proportion import confint_proportions_2indep

    options = claim.options
    runs = study.experiments(options["experiments"])
    (first, choices), (second, _) = (selected(runs, options[side]) for side in ("of", "against"))
    if first.empty or second.empty:
        return None
    for side in (first, second):
        if len(found := side.drop_duplicates(SETTING)) > 1:
            words = "; ".join(setting_in_words(run) for _, run in found.iterrows())
            return f"wanted runs of one setting, got {len(found)}: {words}"
    column = options["column"]
    # A diverged run is not below the bound, whether its number is known or not.
    known = [side[side[column].notna() | (side["ended"] == "diverged")] for side in (first, second)]
    if min(map(len, known)) < LEAST_SEEDS:
        return f"{min(map(len, known))} runs with a {column}; {LEAST_SEEDS} are needed"
    below = [(side[column] <= options["most"]).to_numpy(float) for side in known]
    counts = [(int(found.sum()), len(found)) for found in below]
    p = float(fisher_exact(np.array([[count, total - count] for count, total in counts])).pvalue)
    if below[0].mean() > below[1].mean():
        p = min(1.0, choices * p)
    low, high = confint_proportions_2indep(*counts[0], *counts[1], method="newcomb", compare="diff")
    details = [
        {
            "setting": f"{ALGORITHMS[str(side['algorithm'].iloc[0])]}{_noise(side)}",
            "runs": total,
            "below": count,
            "reached_target": int((side["ended"] == "converged").sum()),
        }
        for side, (count, total) in zip(known, counts, strict=True)
    ]
    return Measured(
        below[0] - below[1].mean(),
        p,
        n=sum(map(len, known)),
        excluded=len(first) + len(second) - sum(map(len, known)),
        interval=(float(low), float(high)),
        details=[*details, *_choice(runs, options["of"])],
    )


def _noise(runs: pd.DataFrame) -> str:
    noise = float(runs["noise"].iloc[0])
    return f", σ₀ = {noise:g}" if noise else ""
