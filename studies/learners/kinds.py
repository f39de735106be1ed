"""The claims of many learners: algorithms compared in pairs and by shares, SSGD* at its best σ₀, the course of runs.

The first layer and pairing are judged. What a config has no runs for, or fewer than three seeds, is not tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim, Quantity
from awduality.claims.kind import RUNS, Kind, Registry, Row, Shape, Tables, claim_stream
from awduality.claims.rows import QUANTITY, by_seed, interval_row
from awduality.claims.shares import Share, bound_in_words
from awduality.claims.sides import AGAINST, OF, Compared, Pairs, Side, TwoSided, by_setting, converged_only
from awduality.claims.statistics import bootstrap_interval
from awduality.errors import InputError
from awduality.learners import ALGORITHMS, SETTINGS
from studies.learners.course import Course
from studies.learners.selections import (
    SETTING,
    SIDES,
    TEST_ERROR,
    choice,
    matched,
    one_row_per_run,
    selected,
    selection_in_words,
    setting_in_words,
)

PAPER: Mapping[str, str] = MappingProxyType(
    {"multi-learner": "decentralised training finds flatter solutions of the same size"}
)
"""The claim of the paper that is tested, by its key."""

SAMPLES = "samples"
"""The table with a row per test sample: per experiment the mean difference of its loss."""

_PROPORTIONAL = ("trace", "top_eigenvalue")  # what is about in proportion to the training loss near a minimum

READ = ("config", "dataset", "layer", "pairing", "run", "experiments", *SETTINGS, "seed", "ended")
READ += ("train_loss", TEST_ERROR)
"""What every claim reads of the table of runs; claims name further columns."""


def parts(tables: Tables) -> Iterator[tuple[Row, Tables]]:
    """The rows of the first layer and pairing; nothing where there are no runs."""
    runs = tables.frames[RUNS]
    if missing := [name for name in READ if name not in runs]:
        raise InputError(f"the table runs of the study lacks the columns {', '.join(missing)}: make it again")
    if len(runs):
        kept = one_row_per_run(runs)
        labels = {name: str(next(iter(kept[name].dropna()), "")) for name in ("config", "dataset", "layer")}
        yield labels, Tables({**tables.frames, RUNS: kept}, tables.root_seed, tables.settings)


class OfAlgorithms(TwoSided):
    """A statistic on the runs of two algorithms."""

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """A run must have one counterpart."""
        yield from super().problems(claim, registry)
        against = claim.options.get(AGAINST, {})
        if against.get("algorithm") == "dpsgd" and "mixing" not in against:
            yield "statistic.against: dpsgd needs a mixing, so that a run has one counterpart"
        if against.get("algorithm") == "ssgd_star" and "noise" not in against:
            yield "statistic.against: ssgd_star needs noise: best, so that a run has one counterpart"

    def side(self, claim: Claim, rows: pd.DataFrame, name: str) -> Side:
        """The runs of an algorithm, at the best σ₀ if that is asked for."""
        return Side(*selected(rows, claim.options[name]))

    def side_in_words(self, claim: Claim, name: str) -> str:
        """The algorithm."""
        return selection_in_words(claim.options[name])

    def missing(self, claim: Claim, tables: Tables, sides: Sequence[Side]) -> None:
        """A config without one of the algorithms has no runs for the claim."""
        del claim, tables, sides


class ComparedAlgorithms(OfAlgorithms, Compared):
    """A quantity in one algorithm minus that in another, paired by rate, total batch, steps and seed."""

    needs: Mapping[str, Shape] = {
        **SIDES,
        "runs": {"enum": ["converged", "all"], "description": "which runs count; converged: both of a pair are"},
        "quantity": QUANTITY,
    }
    may: Mapping[str, Shape] = {}

    def pair(
        self, claim: Claim, tables: Tables, first: pd.DataFrame, second: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Runs of the same rate, total batch, steps and seed."""
        del claim, tables
        return matched(first, second)

    def no_pairs(self, claim: Claim) -> None:
        """A config without pairs has no runs for the claim."""
        del claim

    def over_samples(self, claim: Claim, tables: Tables) -> tuple[float, float]:
        """The interval over test samples of the mean difference of their losses."""
        samples, experiment = tables.frames[SAMPLES], claim.options["experiments"][0]
        values = samples[experiment].to_numpy(float) if experiment in samples else np.empty(0)
        if not len(values) or not np.isfinite(values).all():
            raise InputError(
                f"claim {claim.id}: the table of test samples has no number per sample in a column {experiment!r}, "
                "although there are pairs of converged runs: make the tables again"
            )
        return bootstrap_interval(values, claim_stream(claim, tables.root_seed, "bootstrap"))

    def details(self, claim: Claim, tables: Tables, pairs: Pairs) -> list[dict[str, Any]]:
        """Every setting; what a difference of training losses would explain; every σ₀ that could be chosen."""
        assert claim.quantity is not None
        found = [*choice(self.rows(claim, tables), claim.options[AGAINST])]
        found += by_setting(pairs, SETTING, setting_in_words)
        if converged_only(claim) and set(_PROPORTIONAL) & set(claim.quantity.columns):
            loss = Quantity({"train_loss": 1}, True, "")
            values = pairs.values - loss.of(pairs.one) + loss.of(pairs.other)
            relative = by_seed(pairs.one[pairs.good], values[pairs.good]).to_numpy(float)
            count = int(pairs.good.sum())
            found.append({"setting": "all, per unit of training loss", **interval_row(relative), "pairs": count})
        return found

    def words(self, claim: Claim) -> str:
        """The quantity, both algorithms and the first experiment."""
        assert claim.quantity is not None
        sides = f"{self.side_in_words(claim, OF)} minus {self.side_in_words(claim, AGAINST)}"
        ended = "converged runs" if converged_only(claim) else "all runs"
        return f"mean over seeds of {claim.quantity.words}, {sides}, {ended} of {claim.options['experiments'][0]}"


class ShareOfAlgorithms(OfAlgorithms, Share):
    """How many more runs of one algorithm than of another stay below a bound."""

    needs: Mapping[str, Shape] = {**SIDES, "column": Share.needs["column"], "most": Share.may["most"]}
    may: Mapping[str, Shape] = {}

    def setting(self, tables: Tables, rows: pd.DataFrame) -> list[str]:
        """What tells the settings of an algorithm apart; σ₀ has been chosen."""
        del tables, rows
        return list(SETTING)

    def setting_in_words(self, row: pd.Series, settings: Sequence[str]) -> str:
        """The setting of a run."""
        del settings
        return setting_in_words(row)

    def details(
        self, claim: Claim, rows: pd.DataFrame, known: Sequence[pd.DataFrame], counts: Sequence[tuple[int, int]]
    ) -> list[dict[str, Any]]:
        """How many runs of either algorithm stay below the bound, and every σ₀ that could be chosen."""
        found = [
            {
                "setting": f"{ALGORITHMS[str(side['algorithm'].iloc[0])]}{_noise(side)}",
                "runs": total,
                "below": count,
                "reached_target": int((side["ended"] == "converged").sum()),
            }
            for side, (count, total) in zip(known, counts, strict=True)
        ]
        return [*found, *choice(rows, claim.options[OF])]

    def words(self, claim: Claim) -> str:
        """The bound, both algorithms and the first experiment."""
        sides = f"{self.side_in_words(claim, OF)} minus {self.side_in_words(claim, AGAINST)}"
        return f"share of runs with {bound_in_words(claim)}, {sides}, {claim.options['experiments'][0]}"


def _noise(runs: pd.DataFrame) -> str:
    noise = float(runs["noise"].iloc[0])
    return f", σ₀ = {noise:g}" if noise else ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {"compared": ComparedAlgorithms(), "share": ShareOfAlgorithms(), "course": Course()}
)
